"""Bundle bytes from outside -> keys: the SPIFFE bundle format, and the Workload API's two halves of it.

What an entry must look like to count, and what only drops that entry, follows the Trust Domain and
Bundle standard, sections 4.1 and 4.2 (SPIFFE-21 to 23). What makes the whole bundle unusable, so that
the last good one stays in force, raises `MalformedBundle`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from bridge.jose import strict_json
from bridge.jose.keys import MAX_KID_LENGTH
from bridge.model.bundle import JwtAuthority, TrustBundle
from bridge.model.spiffe_id import TrustDomain

MAX_BUNDLE_BYTES = 1024 * 1024
# Far more than anybody rotates through. Each key costs every worker its import, and a line in what is said of a change.
MAX_ENTRIES = 1000
# What makes a document a map of bundles by trust domain.
MAP_MEMBER = "trust_domains"
_MAX_SEQUENCE = 2**64 - 1

# The members that make a public key, by key type; other types are unknown and their entries ignored.
_PUBLIC_MEMBERS = {"EC": ("crv", "x", "y"), "RSA": ("n", "e")}
# An entry with one of these has published its private key: nobody's signature by it proves anything.
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
# What a key may say about its own purpose; verification holds it to that.
_LIMITING_MEMBERS = ("alg", "key_ops")
# What `cryptography` raises for certificates that it cannot read: not all of it is a ValueError.
UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


class MalformedBundle(ValueError):
    """The bytes are no bundle: nothing of them is used. The message says what is wrong, never the content."""


def parse_bundle(raw: bytes, trust_domain: TrustDomain) -> TrustBundle:
    """A SPIFFE bundle document, as bundle endpoints serve it. Files may also hold maps: see `bundle_files`.

    `trust_domain` is configured, never read from the document, which does not name one (SPIFFE-28).
    Ignored are entries of unknown or missing `use` or `kty`, CAs without `x5c`, certificates that are no
    CA, and entries with private members; of `x5c` only the first certificate counts. No usable entry at
    all is a valid bundle that trusts nothing.
    Raises: MalformedBundle: above 1 MiB, not strict JSON, `keys` absent or no array of at most 1,000 objects, a
    `kid` twice, of more than 1,024 characters or no string, an `x5c` that holds no certificate, a sequence or hint
    that is no count, and for a bundle map: an endpoint has one bundle to serve, its trust domain's.
    Not checked: key strength and curve, validity times; verification does, when it uses a key.
    """
    document = read_document(raw)
    if MAP_MEMBER in document:
        raise MalformedBundle(f"{MAP_MEMBER!r}: a bundle map, where the bundle of one trust domain belongs")
    return bundle_of(document, trust_domain)


def bundle_of(document: Mapping[str, object], trust_domain: TrustDomain) -> TrustBundle:
    """What the members of a bundle say. Raises: MalformedBundle, as `parse_bundle`."""
    entries = _entries(document)
    return TrustBundle(
        trust_domain=trust_domain,
        x509_authorities=_unique(
            certificate
            for entry in entries
            if entry.get("use") == "x509-svid" and (certificate := _x509_authority(entry)) is not None
        ),
        jwt_authorities=_jwt_authorities(entry for entry in entries if entry.get("use") == "jwt-svid"),
        sequence=_count(document, "spiffe_sequence"),
        refresh_hint=_count(document, "spiffe_refresh_hint"),
    )


def parse_jwt_authorities(raw: bytes) -> tuple[JwtAuthority, ...]:
    """The JWK Set that the Workload API sends for one trust domain.

    Its keys carry no `use`: all of them sign JWT-SVIDs. One that states another use is ignored.
    Raises: MalformedBundle, as `parse_bundle`.
    """
    return _jwt_authorities(entry for entry in _entries(read_document(raw)) if entry.get("use") in (None, "jwt-svid"))


def parse_x509_authorities(raw: bytes) -> tuple[bytes, ...]:
    """The concatenated DER certificates that the Workload API sends for one trust domain.

    Raises: MalformedBundle when any part is no certificate, or there are more than 1,000. Certificates that are no CA
    are ignored.
    """
    if len(raw) > MAX_BUNDLE_BYTES:
        raise MalformedBundle(f"longer than {MAX_BUNDLE_BYTES} bytes")
    parts = list(split_certificates(raw))
    if len(parts) > MAX_ENTRIES:
        raise MalformedBundle(f"more than {MAX_ENTRIES} certificates")
    return _unique(certificate for part in parts if (certificate := _ca_certificate(part)) is not None)


def read_document(raw: bytes) -> dict[str, object]:
    """The members of a bundle or of a bundle map, not looked into. A name that stands twice in any object of it is
    refused (SPIFFE-33). Raises: MalformedBundle: above 1 MiB, not strict JSON, no object."""
    try:
        return strict_json.loads_object(raw, max_bytes=MAX_BUNDLE_BYTES)
    except strict_json.InvalidJson as error:
        raise MalformedBundle(str(error)) from error


def _entries(document: Mapping[str, object]) -> list[dict[str, object]]:
    keys = document.get("keys")
    if not isinstance(keys, list):
        raise MalformedBundle("'keys' is missing or no array")
    if len(keys) > MAX_ENTRIES:
        raise MalformedBundle(f"more than {MAX_ENTRIES} keys")
    seen: set[str] = set()
    for entry in keys:
        if not isinstance(entry, dict):
            raise MalformedBundle("an entry of 'keys' is no object")
        if "kid" in entry:
            kid = entry["kid"]
            if not isinstance(kid, str):
                raise MalformedBundle("a 'kid' is no string")
            if len(kid) > MAX_KID_LENGTH:
                raise MalformedBundle(f"a 'kid' has more than {MAX_KID_LENGTH} characters")
            if kid in seen:
                raise MalformedBundle("two keys have the same 'kid'")
            seen.add(kid)
    return keys


def _jwt_authorities(entries: Iterable[Mapping[str, object]]) -> tuple[JwtAuthority, ...]:
    found = []
    for entry in entries:
        members = _PUBLIC_MEMBERS.get(str(entry.get("kty")))
        if members is None or not _PRIVATE_MEMBERS.isdisjoint(entry):
            continue
        kept = {name: entry[name] for name in ("kty", "kid", *members, *_LIMITING_MEMBERS) if name in entry}
        canonical = json.dumps(kept, sort_keys=True, separators=(",", ":"))
        found.append(JwtAuthority(key_id=str(entry.get("kid", "")), jwk=canonical))
    return tuple(found)


def _x509_authority(entry: Mapping[str, object]) -> bytes | None:
    """The entry's first certificate; None when there is none, or no CA (SPIFFE-22)."""
    chain = entry.get("x5c")
    if str(entry.get("kty")) not in _PUBLIC_MEMBERS or not isinstance(chain, list) or not chain:
        return None
    try:
        der = base64.b64decode(chain[0], validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise MalformedBundle("an 'x5c' holds no base64") from error
    return _ca_certificate(der)


def _ca_certificate(der: bytes) -> bytes | None:
    """The certificate in its own encoding; None when it is no CA, so that no leaf becomes an anchor."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return None
    except UNREADABLE as error:
        raise MalformedBundle("an X.509 authority is no certificate") from error
    return certificate.public_bytes(Encoding.DER) if basic.ca else None


def split_certificates(raw: bytes) -> Iterable[bytes]:
    """Cut a concatenation of DER SEQUENCEs; each header says how long its certificate is (X.690 8.1.3)."""
    rest = memoryview(raw)
    while rest:
        if len(rest) < 2 or rest[0] != 0x30:
            raise MalformedBundle("the X.509 bundle is no sequence of certificates")
        length, head = rest[1], 2
        if length & 0x80:
            octets = length & 0x7F
            # Definite lengths of up to four octets; 0x80 is the indefinite form, which DER forbids.
            if not 1 <= octets <= 4 or len(rest) < 2 + octets:
                raise MalformedBundle("the X.509 bundle has a broken length")
            length, head = int.from_bytes(rest[2 : 2 + octets], "big"), 2 + octets
        if len(rest) < head + length:
            raise MalformedBundle("the X.509 bundle ends within a certificate")
        yield bytes(rest[: head + length])
        rest = rest[head + length :]


def _count(document: Mapping[str, object], name: str) -> int | None:
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_SEQUENCE:
        raise MalformedBundle(f"{name!r} is no count")
    return value


def _unique(certificates: Iterable[bytes]) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys(certificates))
