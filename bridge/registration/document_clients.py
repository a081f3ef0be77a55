"""Clients that are known by the URL of their metadata document: who they are (draft-ietf-oauth-client-id-metadata-
document-02, section 5; draft-ietf-oauth-spiffe-client-auth-02, section 5).

The order is what keeps this safe: the URL by its letters, then policy, then the document, then the credential.
Nothing is fetched for a URL that nobody wants, or that an operator has still to look at (CIMD-1, CIMD-24).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

from bridge.model.document import ClientDocuments
from bridge.model.errors import BridgeError, Claimed, EvidenceRejected
from bridge.model.evidence import EvidenceKind, RequestContext
from bridge.model.identity import PolicySubject, Source, VerifiedIdentity
from bridge.model.reasons import Reason
from bridge.model.steps import run
from bridge.model.terms import Ask
from bridge.registration.authentication import Authenticated, DocumentCall, VerifyAssertion
from bridge.registration.refused import Refusals
from bridge.registration.url_steps import URL_STEPS, Prospects, Stored, UrlCase, require_algorithm, require_method
from bridge.verify.claimed import printable
from bridge.verify.client_assertions import unverified_key_id
from bridge.verify.key_sets import JwtKeys
from bridge.verify.metadata_documents import (
    NONE,
    PRIVATE_KEY_JWT,
    SPIFFE_JWT,
    VerifiedDocument,
    matches,
    require_client_url,
)


class HoldBack(Protocol):
    """Returns when an operator approved the client. Raises: ApprovalPending, PolicyDenied and its kin, LimitReached."""

    def __call__(self, caller: Authenticated, ask: Ask | None, context: RequestContext) -> None: ...


class DocumentClients:
    """Authenticates callers who come in the name of a URL, by what the document there says they have to show."""

    def __init__(
        self,
        *,
        policy: Callable[[], Prospects],
        documents: ClientDocuments[VerifiedDocument, JwtKeys],
        assertion: VerifyAssertion,
        hold_back: HoldBack,
        notice: Callable[[Stored, RequestContext], None],
        refusals: Refusals,
    ) -> None:
        """`policy` gives the set in force; `hold_back` keeps those out who wait for an operator; `notice` hears of
        each document before it is believed."""
        self._policy, self._documents, self._notice = policy, documents, notice
        self._assertion, self._hold_back, self._refusals = assertion, hold_back, refusals

    def public(self, call: DocumentCall) -> Authenticated:
        """A caller without a credential: the client, if its document says that it has none.

        Raises: EvidenceRejected when there is one to be shown (CIMD-20), and for everything about the document;
        PolicyDenied, ApprovalPending, LimitReached, Unavailable.
        """
        caller = _named(call)
        with _claimed_by(call):
            document = self._document(caller, call)
            require_method(document.value.method, NONE)
        return replace(caller, document=document)

    def named(self, call: DocumentCall) -> Authenticated:
        """The client that a browser names, whatever it authenticates by: nothing is proved, and the code that may
        come of it is good for nobody who cannot prove it later (ROFU-16).

        Raises: as `public`, but for the credential.
        """
        caller = _named(call)
        with _claimed_by(call):
            document = self._document(caller, call)
        return replace(caller, document=document)

    def by_key(self, call: DocumentCall, assertion: str) -> Authenticated:
        """A caller with an assertion that a key of the document, or of its `jwks_uri`, has to have signed.

        Raises: as `public`; EvidenceRejected for the assertion. Spec: CIMD-20, KBC-30 to 34.
        """
        caller = _named(call)
        with _claimed_by(call):
            document = self._document(caller, call)
            require_method(document.value.method, PRIVATE_KEY_JWT)
            keys = self._keys(document.value, assertion, call)
            verified = self._assertion(assertion, client_id=call.url, keys=keys, now=call.context.now)
        identity = replace(
            caller.identity,
            credential_hash=verified.credential_hash,
            key_id=verified.key_id,
            not_after=verified.expires_at,
        )
        with self._refusals.watch(identity, call.ask or Ask(call.context.door, ""), call.context):
            require_algorithm(document.value, verified.algorithm)
        return replace(caller, identity=identity, markers=(verified.marker, *caller.markers), document=document)

    def by_svid(self, call: DocumentCall, svid: VerifiedIdentity) -> Authenticated:
        """A caller with an SVID, which has to be one of those that the document's `spiffe_id` names and that a
        rule lets act for it.

        Its refusals are in the audit log: this identity is proved. Raises: as `public`. Spec: SCA-11, SCA-13, SCA-32.
        """
        subject = PolicySubject(
            Source.METADATA_DOCUMENT, svid.subject.evidence, spiffe_id=svid.subject.spiffe_id, url=call.url
        )
        caller = _proved(replace(svid, subject=subject), call)
        ask = call.ask or Ask(call.context.door, "")
        with self._refusals.watch(svid, ask, call.context):
            # What is no URL is no document's name either, and belongs into no row.
            require_client_url(call.url)
        with self._refusals.watch(caller.identity, ask, call.context):
            document = self._document(caller, call)
            require_method(document.value.method, SPIFFE_JWT)
            pattern, spiffe_id = document.value.spiffe_id, svid.subject.spiffe_id
            if pattern is None or spiffe_id is None or not matches(pattern, spiffe_id):
                raise EvidenceRejected(Reason.CLIENT_ID_MISMATCH, "the document's spiffe_id does not name this one")
        return replace(caller, document=document)

    def _document(self, caller: Authenticated, call: DocumentCall) -> Stored:
        """The document, if policy wants it to be looked at."""
        now, address = call.context.now, call.context.source_address
        case = UrlCase(
            call.url,
            caller.identity.subject,
            call.context.door,
            call.ask,
            now,
            self._policy(),
            hold_back=lambda: self._hold_back(caller, call.ask, call.context),
            fetch=lambda: self._documents.document(call.url, now=now, source_address=address),
        )
        run(URL_STEPS, case)
        self._notice(case.found, call.context)
        return case.found

    def _keys(self, document: VerifiedDocument, assertion: str, call: DocumentCall) -> JwtKeys:
        """The client's keys; those of a `jwks_uri` are asked for once more when they lack the one that signed."""
        if document.keys is not None:
            return document.keys
        assert document.jwks_uri is not None, "a document without keys declares no private_key_jwt"
        now, address = call.context.now, call.context.source_address
        keys = self._documents.keys(document.jwks_uri, now=now, source_address=address).value
        kid = unverified_key_id(assertion)
        if kid is None or keys.named(kid) or kid in keys.unfit:
            return keys
        return self._documents.keys(document.jwks_uri, now=now, source_address=address, unknown_kid=True).value


@contextmanager
def _claimed_by(call: DocumentCall) -> Iterator[None]:
    """A refusal within says in the log in whose name the caller came."""
    try:
        yield
    except BridgeError as error:
        error.claimed = error.claimed or Claimed(printable(call.url))
        raise


def _named(call: DocumentCall) -> Authenticated:
    """The caller as it names itself, nothing proved but perhaps a key of DPoP."""
    now = call.context.now
    subject = PolicySubject(Source.METADATA_DOCUMENT, EvidenceKind.METADATA_DOCUMENT, url=call.url)
    return _proved(VerifiedIdentity(subject, credential_hash="", key_id="", verified_at=now, not_after=now), call)


def _proved(identity: VerifiedIdentity, call: DocumentCall) -> Authenticated:
    if call.proof is None:
        return Authenticated(identity, (), call.url)
    return Authenticated(identity.with_key(call.proof.key), (call.proof.marker,), call.url)
