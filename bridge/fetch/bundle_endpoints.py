"""Bundles from the endpoints that the configuration names: bounded in size and time, no redirect, TLS always
(SPIFFE-27, SPIFFE-29; T-6). Apart from the fetches of requests: neither takes the other's slots."""

from __future__ import annotations

import re
import ssl
import time
from pathlib import Path

from bridge.fetch.connecting import tls_context
from bridge.fetch.deadline import Clock
from bridge.fetch.exchange import Fetched, MediaTypes
from bridge.fetch.guarded import CONNECT_SECONDS, CheckPeer, guarded_get
from bridge.fetch.guards import OperatorsAddress
from bridge.fetch.resolving import Resolver, SystemResolver
from bridge.files.paths import FileFingerprint, fingerprint

MAX_BUNDLE_BYTES = 1024 * 1024
TOTAL_SECONDS = 10.0
# Servers should say application/json and need not: what it is, reading it shows.
_ANY = MediaTypes("application/json, */*;q=0.1", re.compile(r".*", re.DOTALL))
# Contexts with CAs of their own hold some hundred kilobytes each; most trust domains share one.
_MOST_CONTEXTS = 8


class BundleEndpoints:
    """Asks bundle endpoints. Thread-safe; how many threads ask at once is the caller's to bound."""

    def __init__(
        self,
        *,
        resolve: Resolver | None = None,
        seconds: float = TOTAL_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
        clock: Clock = time.monotonic,
    ) -> None:
        self._resolve, self._guard = resolve or SystemResolver(), OperatorsAddress()
        self._seconds, self._connect_seconds, self._clock = seconds, connect_seconds, clock
        self._contexts: dict[str | None, tuple[FileFingerprint | None, ssl.SSLContext]] = {}
        self._unverified = _by_spiffe_id()

    def get_web(self, url: str, *, ca_file: str | None, etag: str | None) -> Fetched:
        """Profile https_web: the server is who the URL's host says, by the system's CAs and those of `ca_file`.

        Raises: DocumentFailure; NetworkFailure; OSError when `ca_file` holds no certificate.
        """
        return self._get(url, self._context(ca_file), etag, None)

    def get_spiffe(self, url: str, *, peer: CheckPeer, etag: str | None) -> Fetched:
        """Profile https_spiffe: `peer` decides whether the server is the right one, from the chain that it presents;
        nothing is sent to one that is not. The name in the URL plays no part.

        Raises: DocumentFailure; NetworkFailure; what `peer` raises.
        """
        return self._get(url, self._unverified, etag, peer)

    def _get(self, url: str, context: ssl.SSLContext, etag: str | None, peer: CheckPeer | None) -> Fetched:
        return guarded_get(
            url,
            guard=self._guard,
            resolve=self._resolve,
            context=context,
            accept=_ANY,
            max_bytes=MAX_BUNDLE_BYTES,
            etag=etag,
            peer=peer,
            seconds=self._seconds,
            connect_seconds=self._connect_seconds,
            clock=self._clock,
        )

    def _context(self, ca_file: str | None) -> ssl.SSLContext:
        """Made anew when the file has changed."""
        now = None if ca_file is None else fingerprint(Path(ca_file))
        kept = self._contexts.get(ca_file)
        if kept is not None and kept[0] == now:
            return kept[1]
        context = tls_context(ca_file)
        if len(self._contexts) < _MOST_CONTEXTS or ca_file in self._contexts:
            self._contexts[ca_file] = (now, context)
        return context


def _by_spiffe_id() -> ssl.SSLContext:
    """TLS that proves which key the server has and leaves to `peer` whose it is: the library would look for a host
    name, which an SVID does not have to hold, and in CAs that vouch for web servers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context
