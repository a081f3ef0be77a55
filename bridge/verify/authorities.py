"""The names of those who vouched for a credential, and of those whom a bundle holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from bridge.jose.keys import VerificationKey
from bridge.model.authority import Authorities, Authority, AuthorityKind
from bridge.model.bundle import TrustBundle
from bridge.verify.key_sets import keys_of_bundle
from bridge.verify.x509_leaf import MALFORMED


def authorities_of_path(path: tuple[x509.Certificate, ...]) -> Authorities:
    """The CAs of a verified path (`x509_svid.build_path`): whoever signed the leaf first, the anchor last."""
    *between, anchor = path[1:]
    return (*(_ca(one, AuthorityKind.INTERMEDIATE) for one in between), _ca(anchor, AuthorityKind.ANCHOR))


def authority_of_key(key: VerificationKey) -> Authority:
    """The key that signed a JWT-SVID."""
    return Authority(AuthorityKind.JWT, key.kid, key.thumbprint)


def authorities_of_bundle(bundle: TrustBundle) -> frozenset[Authority]:
    """All that stand in a bundle, also those that are too weak to vouch for anybody. What cannot be read has the name
    that its bytes or its entry give it."""
    keys = keys_of_bundle(bundle)
    unfit = (Authority(AuthorityKind.JWT, kid, "") for kid in keys.unfit)
    return frozenset({*map(authority_of_key, keys.usable), *unfit, *_anchors(bundle.x509_authorities)})


def _anchors(certificates: Iterable[bytes]) -> Iterable[Authority]:
    for der in certificates:
        try:
            yield _ca(x509.load_der_x509_certificate(der), AuthorityKind.ANCHOR)
        except MALFORMED:
            yield Authority(AuthorityKind.ANCHOR, "", hashlib.sha256(der).hexdigest())


# A handful of CAs sign everything; hashing their keys again for each leaf would be most of this.
@lru_cache(maxsize=4096)
def _ca(certificate: x509.Certificate, kind: AuthorityKind) -> Authority:
    # Of the key itself: the extension of that name says what whoever issued the certificate liked.
    try:
        key_id = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest.hex()
    except UnsupportedAlgorithm:
        key_id = ""
    return Authority(kind, key_id, certificate.fingerprint(hashes.SHA256()).hex())
