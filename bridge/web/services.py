"""What the web layer is given: callables and objects, put together by `app.py`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from bridge.grants.answers import AuthorizationAnswer
from bridge.grants.approvals import Approvals
from bridge.grants.client_credentials import ClientCredentials
from bridge.grants.code_flow import CodeFlow
from bridge.grants.consent import Question, Seen
from bridge.grants.form import Form
from bridge.grants.introspection import TokenQuestions
from bridge.model.authorization import User
from bridge.model.evidence import RequestContext
from bridge.observe.readiness import Readiness
from bridge.observe.tracing import Tracing
from bridge.registration.enrolment import Enrolment
from bridge.registration.management import Management
from bridge.tokens.sealing import SealKey
from bridge.users.development import UnprovedSignIn
from bridge.users.sessions import Sessions
from bridge.users.upstream import Upstream
from bridge.web.known_sender import VerifyChain

# Where each endpoint stands below the issuer (interface section 4).
TOKEN, INTROSPECT, REVOKE, JWKS, AUTHORIZE = "/token", "/introspect", "/revoke", "/jwks", "/authorize"
REGISTER = "/register"
PAR, CONSENT, ACCOUNT, SIGN_IN, SIGN_OUT = "/par", "/consent", "/account", "/sign-in", "/sign-out"
CALLBACK = SIGN_IN + "/callback"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The public addresses: the issuer, and the base under which certificates are asked for, where it is another.
    `behind_proxy`: a trusted proxy may ask for them under the issuer."""

    issuer: str
    mtls_base: str | None
    listeners: frozenset[str]
    behind_proxy: bool = False

    @property
    def takes_certificates(self) -> bool:
        """Whether a client may authenticate by its certificate."""
        return self.mtls_base is not None or self.behind_proxy

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


class Authorizing(Protocol):
    """An authorization request and its user. `browser` is the digest of the browser's own cookie.

    Every verb may raise Unavailable, and AnsweredByRedirect for what the client may be told by way of the browser.
    What else it raises is for the page that the user has before them.
    """

    def open(self, request_uri: str, *, client_id: str, browser: str, context: RequestContext) -> None:
        """Have a pushed request before this browser. Raises: InvalidRequest when there is none for it."""
        ...

    def begin_direct(self, form: Form, *, browser: str, context: RequestContext) -> str:
        """Take a request of a metadata document's client in plain parameters, and have it before this browser at
        once. Somebody has signed in there: a document may be fetched. What names it from now on."""
        ...

    def consent_wanted(self, request_uri: str, *, browser: str, user: User, context: RequestContext) -> Question:
        """What this user is to decide about a request that is open here, as policy has it now."""
        ...

    def approve(
        self, request_uri: str, *, seen: Seen | None, browser: str, user: User, context: RequestContext
    ) -> AuthorizationAnswer:
        """A yes to what this user has `seen`, None: to what they agreed to before. The request is consumed, and there
        is a grant with a code."""
        ...

    def deny(self, request_uri: str, *, browser: str, user: User, context: RequestContext) -> AuthorizationAnswer:
        """A no: the request is consumed."""
        ...


# What the catalogue in force says, by the name of a scope or a resource.
CatalogueWords = Callable[[], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class PageServices:
    """What the pages call, where there are users. `cookie_seal` and `form_key` are for cookies and forms alone.
    `words` says what scopes and resources are, `home` which resource each scope belongs to; `new_secret` gives 32
    random bytes as base64url."""

    authorizing: Authorizing
    approvals: Approvals
    sign_in: UnprovedSignIn | Upstream
    sessions: Sessions
    cookie_seal: SealKey
    form_key: bytes
    words: CatalogueWords
    home: CatalogueWords
    new_secret: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Offered:
    """What the policy in force offers beside the token endpoint. `code_flow`: people can approve; `documents` and
    `pushed`: clients of that kind could get in; `plain_requests`: some may come to `/authorize` without having
    pushed their request."""

    code_flow: bool = False
    documents: bool = False
    pushed: bool = False
    plain_requests: bool = False


@dataclass(frozen=True, slots=True)
class Services:
    """Everything the views call. `clock` gives epoch seconds; `fresh_nonce` a DPoP nonce, or None when
    nonces are not asked for. Without `enrolment` there is no `/register`, without `management` nothing below it;
    without `pages` nobody can sign in, and without `code_flow` there is no `/par`. `offered` is what the metadata
    names; `verify_chain` is there where trusted proxies show certificates of their own; `openid_configuration` says
    whether the keys can be found by OpenID Connect Discovery too; `tracing` is there where requests are traced."""

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
    pages: PageServices | None = None
    code_flow: CodeFlow | None = None
    offered: Callable[[], Offered] = Offered
    openid_configuration: bool = False
    verify_chain: VerifyChain | None = None
    tracing: Tracing | None = None
