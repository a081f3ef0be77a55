"""Base64 of certificates in headers: few and small enough before anything is decoded, and one spelling each."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from bridge.model.errors import EvidenceRejected
from bridge.model.reasons import Reason

# Interface section 7, as for chains from handshakes.
MAX_CERTIFICATES = 5
MAX_CHAIN_BYTES = 32 * 1024
# Base64 has four characters for three bytes.
MAX_ENCODED = (MAX_CHAIN_BYTES + 2) // 3 * 4


def check_encoded(encoded: Sequence[bytes]) -> None:
    """The caps, before anything is decoded (T-15). Raises: EvidenceRejected."""
    if len(encoded) > MAX_CERTIFICATES:
        raise EvidenceRejected(Reason.CREDENTIAL_TOO_LARGE, f"more than {MAX_CERTIFICATES} certificates in the header")
    if sum(map(len, encoded)) > MAX_ENCODED:
        raise EvidenceRejected(Reason.CREDENTIAL_TOO_LARGE, f"a chain of more than {MAX_CHAIN_BYTES} bytes")


def decode(encoded: bytes) -> bytes:
    """The bytes, of the one spelling that they have: with padding, and without stray bits before it.

    Raises: EvidenceRejected.
    """
    try:
        der = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        der = b""
    if not der or base64.b64encode(der) != encoded:
        raise EvidenceRejected(Reason.CERTIFICATE_HEADER, "not strict base64")
    return der
