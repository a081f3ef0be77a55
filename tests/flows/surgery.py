"""A service whose clients register by statements, have keys of their own or documents at URLs, and the doctor beside
it: one request is put to both, and their answers are compared."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from bridge.cli.doctor.parts import examiner_of
from bridge.doctor.examination import Examiner, Question
from bridge.doctor.given import Given, GivenAssertion, GivenDocument, GivenJwt, GivenProof
from bridge.doctor.remembered import LogLine
from bridge.doctor.report import Diagnosis
from bridge.lab.jws import JwtKey, to_json
from bridge.model.evidence import Door
from bridge.model.identity import BindingMethod
from bridge.model.reasons import Reason
from bridge.model.terms import Ask
from tests.flows.client import JWT_BEARER, jwt_fields
from tests.flows.documented import Documented, key_factory
from tests.flows.dpop import DpopKey
from tests.flows.enrolling import CI, JSON_TYPE, jwks
from tests.flows.inprocess import TYPED
from tests.flows.timed import INSTANCE_RULES, Clock

NO_STORE = {"cache_control": "no-store"}


# Hosts at which nothing is ever asked: the guard forbids it.
GUARDED, LOW_PORT = "https://127.0.0.1:1025/elsewhere/a", "https://127.0.0.1:22/elsewhere/a"
ELSEWHERE = """
[[rule]]
id = "elsewhere-reads-ledger"
why = "the guard has the last word"
effect = "allow"
when = { url = ["https://127.0.0.1:1025/elsewhere/*", "https://127.0.0.1:22/elsewhere/*"] }
grant = { resources = ["https://ledger.example.org"], scopes = ["ledger.read"], grant_types = ["client_credentials"] }
"""


@dataclass(frozen=True, slots=True)
class Call:
    """One request: what the doctor is given of it, and what the service is sent. `door` as of `Question`."""

    given: Given
    path: bytes
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    door: Door = Door.TOKEN
    client_id: str | None = None
    said: Mapping[str, object] = field(default_factory=dict)
    proved: frozenset[BindingMethod] = frozenset()


class Surgery(Documented):
    """Puts a call to the service and to the doctor."""

    def __init__(self, folder: Path, clock: Clock, *, more: str = "") -> None:
        """`more` is added to `bridge.toml`."""
        super().__init__(folder, clock, rules=INSTANCE_RULES, more=more)
        self.clock = clock
        with (self.stand.policies / "metadata-documents.toml").open("a") as policy:
            policy.write(ELSEWHERE)
        self.look()
        self.make_key = key_factory()
        # A key for all documents and statements whose key is not what they are about.
        self.own = self.make_key()
        self._stack = ExitStack()
        store = self.process.worker._store
        self._examiner, _ = self._stack.enter_context(examiner_of(self.process.settings, store))

    def close(self) -> None:
        self._stack.close()
        super().close()

    @property
    def examiner(self) -> Examiner:
        return self._examiner

    def diagnose(self, call: Call) -> Diagnosis:
        """The doctor's answer."""
        question = Question(Ask(call.door, "client_credentials"), call.proved, call.client_id, call.said)
        return self._examiner.examine(call.given, question)

    def serve(self, call: Call, caplog: pytest.LogCaptureFixture) -> str | None:
        """The reason that the service logged; None when it did what was asked."""
        line = self.logged(call, caplog)
        return None if line is None else line.reason.value

    def logged(self, call: Call, caplog: pytest.LogCaptureFixture) -> LogLine | None:
        """The service's line about its refusal; None when it did what was asked."""
        caplog.clear()
        with caplog.at_level(logging.INFO, "bridge.web"):
            answer = self.process.call(call.body, path=call.path, headers=call.headers)
        lines = [record for record in caplog.records if record.message == "refused"]
        assert len(lines) == (int(answer.status[:3]) not in (200, 201)), answer.status
        return LogLine(Reason(lines[0].__dict__["reason"]), lines[0].__dict__) if lines else None

    # --- calls ------------------------------------------------------------------------------------

    def by_statement(self, statement: str, said: Mapping[str, object] | None = None) -> Call:
        """A registration."""
        said = said or {}
        body = json.dumps({"software_statement": statement, **said}).encode()
        return Call(GivenJwt(statement), b"/register", body, (JSON_TYPE,), Door.REGISTER, said=said)

    def by_assertion(self, assertion: str, client_id: str | None = None) -> Call:
        """A token by `private_key_jwt`."""
        fields = jwt_fields(assertion, client_assertion_type=JWT_BEARER)
        if client_id is not None:
            fields["client_id"] = client_id
        return Call(GivenAssertion(assertion), b"/token", urlencode(fields).encode(), (TYPED,), client_id=client_id)

    def by_name(self, url: str, body: bytes | None = None) -> Call:
        """A token by nothing but the URL of a document."""
        form = urlencode({"grant_type": "client_credentials", "client_id": url}).encode()
        return Call(GivenDocument(url, body), b"/token", form, (TYPED,))

    def by_svid(self, path: str, url: str) -> Call:
        """A token by an SVID that acts for a document."""
        svid = self.stand.jwt(path)
        form = urlencode({**jwt_fields(svid), "client_id": url}).encode()
        return Call(GivenJwt(svid), b"/token", form, (TYPED,), client_id=url)

    def by_proof(self, proof: str, *, url: str | None = None) -> Call:
        """A token of a workload, with a proof beside its SVID."""
        form = urlencode(jwt_fields(self.stand.jwt("/ns/web/sa/proves"))).encode()
        given = GivenProof(proof, "POST", url or f"{self.stand.client.issuer}/token")
        return Call(given, b"/token", form, (TYPED, (b"dpop", proof.encode())))

    # --- what they are made of --------------------------------------------------------------------

    def statement(
        self, subject: str, *, key: JwtKey | None = None, header: Mapping[str, Any] | None = None, **claims: Any
    ) -> str:
        """A sound statement of the CI system with the surgery's own key; claims and header members given replace the
        right ones, None leaves one out."""
        now, key = self.clock(), key or self.stand.ci
        said = {
            "iss": CI, "sub": subject, "aud": self.stand.endpoint, "iat": now, "exp": now + 300,
            "jwks": jwks(self.own), **claims,
        }  # fmt: skip
        head = {"alg": key.alg, "kid": key.kid, "typ": "JWT", **(header or {})}
        return key.sign(
            {name: value for name, value in head.items() if value is not None},
            to_json({name: value for name, value in said.items() if value is not None}),
        )

    def registered(self, subject: str = "pipeline") -> str:
        """The name of a client of the CI system that has the surgery's own key."""
        answer = self.register({"software_statement": self.statement(subject)})
        return str(answer.registered["client_id"])

    def proof(self, *, key: DpopKey | None = None, header: dict[str, object] | None = None, **claims: Any) -> str:
        """A sound proof for the token endpoint."""
        said = {"iat": self.clock(), **claims}
        method, url = said.pop("htm", "POST"), said.pop("htu", f"{self.stand.client.issuer}/token")
        return (key or DpopKey()).proof(method, url, header=header, **said)


Make = Callable[[Surgery], Call]
