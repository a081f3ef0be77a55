"""Whether a connection is a trusted proxy's, which its certificate has to say: verified in full, exactly that ID."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bridge.lab.authority import Authority
from bridge.lab.broken_x509 import BROKEN_X509, mint_x509
from bridge.lab.x509 import X509Svid
from bridge.model.bundle import LiveBundle
from bridge.model.errors import EvidenceRejected, InvalidRequest, Unavailable
from bridge.model.forwarding import CERTIFICATE_HEADER, PROXY_CLAIM, CertificateHeader, ProxyClaim
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import TrustDomain
from bridge.spire.parse import parse_bundle
from bridge.verify.verifier import SvidVerifier, TrustDomainRules
from bridge.web.known_sender import recognise
from bridge.web.present import listener_asked, peer_chain
from tests.flows.proxied import rfc_9440

NOW = 1_800_000_000
OWN, OTHER = Authority("example.org", clock=lambda: NOW), Authority("other.example", clock=lambda: NOW)
PROXY, WORKLOAD = OWN.x509_svid("/proxy"), OWN.x509_svid("/ns/payments/sa/batch")
CLAIM = ProxyClaim(
    {"spiffe://example.org/proxy": CertificateHeader.CLIENT_CERT, "spiffe://example.org/envoy": CertificateHeader.XFCC},
    "192.0.2.7",
)


class Book:
    """The bundles of both trust domains; none once `unknown`."""

    unknown = False

    def live(self, trust_domain: TrustDomain, now: int) -> LiveBundle:
        if self.unknown:
            raise Unavailable(Reason.BUNDLE_UNAVAILABLE, "past max_stale")
        authority = OWN if trust_domain == OWN.trust_domain else OTHER
        return LiveBundle(parse_bundle(authority.bundle_json(), trust_domain), 1)


def verifier(book: Book | None = None) -> SvidVerifier:
    rules = {name: TrustDomainRules(3600, None) for name in ("example.org", "other.example")}
    return SvidVerifier(book or Book(), issuer="https://as.example.org", trust_domains=rules)  # type: ignore[arg-type]


def environ(chain: tuple[bytes, ...], *, claim: ProxyClaim | None = CLAIM) -> dict[str, object]:
    """A request on `mtls_listen` that states the workload's certificate."""
    stated = [(name.lower().encode(), value.encode()) for name, value in rfc_9440(WORKLOAD.chain)]
    told: dict[str, object] = {
        "bridge.raw_headers": tuple(stated),
        "bridge.peer_chain": chain,
        "bridge.listener": "mtls",
        "REMOTE_ADDR": "10.0.0.7",
    }
    return told if claim is None else {**told, PROXY_CLAIM: claim}


def recognised(chain: tuple[bytes, ...], *, book: Book | None = None, at: int = NOW) -> dict[str, object]:
    told = environ(chain)
    recognise(told, verifier(book).verify_chain, lambda: at)
    return told


def test_the_proxys_own_svid_makes_its_header_count_and_is_itself_no_credential() -> None:
    told = recognised(PROXY.chain)
    assert told[CERTIFICATE_HEADER] is CertificateHeader.CLIENT_CERT
    assert peer_chain(told) == WORKLOAD.chain
    assert told["REMOTE_ADDR"] == "192.0.2.7"


def test_each_proxy_states_the_kind_of_header_that_is_its_own() -> None:
    told = recognised(OWN.x509_svid("/envoy").chain)
    with pytest.raises(EvidenceRejected) as refused:
        peer_chain(told)
    assert refused.value.reason is Reason.CERTIFICATE_HEADER


def test_without_a_stated_certificate_there_is_none_and_the_issuers_addresses_were_used_T_18() -> None:
    """Else everybody behind the proxy could come as the proxy."""
    told = {**environ(PROXY.chain), "bridge.raw_headers": ()}
    recognise(told, verifier().verify_chain, lambda: NOW)
    assert peer_chain(told) == ()
    assert listener_asked(told) == "proxy"
    assert listener_asked(recognised(PROXY.chain)) == "mtls"


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda: OWN.x509_svid("/ns/web/sa/intruder"), id="T-18 another workload"),
        pytest.param(lambda: OWN.x509_svid("/proxy/x"), id="T-18 an ID below"),
        pytest.param(lambda: OTHER.x509_svid("/proxy"), id="T-12 the same path elsewhere"),
    ],
)
def test_any_other_identity_is_a_client_whose_headers_are_not_read(other: Callable[[], X509Svid]) -> None:
    svid = other()
    told = recognised(svid.chain)
    assert CERTIFICATE_HEADER not in told
    assert peer_chain(told) == svid.chain
    assert (told["REMOTE_ADDR"], listener_asked(told)) == ("10.0.0.7", "mtls")


@pytest.mark.parametrize("name", [pytest.param(e.name, id=f"T-18 {e.clause} {e.name}") for e in BROKEN_X509])
def test_a_certificate_that_does_not_hold_is_nobodys_and_no_header_counts(name: str) -> None:
    broken = mint_x509(OWN, name, "/proxy", other=OTHER)
    told = recognised(broken.chain)
    assert CERTIFICATE_HEADER not in told
    with pytest.raises(EvidenceRejected):
        peer_chain(told)
    assert told["REMOTE_ADDR"] == "10.0.0.7"


def test_a_connection_is_believed_no_longer_than_its_certificate_holds() -> None:
    """Proxies keep connections open for hours."""
    end = PROXY.not_after
    assert CERTIFICATE_HEADER in recognised(PROXY.chain, at=end)
    with pytest.raises(EvidenceRejected) as refused:
        peer_chain(recognised(PROXY.chain, at=end + 1))
    assert refused.value.reason is Reason.X509_EXPIRED


def test_while_the_proxys_bundle_is_unknown_nobody_is_refused_for_it_and_nobody_gets_in() -> None:
    book = Book()
    told = recognised(PROXY.chain, book=book)
    assert peer_chain(told) == WORKLOAD.chain
    book.unknown = True
    told = recognised(PROXY.chain, book=book)
    assert CERTIFICATE_HEADER not in told
    with pytest.raises(Unavailable):
        peer_chain(told)


def test_from_any_other_place_nothing_is_asked_and_both_certificates_are_one_too_many() -> None:
    told = environ(PROXY.chain, claim=None)
    recognise(told, lambda chain, *, now: pytest.fail("asked"), lambda: NOW)
    assert peer_chain(told) == PROXY.chain
    told[CERTIFICATE_HEADER] = CertificateHeader.CLIENT_CERT
    with pytest.raises(InvalidRequest):
        peer_chain(told)
