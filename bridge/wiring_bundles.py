"""From configured trust domains to their sources: what `spire`, `fetch` and `verify` need of each other for bundles."""

from __future__ import annotations

import random
import secrets
import ssl
from collections.abc import Callable
from pathlib import Path

from bridge.config import Settings
from bridge.config.settings import TrustDomainSettings
from bridge.fetch.bundle_endpoints import BundleEndpoints
from bridge.fetch.exchange import Fetched
from bridge.fetch.failures import DocumentFailure, DocumentFault, NetworkFailure, NetworkFault
from bridge.model.bundle import BundleHealth, TrustBundle
from bridge.model.errors import EvidenceRejected, StartRefused
from bridge.model.polled_bundle import PolledBundles
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import SpiffeId, TrustDomain
from bridge.observe import metrics
from bridge.serving.peer import sent_chain
from bridge.spire.endpoint import InvalidEndpoint, WorkloadEndpoint
from bridge.spire.polled_source import Polling
from bridge.spire.polling import (
    Endpoint,
    FetchBundle,
    FetchedBundle,
    PolledOptions,
    PollFailed,
    SpiffeEndpoint,
    WebEndpoint,
)
from bridge.spire.sources import FileSourceOptions, SourceOptions, WorkloadApiOptions
from bridge.spire.unshared_records import UnsharedRecords
from bridge.verify.endpoint_svid import check_endpoint

# What was sent and makes no sense; everything else is a server that could not be asked.
_SENSELESS = {DocumentFault.TOO_LARGE, DocumentFault.ENCODING, DocumentFault.MALFORMED, DocumentFault.MEDIA_TYPE}

# What an operator can do about a server that does not prove to be the configured one.
_REMEDIES = {
    Reason.X509_LEAF: "; a server with an ordinary web certificate is of profile https_web",
    Reason.X509_PATH: "; where no bundle announced its CA, a new `bootstrap` bundle from its people cures that",
}

# The certificates that the other end of a connection sent, DER, leaf first.
ChainOf = Callable[[ssl.SSLSocket], tuple[bytes, ...]]


def bundle_fetch(endpoints: BundleEndpoints, chain_of: ChainOf) -> FetchBundle:
    """What asks an endpoint of either profile."""

    def ask(endpoint: Endpoint, etag: str, anchors: TrustBundle | None, now: int) -> Fetched:
        if not isinstance(endpoint, SpiffeEndpoint):
            return endpoints.get_web(endpoint.url, ca_file=endpoint.ca_file, etag=etag or None)
        if anchors is None:
            raise AssertionError("an https_spiffe endpoint is verified by a bundle")
        bundle, expected = anchors, endpoint.endpoint_id

        def peer(connection: ssl.SSLSocket) -> None:
            check_endpoint(chain_of(connection), bundle, expected, now=now)

        return endpoints.get_spiffe(endpoint.url, peer=peer, etag=etag or None)

    def fetch(endpoint: Endpoint, *, etag: str, anchors: TrustBundle | None, now: int) -> FetchedBundle:
        try:
            fetched = ask(endpoint, etag, anchors, now)
        except DocumentFailure as error:
            health = BundleHealth.MALFORMED if error.fault in _SENSELESS else BundleHealth.UNREACHABLE
            raise PollFailed(health, error.fault.value, error.detail) from error
        except NetworkFailure as error:
            words = error.detail + (_web_anchors(endpoint) if error.fault is NetworkFault.TLS else "")
            raise PollFailed(BundleHealth.UNREACHABLE, error.fault.value, words) from error
        except EvidenceRejected as error:
            words = f"the server is not {getattr(endpoint, 'endpoint_id', 'the endpoint')}: {error}"
            words += _REMEDIES.get(error.reason, "")
            raise PollFailed(BundleHealth.UNREACHABLE, "tls", words) from error
        except OSError as error:
            raise PollFailed(BundleHealth.UNREACHABLE, "ca_file", f"ca_file cannot be used ({error})") from error
        return FetchedBundle(None if fetched.status == 304 else fetched.body, fetched.etag or "")

    return fetch


def _web_anchors(endpoint: Endpoint) -> str:
    """By whose word the server of an https_web endpoint is verified: most often that is what is missing."""
    if not isinstance(endpoint, WebEndpoint):
        return ""
    return "; verified by the system's CAs" + (
        f" and those of {endpoint.ca_file}" if endpoint.ca_file else ", `ca_file` names others"
    )


def bundle_options(settings: Settings) -> list[SourceOptions]:
    """What each configured trust domain says of its source. Raises: StartRefused."""
    return [_options(TrustDomain.parse(name), domain) for name, domain in settings.trust_domains.items()]


def _options(trust_domain: TrustDomain, domain: TrustDomainSettings) -> SourceOptions:
    if domain.path is not None:
        return FileSourceOptions(trust_domain, Path(domain.path), domain.max_stale)
    if domain.socket is not None:
        try:
            return WorkloadApiOptions(trust_domain, WorkloadEndpoint.parse(domain.socket), domain.max_stale)
        except InvalidEndpoint as error:
            raise StartRefused([f"trust_domains.{trust_domain}.socket: {error}"]) from error
    assert domain.url is not None, "the configuration was checked"
    endpoint: Endpoint = WebEndpoint(domain.url, domain.ca_file)
    if domain.endpoint_spiffe_id is not None:
        bootstrap = None if domain.bootstrap is None else Path(domain.bootstrap)
        endpoint = SpiffeEndpoint(domain.url, SpiffeId.parse_workload(domain.endpoint_spiffe_id), bootstrap)
    return PolledOptions(trust_domain, endpoint, domain.max_stale, domain.refresh_min, domain.refresh_max)


def bundle_polling(records: PolledBundles, *, seal_key: bytes, holder: str, asks: bool = True) -> Polling:
    """How this process polls: what it shares in `records`, and how it asks, when it `asks` by itself."""
    return Polling(
        records=records,
        fetch=bundle_fetch(BundleEndpoints(), sent_chain),
        seal_key=seal_key,
        holder=holder,
        share=random.random,
        observe=lambda trust_domain, outcome: metrics.bundle_polls.labels(trust_domain.name, outcome).inc(),
        asks=asks,
    )


def unshared_polling(*, asks: bool = True) -> Polling:
    """For a look at endpoints where there is no service yet."""
    return bundle_polling(UnsharedRecords(), seal_key=secrets.token_bytes(32), holder="unshared", asks=asks)


def copied_polling(settings: Settings, records: PolledBundles, seal_key: bytes) -> Polling:
    """For a look at endpoints as a service would take their answers, which changes nothing of what it goes by."""
    known = []
    for option in bundle_options(settings):
        if isinstance(option, PolledOptions):
            place = (option.trust_domain.name, option.endpoint.source)
            polled = records.find(*place)
            if polled is not None and polled.version:
                known.append((polled, records.body(*place)))
    return bundle_polling(UnsharedRecords(known), seal_key=seal_key, holder="unshared", asks=False)
