"""What the web layer is given: callables and objects, put together by `app.py`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bridge.grants.client_credentials import ClientCredentials
from bridge.grants.introspection import TokenQuestions
from bridge.observe.readiness import Readiness
from bridge.registration.enrolment import Enrolment
from bridge.registration.management import Management

# Where each endpoint stands below the issuer (interface section 4).
TOKEN, INTROSPECT, REVOKE, JWKS, AUTHORIZE = "/token", "/introspect", "/revoke", "/jwks", "/authorize"
REGISTER = "/register"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The public addresses: the issuer, and the base of the listener that asks for certificates."""

    issuer: str
    mtls_base: str | None
    listeners: frozenset[str]

    def url(self, path: str, listener: str) -> str:
        """The URL of an endpoint as the caller of that listener knows it, from configuration alone (OAS-35)."""
        base = self.mtls_base if listener == "mtls" and self.mtls_base is not None else self.issuer
        return base + path


class Observer(Protocol):
    """Where the web layer reports what happened, for metrics and the log."""

    def answered(self, endpoint: str, status: int, seconds: float) -> None: ...
    def refused(self, door: str, error: Exception, correlation_id: str, source_address: str) -> None: ...
    def failed(self, endpoint: str, correlation_id: str) -> None: ...
    def token_issued(self, grant_type: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Services:
    """Everything the views call. `clock` gives epoch seconds; `fresh_nonce` a DPoP nonce, or None when
    nonces are not asked for. Without `enrolment` there is no `/register`, without `management` nothing below it."""

    endpoints: Endpoints
    client_credentials: ClientCredentials
    questions: TokenQuestions
    jwks: Callable[[], bytes]
    readiness: Callable[[], Readiness]
    exposition: Callable[[], bytes]
    observer: Observer
    new_id: Callable[[], str]
    fresh_nonce: Callable[[int], str | None]
    clock: Callable[[], int] = lambda: int(time.time())
    enrolment: Enrolment | None = None
    management: Management | None = None
