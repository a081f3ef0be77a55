"""CAs of two trust domains that OpenSSL would take for one another: neither ends the handshakes of another (T-12)."""

from __future__ import annotations

import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from bridge.model.bundle import TrustBundle
from bridge.model.spiffe_id import TrustDomain
from bridge.serving.anchored import AnchoredContext
from bridge.serving.tls import ServerCertificate
from bridge.spire.book import BundleBook, TrackedTrustDomain
from tests.svid_factory import CertificateAuthority, Issued, ca_spec, key_pair, leaf_spec

VICTIM, HOSTILE = TrustDomain("victim.example"), TrustDomain("hostile.example")
ROOT = CertificateAuthority.root("victim.example")
LEAF = ROOT.issue(leaf_spec("spiffe://victim.example/w"))
NOW = 1_800_000_000


def look_alike(*, of: Issued | None = ROOT, common_name: str = "CA of victim.example", key: str = "evil") -> Issued:
    """A CA of somebody else, under the victim's name and with its key identifier, or with none."""
    spec = replace(
        ca_spec("hostile.example"), common_name=common_name, key=key_pair("P-256", key), key_identifiers=False
    )
    if of is not None:
        spec = spec.adding(x509.SubjectKeyIdentifier.from_public_key(of.key.public_key()))
    return CertificateAuthority.root("hostile.example", spec)


def new_book() -> BundleBook:
    return BundleBook(TrackedTrustDomain(td, "file", 3600, 10) for td in (VICTIM, HOSTILE))


def publish(book: BundleBook, trust_domain: TrustDomain, *authorities: Issued) -> None:
    book.publish(TrustBundle(trust_domain, tuple(one.der for one in authorities), (), 1), confirmed_at=NOW)


def handshake(book: BundleBook, folder: Path, client: Issued = LEAF) -> str:
    """How a handshake with this client's certificate ends on a context with the book's anchors."""
    pem = folder / "client.pem"
    pem.write_bytes(client.chain_pem + client.key_pem)
    anchored, anchors = AnchoredContext(), book.anchors()
    anchored.follow(ServerCertificate(pem, pem, NOW), (anchors.revision, anchors.certificates))
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ours.check_hostname, ours.verify_mode = False, ssl.CERT_NONE
    ours.load_cert_chain(pem)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    assert anchored.context is not None
    ends = [
        ours.wrap_bio(to_client, to_server),
        anchored.context.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(4):
        for end in list(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError as error:
                return str(error.reason)
            ends.remove(end)
    return "open" if ends else "done"


@pytest.mark.parametrize("hostile_first", [False, True], ids=["after", "before"])
@pytest.mark.parametrize(
    "hostile",
    [look_alike(), look_alike(of=None), look_alike(common_name=" ca OF  victim.EXAMPLE ")],
    ids=["same key identifier", "no key identifier", "spelled otherwise"],
)
def test_a_ca_under_anothers_name_ends_no_handshake_of_the_others_workloads(
    tmp_path: Path, hostile: Issued, hostile_first: bool, caplog: pytest.LogCaptureFixture
) -> None:
    book = new_book()
    assert handshake(book, tmp_path) != "done"
    for trust_domain, authority in ((HOSTILE, hostile), (VICTIM, ROOT))[:: 1 if hostile_first else -1]:
        publish(book, trust_domain, authority)
    assert handshake(book, tmp_path) == "done"
    assert handshake(book, tmp_path) == "done"
    said = [record.getMessage() for record in caplog.records if "left out of handshakes" in record.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("a CA of hostile.example goes by the name of one of victim.example")


def test_many_such_cas_are_one_line_and_so_are_others_after_them(caplog: pytest.LogCaptureFixture) -> None:
    book = new_book()
    publish(book, VICTIM, ROOT)
    for turn in range(2):
        publish(book, HOSTILE, *(look_alike(key=f"{turn} {number}") for number in range(5)))
        assert book.anchors().certificates == (ROOT.der,)
    assert sum("left out of handshakes" in record.getMessage() for record in caplog.records) == 1


def test_a_ca_of_another_name_stays_beside_it(tmp_path: Path) -> None:
    book = new_book()
    other = look_alike(common_name="CA of hostile.example", of=None)
    publish(book, HOSTILE, other)
    publish(book, VICTIM, ROOT)
    assert set(book.anchors().certificates) == {ROOT.der, other.der}


def test_many_trust_domains_may_have_cas_of_one_name_with_key_identifiers_of_their_own() -> None:
    domains = [TrustDomain(f"d{number}.example") for number in range(5)]
    book = BundleBook(TrackedTrustDomain(td, "file", 3600, 10) for td in domains)
    roots = [
        CertificateAuthority.root(td.name, ca_spec(td.name, common_name="SPIFFE", key=key_pair("P-256", td.name)))
        for td in domains
    ]
    for td, root in zip(domains, roots, strict=True):
        publish(book, td, root)
    assert set(book.anchors().certificates) == {root.der for root in roots}


def test_of_two_that_state_no_identifier_of_their_own_the_one_that_was_there_first_stays_until_it_goes() -> None:
    book, first, second = new_book(), look_alike(key="one"), look_alike(key="two")
    publish(book, VICTIM, first)
    publish(book, HOSTILE)
    publish(book, HOSTILE, second)
    assert book.anchors().certificates == (first.der,)
    publish(book, VICTIM, ROOT)
    assert book.anchors().certificates == (ROOT.der,)
    publish(book, VICTIM)
    assert book.anchors().certificates == (second.der,)


INTERMEDIATE = ROOT.intermediate("victim.example")
BELOW = INTERMEDIATE.issue(leaf_spec("spiffe://victim.example/w"))


@pytest.mark.parametrize("key_id", [True, False], ids=["its key identifier", "no key identifier"])
def test_a_fetched_ca_under_the_name_of_anothers_intermediate_ends_no_handshake(
    tmp_path: Path, key_id: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """No bundle holds the intermediate, so there is nothing to compare with. The twin is a CA of an operator's file."""
    forged = look_alike(common_name="Intermediate 1 of victim.example", of=INTERMEDIATE if key_id else None)
    for source, ends in (("file", False), ("https_web", True), ("https_spiffe", True)):
        book = BundleBook([TrackedTrustDomain(VICTIM, "file", 3600, 10), TrackedTrustDomain(HOSTILE, source, 3600, 10)])
        publish(book, HOSTILE, forged)
        assert book.anchors().certificates == (forged.der,), "alone it harms nobody"
        publish(book, VICTIM, ROOT)
        assert (handshake(book, tmp_path, BELOW) == "done") is ends
    assert "hostile.example has no key identifier made from its own key" in caplog.text


def test_within_one_trust_domain_nothing_is_left_out() -> None:
    book, again = new_book(), look_alike()
    publish(book, VICTIM, ROOT, again)
    assert set(book.anchors().certificates) == {ROOT.der, again.der}


@pytest.mark.parametrize("kind", ["P-256", "P-384", "RSA-2048"])
@pytest.mark.parametrize("made", ["as RFC 5280", "of the whole"])
def test_key_identifiers_are_known_for_their_keys_own(kind: str, made: str) -> None:
    import hashlib

    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = key_pair(kind, "own")
    whole = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    identifier = (
        x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        if made == "as RFC 5280"
        else x509.SubjectKeyIdentifier(hashlib.sha1(whole, usedforsecurity=False).digest())
    )
    spec = replace(ca_spec("victim.example"), key=key, key_identifiers=False).adding(identifier)
    own = CertificateAuthority.root("victim.example", spec)
    book, early = new_book(), look_alike(of=None)
    publish(book, HOSTILE, early)
    publish(book, VICTIM, own)
    assert book.anchors().certificates == (own.der,)
