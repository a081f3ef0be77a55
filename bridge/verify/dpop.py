"""DPoP proofs: a caller shows that it has a key, for one request (RFC 9449 section 4.3).

The proof brings its own key, so a valid signature says nothing about who signed. What counts is that the
same key is named in the token that is issued, and that no proof is taken twice.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass

from bridge.jose.algorithms import ALGORITHMS
from bridge.jose.jws import MalformedToken, UnverifiedToken, parse_compact, signature_holds
from bridge.jose.keys import UnfitKey, VerificationKey, import_public
from bridge.model.errors import NonceRequired, ProofRejected
from bridge.model.evidence import DpopEvidence
from bridge.model.identity import DPOP_MARKER, Marker
from bridge.model.reasons import Reason
from bridge.verify.dpop_nonces import DpopNonces as DpopNonces

TYPE = "dpop+jwt"
MAX_PROOF_BYTES = 16 * 1024
MAX_JTI_LENGTH = 256
# How old a proof may be, and how far its clock may be ahead of ours. Clocks are off by seconds; a proof is
# made for the request at hand.
MAX_AGE = 60
MAX_AHEAD = 10

_HEADER_MEMBERS = frozenset({"typ", "alg", "jwk"})
# RFC 9449 asks for at least the three. Some libraries name the key as well; nothing is looked up by it.
_IGNORED_MEMBERS = frozenset({"kid"})
_DEFAULT_PORT = {"http": "80", "https": "443"}
_URL = re.compile(
    r"(?P<scheme>[a-z]+)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{0,5}))?", re.IGNORECASE
)
_PRINTABLE = re.compile(r"[!-~]+")


def _malformed(detail: str) -> ProofRejected:
    return ProofRejected(Reason.DPOP_MALFORMED, detail)


@dataclass(frozen=True, slots=True)
class ProofClaims:
    """The claims of a proof, of their types, unverified until the signature holds. `issued_at`: epoch seconds."""

    jti: str
    method: str
    url: str
    issued_at: int | float
    nonce: object


def parse(proof: str) -> UnverifiedToken:
    """One compact JWS within 16 KiB. Raises: ProofRejected."""
    try:
        return parse_compact(proof, max_bytes=MAX_PROOF_BYTES)
    except MalformedToken as error:
        raise _malformed(str(error)) from error


def read_header(token: UnverifiedToken) -> tuple[str, VerificationKey]:
    """The closed header: `typ` is `dpop+jwt`, `alg` one of nine, `jwk` a public key under the key policy.

    Raises: ProofRejected; for a private or symmetric key too, and for a key by reference (T-26).
    """
    header = token.header
    if header.keys() - _IGNORED_MEMBERS != _HEADER_MEMBERS:
        raise _malformed("the header does not have exactly typ, alg and jwk, with or without kid")
    if header["typ"] != TYPE:
        raise _malformed("the type is not dpop+jwt")
    alg, jwk = header["alg"], header["jwk"]
    if not isinstance(alg, str) or alg not in ALGORITHMS:
        raise _malformed("the algorithm is none of the nine")
    if not isinstance(jwk, dict):
        raise _malformed("jwk is not an object")
    try:
        return alg, import_public(jwk)
    except UnfitKey as error:
        raise _malformed(f"the key: {error}") from error


def read_claims(token: UnverifiedToken) -> ProofClaims:
    """`jti`, `htm`, `htu` and `iat` are there and of their types. Raises: ProofRejected.

    `ath` is not looked at: it belongs to requests that carry an access token.
    """
    try:
        claims = token.claims()
    except MalformedToken as error:
        raise _malformed(str(error)) from error
    jti, method, url, issued_at = (claims.get(name) for name in ("jti", "htm", "htu", "iat"))
    if not isinstance(jti, str) or not 0 < len(jti) <= MAX_JTI_LENGTH:
        raise _malformed(f"jti is not a string of 1 to {MAX_JTI_LENGTH} characters")
    if not isinstance(method, str) or not isinstance(url, str):
        raise _malformed("htm or htu is missing or not a string")
    if isinstance(issued_at, bool) or not isinstance(issued_at, (int, float)):
        raise _malformed("iat is missing or not a number")
    return ProofClaims(jti, method, url, issued_at, claims.get("nonce"))


def normalise_url(url: str) -> str | None:
    """The form in which two URLs are compared; None for what is no http or https URL.

    Scheme and host in lower case, no default port, `/` for an empty path; query and fragment are cut off
    (RFC 9449 section 4.3 check 9, RFC 3986 sections 6.2.2.1 and 6.2.3). Paths are compared as written:
    what an equivalent escape or a dot segment would name is left to nobody's interpretation.
    """
    match = _URL.match(url)
    if match is None or _PRINTABLE.fullmatch(url) is None:
        return None
    scheme, rest = match["scheme"].lower(), url[match.end() :]
    if scheme not in _DEFAULT_PORT or (rest and rest[0] not in "/?#"):
        return None
    port = match["port"] or ""
    authority = match["host"].lower() + ("" if port in ("", _DEFAULT_PORT[scheme]) else f":{port}")
    path = re.split(r"[?#]", rest, maxsplit=1)[0]
    return f"{scheme}://{authority}{path or '/'}"


def check_method(claims: ProofClaims, evidence: DpopEvidence) -> None:
    """The proof was made for this method. Raises: ProofRejected."""
    if claims.method != evidence.method:
        raise ProofRejected(Reason.DPOP_MISMATCH, "htm is another method")


def check_url(claims: ProofClaims, evidence: DpopEvidence) -> str:
    """The proof was made for this URL; its normal form. Raises: ProofRejected."""
    asked = normalise_url(evidence.url)
    if asked is None or normalise_url(claims.url) != asked:
        raise ProofRejected(Reason.DPOP_MISMATCH, "htu is another URL")
    return asked


def check_signature(token: UnverifiedToken, key: VerificationKey, alg: str) -> None:
    """The proof's own key signed it. Raises: ProofRejected."""
    if not signature_holds(token, key, alg):
        raise ProofRejected(Reason.DPOP_MALFORMED, "the signature does not hold")


def check_age(claims: ProofClaims, now: int) -> None:
    """`iat` is at most 60 s ago, and at most 10 s ahead of our clock. Raises: ProofRejected."""
    if now >= claims.issued_at + MAX_AGE:
        raise ProofRejected(Reason.DPOP_STALE, "the proof is too old")
    if claims.issued_at > now + MAX_AHEAD:
        raise ProofRejected(Reason.DPOP_STALE, "the proof is from the future")


def check_nonce(claims: ProofClaims, nonces: DpopNonces, now: int) -> None:
    """The proof has a nonce that this service gave out of late (RFC 9449 section 8). Raises: NonceRequired."""
    if not isinstance(claims.nonce, str) or not nonces.accepts(claims.nonce, now):
        raise NonceRequired(nonces.fresh(now))


def marker_of(key: VerificationKey, claims: ProofClaims, target: str) -> Marker:
    """What makes the proof good for once; kept until it is too old. `target` is the normal form of its URL."""
    # JSON keeps the parts apart whatever is in them.
    unique = json.dumps([key.thumbprint, claims.jti, target]).encode("ascii")
    return Marker(DPOP_MARKER, hashlib.sha256(unique).hexdigest(), math.ceil(claims.issued_at) + MAX_AGE)
