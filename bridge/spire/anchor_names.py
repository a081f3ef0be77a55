"""Which CA certificates may stand in one TLS context together.

A handshake does not know the trust domain, so all CAs of all bundles are in its context. OpenSSL looks for an issuer by
its name and key identifier alone, takes the first that it finds, and tries no other when the signature then does not
fit. Whoever publishes a CA under the name and identifier of another trust domain's, over a key of its own, would so end
every handshake of the other one's workloads. It would vouch for nobody: that the application decides, by one bundle.

The name may also be an intermediate's, which stands in no bundle and so cannot be compared. What others serve over the
network therefore has to carry an identifier that no other key has.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bridge.model.bundle import TrustBundle

_log = logging.getLogger("bridge.spire")

_HASHES = ("sha512", "sha384", "sha256", "sha1")
# RFC 7093 takes so many bytes of a longer hash, as many as SHA-1 has.
_SHORT = 20

_WORDS = "a CA of %s goes by the name of one of %s and is left out of handshakes, where it would be taken for it: %s"
_ANYBODYS = (
    "a CA of %s has no key identifier made from its own key (RFC 5280 section 4.2.1.2) and is left out of handshakes, "
    'which could take it for anybody\'s; compare its bundle and configure it as source = "file": %s'
)

Subject = tuple[frozenset[tuple[str, str | bytes]], ...]


@dataclass(frozen=True, slots=True)
class _Name:
    """By what a certificate is found: its subject as OpenSSL compares it, and its key identifier, empty where it has
    none and fits any. `key` is a digest of its key. `is_own`: the identifier was made from that key, as everybody makes
    it (RFC 5280 section 4.2.1.2, RFC 7093), so that no other key has it."""

    subject: Subject
    key_id: bytes
    key: bytes
    is_own: bool


@dataclass(frozen=True, slots=True)
class _Held:
    """A certificate of a trust domain. `turn` tells since when it has it; 0: since its bundle was first read.
    `fetched`: its bundle comes from an endpoint of other people."""

    trust_domain: str
    certificate: bytes
    name: _Name
    turn: int
    fetched: bool

    @property
    def may_be_anybodys(self) -> bool:
        """Whether it could be found in place of an intermediate of whose name and identifier nothing is known here.
        Not seen: an intermediate whose leaves do not name its identifier, which SPIRE's do."""
        return self.fetched and not self.name.is_own

    @property
    def rank(self) -> tuple[bool, int, str, bytes]:
        return not self.name.is_own, self.turn, self.trust_domain, self.certificate

    def is_taken_for(self, other: _Held) -> bool:
        """Of two that go by one name: whether that harms. Over one key they verify the same."""
        return self.trust_domain != other.trust_domain and self.name.key != other.name.key


class AnchorNames:
    """The CA certificates of every bundle in force. Not thread-safe: it belongs to whoever has the bundles."""

    def __init__(self) -> None:
        self._held: dict[str, dict[bytes, _Held]] = {}
        self._turns = itertools.count(1)
        self._said: set[tuple[str, str]] = set()

    def hold(self, bundle: TrustBundle, *, fetched: bool) -> None:
        """These are the trust domain's CA certificates now, and no others. `fetched`: from a bundle endpoint."""
        name = bundle.trust_domain.name
        before = self._held.get(name)
        turn, known = (0, {}) if before is None else (next(self._turns), before)
        self._held[name] = {
            der: known.get(der) or _Held(name, der, named, turn, fetched)
            for der in bundle.x509_authorities
            if (named := _name_of(der)) is not None
        }

    def together(self) -> tuple[bytes, ...]:
        """All that can be in one context. Of two trust domains' certificates that would be taken for one another the
        one stays whose key identifier is its key's own; else the one that was there first. Of a fetched bundle only
        those stay whose identifier is, as soon as there is another trust domain. What is left out is said once. Within
        one trust domain nothing is left out: that harms nobody else."""
        found: dict[bytes, None] = {}
        seen: dict[Subject, dict[bytes, _Held]] = {}
        left_out: dict[tuple[str, bytes], str] = {}
        is_alone = len(self._held) == 1
        for held in sorted(self._all(), key=lambda one: one.rank):
            alike = seen.setdefault(held.name.subject, {})
            key_id = held.name.key_id
            near = [alike[each] for each in (key_id, b"") if each in alike] if key_id else alike.values()
            other = next((one for one in near if one.is_taken_for(held)), None)
            if held.may_be_anybodys and not is_alone:
                left_out[held.trust_domain, held.certificate] = ""
            elif other is None:
                found[held.certificate] = None
                alike.setdefault(key_id, held)
            else:
                left_out[held.trust_domain, held.certificate] = other.trust_domain
        self._say(left_out)
        return tuple(found)

    def _all(self) -> Iterator[_Held]:
        return itertools.chain.from_iterable(held.values() for held in self._held.values())

    def _say(self, left_out: dict[tuple[str, bytes], str]) -> None:
        """One line for two trust domains, however many certificates the one publishes and however often."""
        pairs = {(domain, other): der for (domain, der), other in left_out.items()}
        for (domain, other), der in pairs.items():
            if (domain, other) not in self._said:
                _log.error(
                    _WORDS if other else _ANYBODYS, domain, *filter(None, (other,)), hashlib.sha256(der).hexdigest()
                )
        self._said = set(pairs)


def _name_of(der: bytes) -> _Name | None:
    """None for a subject that cannot be read: nobody could say whose it looks like. What is no certificate at all, no
    library takes for anybody's; no source lets it in."""
    try:
        certificate = x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion):
        return _Name((frozenset({("", der)}),), b"", der, False)
    try:
        subject, key_id = _subject(certificate.subject), _key_id(certificate)
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return None
    ids = _ids_of_key(certificate)
    return _Name(subject, key_id, ids[0] if ids else der, key_id in ids)


def _subject(name: x509.Name) -> Subject:
    """Case and spaces do not count (RFC 5280 section 7.1)."""
    return tuple(
        frozenset(
            (one.oid.dotted_string, " ".join(one.value.lower().split()) if isinstance(one.value, str) else one.value)
            for one in relative
        )
        for relative in name.rdns
    )


def _key_id(certificate: x509.Certificate) -> bytes:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return b""


def _ids_of_key(certificate: x509.Certificate) -> tuple[bytes, ...]:
    """What key identifiers are: the key's bits, or its whole SubjectPublicKeyInfo, hashed, the longest first. None of a
    key that cannot be read."""
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return ()
    whole = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    bits = _bits_of(whole)
    digests = [hashlib.new(name, data, usedforsecurity=False).digest() for name in _HASHES for data in (bits, whole)]
    return (*digests, *(digest[:_SHORT] for digest in digests))


def _bits_of(whole: bytes) -> bytes:
    """The BIT STRING's content in a SubjectPublicKeyInfo: SEQUENCE { SEQUENCE algorithm, BIT STRING }."""
    _, start = _length_at(whole, 1)
    length, inner = _length_at(whole, start + 1)
    _, content = _length_at(whole, inner + length + 1)
    return whole[content + 1 :]


def _length_at(der: bytes, place: int) -> tuple[int, int]:
    """A DER length that stands at `place`, and where what it measures begins (X.690 section 8.1.3)."""
    first = der[place]
    if first < 0x80:
        return first, place + 1
    end = place + 1 + (first & 0x7F)
    return int.from_bytes(der[place + 1 : end], "big"), end
