"""Nonces for DPoP proofs that no server has to remember (RFC 9449 section 8).

A nonce is the number of a period of time and a MAC over it. Every worker and node that shares the key
gives and takes the same ones, none is stored, and each dies by itself.
"""

from __future__ import annotations

import hashlib
import hmac

from bridge.jose import base64url

_SLOT_BYTES = 8
_MAC_BYTES = 16
_CONTEXT = b"bridge dpop nonce 1\0"
MIN_KEY_BYTES = 32


class DpopNonces:
    """Gives and takes nonces. `key` is secret, at least 32 bytes; `period` seconds, after which a new nonce
    is given. One is taken during its own period and the next, and by a node whose clock lags also in the
    one before."""

    def __init__(self, key: bytes, *, period: int = 300) -> None:
        if len(key) < MIN_KEY_BYTES:
            raise ValueError(f"a nonce key has at least {MIN_KEY_BYTES} bytes")
        if period <= 0:
            raise ValueError("a nonce lives for at least a second")
        self._key = key
        self._period = period

    def fresh(self, now: int) -> str:
        """The nonce of this period, for the `DPoP-Nonce` header."""
        return self._nonce(now // self._period)

    def accepts(self, nonce: str, now: int) -> bool:
        """Whether the nonce is of this period or a neighbour. Compared in constant time."""
        presented = nonce.encode("utf-8", "replace")
        slot = now // self._period
        found = [hmac.compare_digest(presented, self._nonce(each).encode()) for each in (slot - 1, slot, slot + 1)]
        return any(found)

    def _nonce(self, slot: int) -> str:
        number = slot.to_bytes(_SLOT_BYTES, "big", signed=True)
        return base64url.encode(number + hmac.digest(self._key, _CONTEXT + number, hashlib.sha256)[:_MAC_BYTES])
