"""What a credential that was refused says of itself, for the log alone.

Nothing here is verified: anybody can write any name into a token or a certificate. An operator who looks
for the workload that cannot get in needs the name all the same. Called for refusals only, so it may read
the credential a second time.
"""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509

from bridge.jose.jws import MalformedToken, parse_compact
from bridge.model.errors import Claimed
from bridge.verify.signed_jwt import MAX_ASSERTION_BYTES
from bridge.verify.x509_leaf import MALFORMED

MAX_CHARACTERS = 256
MAX_AUDIENCES = 8


def claimed_by_jwt(assertion: str) -> Claimed:
    """`sub` and `aud` as an assertion states them. Empty for what is no compact JWS."""
    try:
        claims = parse_compact(assertion, max_bytes=MAX_ASSERTION_BYTES).claims()
    except MalformedToken:
        return Claimed()
    subject, audience = claims.get("sub"), claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    return Claimed(printable(subject) if isinstance(subject, str) else "", _names(audiences))


def claimed_by_chain(chain: tuple[bytes, ...]) -> Claimed:
    """The first URI among the names of the leaf. Empty for what is no certificate, or names none."""
    try:
        names = x509.load_der_x509_certificate(chain[0]).extensions.get_extension_for_class(x509.SubjectAlternativeName)
        uris = names.value.get_values_for_type(x509.UniformResourceIdentifier)
    except (IndexError, x509.ExtensionNotFound, *MALFORMED):
        return Claimed()
    return Claimed(printable(uris[0]) if uris else "")


def printable(text: str) -> str:
    """At most 256 characters of `text`; each that is not printable ASCII is a question mark."""
    return "".join(c if " " <= c <= "~" else "?" for c in text[:MAX_CHARACTERS])


def _names(audiences: Iterable[object]) -> tuple[str, ...]:
    found = [printable(audience) for audience in audiences if isinstance(audience, str)]
    return tuple(found[:MAX_AUDIENCES])
