"""Signs messages as the Standard Webhooks convention has it, so that receivers verify them with a library of theirs:
HMAC-SHA256 over `id.timestamp.body`, one signature for each secret in force.

HTTP Message Signatures (RFC 9421) would sign the same with more to agree on, and no receiver of chat or tickets knows
them; a key pair would spare the shared secret and is no part of the convention's common ground.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
from collections.abc import Mapping
from pathlib import Path

from bridge.files.paths import FileFingerprint, fingerprint, read_secret
from bridge.model.errors import StartRefused

PREFIX = "whsec_"
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64
# While a secret is replaced, receivers may know the old one or the new.
MOST_SECRETS = 2
MAKE_ONE = "printf 'whsec_%s\\n' \"$(openssl rand -base64 32)\""

_log = logging.getLogger("bridge.webhook")

Secrets = tuple[bytes, ...]


def read_secrets(path: Path) -> Secrets:
    """The secrets of a file: one a line, `whsec_` and 24 to 64 bytes in base64, at most two.

    Raises: StartRefused when it cannot be read, others may read it (T-54), or it holds something else. No word of the
    error quotes the file.
    """
    try:
        lines = read_secret(path).decode("ascii").split()
    except UnicodeDecodeError:
        lines = []
    secrets = tuple(secret for line in lines if (secret := _read_secret(line)) is not None)
    if not secrets or len(secrets) != len(lines) or len(secrets) > MOST_SECRETS:
        words = (
            f"holds no webhook secret: one line, or two while it is replaced, each {PREFIX} and {MIN_SECRET_BYTES} to"
            f" {MAX_SECRET_BYTES} bytes in base64; {MAKE_ONE}"
        )
        raise StartRefused([f"{path}: {words}"])
    return secrets


def _read_secret(line: str) -> bytes | None:
    if not line.startswith(PREFIX):
        return None
    try:
        secret = base64.b64decode(line.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        return None
    return secret if MIN_SECRET_BYTES <= len(secret) <= MAX_SECRET_BYTES else None


class SecretFile:
    """The secrets in force: the file's, read again when it changes. Used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Raises: as `read_secrets`."""
        self._path = path
        self._seen: FileFingerprint | None = fingerprint(path)
        self._secrets = read_secrets(path)

    def current(self) -> Secrets:
        """What to sign with now. A file that cannot be used leaves the last good secrets in force, and is logged."""
        seen = fingerprint(self._path)
        if seen != self._seen:
            self._seen = seen
            try:
                self._secrets = read_secrets(self._path)
            except StartRefused as refused:
                _log.error("webhook secrets stay as they were: %s", "; ".join(refused.faults))
            else:
                _log.info("webhook secrets read", extra={"number": len(self._secrets)})
        return self._secrets


def signed_headers(secrets: Secrets, notice_id: str, body: bytes, *, now: int) -> Mapping[str, str]:
    """The three headers of a message that is sent now. The id is the same for each try, the time is not: a receiver
    refuses what is old, and knows by the id what it has had already."""
    signed = f"{notice_id}.{now}.".encode("ascii") + body
    signatures = (base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()) for secret in secrets)
    return {
        "webhook-id": notice_id,
        "webhook-timestamp": str(now),
        "webhook-signature": " ".join(f"v1,{signature.decode('ascii')}" for signature in signatures),
    }
