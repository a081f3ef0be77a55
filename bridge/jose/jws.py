"""JWS in compact serialization (RFC 7515 section 7.1): taken apart without trust, then verified with a
key that the caller chose. No function here looks for a key, and none reads one out of a header."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from bridge.jose import base64url, strict_json
from bridge.jose.algorithms import CURVE_ORDER, IMPLEMENTATIONS
from bridge.jose.keys import VerificationKey

# The largest signature: RSA with 8192 bits. A header is small in every token kind we take.
_MAX_SIGNATURE_BYTES = 1024


class MalformedToken(ValueError):
    """The text is not a compact JWS. The message never quotes it."""


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A JWS that was taken apart and not verified: anybody may have written every byte of it.

    `signing_input` is the header and the payload as they were sent, which is what is signed.
    """

    header: dict[str, object]
    payload: bytes
    raw: str
    signing_input: bytes
    signature: bytes

    def claims(self) -> dict[str, object]:
        """The payload as JSON object. Raises: MalformedToken. As unverified as the rest."""
        try:
            return strict_json.loads_object(self.payload, max_bytes=len(self.payload))
        except strict_json.InvalidJson as error:
            raise MalformedToken(f"the payload: {error}") from error

    def replay_digest(self, alg: str) -> str:
        """Hex SHA-256 that is the same for every spelling of this token which a stranger can make.

        Whoever sees an ECDSA signature (r, s) can compute its twin (r, n - s), which verifies too: the
        hash of the text is therefore no mark of "used once". Here the smaller s stands for both. RSA
        signatures have one spelling, and base64url was canonical already.
        """
        digest = hashlib.sha256(self.signing_input)
        order = CURVE_ORDER.get(alg)
        if order is None:
            digest.update(b"." + self.signature)
        else:
            half = len(self.signature) // 2
            s = int.from_bytes(self.signature[half:], "big")
            smaller = min(s, (order - s) % order)
            digest.update(b"." + self.signature[:half] + smaller.to_bytes(len(self.signature), "big"))
        return digest.hexdigest()


def parse_compact(token: str, *, max_bytes: int) -> UnverifiedToken:
    """Take a token apart: size first, then exactly three canonical segments, then the header as JSON.

    Raises: MalformedToken; so do the JSON serializations, a JWE (five segments) and detached or
    padded forms. Spec: RFC 7515 section 5.2 steps 1 to 4. Not checked: the signature, and what the
    header says, save that `crit` is no member we could honour and `b64` none we understand.
    """
    if len(token) > max_bytes:
        raise MalformedToken(f"longer than {max_bytes} bytes")
    if not token.isascii() or token.count(".") != 2:
        raise MalformedToken("not three segments")
    signing_input, _, signature_text = token.rpartition(".")
    header_text, _, payload_text = signing_input.partition(".")
    try:
        header = strict_json.loads_object(base64url.decode(header_text), max_bytes=max_bytes)
        payload = base64url.decode(payload_text)
        signature = base64url.decode(signature_text)
    except (base64url.InvalidBase64Url, strict_json.InvalidJson) as error:
        raise MalformedToken(str(error)) from error
    if not isinstance(header.get("alg"), str):
        raise MalformedToken("the header has no 'alg'")
    if "crit" in header or "b64" in header:
        raise MalformedToken("the header asks for an extension")
    if not 0 < len(signature) <= _MAX_SIGNATURE_BYTES:
        raise MalformedToken("no signature, or one of impossible length")
    return UnverifiedToken(header, payload, token, signing_input.encode("ascii"), signature)


def signature_holds(token: UnverifiedToken, key: VerificationKey, alg: str) -> bool:
    """Whether this key made this token's signature with this algorithm.

    False too when the key does not fit the algorithm, or the header names another one. Spec: RFC 7515
    section 5.2 step 8. Not checked: whose key it is, and everything the token says.
    """
    if token.header.get("alg") != alg or not key.fits(alg):
        return False
    return IMPLEMENTATIONS[alg].verify(token.signing_input, token.signature, key.native)
