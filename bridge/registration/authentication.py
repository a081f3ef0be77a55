"""Who a caller is: by an SVID, or by a key that its own record names (`private_key_jwt`).

Makes no record and decides nothing. A caller who has a key of its own in the store has it there because an
SVID or a pinned issuer's statement vouched for it; it acts for that identity as long as its lease lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from bridge.model.client import ClientKind, ClientRecord, ClientState
from bridge.model.errors import EvidenceRejected
from bridge.model.evidence import Evidence, JwtEvidence, Presented, X509Evidence
from bridge.model.identity import Marker, PolicySubject, VerifiedIdentity, VerifiedProof
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import SCHEME
from bridge.registration.naming import subject_of
from bridge.store.ports import ClientStore
from bridge.verify.client_assertions import VerifiedAssertion, unverified_subject

# Clients that may have keys of their own in their record.
_KEYED = frozenset({ClientKind.INSTANCE, ClientKind.STATEMENT})


class Prove(Protocol):
    """Checks a DPoP proof. Raises: ProofRejected, NonceRequired."""

    def __call__(self, presented: Presented, *, now: int) -> VerifiedProof | None: ...


class VerifySvid(Protocol):
    """Turns an SVID into who it is. Raises: EvidenceRejected, Unavailable."""

    def __call__(self, evidence: Evidence, *, now: int) -> VerifiedIdentity: ...


class VerifyAssertion(Protocol):
    """Checks that a key of this set signed a client's assertion. Raises: EvidenceRejected."""

    def __call__(
        self, assertion: str, *, client_id: str, jwks: Mapping[str, object], now: int
    ) -> VerifiedAssertion: ...


@dataclass(frozen=True, slots=True)
class Authenticated:
    """A verified caller, and the marks (DPoP proofs, assertions) to claim together with whatever it causes.

    `client_id` is what it named, if it did. `record` is set when a key of that record proved the caller, and
    not an SVID: such a caller is that client, and its lease is not renewed.
    """

    identity: VerifiedIdentity
    markers: tuple[Marker, ...]
    client_id: str | None
    record: ClientRecord | None = None


class Authentication:
    """Tells callers at `/token`, `/introspect` and `/revoke` apart (interface section 4)."""

    def __init__(
        self,
        *,
        prove: Prove,
        svid: VerifySvid,
        assertion: VerifyAssertion,
        clients: ClientStore,
        still_trusted: Callable[[PolicySubject, int], None],
    ) -> None:
        """`still_trusted` raises when whoever vouched for a subject is not trusted (any more) at a time."""
        self._prove, self._svid, self._assertion = prove, svid, assertion
        self._clients, self._still_trusted = clients, still_trusted

    def authenticate(self, presented: Presented, *, now: int) -> Authenticated:
        """Who the caller is.

        The DPoP proof comes first: a request that must come again with a nonce has then consumed nothing.
        Raises: EvidenceRejected, ProofRejected, Unavailable. Spec: SCA-15 (a certificate needs `client_id`),
        T-13 (the identity is the credential's alone), KBC-30 to 35. Not checked: that the client it named is
        the one it resolves to.
        """
        evidence = presented.evidence
        if isinstance(evidence, X509Evidence) and evidence.client_id is None:
            raise EvidenceRejected(Reason.CLIENT_ID_MISSING, "a certificate must come with client_id")
        proof = self._prove(presented, now=now)
        markers = () if proof is None else (proof.marker,)
        try:
            identity = self._svid(evidence, now=now)
        except EvidenceRejected as rejected:
            client_id = _asserted_client(evidence)
            if client_id is None or not isinstance(evidence, JwtEvidence):
                raise
            return self._by_own_key(evidence, client_id, proof, rejected, now)
        if proof is not None:
            identity = identity.with_key(proof.key)
        return Authenticated(identity, markers, evidence.client_id)

    def _by_own_key(
        self, evidence: JwtEvidence, client_id: str, proof: VerifiedProof | None, rejected: EvidenceRejected, now: int
    ) -> Authenticated:
        """The caller whose record has the key that signed. `client_id` is unverified: it only says where to look."""
        if evidence.client_id not in (None, client_id):
            raise EvidenceRejected(Reason.CLIENT_ID_MISMATCH, "the assertion is another client's")
        record = self._clients.get(client_id)
        jwks = None if record is None or record.kind not in _KEYED else record.metadata.get("jwks")
        if record is None or not isinstance(jwks, Mapping):
            raise EvidenceRejected(Reason.CLIENT_UNKNOWN, "no record with keys goes by what the assertion says")
        try:
            assertion = self._assertion(evidence.assertion, client_id=client_id, jwks=jwks, now=now)
        except EvidenceRejected as error:
            error.claimed = rejected.claimed
            raise
        subject = subject_of(record)
        # One that waits for an operator is who it is, and is told so by whoever decides about it.
        if subject is None or record.state_at(now) not in (ClientState.ACTIVE, ClientState.PENDING):
            raise EvidenceRejected(Reason.LEASE_ENDED, f"{client_id} is {record.state_at(now)}: come with an SVID")
        self._still_trusted(subject, now)
        identity = VerifiedIdentity(
            subject=subject,
            credential_hash=assertion.credential_hash,
            key_id=assertion.key_id,
            verified_at=now,
            not_after=assertion.expires_at,
            keys=() if proof is None else (proof.key,),
        )
        markers = (assertion.marker,) if proof is None else (assertion.marker, proof.marker)
        return Authenticated(identity, markers, evidence.client_id, record)


def _asserted_client(evidence: Evidence) -> str | None:
    """The client that an assertion of the general type says it is of, when that is no SPIFFE ID."""
    if not isinstance(evidence, JwtEvidence) or not evidence.general:
        return None
    subject = unverified_subject(evidence.assertion)
    return None if subject is None or subject.startswith(SCHEME) else subject
