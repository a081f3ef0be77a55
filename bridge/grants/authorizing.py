"""An authorization request before its user: open it, ask, and answer the client (RFC 6749 section 4.1, RFC 9126
section 4). The verbs that the pages call.

Policy is asked again each time: what the page shows is what is there now, and what is granted is never more than
the page showed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from bridge.grants.answers import AnsweredByRedirect, AuthorizationAnswer
from bridge.grants.authorization_parameters import (
    AUTHORIZATION_CODE,
    read_parameters,
    read_redirect_uri,
    read_state,
)
from bridge.grants.consent import Question, Seen, consent_of, is_covered, question
from bridge.grants.form import Form
from bridge.grants.granting import consent_event, new_grant, refusal_event
from bridge.grants.handles import (
    DECIDE_SECONDS,
    REQUEST_SECONDS,
    digest_of,
    is_request_uri,
    request_uri_of,
)
from bridge.grants.narrowing import narrow
from bridge.grants.requesting import AuthorizationRequests
from bridge.metadata.redirect_matching import is_narrowed_to
from bridge.model.authorization import AuthorizationRequest, User
from bridge.model.errors import (
    BridgeError,
    ConsentDenied,
    EvidenceRejected,
    InvalidRequest,
    PolicyDenied,
    RedirectUriRejected,
)
from bridge.model.evidence import Door, RequestContext, names_document
from bridge.model.identity import BindingMethod
from bridge.model.reasons import Reason
from bridge.model.terms import Ask, Decision
from bridge.registration.authentication import Authenticated
from bridge.registration.redirects import of_document
from bridge.registration.registrar import Registrar
from bridge.store.ports import GrantStore, RequestStore

_GONE = "this request was answered already, waited too long, or was begun in another browser"


class NameDocument(Protocol):
    """The client that a browser names by the URL of its document: policy first, then the document. Nothing is proved
    by it. Raises: EvidenceRejected, PolicyDenied and its kin, ApprovalPending, LimitReached, Unavailable."""

    def __call__(self, url: str, ask: Ask, context: RequestContext, /) -> Authenticated: ...


class Authorizing:
    """What happens between a client's request and its code. `browser` is the digest of a cookie of that browser."""

    def __init__(
        self,
        *,
        requests: RequestStore,
        grants: GrantStore,
        registrar: Registrar,
        documents: NameDocument,
        words: Callable[[], Mapping[str, str]],
        new_secret: Callable[[], str],
        new_id: Callable[[], str],
    ) -> None:
        """`words` gives what the catalogue in force says of scopes and resources; `new_secret` 32 random bytes as
        base64url, `new_id` an unguessable id."""
        self._requests, self._grants, self._registrar = requests, grants, registrar
        self._documents, self._words = documents, words
        self._new_secret, self._new_id = new_secret, new_id
        self._making = AuthorizationRequests(registrar)

    def open(self, request_uri: str, *, client_id: str, browser: str, context: RequestContext) -> None:
        """Have what was pushed before this browser, which has ten minutes for it from the first time on.

        Raises: InvalidRequest, always the same, for a `request_uri` that is not ours, unknown, decided, too old,
        or pushed by another client (PCR-2, 12, 13, T-5, T-32); Unavailable.
        """
        opened = None
        if is_request_uri(request_uri):
            opened = self._requests.open(
                digest_of(request_uri),
                client_id=client_id,
                browser=browser,
                decide_until=context.now + DECIDE_SECONDS,
                now=context.now,
            )
        if opened is None:
            raise _gone()

    def begin_direct(self, form: Form, *, browser: str, context: RequestContext) -> str:
        """A request in plain parameters, of a client that is known by a document; to be called when somebody is
        signed in (CIMD-31). The `request_uri` under which it is open before this browser now.

        Raises: AnsweredByRedirect for what is wrong with it once its redirect URI is known to be its client's;
        everything else before that, and for a client that policy wants nothing of, which is for the page alone
        (OAS-7, CIMD-18, ROFU-14): InvalidRequest, EvidenceRejected, PolicyDenied and its kin, Unavailable.
        """
        client_id, redirect_uri = form.require("client_id"), read_redirect_uri(form)
        if not names_document(client_id):
            words = "this client has to push its request first (RFC 9126)"
            raise InvalidRequest(Reason.PAR_REQUIRED, "plain parameters of another client", public=words)
        caller = self._documents(client_id, Ask(Door.AUTHORIZE, AUTHORIZATION_CODE), context)
        assert caller.document is not None, "a client that is known by a document comes with it"
        of_document(caller.document.value.metadata, None).require_redirect(redirect_uri)
        try:
            request = self._making.make(caller, redirect_uri, read_parameters(form, Door.AUTHORIZE), context).request
        except (RedirectUriRejected, EvidenceRejected, PolicyDenied):
            raise
        except BridgeError as error:
            if not self._making.may_answer(caller, redirect_uri, Door.AUTHORIZE):
                raise
            raise AnsweredByRedirect(error, redirect_uri=redirect_uri, state=_state_of(form)) from error
        request_uri = request_uri_of(self._new_secret())
        handle, expires_at = digest_of(request_uri), context.now + REQUEST_SECONDS
        self._requests.push(handle, request, expires_at=expires_at, now=context.now)
        self.open(request_uri, client_id=client_id, browser=browser, context=context)
        return request_uri

    def consent_wanted(self, request_uri: str, *, browser: str, user: User, context: RequestContext) -> Question:
        """What to ask this user, or that there is no need to (`remembered`: approve it then).

        Raises: InvalidRequest when it is not before this browser (any more); AnsweredByRedirect when policy does
        not give it now, RedirectUriRejected when its rule does not list the redirect URI any more, after both of
        which the request is over; Unavailable.
        """
        request = self._opened(request_uri, browser, context.now)
        decision = self._decide_again(request_uri, request, browser, user, context)
        consent = self._grants.consent(user.user_id, request.client_id)
        return question(request, decision, consent, self._words())

    def approve(
        self, request_uri: str, *, seen: Seen | None, browser: str, user: User, context: RequestContext
    ) -> AuthorizationAnswer:
        """The user agrees to what they have `seen`, or, None, is not asked, since they agreed to all of it before: a
        code for that, as far as policy gives it now. Once.

        Raises: as `consent_wanted`; InvalidRequest too when what they agreed to before is not all of it after all,
        or was taken back meanwhile.
        """
        request = self._opened(request_uri, browser, context.now)
        decision = self._decide_again(request_uri, request, browser, user, context, seen=seen)
        code = self._new_secret()
        grant = new_grant(
            request, decision, user, grant_id=self._new_id(), code_digest=digest_of(code), now=context.now
        )
        earlier = self._grants.consent(user.user_id, request.client_id)
        if seen is None and not is_covered(earlier, request, decision):
            raise _gone()
        decided = self._requests.decide(
            digest_of(request_uri),
            browser=browser,
            grant=grant,
            consent=consent_of(request, user.user_id, decision, earlier, context.now),
            event=consent_event(grant, request, decision, context, was_asked=seen is not None),
            now=context.now,
            rests_on=earlier if seen is None else None,
        )
        if not decided:
            raise _gone()
        return AuthorizationAnswer(request.redirect_uri, request.state, code=code)

    def deny(self, request_uri: str, *, browser: str, user: User, context: RequestContext) -> AuthorizationAnswer:
        """The user refuses: `access_denied`. Raises: InvalidRequest as `consent_wanted`; Unavailable."""
        request = self._opened(request_uri, browser, context.now)
        refused = ConsentDenied(Reason.ACCESS_DENIED)
        self._close(request_uri, request, browser, user, refused, context)
        return AuthorizationAnswer(request.redirect_uri, request.state, error=refused)

    def _opened(self, request_uri: str, browser: str, now: int) -> AuthorizationRequest:
        opened = None
        if is_request_uri(request_uri):
            opened = self._requests.opened(digest_of(request_uri), browser=browser, now=now)
        if opened is None:
            raise _gone()
        return opened.request

    def _decide_again(
        self,
        request_uri: str,
        request: AuthorizationRequest,
        browser: str,
        user: User,
        context: RequestContext,
        *,
        seen: Seen | None = None,
    ) -> Decision:
        """What is left of the request, or of the part of it that was `seen`, under the policy of this moment (RFC
        9126 section 4). Where policy does not let the client be answered there any more, nobody is sent there."""
        subject, asked = request.subject, _part(request.ask, seen)
        wanted = narrow(asked, Ask(asked.door, asked.grant_type), lambda ask: self._registrar.covers(subject, ask))
        try:
            decision = self._registrar.decide(subject, wanted, proved=frozenset(BindingMethod))
        except BridgeError as error:
            self._close(request_uri, request, browser, user, error, context)
            raise AnsweredByRedirect(error, redirect_uri=request.redirect_uri, state=request.state) from error
        if decision.terms is not None and not is_narrowed_to(request.redirect_uri, decision.terms.redirect_uris):
            unlisted = RedirectUriRejected(
                Reason.REDIRECT_URI_MISMATCH,
                "its rule does not list it any more",
                rule=decision.rule or "",
                policy_version=decision.policy_version,
            )
            self._close(request_uri, request, browser, user, unlisted, context)
            raise unlisted
        return decision

    def _close(
        self,
        request_uri: str,
        request: AuthorizationRequest,
        browser: str,
        user: User,
        error: BridgeError,
        context: RequestContext,
    ) -> None:
        """End a request that gets no code, with an audit row. Raises: InvalidRequest when it had ended before."""
        event = refusal_event(request, user, error, context)
        handle = digest_of(request_uri)
        if not self._requests.decide(handle, browser=browser, grant=None, consent=None, event=event, now=context.now):
            raise _gone()


def _part(asked: Ask, seen: Seen | None) -> Ask:
    """The part of an ask that was seen. Raises: InvalidRequest when it is none: an ask that names nothing would be
    one for everything."""
    if seen is None:
        return asked
    scopes = tuple(scope for scope in asked.scopes if scope in seen.scopes)
    resources = tuple(resource for resource in asked.resources if resource in seen.resources)
    if not scopes or not resources:
        raise _gone()
    return replace(asked, scopes=scopes, resources=resources)


def _state_of(form: Form) -> str | None:
    """The `state` to give back with an error; none where it is what was wrong."""
    try:
        return read_state(form)
    except InvalidRequest:
        return None


def _gone() -> InvalidRequest:
    return InvalidRequest(Reason.REQUEST_URI, "not before this browser", public=_GONE)
