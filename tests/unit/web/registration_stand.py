"""The real application over a registration that takes everything, or refuses with what it is told to.

It records what reached it, so that a test can tell a request that was refused before anything was asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from bridge.grants.client_credentials import ClientCredentials
from bridge.grants.introspection import TokenQuestions
from bridge.model.client import ClientKind, ClientRecord, ClientState
from bridge.model.errors import BridgeError
from bridge.model.evidence import PresentedStatement, RequestContext
from bridge.model.metadata import ClientMetadata
from bridge.observe.readiness import Readiness
from bridge.registration.enrolment import Enrolled, Enrolment, RegistrationAccess
from bridge.registration.management import Management
from bridge.serving.adapter import call_wsgi
from bridge.serving.request import environ_of_connection, environ_of_request
from bridge.web.application import create_app
from bridge.web.services import Endpoints, Services

ISSUER, MTLS = "https://as.example.org", "https://as.example.org:8444"
NOW = 1_800_000_000
CLIENT = "spiffe://example.org/ns/web/sa/api"
STATEMENT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
CHAIN = (b"leaf", b"intermediate")
JSON = (b"content-type", b"application/json")
REQUEST_ID = "an-id-of-twenty-two-ch"
RECORD = ClientRecord(
    client_id=CLIENT,
    kind=ClientKind.SPIFFE,
    subject=CLIENT,
    trust_domain="example.org",
    state=ClientState.ACTIVE,
    rule="web",
    epoch=1,
    created_at=NOW - 60,
    last_used_at=NOW,
    expires_at=None,
)


@dataclass
class Registration:
    """Stands in for `Enrolment` and `Management`: `calls` is what reached them; `refusal` what they say to it."""

    access: RegistrationAccess | None = None
    refusal: BridgeError | None = None
    extra: Mapping[str, object] = field(default_factory=dict)
    calls: list[tuple[object, ...]] = field(default_factory=list)

    def _take(self, *call: object) -> None:
        self.calls.append(call)
        if self.refusal is not None:
            raise self.refusal

    def register(self, presented: PresentedStatement, metadata: ClientMetadata, context: RequestContext) -> Enrolled:
        self._take("register", presented, metadata, context)
        return Enrolled(RECORD, {**metadata.members, **self.extra}, presented.statement, self.access)

    def read(self, handle: str, token: str, chain: tuple[bytes, ...], context: RequestContext) -> Enrolled:
        self._take("read", handle, token, chain)
        return Enrolled(RECORD, dict(self.extra), access=self.access)

    def replace(
        self,
        handle: str,
        token: str,
        chain: tuple[bytes, ...],
        client_id: str,
        metadata: ClientMetadata,
        context: RequestContext,
    ) -> Enrolled:
        self._take("replace", handle, token, chain, client_id, dict(metadata.members))
        return Enrolled(RECORD, {**metadata.members, **self.extra}, access=self.access)

    def delete(self, handle: str, token: str, chain: tuple[bytes, ...], context: RequestContext) -> None:
        self._take("delete", handle, token, chain)


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def body(self) -> dict[str, Any]:
        return cast("dict[str, Any]", json.loads(self.content))

    @property
    def error(self) -> tuple[int, str]:
        """Status and code. The shape of a refusal is looked at on the way."""
        body = self.body
        assert set(body) == {"error", "error_description", "error_id"}
        assert body["error_id"] == self.headers["X-Request-Id"] == REQUEST_ID
        assert (self.headers["Cache-Control"], self.headers["Pragma"]) == ("no-store", "no-cache")
        assert self.headers["Content-Type"] == "application/json"
        return self.status, str(body["error"])


class _Observed:
    def __init__(self) -> None:
        self.answers: list[tuple[str, int]] = []
        self.refusals: list[tuple[str, str]] = []

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        self.answers.append((endpoint, status))

    def refused(self, door: str, error: Exception, correlation_id: str, source_address: str) -> None:
        assert isinstance(error, BridgeError)
        assert correlation_id == REQUEST_ID
        self.refusals.append((door, error.reason.value))

    def failed(self, endpoint: str, correlation_id: str) -> None:
        raise AssertionError(f"a defect at {endpoint}")

    def token_issued(self, grant_type: str) -> None:
        raise AssertionError("no token is asked for here")


class Stand:
    """The application. What tests of registration do not reach is not there."""

    def __init__(
        self, *, mtls: str | None = MTLS, enrolment: bool = True, management: bool = True, nonce: str | None = None
    ) -> None:
        self.registration = Registration()
        self.observed = _Observed()
        services = Services(
            endpoints=Endpoints(ISSUER, mtls, frozenset({"plain"} if mtls is None else {"plain", "mtls"})),
            client_credentials=cast("ClientCredentials", None),
            questions=cast("TokenQuestions", None),
            jwks=lambda: b"{}",
            readiness=lambda: Readiness(True, {}),
            exposition=lambda: b"",
            observer=self.observed,
            new_id=lambda: REQUEST_ID,
            fresh_nonce=lambda at: nonce,
            clock=lambda: NOW,
            enrolment=cast("Enrolment", self.registration) if enrolment else None,
            management=cast("Management", self.registration) if management else None,
        )
        self._app = create_app(services)

    def call(
        self,
        method: str,
        path: str,
        body: object = b"",
        *,
        headers: Iterable[tuple[bytes, bytes]] = (),
        chain: Sequence[bytes] = (),
    ) -> Reply:
        """What the service answers; `body` is sent as JSON unless it is bytes already."""
        connection = environ_of_connection(scheme="https", server=("127.0.0.1", 8443), client=("127.0.0.1", 4711))
        connection |= {"bridge.listener": "mtls" if chain else "plain", "bridge.peer_chain": tuple(chain)}
        environ = environ_of_request(
            connection,
            method=method,
            path=path.encode(),
            query=b"",
            version="1.1",
            headers=[(b"host", b"elsewhere.example"), *headers],
            body=body if isinstance(body, bytes) else json.dumps(body).encode(),
        )
        answer = call_wsgi(self._app, environ)
        return Reply(int(answer.status.split()[0]), dict(answer.headers), answer.body)

    def register(
        self, body: object, *headers: tuple[bytes, bytes], kind: bytes | None = JSON[1], chain: Sequence[bytes] = ()
    ) -> Reply:
        """POST /register."""
        typed = [] if kind is None else [(b"content-type", kind)]
        return self.call("POST", "/register", body, headers=[*typed, *headers], chain=chain)

    def manage(
        self,
        method: str,
        body: object = b"",
        *,
        authorization: bytes | None = b"Bearer the-token",
        handle: str = "the-handle",
        chain: Sequence[bytes] = CHAIN,
        kind: bytes = JSON[1],
    ) -> Reply:
        """A request at /register/{handle}, by default with both credentials."""
        headers = [(b"content-type", kind)] if method == "PUT" else []
        if authorization is not None:
            headers.append((b"authorization", authorization))
        return self.call(method, f"/register/{handle}", body, headers=headers, chain=chain)
