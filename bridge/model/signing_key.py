"""A token signing key as it is stored: the private part sealed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SigningKeyRow:
    """A token signing key. `public_jwk` is JSON; `sealed` the private key under the seal key, tied to
    `kid`. Times: epoch seconds.

    `signs_from` None: published, not yet used. `retires_at` None: no successor yet.
    """

    kid: str
    alg: str
    public_jwk: str
    sealed: bytes
    created_at: int
    signs_from: int | None = None
    retires_at: int | None = None
