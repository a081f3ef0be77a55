"""The real application and pages over an authorizing that holds what it is told to, and stores in memory."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, cast
from urllib.parse import urlencode

from bridge.grants.answers import AuthorizationAnswer
from bridge.grants.approvals import Approvals
from bridge.grants.client_credentials import ClientCredentials
from bridge.grants.consent import Question, Seen, Words
from bridge.grants.form import Form
from bridge.grants.introspection import TokenQuestions
from bridge.model.audit import AuditEvent
from bridge.model.authorization import PUSHED_CLIENT_ID, AuthorizationRequest, Consent, Grant, Session, User
from bridge.model.client import ClientKind
from bridge.model.errors import BridgeError, ConsentDenied, InvalidRequest
from bridge.model.evidence import Door, EvidenceKind, RequestContext
from bridge.model.identity import PolicySubject, Source
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import SpiffeId
from bridge.model.terms import Ask
from bridge.observe.readiness import Readiness
from bridge.store.ports import GrantStore
from bridge.tokens.sealing import SealKey
from bridge.users.development import UnprovedSignIn
from bridge.users.sessions import Sessions
from bridge.users.upstream import Upstream
from bridge.users.user_ids import UserIds
from bridge.web.application import create_app
from bridge.web.services import Endpoints, PageServices, Services
from tests.browsing import Browser, Page

ISSUER = "https://as.example.org"
NOW = 1_800_000_000
LEDGER = "https://ledger.example.org"
ORDERS = "https://orders.example.org"
WORDS = {
    LEDGER: "The ledger",
    "ledger.read": "Read entries",
    "ledger.write": "Post entries",
    "orders.read": "Read orders",
}
REQUEST_URI = "urn:ietf:params:oauth:request_uri:" + "r" * 43
DOCUMENT = "https://app.example.com/client.json"
SPIFFE_ID = "spiffe://example.org/ns/agents/sa/scribe"
SECRET = bytes(range(32))
SESSION_IDLE, SESSION_LIFE = 1800, 8 * 3600


def authorization_request(
    kind: ClientKind = ClientKind.METADATA_DOCUMENT,
    *,
    redirect_uri: str = "https://app.example.com/callback",
    **other: Any,
) -> AuthorizationRequest:
    """One that passed every check."""
    subjects = {
        ClientKind.METADATA_DOCUMENT: (
            DOCUMENT,
            PolicySubject(Source.METADATA_DOCUMENT, EvidenceKind.METADATA_DOCUMENT, url=DOCUMENT),
        ),
        ClientKind.SPIFFE: (
            SPIFFE_ID,
            PolicySubject(Source.SPIFFE, EvidenceKind.JWT_SVID, spiffe_id=SpiffeId.parse(SPIFFE_ID)),
        ),
        ClientKind.SHARED: (
            "scribes",
            PolicySubject(Source.SPIFFE, EvidenceKind.JWT_SVID, spiffe_id=SpiffeId.parse(SPIFFE_ID)),
        ),
        ClientKind.STATEMENT: (
            "statement-x",
            PolicySubject(
                Source.SOFTWARE_STATEMENT,
                EvidenceKind.SOFTWARE_STATEMENT,
                issuer="https://ci.example.org",
                subject="release-notes",
            ),
        ),
        ClientKind.PUSHED: (PUSHED_CLIENT_ID, PolicySubject(Source.PUSHED, EvidenceKind.PUSHED)),
    }
    client_id, subject = subjects[kind]
    made = AuthorizationRequest(
        client_id=client_id,
        kind=kind,
        subject=subject,
        ask=Ask(Door.PAR, "authorization_code", ("ledger.read",), (LEDGER,)),
        redirect_uri=redirect_uri,
        code_challenge="c" * 43,
        state="the-state",
        metadata={"client_name": "The Friendly App"},
    )
    return replace(made, **other)


def question(request: AuthorizationRequest | None = None, **other: Any) -> Question:
    """What a user is to decide."""
    made = Question(
        request=request or authorization_request(),
        scopes=(Words("ledger.read", WORDS["ledger.read"]), Words("ledger.write", WORDS["ledger.write"])),
        resources=(Words(LEDGER, WORDS[LEDGER]),),
        redirect_host="app.example.com",
        is_loopback=False,
        is_key_bound=False,
        remembered=False,
        can_be_remembered=True,
    )
    return replace(made, **other)


@dataclass
class FakeAuthorizing:
    """One pushed request, for the browser that opened it, until somebody decides. `calls` is what reached it."""

    question: Question = field(default_factory=question)
    refusal: BridgeError | None = None
    calls: list[tuple[str, ...]] = field(default_factory=list)
    browser: str | None = None
    seen: Seen | None = None

    def open(self, request_uri: str, *, client_id: str, browser: str, context: RequestContext) -> None:
        self._call("open", client_id)
        if request_uri != REQUEST_URI or client_id != self.question.request.client_id:
            raise InvalidRequest(Reason.REQUEST_URI)
        self.browser = browser

    def begin_direct(self, form: Form, *, browser: str, context: RequestContext) -> str:
        self._call("begin_direct", form.require("client_id"))
        self.browser = browser
        return REQUEST_URI

    def consent_wanted(self, request_uri: str, *, browser: str, user: User, context: RequestContext) -> Question:
        self._call("consent_wanted", user.name)
        self._require(request_uri, browser)
        return self.question

    def approve(
        self, request_uri: str, *, seen: Seen | None, browser: str, user: User, context: RequestContext
    ) -> AuthorizationAnswer:
        self._call("approve", user.name)
        self.seen = seen
        return self._decided(request_uri, browser, code="the-code")

    def deny(self, request_uri: str, *, browser: str, user: User, context: RequestContext) -> AuthorizationAnswer:
        self._call("deny", user.name)
        return self._decided(request_uri, browser, error=ConsentDenied(Reason.ACCESS_DENIED))

    @property
    def verbs(self) -> list[str]:
        return [call[0] for call in self.calls]

    def _call(self, *call: str) -> None:
        self.calls.append(call)
        if self.refusal is not None:
            raise self.refusal

    def _require(self, request_uri: str, browser: str) -> None:
        if request_uri != REQUEST_URI or browser != self.browser:
            raise InvalidRequest(Reason.REQUEST_URI, "not before this browser", public="this request is not there")

    def _decided(self, request_uri: str, browser: str, **answer: Any) -> AuthorizationAnswer:
        self._require(request_uri, browser)
        self.browser = None
        return AuthorizationAnswer(self.question.request.redirect_uri, self.question.request.state, **answer)


class SessionsInMemory:
    """As the store keeps them."""

    def __init__(self) -> None:
        self.rows: dict[str, Session] = {}

    def begin(self, session: Session) -> None:
        self.rows[session.digest] = session

    def get(self, digest: str, *, now: int) -> Session | None:
        row = self.rows.get(digest)
        return row if row is not None and now < row.expires_at else None

    def end(self, digest: str) -> Session | None:
        return self.rows.pop(digest, None)


class GrantsInMemory:
    """The part of the store's grants that a user's page needs."""

    def __init__(self) -> None:
        self.rows: list[Grant] = []
        self.consents: list[Consent] = []
        self.events: list[AuditEvent] = []

    def of_user(self, user_id: str, *, limit: int, now: int) -> list[Grant]:
        found = [row for row in self.rows if row.user.user_id == user_id and row.ended_at is None and row.ends_at > now]
        return sorted(found, key=lambda row: -row.created_at)[:limit]

    def get(self, grant_id: str) -> Grant | None:
        return next((row for row in self.rows if row.grant_id == grant_id), None)

    def end(self, grant_id: str, *, event: AuditEvent | None, now: int) -> bool:
        return self._end(lambda row: row.grant_id == grant_id, event, now) > 0

    def end_of_user(self, user_id: str, client_id: str, *, event: AuditEvent, now: int) -> int:
        before = len(self.consents)
        self.consents = [one for one in self.consents if (one.user_id, one.client_id) != (user_id, client_id)]
        ended = self._end(lambda row: (row.user.user_id, row.client_id) == (user_id, client_id), event, now)
        if not ended and len(self.consents) < before:
            self.events.append(event)
        return ended

    def consents_of(self, user_id: str, *, limit: int) -> list[Consent]:
        return [one for one in self.consents if one.user_id == user_id][:limit]

    def _end(self, is_meant: Any, event: AuditEvent | None, now: int) -> int:
        meant = [row for row in self.rows if is_meant(row) and row.ended_at is None]
        self.rows = [replace(row, ended_at=now) if row in meant else row for row in self.rows]
        if meant and event is not None:
            self.events.append(event)
        return len(meant)


class Observed:
    """What the web layer reported."""

    def __init__(self) -> None:
        self.refusals: list[tuple[str, str, str]] = []

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        assert 0 <= seconds < 60

    def refused(self, door: str, error: Exception, correlation_id: str, source_address: str) -> None:
        assert isinstance(error, BridgeError)
        self.refusals.append((door, error.reason.value, error.detail))

    def failed(self, endpoint: str, correlation_id: str) -> None:
        raise AssertionError(f"a defect at {endpoint}")

    def token_issued(self, grant_type: str) -> None:
        raise AssertionError("no token is asked for here")


class Stand:
    """The application, with browsers to visit it."""

    def __init__(self, *, issuer: str = ISSUER, sign_in: UnprovedSignIn | Upstream | None = None) -> None:
        self.issuer, self.now = issuer, NOW
        self.authorizing = FakeAuthorizing()
        self.sessions, self.grants, self.observed = SessionsInMemory(), GrantsInMemory(), Observed()
        self.ids = UserIds(SECRET)
        self._secrets = (f"{number:043d}" for number in count(1))
        pages = PageServices(
            authorizing=self.authorizing,
            approvals=Approvals(cast("GrantStore", self.grants)),
            sign_in=sign_in or UnprovedSignIn(self.ids),
            sessions=Sessions(
                self.sessions, key=SECRET, idle=SESSION_IDLE, life=SESSION_LIFE, new_secret=self.new_secret
            ),
            cookie_seal=SealKey(SECRET),
            form_key=SECRET,
            words=lambda: WORDS,
            home=lambda: {"ledger.read": LEDGER, "ledger.write": LEDGER, "orders.read": ORDERS},
            new_secret=self.new_secret,
        )
        services = Services(
            endpoints=Endpoints(issuer, None, frozenset({"plain"})),
            client_credentials=cast("ClientCredentials", None),
            questions=cast("TokenQuestions", None),
            jwks=lambda: b"{}",
            readiness=lambda: Readiness(True, {}),
            exposition=lambda: b"",
            observer=self.observed,
            new_id=lambda: "an-id-of-twenty-two-ch",
            fresh_nonce=lambda at: None,
            clock=lambda: self.now,
            pages=pages,
        )
        self.app = create_app(services)

    def new_secret(self) -> str:
        return next(self._secrets)

    def browser(self) -> Browser:
        return Browser(lambda: self.app.wsgi_app, issuer=self.issuer)

    @property
    def pushed_url(self) -> str:
        """Where a client sends a browser with what it pushed."""
        return authorize_url(client_id=self.authorizing.question.request.client_id, request_uri=REQUEST_URI)

    def signed_in(self, name: str = "alice") -> Browser:
        """A browser in which somebody signed in."""
        browser = self.browser()
        page = browser.follow(browser.get("/sign-in"))
        assert browser.follow(browser.submit(page, user=name)).status == 200
        self.authorizing.calls.clear()
        return browser

    def at_consent(self, name: str = "alice") -> tuple[Browser, Page]:
        """A browser that has the request before it."""
        browser = self.signed_in(name)
        page = browser.follow(browser.get(self.pushed_url))
        assert page.status == 200, page.text
        return browser, page


def authorize_url(**parameters: str) -> str:
    return f"/authorize?{urlencode(parameters)}"
