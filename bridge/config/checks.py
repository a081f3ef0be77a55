"""What only several keys of a configuration can be wrong about, and what this release does not have yet."""

from __future__ import annotations

from pathlib import Path

from bridge.config.settings import Settings, is_loopback
from bridge.model.spiffe_id import InvalidSpiffeId, TrustDomain

DRAFTS = {
    "spiffe_client_auth": "02",
    "register_on_first_use": "01",
    "dcr_trusted_issuer": "01",
    "client_id_metadata_document": "02",
    "pushed_client_registration": "00",
}
_NOT_BUILT = "not in this version"

# The key that is wrong, and what is wrong with it.
Faults = list[tuple[tuple[str | int, ...], str]]


def cross_checks(settings: Settings) -> Faults:
    """Every such fault, by key."""
    return [
        *_listener_faults(settings),
        *_store_faults(settings),
        *_trust_domain_faults(settings),
        *_token_faults(settings),
        *_draft_faults(settings),
        *_not_built_faults(settings),
    ]


def serving_faults(settings: Settings) -> Faults:
    """What only matters where the service itself starts: files that an operator's account need not see."""
    if settings.tls is None:
        return []
    files = {"certificate": settings.tls.certificate, "private_key": settings.tls.private_key}
    return [(("tls", key), f"no such file: {path}") for key, path in files.items() if not Path(path).is_file()]


def _listener_faults(settings: Settings) -> Faults:
    faults: Faults = []
    if settings.listen is None and settings.mtls_listen is None:
        faults.append((("listen",), "required: set listen, mtls_listen or both"))
    plain_http = settings.issuer.startswith("http://")
    if settings.tls is None and not plain_http:
        faults.append((("tls",), "required for an https issuer: certificate and private_key"))
    if settings.tls is None and settings.mtls_listen is not None:
        faults.append((("mtls_listen",), "needs [tls]: client certificates come in a TLS handshake"))
    if settings.tls is None and settings.listen is not None and not is_loopback(settings.listen):
        faults.append((("listen",), "without [tls] only a loopback address may listen"))
    if settings.tls is not None and plain_http:
        faults.append((("issuer",), "is http, but [tls] is configured; write https"))
    if settings.mtls_url is not None and settings.mtls_listen is None:
        faults.append((("mtls_url",), "is for mtls_listen, which is not set"))
    addresses = [a for a in (settings.listen, settings.mtls_listen, settings.metrics_listen) if a]
    if len({a for a in addresses if not a.endswith(":0")}) != len([a for a in addresses if not a.endswith(":0")]):
        faults.append((("listen",), "two listeners have the same address"))
    return faults


def _store_faults(settings: Settings) -> Faults:
    url = settings.store.url
    if url.startswith("postgresql://"):
        return [(("store", "url"), f"postgresql:// is {_NOT_BUILT}; use sqlite:///FILE")]
    if not url.startswith("sqlite:///") or url == "sqlite:///":
        return [(("store", "url"), "must be sqlite:///FILE")]
    if not settings.database.parent.is_dir():
        return [(("store", "url"), f"no such folder: {settings.database.parent}")]
    return []


_SOURCE_KEYS: dict[str, tuple[set[str], set[str]]] = {
    "file": ({"path"}, {"path"}),
    "workload-api": ({"socket"}, {"socket"}),
    "https_web": ({"url"}, {"url", "ca_file"}),
    "https_spiffe": ({"url", "endpoint_spiffe_id"}, {"url", "endpoint_spiffe_id", "bootstrap"}),
}


def _trust_domain_faults(settings: Settings) -> Faults:
    faults: Faults = []
    if not settings.trust_domains:
        faults.append((("trust_domains",), 'at least one is needed: [trust_domains."example.org"]'))
    for name, domain in settings.trust_domains.items():
        key = ("trust_domains", name)
        try:
            TrustDomain.parse(name)
        except InvalidSpiffeId as error:
            faults.append((key, str(error)))
        required, allowed = _SOURCE_KEYS[domain.source]
        given = {
            k for k in ("path", "socket", "url", "ca_file", "endpoint_spiffe_id", "bootstrap") if getattr(domain, k)
        }
        faults += [((*key, k), f'required for source = "{domain.source}"') for k in sorted(required - given)]
        faults += [((*key, k), f'is no key of source = "{domain.source}"') for k in sorted(given - allowed)]
        if domain.source.startswith("https"):
            faults.append(((*key, "source"), f'"{domain.source}" is {_NOT_BUILT}; use file or workload-api'))
        if domain.refresh_min > domain.refresh_max:
            faults.append(((*key, "refresh_min"), "is above refresh_max"))
    return faults


def _token_faults(settings: Settings) -> Faults:
    faults: Faults = []
    if settings.tokens.default_ttl > settings.tokens.max_ttl:
        faults.append((("tokens", "default_ttl"), "is above max_ttl"))
    return faults


def _draft_faults(settings: Settings) -> Faults:
    faults: Faults = []
    for name, number in settings.drafts.items():
        if name not in DRAFTS:
            faults.append((("drafts", name), f"unknown draft; known: {', '.join(DRAFTS)}"))
        elif number != DRAFTS[name]:
            faults.append((("drafts", name), f'this release knows "{DRAFTS[name]}", not "{number}"'))
    return faults


def _not_built_faults(settings: Settings) -> Faults:
    """Sections of the contract whose doors come in a later release. Silence would look like protection."""
    faults: Faults = []
    for name in ("trusted_proxies", "statement_issuers", "fetch", "users"):
        if getattr(settings, name):
            faults.append(((name,), f"is {_NOT_BUILT}; take the section out"))
    if settings.registration.management:
        faults.append((("registration", "management"), f"is {_NOT_BUILT}; set it to false"))
    if "pushed_client_registration" in settings.drafts:
        faults.append((("drafts", "pushed_client_registration"), f"is {_NOT_BUILT}; take the line out"))
    return faults
