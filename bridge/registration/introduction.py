"""Who a registration is for: by a software statement, by the certificate of the connection, or by both.

A registration that shows neither is refused in words that say what to send; so is a certificate that nobody
vouches for or that no rule admits (interface section 6).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from bridge.model.errors import EvidenceRejected, InvalidClientMetadata, InvalidRequest
from bridge.model.evidence import DpopEvidence, PresentedStatement
from bridge.model.identity import Marker, VerifiedIdentity, VerifiedProof, VerifiedStatement
from bridge.model.reasons import Reason

SEND_A_STATEMENT = (
    "send a software_statement: a JWT-SVID whose only audience is the URL of this endpoint, or a statement of an "
    "issuer that this server was configured for"
)
NOT_ADMITTED = "no software_statement, and no rule admits the certificate's identity at this endpoint"


class VerifyStatement(Protocol):
    """Checks a software statement. Raises: EvidenceRejected and its kin, Unavailable."""

    def __call__(self, statement: str, *, now: int) -> VerifiedStatement: ...


class VerifyChain(Protocol):
    """Checks the certificate chain of a connection. Raises: EvidenceRejected, Unavailable."""

    def __call__(self, chain: tuple[bytes, ...], *, now: int) -> VerifiedIdentity: ...


class ProveKey(Protocol):
    """Checks a DPoP proof. Raises: ProofRejected, NonceRequired."""

    def __call__(self, evidence: DpopEvidence, *, now: int) -> VerifiedProof: ...


@dataclass(frozen=True, slots=True)
class Introduced:
    """Whom a registration is for. `statement` is None when the certificate alone says it."""

    identity: VerifiedIdentity
    statement: VerifiedStatement | None
    markers: tuple[Marker, ...]


class Introduction:
    """Verifies what a registration presents."""

    def __init__(self, *, statement: VerifyStatement, chain: VerifyChain, prove: ProveKey) -> None:
        self._statement, self._chain, self._prove = statement, chain, prove

    def verify(self, presented: PresentedStatement, *, now: int) -> Introduced:
        """The identity, with every key that the request proved.

        A certificate beside an SVID is a second proof of the same identity; beside anything else it would be a
        second identity (interface section 6: two credentials).
        Raises: EvidenceRejected, ProofRejected, Unavailable; InvalidClientMetadata when there is nothing to go
        by, InvalidRequest when two identities are presented. Spec: DCR-9 to 11, 16, 17, T-46.
        """
        proof = None if presented.dpop is None else self._prove(presented.dpop, now=now)
        if presented.statement is not None:
            statement = self._statement(presented.statement, now=now)
            identity = self._beside(statement, presented.chain, now)
        elif presented.chain:
            statement, identity = None, self._certificate(presented.chain, now)
        else:
            raise InvalidClientMetadata(Reason.STATEMENT_MISSING, public=SEND_A_STATEMENT)
        if proof is None:
            return Introduced(identity, statement, ())
        return Introduced(identity.with_key(proof.key), statement, (proof.marker,))

    def _certificate(self, chain: tuple[bytes, ...], now: int) -> VerifiedIdentity:
        try:
            return self._chain(chain, now=now)
        except EvidenceRejected as rejected:
            refusal = InvalidClientMetadata(rejected.reason, rejected.detail, public=NOT_ADMITTED)
            refusal.claimed = rejected.claimed
            raise refusal from rejected

    def _beside(self, statement: VerifiedStatement, chain: tuple[bytes, ...], now: int) -> VerifiedIdentity:
        identity = statement.identity
        if not chain:
            return identity
        own = identity.subject.spiffe_id
        certificate = None if own is None else self._chain(chain, now=now)
        if certificate is None or certificate.subject.spiffe_id != own:
            raise InvalidRequest(
                Reason.CREDENTIALS_MIXED,
                f"a certificate beside the statement of {identity.name}",
                public="the certificate and the software_statement are not of one identity",
            )
        for key in certificate.keys:
            identity = identity.with_key(key)
        # A key that the request names counts for the certificate's sake: both have vouched for what comes of this.
        return replace(identity, authorities=identity.authorities + certificate.authorities)
