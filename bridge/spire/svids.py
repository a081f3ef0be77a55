"""A message of the Workload API about our own X.509-SVIDs -> the one that is meant."""

from __future__ import annotations

from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key

from bridge.model.own_svid import OwnSvid
from bridge.model.spiffe_id import InvalidSpiffeId, SpiffeId
from bridge.spire.parse import UNREADABLE, MalformedBundle, split_certificates


class NoSvid(Exception):
    """The message holds no SVID that can be used. The text says why, for an operator, and quotes no key."""


def read_x509_svid(message: Any, wanted: SpiffeId | None) -> OwnSvid:
    """The first SVID of a FetchX509SVID message, which is the default identity, or that of `wanted`.

    Raises: NoSvid when it is not there, cannot be read, is of another SPIFFE ID than the message says, or has
    another key than the certificate's. Spec: X.509-SVID profile of the Workload API. Not checked: times, and that
    the message's own bundle is above it; the agent of the own node is believed.
    """
    found = [svid for svid in message.svids if wanted is None or svid.spiffe_id == str(wanted)]
    if not found:
        raise NoSvid(f"the agent has no X.509-SVID{f' of {wanted}' if wanted else ''} for this process")
    said = found[0]
    try:
        spiffe_id = SpiffeId.parse_workload(said.spiffe_id)
        chain = tuple(split_certificates(said.x509_svid))
        leaf = x509.load_der_x509_certificate(chain[0] if chain else b"")
        names = _uris(leaf)
        not_after = int(leaf.not_valid_after_utc.timestamp())
        fits = _is_key_of(leaf, said.x509_svid_key)
    except (InvalidSpiffeId, MalformedBundle) as error:
        raise NoSvid(f"the agent sent an SVID that cannot be read: {error}") from error
    except (TypeError, *UNREADABLE) as error:
        # The library's words may quote what it could not read, and that may be a key.
        raise NoSvid("the agent sent an SVID that cannot be read") from error
    if names != [str(spiffe_id)]:
        raise NoSvid(f"the agent sent a certificate of another SPIFFE ID as that of {spiffe_id}")
    if not fits:
        raise NoSvid(f"the agent sent another key than that of the certificate of {spiffe_id}")
    return OwnSvid(spiffe_id, chain, said.x509_svid_key, not_after)


def _uris(leaf: x509.Certificate) -> list[str]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _is_key_of(leaf: x509.Certificate, key: bytes) -> bool:
    try:
        public = load_der_private_key(key, None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return public.public_bytes(*form) == leaf.public_key().public_bytes(*form)
