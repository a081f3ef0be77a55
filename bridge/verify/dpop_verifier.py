"""`DpopVerifier`: which key did the caller show, for this request? (RFC 9449 section 4.3)"""

from __future__ import annotations

from bridge.model.evidence import DpopEvidence
from bridge.model.identity import BindingMethod, KeyBinding, Marker, VerifiedProof
from bridge.model.steps import Looked, run, walk
from bridge.verify.dpop import marker_of
from bridge.verify.dpop_nonces import DpopNonces
from bridge.verify.dpop_steps import PROOF_STEPS, ProofCase

__all__ = ["DpopNonces", "DpopVerifier"]


class DpopVerifier:
    """Checks proofs. With `nonces`, each must have a current one; without, a nonce in it is ignored."""

    def __init__(self, *, nonces: DpopNonces | None = None) -> None:
        self._nonces = nonces

    def verify(self, evidence: DpopEvidence, *, now: int) -> VerifiedProof:
        """The key that the caller proved, as thumbprint and as JWK, and the mark that makes the proof good for once.

        Raises: ProofRejected; NonceRequired, with the nonce to use, before its age is looked at, so that
        a caller without a right clock gets so far. Spec: RFC 9449 4.3, 8, 11.1. Not checked: that the proof
        is new (claim the marker), and `ath`.
        """
        case = ProofCase(evidence, now, self._nonces)
        run(PROOF_STEPS, case)
        binding = KeyBinding(BindingMethod.JKT, case.key.thumbprint, jwk=case.key.public_members())
        return VerifiedProof(binding, _marker(case))

    def walk(self, evidence: DpopEvidence, *, now: int) -> tuple[ProofCase, tuple[Looked, ...]]:
        """How each step of `verify` comes out, and what was found on the way. For explaining: nothing of it is
        claimed, and no nonce is given out."""
        case = ProofCase(evidence, now, self._nonces)
        return case, walk(PROOF_STEPS, case)


def _marker(case: ProofCase) -> Marker:
    return marker_of(case.key, case.claims, case.target)
