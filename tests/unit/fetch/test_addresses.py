"""The table of special addresses, held against the IANA registries and against what those lack (T-1, CIMD-11)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.fetch.addresses import (
    GLOBAL_UNICAST,
    NAT64,
    SPECIAL_IPV4,
    SPECIAL_IPV6,
    is_public,
    parse_address,
    special_use,
)
from tests.vectors import FOLDER

REGISTRIES = ("iana-ipv4-special-registry-1.csv", "iana-ipv6-special-registry-1.csv")


def rows() -> Iterator[str]:
    """Every block of both registries; footnote marks and cells of two blocks taken apart."""
    for name in REGISTRIES:
        path = FOLDER / name
        if not path.is_file():
            return
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                for block in row["Address Block"].split(","):
                    yield block.split("[")[0].strip()


ROWS = tuple(rows())
needs_registries = pytest.mark.skipif(not ROWS, reason="the registries are not beside the checkout")


@needs_registries
@pytest.mark.parametrize("block", ROWS)
def test_every_row_of_the_registries_is_in_the_table_T_1_CIMD_11(block: str) -> None:
    network = ip_network(block)
    if network == NAT64:
        return
    table = SPECIAL_IPV4 if network.version == 4 else SPECIAL_IPV6
    assert any(network.subnet_of(one) for one, _ in table)  # type: ignore[arg-type]


@needs_registries
@given(data=st.data())
def test_every_address_of_every_row_is_refused_T_1_CIMD_11(data: st.DataObject) -> None:
    network = ip_network(data.draw(st.sampled_from(ROWS)))
    size = network.num_addresses
    offset = data.draw(st.sampled_from([0, size - 1]) | st.integers(0, size - 1))
    address = network[offset]
    if network == NAT64:
        # The one prefix whose addresses are what their embedded IPv4 address is.
        assert is_public(address) is is_public(IPv4Address(offset))
    else:
        assert not is_public(address)


@needs_registries
def test_the_registries_are_whole() -> None:
    assert len(ROWS) > 50
    assert {"169.254.0.0/16", "192.0.0.171/32", "fe80::/10", "2002::/16"} <= set(ROWS)


@pytest.mark.parametrize(
    "public",
    [
        "8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0",
        "198.17.255.255", "198.20.0.0", "223.255.255.255", "168.63.129.15", "2001:4860:4860::8888",
        "2606:4700::1111", "2001:200::1", "3ffe::1", "64:ff9b::808:808",
    ],
)  # fmt: skip
def test_public_addresses_are_public(public: str) -> None:
    assert is_public(ip_address(public))


@pytest.mark.parametrize(
    "inner",
    [
        pytest.param("169.254.169.254", id="the metadata of a cloud"),
        pytest.param("fd00:ec2::254", id="the metadata of a cloud by IPv6"),
        pytest.param("100.100.100.200", id="the metadata of a cloud in shared space"),
        pytest.param("192.0.0.192", id="the metadata of a cloud in IETF space"),
        pytest.param("168.63.129.16", id="the host agent of a cloud"),
        pytest.param("224.0.0.1", id="multicast"),
        pytest.param("ff02::1", id="IPv6 multicast"),
        pytest.param("ff0e::1", id="IPv6 multicast of global scope"),
        pytest.param("::ffff:127.0.0.1", id="mapped loopback"),
        pytest.param("::ffff:8.8.8.8", id="mapped, even if public"),
        pytest.param("::127.0.0.1", id="compatible loopback"),
        pytest.param("::8.8.8.8", id="compatible, even if public"),
        pytest.param("::ffff:0:7f00:1", id="translated loopback"),
        pytest.param("64:ff9b::7f00:1", id="NAT64 of loopback"),
        pytest.param("64:ff9b::a9fe:a9fe", id="NAT64 of the metadata of a cloud"),
        pytest.param("64:ff9b::a00:1", id="NAT64 of private use"),
        pytest.param("64:ff9b:1::808:808", id="local NAT64"),
        pytest.param("2002:7f00:1::1", id="6to4 of loopback"),
        pytest.param("2002:808:808::1", id="6to4, even if public"),
        pytest.param("2001:0:808:808::1", id="Teredo"),
        pytest.param("fec0::1", id="site-local"),
        pytest.param("fe80::1%1", id="scoped"),
        pytest.param("4000::1", id="never handed out"),
        pytest.param("1fff::1", id="below global unicast"),
    ],
)
def test_what_only_looks_public_is_not_T_1(inner: str) -> None:
    assert special_use(ip_address(inner))


@given(st.integers(0, 2**128 - 1))
def test_no_ipv6_address_outside_global_unicast_and_nat64_is_public(number: int) -> None:
    address = IPv6Address(number)
    if is_public(address):
        assert address in GLOBAL_UNICAST or address in NAT64


@given(st.integers(0, 2**32 - 1))
def test_forms_that_hold_an_ipv4_address_are_never_more_public_than_it(number: int) -> None:
    for prefix in ("::/96", "::ffff:0:0/96", "64:ff9b::/96"):
        embedding = IPv6Network(prefix)[number]
        assert not is_public(embedding) or is_public(IPv4Address(number))


@given(st.integers(0, 2**32 - 1))
def test_nothing_that_the_standard_library_calls_private_is_public(number: int) -> None:
    address = IPv4Address(number)
    assert not (is_public(address) and address.is_private)


def test_texts_that_are_addresses_are_read_and_names_are_none() -> None:
    assert parse_address("[::1]") == IPv6Address("::1")
    assert parse_address("127.0.0.1") == IPv4Address("127.0.0.1")
    assert [parse_address(text) for text in ("docs.example", "127.1", "0x7f.0.0.1", "", "1.2.3.4.5")] == [None] * 5
