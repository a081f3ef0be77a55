"""What the listeners can be wrong about: addresses, what they show in TLS, and the proxies they believe."""

from __future__ import annotations

import os

from bridge.config.console import LONGEST_SOCKET_PATH
from bridge.config.settings import Settings, TlsSettings, TrustedProxySettings
from bridge.config.values import is_loopback
from bridge.model.spiffe_id import InvalidSpiffeId, SpiffeId

# The key that is wrong, and what is wrong with it.
Faults = list[tuple[tuple[str | int, ...], str]]


def listener_faults(settings: Settings) -> Faults:
    """Every such fault, by key."""
    return [*_address_faults(settings), *_tls_faults(settings), *_proxy_faults(settings)]


def _address_faults(settings: Settings) -> Faults:
    faults: Faults = []
    by_socket = any(proxy.unix for proxy in settings.trusted_proxies)
    if settings.listen is None and settings.mtls_listen is None and not by_socket:
        faults.append((("listen",), "required: set listen, mtls_listen or both, or a trusted proxy's unix socket"))
    plain_http = settings.issuer.startswith("http://")
    if settings.tls is None and not plain_http and not settings.trusted_proxies:
        faults.append((("tls",), "required for an https issuer: certificate and private_key"))
    if settings.tls is None and settings.mtls_listen is not None:
        faults.append((("mtls_listen",), "needs [tls]: client certificates come in a TLS handshake"))
    if settings.tls is None and settings.listen is not None and not is_loopback(settings.listen):
        faults.append((("listen",), "without [tls] only a loopback address may listen"))
    if settings.tls is not None and plain_http:
        faults.append((("issuer",), "is http, but [tls] is configured; write https"))
    if settings.mtls_url is not None and settings.mtls_listen is None and not settings.trusted_proxies:
        faults.append((("mtls_url",), "is for mtls_listen, which is not set, or a trusted proxy that asks instead"))
    addresses = [a for a in (settings.listen, settings.mtls_listen, settings.metrics_listen) if a]
    if len({a for a in addresses if not a.endswith(":0")}) != len([a for a in addresses if not a.endswith(":0")]):
        faults.append((("listen",), "two listeners have the same address"))
    return faults


def _tls_faults(settings: Settings) -> Faults:
    tls = settings.tls
    if tls is None:
        return []
    faults: Faults = _certificate_faults(tls)
    if tls.workload_api is not None and tls.certificate is not None:
        words = "beside a certificate is for mtls_listen, and the certificate for listen: set both"
        if settings.listen is None or settings.mtls_listen is None:
            faults.append((("tls", "workload_api"), words))
    if tls.spiffe_id is not None:
        if tls.workload_api is None:
            faults.append((("tls", "spiffe_id"), "says which SVID workload_api is to give, which is not set"))
        if (fault := _id_fault(tls.spiffe_id)) is not None:
            faults.append((("tls", "spiffe_id"), fault))
    return faults


def _certificate_faults(tls: TlsSettings) -> Faults:
    if tls.certificate is None and tls.private_key is None:
        if tls.workload_api is None:
            return [(("tls",), "certificate and private_key are required, or workload_api")]
        return []
    missing = [key for key in ("certificate", "private_key") if getattr(tls, key) is None]
    return [(("tls", key), "required, and not there") for key in missing]


def _id_fault(text: str) -> str | None:
    try:
        SpiffeId.parse_workload(text)
    except InvalidSpiffeId as error:
        return str(error)
    return None


def _proxy_faults(settings: Settings) -> Faults:
    faults: Faults = []
    sockets: set[str] = set()
    before: list[TrustedProxySettings] = []
    for place, proxy in enumerate(settings.trusted_proxies):
        key = ("trusted_proxies", place)
        if (proxy.unix is None) == (proxy.address is None):
            faults.append((key, "is known either by `unix` or by `address`: set one of them"))
        if proxy.unix is not None:
            if len(os.fsencode(proxy.unix)) > LONGEST_SOCKET_PATH:
                words = f"{proxy.unix}: a socket's path has at most {LONGEST_SOCKET_PATH} bytes"
                faults.append(((*key, "unix"), words))
            if proxy.unix in sockets:
                faults.append(((*key, "unix"), "is the socket of another trusted proxy too"))
            sockets.add(proxy.unix)
        faults += [((*key, "address"), words) for words in _overlaps(proxy, before)]
        faults += [((*key, "spiffe_id"), words) for words in _identity_faults(proxy, settings)]
        before.append(proxy)
    if settings.listen is None and settings.mtls_listen is None:
        faults += [
            (("trusted_proxies", place, "address"), "nothing listens that it could connect to: set listen")
            for place, proxy in enumerate(settings.trusted_proxies)
            if proxy.address is not None
        ]
    return faults


def _overlaps(proxy: TrustedProxySettings, before: list[TrustedProxySettings]) -> list[str]:
    """One header kind per address and SPIFFE ID: which of two would hold must not hang on their order. And a proxy that
    has to show who it is beside one that need not would not have to either."""
    network, faults = proxy.network, []
    for other in before:
        if network is None or other.network is None or not network.overlaps(other.network):
            continue
        if (proxy.spiffe_id is None) != (other.spiffe_id is None):
            faults.append(f"overlaps {other.network}; of the two only one has a spiffe_id, which then keeps nobody out")
        elif proxy.spiffe_id == other.spiffe_id and proxy.header != other.header:
            faults.append(f"overlaps {other.network}, whose header is another")
    return faults


def _identity_faults(proxy: TrustedProxySettings, settings: Settings) -> list[str]:
    if proxy.spiffe_id is None:
        return []
    if proxy.address is None:
        return ["is for a proxy that comes by TLS, from an `address`"]
    if settings.mtls_listen is None:
        return ["needs mtls_listen: it is there that a proxy shows its certificate"]
    try:
        trust_domain = SpiffeId.parse_workload(proxy.spiffe_id).trust_domain.name
    except InvalidSpiffeId as error:
        return [str(error)]
    known = trust_domain in settings.trust_domains
    return [] if known else [f'nobody vouches for it: there is no [trust_domains."{trust_domain}"]']
