"""`[[trusted_proxies]]`: what may be written, and each fault as its twin (SCA-19, T-18)."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.model.errors import StartRefused
from bridge.model.forwarding import CertificateHeader
from tests.unit.config.loading import load

BASE = """\
issuer      = "https://bridge.example.org"
listen      = "10.0.0.1:8443"
mtls_listen = "10.0.0.1:8444"
[tls]
certificate = "server.pem"
private_key = "server.key"
[policies]
directory = "policies"
[trust_domains."example.org"]
source = "file"
path   = "bundle.json"
"""
TLS = '[tls]\ncertificate = "server.pem"\nprivate_key = "server.key"\n'
SOCKET = '[[trusted_proxies]]\nunix = "run/proxy.sock"\nheader = "client-cert"\n'
ADDRESS = '[[trusted_proxies]]\naddress = "10.0.0.7/32"\nheader = "xfcc"\n'
IDENTITY = ADDRESS.replace("header", 'spiffe_id = "spiffe://example.org/proxy"\nheader')


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(StartRefused) as refused:
        load(folder, text)
    return list(refused.value.faults)


def test_a_proxy_is_known_by_its_socket_or_by_its_address(folder: Path) -> None:
    first, second = load(folder, BASE + SOCKET + ADDRESS).trusted_proxies
    assert (first.unix, first.header, first.network) == (
        str(folder / "run/proxy.sock"),
        CertificateHeader.CLIENT_CERT,
        None,
    )
    assert (second.unix, second.header, str(second.network)) == (None, CertificateHeader.XFCC, "10.0.0.7/32")


def test_beside_its_address_it_may_have_to_show_its_svid(folder: Path) -> None:
    (proxy,) = load(folder, BASE + IDENTITY).trusted_proxies
    assert (proxy.spiffe_id, str(proxy.network)) == ("spiffe://example.org/proxy", "10.0.0.7/32")
    assert proxy.known_by == "10.0.0.7/32 as spiffe://example.org/proxy"
    envoy = IDENTITY.replace("/proxy", "/envoy").replace("xfcc", "client-cert")
    assert len(load(folder, BASE + IDENTITY + envoy).trusted_proxies) == 2


def test_without_the_section_nobody_is_trusted(folder: Path) -> None:
    assert load(folder, BASE).trusted_proxies == []


@pytest.mark.parametrize(
    ("good", "change", "expected"),
    [
        pytest.param(SOCKET, ('header = "client-cert"\n', ""), "header: required", id="no header kind"),
        pytest.param(SOCKET, ("client-cert", "x-ssl-cert"), "Input should be", id="another header"),
        pytest.param(
            SOCKET, ("[[", '[[trusted_proxies]]\nheader = "xfcc"\n[['), "by `unix` or by `address`", id="neither"
        ),
        pytest.param(ADDRESS, ("address", 'unix = "run/p"\naddress'), "by `unix` or by `address`", id="both"),
        pytest.param(SOCKET, ("run/", "nowhere/"), "no such folder", id="no folder"),
        pytest.param(SOCKET, ("proxy", "p" * 107), "at most 107 bytes", id="a path that no socket can have"),
        pytest.param(SOCKET, ("[[", SOCKET + "[["), "of another trusted proxy too", id="one socket twice"),
        pytest.param(ADDRESS, ("10.0.0.7/32", "10.0.0.7/8"), "without bits beyond", id="bits beyond the length"),
        pytest.param(ADDRESS, ("10.0.0.7/32", "proxy.example.org"), "must be an IP address", id="a name"),
        pytest.param(ADDRESS, ("10.0.0.7/32", "::ffff:10.0.0.7/128"), "in IPv6 clothes", id="IPv4 in IPv6"),
        pytest.param(
            ADDRESS,
            ("[[", '[[trusted_proxies]]\naddress = "10.0.0.0/24"\nheader = "client-cert"\n[['),
            "overlaps 10.0.0.0/24, whose header is another",
            id="two header kinds for one address",
        ),
        pytest.param(
            IDENTITY,
            ('address = "10.0.0.7/32"', 'unix = "run/p"'),
            "comes by TLS, from an `address`",
            id="an ID by socket",
        ),
        pytest.param(IDENTITY, ("spiffe://", "https://"), "spiffe_id: ", id="an ID that is none"),
        pytest.param(IDENTITY, ("example.org/proxy", "example.org"), "spiffe_id: ", id="a trust domain alone"),
        pytest.param(
            IDENTITY,
            ("example.org/proxy", "other.example/proxy"),
            'there is no [trust_domains."other.example"]',
            id="an ID for which nobody vouches",
        ),
        pytest.param(
            IDENTITY,
            ("[[", ADDRESS.replace("7/32", "0/24") + "[["),
            "which then keeps nobody out",
            id="T-18 the address alone beside it",
        ),
        pytest.param(
            ADDRESS,
            ("[[", IDENTITY.replace("7/32", "0/24") + "[["),
            "which then keeps nobody out",
            id="T-18 and before",
        ),
        pytest.param(
            IDENTITY,
            ("[[", IDENTITY.replace("xfcc", "client-cert") + "[["),
            "whose header is another",
            id="two header kinds for one ID",
        ),
        pytest.param(ADDRESS, ("header", 'scheme = "https"\nheader'), "unknown key", id="T-36 no forwarded scheme"),
    ],
)
def test_one_wrong_thing_is_refused_by_name(folder: Path, good: str, change: tuple[str, str], expected: str) -> None:
    load(folder, BASE + good)
    changed = good.replace(*change, 1)
    assert changed != good
    found = faults(folder, BASE + changed)
    assert any(expected in fault for fault in found), found


def without(text: str, *parts: str) -> str:
    for part in parts:
        assert part in text
        text = text.replace(part, "")
    return text


def test_a_socket_is_a_listener_and_needs_no_tls_of_ours(folder: Path) -> None:
    alone = without(BASE, TLS, 'listen      = "10.0.0.1:8443"\n', 'mtls_listen = "10.0.0.1:8444"\n')
    assert load(folder, alone + SOCKET).tls is None
    assert any("listen: required" in fault for fault in faults(folder, alone))
    assert any("tls: required" in fault for fault in faults(folder, alone))
    assert any("nothing listens that it could connect to" in fault for fault in faults(folder, alone + ADDRESS))


def test_behind_a_proxy_plain_http_is_for_loopback_alone(folder: Path) -> None:
    bare = without(BASE, TLS, 'mtls_listen = "10.0.0.1:8444"\n')
    assert any("only a loopback address may listen" in fault for fault in faults(folder, bare + SOCKET))
    assert load(folder, bare.replace("10.0.0.1", "127.0.0.1") + SOCKET).tls is None


def test_where_a_proxy_asks_for_certificates_is_the_mtls_base(folder: Path) -> None:
    proxied = without(BASE, 'mtls_listen = "10.0.0.1:8444"\n')
    named = proxied.replace("[tls]", 'mtls_url = "https://mtls.example.org"\n[tls]')
    assert load(folder, proxied + SOCKET).mtls_base is None
    assert load(folder, named + SOCKET).mtls_base == "https://mtls.example.org"
    assert any("mtls_url" in fault for fault in faults(folder, named))


def test_management_is_for_clients_whose_certificate_a_proxy_states_too(folder: Path) -> None:
    managed = without(BASE, 'mtls_listen = "10.0.0.1:8444"\n') + "[registration]\nmanagement = true\n"
    assert load(folder, managed + SOCKET).registration.management
    assert any("needs mtls_listen" in fault for fault in faults(folder, managed))


def test_where_no_certificate_is_asked_for_no_proxy_can_show_one(folder: Path) -> None:
    without_mtls = without(BASE, 'mtls_listen = "10.0.0.1:8444"\n')
    load(folder, without_mtls + ADDRESS)
    assert any("needs mtls_listen" in fault for fault in faults(folder, without_mtls + IDENTITY))


@pytest.mark.parametrize(
    ("address", "claimable"),
    [
        ("127.0.0.1/32", True),
        ("127.9.9.9", True),
        ("0.0.0.0/0", True),
        ("::1", True),
        ("10.0.0.1/32", True),
        ("10.0.0.0/24", True),
        ("10.0.0.7/32", False),
        ("2001:db8::/32", False),
    ],
)
def test_an_address_that_every_process_of_the_node_has_is_known_as_such_T_18(
    folder: Path, address: str, claimable: bool
) -> None:
    settings = load(folder, BASE + ADDRESS.replace("10.0.0.7/32", address) + SOCKET)
    assert bool(settings.claimable_proxies) == claimable
    # Whoever can connect from there still has no SVID of the proxy's.
    assert load(folder, BASE + IDENTITY.replace("10.0.0.7/32", address) + SOCKET).claimable_proxies == []
