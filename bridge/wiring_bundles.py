"""How trust bundles are fetched from endpoints: the outbound side and verification put together for `spire`."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from bridge.fetch.bundle_endpoints import BundleEndpoints
from bridge.fetch.exchange import Fetched
from bridge.fetch.failures import DocumentFailure, DocumentFault, NetworkFailure
from bridge.model.bundle import BundleHealth, TrustBundle
from bridge.model.errors import EvidenceRejected
from bridge.spire.polling import Endpoint, FetchBundle, FetchedBundle, PollFailed, SpiffeEndpoint
from bridge.verify.endpoint_svid import check_endpoint

# What was sent and makes no sense; everything else is a server that could not be asked.
_SENSELESS = {DocumentFault.TOO_LARGE, DocumentFault.ENCODING, DocumentFault.MALFORMED, DocumentFault.MEDIA_TYPE}

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
            raise PollFailed(BundleHealth.UNREACHABLE, error.fault.value, error.detail) from error
        except EvidenceRejected as error:
            words = f"the server is not {getattr(endpoint, 'endpoint_id', 'the endpoint')}: {error}"
            raise PollFailed(BundleHealth.UNREACHABLE, "tls", words) from error
        except OSError as error:
            raise PollFailed(BundleHealth.UNREACHABLE, "ca_file", f"ca_file cannot be used ({error})") from error
        return FetchedBundle(None if fetched.status == 304 else fetched.body, fetched.etag or "")

    return fetch
