"""A service in this process and the doctor beside it: one request is put to both, and their answers are compared."""

from __future__ import annotations

import json
import logging
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from bridge.cli.doctor.parts import examiner_of
from bridge.doctor.examination import Question
from bridge.doctor.given import GivenChain, GivenJwt
from bridge.doctor.report import Diagnosis
from bridge.lab.authority import Authority
from bridge.lab.jws import JwtKey, to_json
from bridge.model.evidence import Door
from bridge.model.identity import BindingMethod
from bridge.model.terms import Ask
from tests.flows.client import jwt_fields
from tests.flows.dpop import DpopKey
from tests.flows.enrolling import JSON_TYPE, Office, Registering
from tests.flows.inprocess import TYPED
from tests.flows.stand import LEDGER
from tests.flows.timed import INSTANCE_RULES, Clock, Timed

STRICT_ISSUER = "https://spire.strict.example"
# A trust domain for each thing that only a trust domain's own settings can be wrong about.
TRUST_DOMAINS = f"""
[trust_domains."partner.example"]
source = "file"
path = "bundles/partner.example.json"
[trust_domains."strict.example"]
source = "file"
path = "bundles/strict.example.json"
jwt_issuers = ["{STRICT_ISSUER}"]
[trust_domains."twins.example"]
source = "file"
path = "bundles/twins.example.json"
[trust_domains."oidc.example"]
source = "file"
path = "bundles/oidc.example.json"
[trust_domains."gone.example"]
source = "file"
path = "bundles/gone.example.json"
[trust_domains."tiny.example"]
source = "file"
path = "bundles/tiny.example.json"
limits = {{ records_per_trust_domain = 1 }}
"""


def rule_of(trust_domain: str) -> str:
    """The whole policy of a trust domain whose workloads may read the ledger."""
    rule_id = trust_domain.partition(".")[0]
    return f"""
version = 1
source = "spiffe"
trust_domain = "{trust_domain}"

[[rule]]
id = "{rule_id}-reads-ledger"
why = "they may"
effect = "allow"
when = {{ path = "/ns/web/sa/*" }}
grant = {{ resources = ["{LEDGER}"], scopes = ["ledger.read"], bind = "if-present" }}
"""


class Ward(Registering):
    """A service's files with these trust domains in place."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        super().__init__(folder, more=TRUST_DOMAINS, rules=INSTANCE_RULES)
        self.authority.clock = clock
        self.weak = {"kty": "RSA", "kid": "weak", "use": "jwt-svid", "n": "xQ" * 86, "e": "AQAB"}
        self.second = JwtKey.generate("ES256")
        self.others = {
            name: Authority(f"{name}.example", clock=clock, jwt_issuer=STRICT_ISSUER if name == "strict" else None)
            for name in ("partner", "strict", "twins", "oidc", "gone", "tiny")
        }
        for name, authority in self.others.items():
            bundle = authority.bundle()
            keys: Any = bundle["keys"]
            if name == "twins":
                keys += [{**self.second.public_jwk(), "use": "jwt-svid"}, self.weak]
            if name == "oidc":
                # What an OIDC discovery provider publishes: the same keys, and no word of what for.
                bundle = {"keys": [dict(authority.jwt_keys.active.public_jwk())]}
            if name != "gone":
                (folder / f"bundles/{name}.example.json").write_bytes(to_json(bundle))
            (folder / f"policies/{name}.example.toml").write_text(rule_of(f"{name}.example"))


@dataclass(frozen=True, slots=True)
class Visit:
    """One request: an SVID, and what is sent beside it. `fields` are those of the form; with `key` a DPoP proof."""

    svid: str | tuple[bytes, ...]
    fields: dict[str, str] = field(default_factory=dict)
    door: str = "token"
    key: DpopKey | None = None


class Clinic(Timed):
    """Puts a visit to the service and to the doctor."""

    ward: Ward

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.clock = clock
        Office.__init__(self, folder, lambda place: Ward(place, clock))
        assert isinstance(self.stand, Ward)
        self.ward = self.stand
        self._stack = ExitStack()
        examiner = examiner_of(self.process.settings, self.process.worker._store)
        self._examiner, _ = self._stack.enter_context(examiner)

    def close(self) -> None:
        self._stack.close()
        super().close()

    def serve(self, visit: Visit, caplog: pytest.LogCaptureFixture) -> tuple[int, str | None]:
        """The service's status, and the reason that it logged."""
        caplog.clear()
        with caplog.at_level(logging.INFO, "bridge.web"):
            status = self._register(visit) if visit.door == "register" else self._token(visit)
        reasons = [str(getattr(record, "reason", "")) for record in caplog.records if record.message == "refused"]
        assert len(reasons) == (status not in (200, 201)), (status, reasons)
        return status, reasons[0] if reasons else None

    def diagnose(self, visit: Visit) -> Diagnosis:
        """The doctor's answer."""
        fields = dict(visit.fields)
        grant_type, named = fields.pop("grant_type", "client_credentials"), fields.pop("client_id", None)
        scopes, resources = tuple(fields.pop("scope", "").split()), tuple(fields.pop("resource", "").split())
        assert not fields
        proved = frozenset({BindingMethod.JKT}) if visit.key is not None else frozenset[BindingMethod]()
        question = Question(Ask(Door(visit.door), grant_type, scopes, resources), proved, named)
        given = GivenJwt(visit.svid) if isinstance(visit.svid, str) else GivenChain(visit.svid)
        return self._examiner.examine(given, question)

    def _token(self, visit: Visit) -> int:
        base, form = self.stand.client.issuer, {"grant_type": "client_credentials", **visit.fields}
        chain: tuple[bytes, ...] = ()
        if isinstance(visit.svid, str):
            form = jwt_fields(visit.svid, **visit.fields)
        else:
            base, chain = self.stand.mtls_base, visit.svid
            # Doctor names the one that it has to be, where nothing is said; so does a client.
            form.setdefault("client_id", self.diagnose(visit).subject or "nobody")
        headers = [TYPED]
        if visit.key is not None:
            headers.append((b"dpop", visit.key.proof("POST", f"{base}/token", iat=self.clock()).encode()))
        answer = self.process.call(urlencode(form).encode(), headers=headers, chain=chain)
        return int(answer.status[:3])

    def _register(self, visit: Visit) -> int:
        assert isinstance(visit.svid, str)
        body = json.dumps({"software_statement": visit.svid}).encode()
        return int(self.process.call(body, path=b"/register", headers=[JSON_TYPE]).status[:3])
