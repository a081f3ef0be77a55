"""What the sections of trust domains can be wrong about: keys of another source, addresses, bounds."""

from __future__ import annotations

from bridge.config.settings import Settings, TrustDomainSettings
from bridge.metadata.uris import UnfitUri, require_secure
from bridge.model.spiffe_id import InvalidSpiffeId, SpiffeId, TrustDomain

# The key that is wrong, and what is wrong with it.
Faults = list[tuple[tuple[str | int, ...], str]]

# What each source must have, and what it may have.
_KEYS: dict[str, tuple[set[str], set[str]]] = {
    "file": ({"path"}, {"path"}),
    "workload-api": ({"socket"}, {"socket"}),
    "https_web": ({"url"}, {"url", "ca_file"}),
    "https_spiffe": ({"url", "endpoint_spiffe_id"}, {"url", "endpoint_spiffe_id", "bootstrap"}),
}
_ALL_KEYS = ("path", "socket", "url", "ca_file", "endpoint_spiffe_id", "bootstrap")


def trust_domain_faults(settings: Settings) -> Faults:
    """Every such fault, by key."""
    faults: Faults = []
    if not settings.trust_domains:
        faults.append((("trust_domains",), 'at least one is needed: [trust_domains."example.org"]'))
    for name, domain in settings.trust_domains.items():
        key = ("trust_domains", name)
        try:
            TrustDomain.parse(name)
        except InvalidSpiffeId as error:
            faults.append((key, str(error)))
        required, allowed = _KEYS[domain.source]
        given = {one for one in _ALL_KEYS if getattr(domain, one)}
        faults += [((*key, one), f'required for source = "{domain.source}"') for one in sorted(required - given)]
        faults += [((*key, one), f'is no key of source = "{domain.source}"') for one in sorted(given - allowed)]
        faults += [((*key, one), words) for one, words in _endpoint_faults(name, domain, settings)]
        if domain.refresh_min > domain.refresh_max:
            faults.append(((*key, "refresh_min"), "is above refresh_max"))
    return faults


def _endpoint_faults(name: str, domain: TrustDomainSettings, settings: Settings) -> list[tuple[str, str]]:
    faults = []
    if domain.source.startswith("https") and domain.url:
        try:
            require_secure(domain.url, loopback=False)
        except UnfitUri as fault:
            faults.append(("url", f"the URL {fault}"))
    if domain.source == "https_spiffe" and domain.endpoint_spiffe_id:
        try:
            endpoint_id = SpiffeId.parse_workload(domain.endpoint_spiffe_id)
        except InvalidSpiffeId as error:
            return [*faults, ("endpoint_spiffe_id", str(error))]
        other = settings.trust_domains.get(endpoint_id.trust_domain.name)
        if not domain.bootstrap and (endpoint_id.trust_domain.name == name or other is None):
            words = f"required: the first bundle of {endpoint_id.trust_domain}, by which its server proves itself"
            faults.append(("bootstrap", words))
    return faults
