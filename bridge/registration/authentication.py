"""Who a caller is: by an SVID, by a key that its own record or document names (`private_key_jwt`), or, of public
clients, by nothing but its name.

Makes no record and decides nothing but whom it would be in vain to ask. A caller who has a key of its own in the
store has it there because an SVID or a pinned issuer's statement vouched for it; it acts for that identity as
long as its lease lasts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bridge.model.authorization import PUSHED_CLIENT_ID
from bridge.model.client import ClientRecord
from bridge.model.document import StoredDocument
from bridge.model.errors import EvidenceRejected, PolicyDenied
from bridge.model.evidence import (
    EvidenceKind,
    JwtEvidence,
    NoEvidence,
    Presented,
    RequestContext,
    SvidEvidence,
    X509Evidence,
    names_document,
)
from bridge.model.identity import Marker, PolicySubject, Source, VerifiedIdentity, VerifiedProof
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import SCHEME
from bridge.model.steps import run
from bridge.model.terms import Ask
from bridge.registration.keyed import FINDING_STEPS, STANDING_STEPS, KeyedCase
from bridge.registration.refused import Refusals
from bridge.store.ports import ClientStore
from bridge.verify.assertion_verifier import VerifiedAssertion
from bridge.verify.claimed import claimed_by_jwt
from bridge.verify.client_assertions import unverified_subject
from bridge.verify.key_sets import JwtKeys
from bridge.verify.metadata_documents import VerifiedDocument


class Prove(Protocol):
    """Checks a DPoP proof. Raises: ProofRejected, NonceRequired."""

    def __call__(self, presented: Presented, *, now: int) -> VerifiedProof | None: ...


class VerifySvid(Protocol):
    """Turns an SVID into who it is. Raises: EvidenceRejected, Unavailable."""

    def __call__(self, evidence: SvidEvidence, *, now: int) -> VerifiedIdentity: ...


class VerifyAssertion(Protocol):
    """Checks that one of these keys signed a client's assertion. Raises: EvidenceRejected."""

    def __call__(self, assertion: str, *, client_id: str, keys: JwtKeys, now: int) -> VerifiedAssertion: ...


@dataclass(frozen=True, slots=True)
class Authenticated:
    """A verified caller, and the marks (DPoP proofs, assertions) to claim together with whatever it causes.

    `client_id` is what it named, if it did. `record` is set when a key of that record proved the caller, and
    not an SVID: such a caller is that client, and its lease is not renewed. `document` is that of a client known by
    its URL, as it is used for this request. `identity.is_public` when nothing was proved at all.
    """

    identity: VerifiedIdentity
    markers: tuple[Marker, ...]
    client_id: str | None
    record: ClientRecord | None = None
    document: StoredDocument[VerifiedDocument] | None = None


@dataclass(frozen=True, slots=True)
class DocumentCall:
    """A request in the name of a document's URL, nothing of which is believed yet. `ask` is what policy will be
    asked to decide, None where that is not known before the caller is."""

    url: str
    context: RequestContext
    proof: VerifiedProof | None
    ask: Ask | None


class DocumentAuthentication(Protocol):
    """Authenticates clients that are known by a document. Raises: EvidenceRejected, PolicyDenied and its kin,
    ApprovalPending, LimitReached, Unavailable."""

    def public(self, call: DocumentCall) -> Authenticated: ...
    def by_key(self, call: DocumentCall, assertion: str) -> Authenticated: ...
    def by_svid(self, call: DocumentCall, svid: VerifiedIdentity) -> Authenticated: ...


class Authentication:
    """Tells callers apart at every door where clients authenticate (interface section 4)."""

    def __init__(
        self,
        *,
        prove: Prove,
        svid: VerifySvid,
        assertion: VerifyAssertion,
        clients: ClientStore,
        still_trusted: Callable[[PolicySubject, int], None],
        documents: DocumentAuthentication,
        takes_pushed: Callable[[], bool],
        refusals: Refusals,
    ) -> None:
        """`still_trusted` raises when whoever vouched for a subject is not trusted (any more) at a time;
        `takes_pushed` says whether pushed clients are let in at all."""
        self._prove, self._svid, self._assertion = prove, svid, assertion
        self._clients, self._still_trusted = clients, still_trusted
        self._documents, self._takes_pushed = documents, takes_pushed
        self._refusals = refusals

    def authenticate(self, presented: Presented, context: RequestContext, ask: Ask | None = None) -> Authenticated:
        """Who the caller is. `ask` is what it asks for, where that is known before: a client that is to wait for an
        operator can then be noted.

        The DPoP proof comes first: a request that must come again with a nonce has then consumed nothing.
        Raises: EvidenceRejected, ProofRejected, Unavailable; of clients that are known by a URL, also PolicyDenied
        and its kin, ApprovalPending and LimitReached. Spec: SCA-11, SCA-15 (a certificate needs `client_id`),
        T-13 (the identity is the credential's alone), KBC-30 to 35, CIMD-20, 24. Not checked: that the client it
        named is the one it resolves to.
        """
        evidence, now = presented.evidence, context.now
        if isinstance(evidence, X509Evidence) and evidence.client_id is None:
            raise EvidenceRejected(Reason.CLIENT_ID_MISSING, "a certificate must come with client_id")
        proof = self._prove(presented, now=now)
        if isinstance(evidence, NoEvidence):
            if evidence.client_id == PUSHED_CLIENT_ID:
                return self._pushed(proof, now)
            return self._documents.public(DocumentCall(evidence.client_id, context, proof, ask))
        # Whoever says that it is no SPIFFE ID has no SVID, whatever else the assertion is.
        own = asserted_client(evidence)
        if own is None:
            identity = self._svid(evidence, now=now)
            url = _url_beside(evidence)
            if url is not None:
                return self._documents.by_svid(DocumentCall(url, context, proof, ask), identity)
            return Authenticated(_with_proof(identity, proof), _markers(proof), evidence.client_id)
        assert isinstance(evidence, JwtEvidence), "only an assertion says whose it is"
        if evidence.client_id not in (None, own):
            raise EvidenceRejected(Reason.CLIENT_ID_MISMATCH, "the assertion is another client's")
        if names_document(own):
            return self._documents.by_key(DocumentCall(own, context, proof, ask), evidence.assertion)
        return self._by_record(evidence, own, proof, context, ask)

    def _pushed(self, proof: VerifiedProof | None, now: int) -> Authenticated:
        """A pushed client: nobody in particular, with the key that it showed."""
        if not self._takes_pushed():
            raise PolicyDenied(Reason.POLICY_NO_RULE, "pushed clients are not let in")
        subject = PolicySubject(Source.PUSHED, EvidenceKind.PUSHED)
        identity = VerifiedIdentity(subject, credential_hash="", key_id="", verified_at=now, not_after=now)
        return Authenticated(_with_proof(identity, proof), _markers(proof), PUSHED_CLIENT_ID)

    def _by_record(
        self,
        evidence: JwtEvidence,
        client_id: str,
        proof: VerifiedProof | None,
        context: RequestContext,
        ask: Ask | None,
    ) -> Authenticated:
        """The caller whose record has the key that signed. `client_id` is unverified: it only says where to look.

        From the signature on the caller is that client, so what refuses it then is in the audit log (section 8).
        """
        now = context.now
        case = KeyedCase(self._clients, client_id, now, self._still_trusted)
        try:
            run(FINDING_STEPS, case)
        except EvidenceRejected as unknown:
            unknown.claimed = claimed_by_jwt(evidence.assertion)
            raise
        record, subject = case.record, case.subject
        assertion = self._assertion(evidence.assertion, client_id=client_id, keys=case.keys, now=now)
        identity = VerifiedIdentity(
            subject=subject,
            credential_hash=assertion.credential_hash,
            key_id=assertion.key_id,
            verified_at=now,
            not_after=assertion.expires_at,
            # Its own key is worth what vouched for it when its lease was granted.
            authorities=record.authorities,
        )
        with self._refusals.watch(identity, ask or Ask(context.door, ""), context):
            run(STANDING_STEPS, case)
        markers = (assertion.marker, *_markers(proof))
        return Authenticated(_with_proof(identity, proof), markers, evidence.client_id, record)


def _with_proof(identity: VerifiedIdentity, proof: VerifiedProof | None) -> VerifiedIdentity:
    return identity if proof is None else identity.with_key(proof.key)


def _markers(proof: VerifiedProof | None) -> tuple[Marker, ...]:
    return () if proof is None else (proof.marker,)


def asserted_client(evidence: SvidEvidence) -> str | None:
    """The client that an assertion of the general type says it is of, when that is no SPIFFE ID."""
    if not isinstance(evidence, JwtEvidence) or not evidence.general:
        return None
    subject = unverified_subject(evidence.assertion)
    return None if subject is None or subject.startswith(SCHEME) else subject


def _url_beside(evidence: SvidEvidence) -> str | None:
    """The document's URL that is named beside an assertion. A certificate names its own SPIFFE ID and nothing else
    (SCA-15)."""
    named = evidence.client_id
    return named if isinstance(evidence, JwtEvidence) and named is not None and names_document(named) else None
