"""Claiming what is good for once, where no other write would do it together with its own."""

from __future__ import annotations

from collections.abc import Iterable

from bridge.model.errors import BridgeError, CredentialReplayed, ProofRejected
from bridge.model.identity import DPOP_MARKER, Marker
from bridge.model.reasons import Reason
from bridge.store.ports import TokenStore


def claim_all(tokens: TokenStore, markers: Iterable[Marker], *, now: int) -> None:
    """Mark proofs and assertions as used. Raises: ProofRejected, CredentialReplayed for the first that was used
    before; those in front of it are used then. Unavailable."""
    for marker in markers:
        if not tokens.claim(marker, now=now):
            raise replayed(marker.kind)


def replayed(kind: str) -> BridgeError:
    """The refusal of something used twice. A DPoP proof has words of its own (RFC 9449 section 5)."""
    if kind == DPOP_MARKER:
        return ProofRejected(Reason.DPOP_REPLAYED, "the DPoP proof was used before")
    return CredentialReplayed(kind)
