"""`StatementVerifier`: whom is this software statement about, and what does it say of them? (RFC 7591 section 2.3)

Two kinds are taken, told apart by the unverified `sub`: a JWT-SVID, whose subject is a SPIFFE ID and which
its own trust domain's bundle vouches for; and a statement of a pinned issuer, about a subject of its own.
Neither can be made to look like the other: each is verified with the keys of its own kind alone.
"""

from __future__ import annotations

import hashlib
import math

from bridge.model.errors import EvidenceRejected, Unavailable
from bridge.model.evidence import EvidenceKind
from bridge.model.identity import PolicySubject, Source, VerifiedIdentity, VerifiedStatement
from bridge.model.steps import Looked, run, walk
from bridge.verify import signed_jwt
from bridge.verify.claimed import claimed_by_jwt
from bridge.verify.pinned_issuers import PinnedIssuers
from bridge.verify.statement_claims import check_of_svid, is_about_a_workload, stated_by
from bridge.verify.statement_steps import ISSUER_STEPS, READING_STEPS, StatementCase
from bridge.verify.verifier import SvidVerifier

__all__ = ["StatementVerifier"]


class StatementVerifier:
    """Verifies software statements, each for the one audience `audience`: the registration endpoint's URL.

    That audience is no other door's, so a statement authenticates nobody elsewhere and nothing made for
    another door registers anybody here (DCR-16, DCR-17, T-22, T-46). Thread-safe. Remembers nothing: neither
    a success nor a failure.
    """

    def __init__(self, svids: SvidVerifier, issuers: PinnedIssuers, *, audience: str) -> None:
        self._svids = svids
        self._issuers = issuers
        self._audience = audience

    def verify(self, statement: str, *, now: int) -> VerifiedStatement:
        """Whom the statement is about, and what its maker says of them.

        Raises: EvidenceRejected, with what the statement `claimed`; IssuerUntrusted when it is of a trust
        domain or an issuer that nobody configured (DCR-10); Unavailable when the keys of a configured one are
        not known. Spec: RFC 7591 2.3; DCR-9 to 11, 16 to 19; the Statements paragraph of the contract.
        Not checked: that it was not used before, that its claims are sound metadata, and what policy lets
        its maker state.
        """
        signed_jwt.check_size(statement)
        case = StatementCase(statement, self._audience, now, self._issuers)
        try:
            run(READING_STEPS, case)
            if is_about_a_workload(case.payload):
                return self._of_svid(statement, now)
            run(ISSUER_STEPS, case)
        except (EvidenceRejected, Unavailable) as error:
            error.claimed = error.claimed or claimed_by_jwt(statement)
            raise
        return _of_issuer(case)

    def walk(self, statement: str, *, now: int) -> tuple[StatementCase, tuple[Looked, ...]]:
        """How each step of `verify` comes out for a statement of a pinned issuer, and what was found on the way. For
        explaining: all of it is unverified."""
        case = StatementCase(statement, self._audience, now, self._issuers)
        return case, walk((*READING_STEPS, *ISSUER_STEPS), case)

    def _of_svid(self, statement: str, now: int) -> VerifiedStatement:
        """A JWT-SVID: every rule for one, then what only a statement must have, `iat` and a short rest of life."""
        identity, payload = self._svids.verify_jwt_claims(statement, audience=self._audience, now=now)
        check_of_svid(payload, now)
        return VerifiedStatement(identity, stated_by(payload), None, identity.credential_hash, identity.not_after)


def _of_issuer(case: StatementCase) -> VerifiedStatement:
    claims, token, key = case.claims, case.token, case.key
    digest, not_after = hashlib.sha256(token.raw.encode("ascii")).hexdigest(), math.ceil(claims.expires_at)
    identity = VerifiedIdentity(
        subject=PolicySubject(
            Source.SOFTWARE_STATEMENT,
            EvidenceKind.SOFTWARE_STATEMENT,
            issuer=claims.issuer,
            subject=claims.subject,
        ),
        credential_hash=digest,
        key_id=key.kid or key.thumbprint,
        verified_at=case.now,
        not_after=not_after,
        replay_digest=token.replay_digest(case.header.alg),
    )
    return VerifiedStatement(identity, stated_by(case.payload), claims.issuer, digest, not_after)
