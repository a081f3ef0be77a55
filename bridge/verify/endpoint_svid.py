"""Whether the server of an https_spiffe bundle endpoint is the one that the configuration names (SPIFFE Federation
section 5.2.2)."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from bridge.model.bundle import TrustBundle
from bridge.model.errors import EvidenceRejected
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import SpiffeId
from bridge.verify import x509_svid
from bridge.verify.x509_leaf import RULES, Leaf, may_be_a_client, spiffe_id_of


def check_endpoint(chain: tuple[bytes, ...], bundle: TrustBundle, expected: SpiffeId, *, now: int) -> None:
    """That `chain` (DER, leaf first) is an X.509-SVID of exactly `expected`, by `bundle` and nothing else.

    The rules are those for clients' SVIDs, but for the extended key usage: a server's, where it has one, holds
    `serverAuth`. Raises: EvidenceRejected. Not checked: that the other end has the key, which the handshake proved,
    and that `bundle` is of the ID's trust domain and how old it is, which whoever chose it knows.
    """
    x509_svid.check_size(chain)
    certificates = x509_svid.parse_chain(chain)
    leaf = Leaf.of(certificates[0])
    spiffe_id = spiffe_id_of(leaf)
    if spiffe_id != expected:
        raise EvidenceRejected(Reason.SPIFFE_ID_INVALID, f"the certificate is of {spiffe_id}")
    for _, rule in RULES:
        if rule is not may_be_a_client:
            rule(leaf)
    _may_be_a_server(leaf)
    x509_svid.check_validity(leaf, now)
    x509_svid.build_path(leaf, certificates[1:], x509_svid.anchors_of(bundle), now)


def _may_be_a_server(leaf: Leaf) -> None:
    extension = leaf.get(x509.ExtendedKeyUsage)
    if extension is None:
        return
    assert isinstance(extension.value, x509.ExtendedKeyUsage)
    if ExtendedKeyUsageOID.SERVER_AUTH not in extension.value:
        raise EvidenceRejected(Reason.X509_LEAF, "the leaf's extended key usage lacks serverAuth")
    if extension.critical:
        raise EvidenceRejected(Reason.X509_LEAF, "the leaf's extended key usage is critical")
