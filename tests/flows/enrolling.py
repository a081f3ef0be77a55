"""A service at which clients register explicitly: a pinned issuer, rules about metadata, and short words to ask it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

from bridge.lab.jws import JwtKey, to_json
from bridge.lab.x509 import X509Svid
from bridge.model.client import ClientRecord
from bridge.store.ports import ClientFilter
from tests.flows.client import JWT_BEARER, decode, jwt_fields
from tests.flows.dpop import DpopKey
from tests.flows.inprocess import TYPED, InProcess
from tests.flows.stand import LEDGER, ORDERS, RULES, Stand

CI, OTHER_CI, MUTE_CI = "https://ci.example.org", "https://ci.elsewhere.example", "https://mute.example.org"
JSON_TYPE = (b"content-type", b"application/json")
PORTAL = "https://portal.example.org/cb"
NOTHING: Mapping[str, object] = MappingProxyType({})

MORE_RULES = f"""
[[rule]]
id = "told-may-state"
why = "these are enriched by their composer"
effect = "allow"
when = {{ path = "/ns/told/sa/*" }}
[rule.grant]
resources = ["{LEDGER}"]
scopes = ["ledger.read", "ledger.write"]
bind = "if-present"
grant_types = ["client_credentials", "authorization_code", "refresh_token"]
redirect_uris = ["https://{{1}}.apps.example.org/cb", "{PORTAL}"]
asserts = ["client_name", "redirect_uris", "software_id", "contacts", "scope", "grant_types"]

[[rule]]
id = "portals-redirect"
why = "people sign in there"
effect = "allow"
when = {{ path = "/ns/portal/sa/*" }}
[rule.grant]
resources = ["{LEDGER}"]
scopes = ["ledger.read"]
bind = "if-present"
grant_types = ["authorization_code", "refresh_token"]
redirect_uris = ["https://{{1}}.apps.example.org/cb", "{PORTAL}"]

[[rule]]
id = "token-door-only"
why = "these never introduce themselves"
effect = "allow"
when = {{ path = "/ns/silent/sa/*", door = "token" }}
grant = {{ resources = ["{LEDGER}"], scopes = ["ledger.read"], bind = "if-present" }}

[[rule]]
id = "no-registration-of-these"
why = "INC-8"
effect = "deny"
when = {{ path = "/ns/web/sa/unwelcome", door = "register" }}
"""

STATEMENT_RULES = f"""
version = 1
source = "software-statement"

[[rule]]
id = "ci-reads-ledger"
why = "pipelines look up what they deploy"
effect = "allow"
when = {{ issuer = "{CI}", subject = ["pipeline", "other-pipeline", "third-pipeline", "redirected", "codeless"] }}
[rule.grant]
resources = ["{LEDGER}"]
scopes = ["ledger.read"]
asserts = ["jwks", "client_name", "software_id", "redirect_uris", "grant_types"]
grant_types = ["client_credentials", "authorization_code"]

[[rule]]
id = "mute-reads-ledger"
why = "an issuer whose keys never arrived"
effect = "allow"
when = {{ issuer = "{MUTE_CI}", subject = "pipeline" }}
grant = {{ resources = ["{LEDGER}"], scopes = ["ledger.read"], asserts = ["jwks"] }}

[[rule]]
id = "keyless-reads-orders"
why = "nobody let this one state keys"
effect = "allow"
when = {{ issuer = "{CI}", subject = "keyless" }}
grant = {{ resources = ["{ORDERS}"], scopes = ["orders.read"], asserts = ["client_name"] }}
"""


class Registering(Stand):
    """A `Stand` with `[statement_issuers]` and rules for what may be stated."""

    def __init__(self, folder: Path, *, more: str = "", rules: str = "", **options: Any) -> None:
        """`more` is added to `bridge.toml`, `rules` to the policy of the trust domain."""
        issuers = f"""
[statement_issuers."{CI}"]
jwks_file = "trust/ci.jwks.json"
[statement_issuers."{MUTE_CI}"]
jwks_file = "trust/mute.jwks.json"
"""
        # Tests send more statements that nobody vouches for than an address may, unless they are about that.
        wide = "" if "[limits]" in more else "[limits]\nanonymous_per_minute = 1000000\n"
        super().__init__(folder, more=issuers + wide + more, **options)
        self.ci = JwtKey.generate("ES256", kid="ci-1")
        (folder / "trust").mkdir()
        self.pin(self.ci)
        (folder / "trust/mute.jwks.json").write_text("not yet")
        (self.policies / "software-statements.toml").write_text(STATEMENT_RULES)
        self.write_rules(RULES + MORE_RULES + rules)

    def __enter__(self) -> Registering:
        super().__enter__()
        return self

    @property
    def endpoint(self) -> str:
        """The registration endpoint as the metadata has it, which is every statement's audience."""
        return self.client.issuer + "/register"

    @property
    def mtls_base(self) -> str:
        return f"https://127.0.0.1:{self.client.mtls_port}"

    def pin(self, *keys: JwtKey) -> None:
        """Make these the keys of the CI system."""
        draft = self.folder / "trust/.draft"
        draft.write_bytes(to_json({"keys": [key.public_jwk() for key in keys]}))
        draft.replace(self.folder / "trust/ci.jwks.json")

    def svid(
        self,
        path: str,
        claims: Mapping[str, object] = NOTHING,
        *,
        audience: str | Sequence[str] | None = None,
        ttl: int = 300,
    ) -> str:
        """A JWT-SVID as software statement; `claims` are what its issuer says of the workload."""
        return self.authority.jwt_svid(path, audience or self.endpoint, ttl=ttl, claims=claims)

    def statement(
        self, subject: str = "pipeline", claims: Mapping[str, object] = NOTHING, *, key: JwtKey | None = None
    ) -> str:
        """A statement of the CI system; `claims` are added or replace, and go where they are None."""
        now, key = int(time.time()), key or self.ci
        said: dict[str, object] = {
            "iss": CI, "sub": subject, "aud": self.endpoint, "iat": now, "exp": now + 300, **claims,
        }  # fmt: skip
        payload = {name: value for name, value in said.items() if value is not None}
        return key.sign({"alg": key.alg, "kid": key.kid, "typ": "JWT"}, to_json(payload))


def own_assertion(key: JwtKey, client_id: str, audience: str, **claims: object) -> str:
    """What a client with a key of its own authenticates by (RFC 7523)."""
    now = int(time.time())
    said = {
        "iss": client_id, "sub": client_id, "aud": audience, "iat": now, "exp": now + 60,
        "jti": f"{time.monotonic_ns()}", **claims,
    }  # fmt: skip
    return key.sign({"alg": key.alg, "kid": key.kid, "typ": "JWT"}, to_json(said))


def jwks(*keys: JwtKey) -> dict[str, object]:
    return {"keys": [dict(key.public_jwk()) for key in keys]}


def own_jwks(key: DpopKey) -> dict[str, object]:
    """The set that holds the key of a DPoP proof alone."""
    return {"keys": [key._key.as_dict(private=False)]}


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the worker."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def body(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.content)
        return parsed

    @property
    def error(self) -> tuple[int, str]:
        """Status and code of a refusal, whose form is looked at on the way."""
        body = self.body
        assert set(body) == {"error", "error_description", "error_id"}, body
        assert body["error_id"] == self.headers["X-Request-Id"]
        assert self.headers["Cache-Control"] == "no-store"
        return self.status, str(body["error"])

    @property
    def registered(self) -> dict[str, Any]:
        """The client information of a 201."""
        assert self.status == 201, self.content
        return self.body

    @property
    def claims(self) -> dict[str, Any]:
        """What the token says that was issued."""
        assert self.status == 200, self.content
        return decode(self.body["access_token"], 1)


class Office:
    """The worker behind `/register`, in this process: requests go in, answers, records and audit rows come out."""

    def __init__(self, folder: Path, make: Callable[[Path], Registering] = Registering) -> None:
        self.process = InProcess(folder, make)
        assert isinstance(self.process.stand, Registering)
        self.stand: Registering = self.process.stand

    def close(self) -> None:
        self.process.close()

    def look(self) -> None:
        """Read policies, bundles and pinned keys now."""
        self.process.worker.reload()

    def call(
        self,
        method: str,
        path: str,
        body: object = b"",
        *,
        headers: Sequence[tuple[bytes, bytes]] = (),
        svid: X509Svid | None = None,
    ) -> Reply:
        """`body` is sent as JSON unless it is bytes already; `svid` is what the handshake showed."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        chain = () if svid is None else svid.chain
        answer = self.process.call(raw, method=method, path=path.encode(), headers=headers, chain=chain)
        return Reply(int(answer.status[:3]), dict(answer.headers), answer.body)

    def register(
        self,
        body: object,
        *headers: tuple[bytes, bytes],
        svid: X509Svid | None = None,
        kind: bytes | None = JSON_TYPE[1],
    ) -> Reply:
        typed = [] if kind is None else [(JSON_TYPE[0], kind)]
        return self.call("POST", "/register", body, headers=[*typed, *headers], svid=svid)

    def enrol(
        self, path: str, /, *headers: tuple[bytes, bytes], claims: Mapping[str, object] = NOTHING, **body: Any
    ) -> Reply:
        """Register by a JWT-SVID that states `claims`; `body` is what the request says."""
        return self.register({"software_statement": self.stand.svid(path, claims), **body}, *headers)

    def state(self, subject: str, claims: Mapping[str, object], /, **body: object) -> Reply:
        """Register by a statement of the CI system."""
        return self.register({"software_statement": self.stand.statement(subject, claims), **body})

    def token(
        self, assertion: str, *headers: tuple[bytes, bytes], svid: X509Svid | None = None, **fields: str
    ) -> Reply:
        """`client_credentials` with an assertion; with the SVID of a connection instead where one is given."""
        form = jwt_fields(assertion, **fields) if svid is None else {"grant_type": "client_credentials", **fields}
        return self.call("POST", "/token", urlencode(form).encode(), headers=[TYPED, *headers], svid=svid)

    def token_by_key(self, key: JwtKey, client_id: str, **claims: object) -> Reply:
        """`client_credentials` with `private_key_jwt`."""
        assertion = own_assertion(key, client_id, self.stand.client.issuer, **claims)
        return self.token(assertion, client_assertion_type=JWT_BEARER)

    def is_active(self, token: str) -> bool:
        """What the ledger is told when it introspects the token."""
        form = {**jwt_fields(self.stand.jwt("/ns/ledger/sa/api")), "token": token}
        answer = self.call("POST", "/introspect", urlencode(form).encode(), headers=[TYPED])
        return bool(answer.body["active"])

    def proof(self, key: DpopKey, *, mtls: bool = False, **claims: Any) -> tuple[bytes, bytes]:
        """The header with a DPoP proof for the registration endpoint."""
        url = (self.stand.mtls_base if mtls else self.stand.client.issuer) + "/register"
        return b"dpop", key.proof("POST", url, **claims).encode()

    def records(self) -> dict[str, ClientRecord]:
        found = self.process.worker._store.clients.list(ClientFilter(), limit=10_000)
        return {record.client_id: record for record in found}

    def record(self, path: str) -> ClientRecord | None:
        return self.process.worker._store.clients.get(f"spiffe://example.org{path}")

    def events(self, after: int = 0) -> list[tuple[str, str, str]]:
        """(event, door, outcome or reason) of the audit rows behind `after`."""
        rows = self.process.worker._store.audit.rows(after=after, limit=10_000)
        return [(row.event.event.value, row.event.door, row.event.reason or row.event.outcome) for row in rows]

    def last_row(self) -> int:
        """Where the audit log ends now."""
        rows = self.process.worker._store.audit.rows(limit=1, newest_first=True)
        return rows[0].rowid if rows else 0

    @contextmanager
    def untouched(self, *refusals: str) -> Iterator[None]:
        """Nothing is written but these refusals of identities that were verified: no record, no other row."""
        # Equal refusals of one minute are counted first and written later, those of earlier tests too.
        self._write_counts()
        row, before = self.last_row(), self.records()
        yield
        self._write_counts()
        assert self.records() == before
        rows = [found.event for found in self.process.worker._store.audit.rows(after=row, limit=10_000)]
        assert {(event.event.value, event.door) for event in rows} <= {("refused", "register")}
        counts: Counter[str] = Counter()
        for event in rows:
            counts[event.reason] += event.count
        assert counts == Counter(refusals)

    def _write_counts(self) -> None:
        self.process.worker._refusals.flush(int(time.time()), all_minutes=True)
