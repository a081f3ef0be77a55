"""The seal key: one secret file from which all keys of the service's own are derived.

It seals private signing keys in the store (a copied database is useless alone), keys the audit chain
and makes DPoP nonces, each under a key of its own (HKDF-SHA256, so that one use says nothing of another).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bridge.files.paths import create_secret, read_secret
from bridge.model.errors import StartRefused

_KEY_BYTES = 32
_NONCE_BYTES = 12


class SealBroken(ValueError):
    """A sealed value was made under another seal key, for another name, or was changed."""


@dataclass(frozen=True, slots=True, repr=False)
class SealKey:
    """The secret of the seal file. Its `repr` shows nothing."""

    secret: bytes

    def derive(self, purpose: str) -> bytes:
        """A 32-byte key for one purpose; the same purpose always gives the same key."""
        kdf = HKDF(
            algorithm=hashes.SHA256(), length=_KEY_BYTES, salt=b"", info=b"spiffe-oauth-bridge " + purpose.encode()
        )
        return kdf.derive(self.secret)

    def seal(self, plain: bytes, *, name: str) -> bytes:
        """Encrypt and authenticate `plain` (AES-256-GCM), tied to `name`."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + AESGCM(self.derive("seal")).encrypt(nonce, plain, name.encode())

    def unseal(self, sealed: bytes, *, name: str) -> bytes:
        """The inverse of `seal`. Raises: SealBroken."""
        try:
            return AESGCM(self.derive("seal")).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name.encode())
        except (InvalidTag, ValueError) as error:
            raise SealBroken(f"{name} was not sealed with this seal key") from error


def read_seal_key(path: Path) -> SealKey:
    """Read the seal file. Raises: StartRefused when absent, too open (T-54) or not a key."""
    content = read_secret(path).strip()
    try:
        secret = bytes.fromhex(content.decode("ascii"))
    except (UnicodeDecodeError, ValueError):
        secret = b""
    if len(secret) != _KEY_BYTES:
        raise StartRefused([f"{path}: is not a seal key; restore it from the backup that goes with the store"])
    return SealKey(secret)


def create_seal_key(path: Path) -> bool:
    """Make a new seal file, 0600, unless there is one. False: it was there already."""
    return create_secret(path, secrets.token_hex(_KEY_BYTES).encode() + b"\n")
