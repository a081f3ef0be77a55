"""Which IP addresses are of the public internet: our own table of all that are not.

The standard library's `is_global` follows the registries of its own release and looks only at the outermost form
of an address; a peer was read out through each of the gaps. This table is written out instead, held against the
IANA special-purpose registries by a test, and closed at both ends: IPv6 outside the one range that is handed out
as global unicast is refused whether anybody named it or not (T-1, CIMD-11).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

# Rows that the registry calls globally reachable (anycast of PCP and TURN, AS112, AMT, ORCHIDv2, DETs) are in it
# too: no client's web host is there, and RFC 6890 lists them as special.
SPECIAL_IPV4: tuple[tuple[IPv4Network, str], ...] = tuple(
    (IPv4Network(network), name)
    for network, name in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private use"),
        ("100.64.0.0/10", "shared address space"),
        ("127.0.0.0/8", "loopback"),
        # The instance metadata of most clouds answers at 169.254.169.254.
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private use"),
        ("192.0.0.0/24", "IETF protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "AS112"),
        ("192.52.193.0/24", "AMT"),
        ("192.88.99.0/24", "6to4 relay anycast"),
        ("192.168.0.0/16", "private use"),
        ("192.175.48.0/24", "AS112"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        # In no registry: the registry of special purposes leaves multicast to one of its own, and one cloud
        # gives its hosts' agent, which hands out secrets, an address that looks public.
        ("224.0.0.0/4", "multicast"),
        ("168.63.129.16/32", "a cloud's host agent"),
        ("240.0.0.0/4", "reserved"),
    )
)

SPECIAL_IPV6: tuple[tuple[IPv6Network, str], ...] = tuple(
    (IPv6Network(network), name)
    for network, name in (
        ("::1/128", "loopback"),
        ("::/128", "unspecified"),
        # Forms of IPv4 addresses that some stacks connect to as such. No name server has an honest use for them.
        ("::/96", "IPv4-compatible"),
        ("::ffff:0:0/96", "IPv4-mapped"),
        ("::ffff:0:0:0/96", "IPv4-translated"),
        ("64:ff9b:1::/48", "local-use NAT64"),
        ("100::/64", "discard-only"),
        ("100:0:0:1::/64", "dummy prefix"),
        # Teredo, benchmarking, AMT, AS112, both ORCHIDs and the rest of what the IETF keeps there.
        ("2001::/23", "IETF protocol assignments"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("2620:4f:8000::/48", "AS112"),
        ("3fff::/20", "documentation"),
        ("5f00::/16", "segment routing"),
        ("fc00::/7", "unique-local"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)

# RFC 4291 section 2.4 and the IANA IPv6 address space registry: nothing else was ever handed out.
GLOBAL_UNICAST = IPv6Network("2000::/3")
# RFC 6052: where this prefix is routed, a gateway connects to the IPv4 address in the last 32 bits.
NAT64 = IPv6Network("64:ff9b::/96")


def special_use(address: Address) -> str | None:
    """What keeps an address from being a public one, in words for a log; None when it is public.

    An address of the well-known NAT64 prefix is what its embedded IPv4 address is: with DNS64 every IPv4 host
    has such a one. Spec: RFC 6890; CIMD-11. Not checked: that anybody is there, and who.
    """
    if isinstance(address, IPv4Address):
        return next((name for network, name in SPECIAL_IPV4 if address in network), None)
    if address.scope_id is not None:
        return "scoped"
    if address in NAT64:
        inner = special_use(IPv4Address(int(address) & 0xFFFFFFFF))
        return None if inner is None else f"NAT64 of {inner}"
    for network, name in SPECIAL_IPV6:
        if address in network:
            return name
    return None if address in GLOBAL_UNICAST else "not global unicast"


def is_public(address: Address) -> bool:
    """Whether a guarded fetch may connect to it; see `special_use`."""
    return special_use(address) is None


def parse_address(text: str) -> Address | None:
    """The address that a resolver or a URL's host spells, an IPv6 one with or without brackets; None for a name."""
    try:
        return ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
