"""What the server itself saw, before any endpoint did."""

from __future__ import annotations

from bridge.observe import metrics


class ServingMetrics:
    """Counts what the server reports; every string it passes is of a small closed set."""

    def __init__(self) -> None:
        self.certificate_not_after: int | None = None
        # Why the files as they stand are not in use; empty when they are.
        self.certificate_fault = ""

    def handshake_failed(self, listener: str, reason: str) -> None:
        """A TLS handshake ended before there was a request."""
        metrics.handshake_failures.labels(listener, reason).inc()

    def request_refused(self, listener: str, status: int, reason: str) -> None:
        """A request was refused before it reached the application."""
        metrics.requests.labels("server", str(status)).inc()
        metrics.refusals.labels("server", reason).inc()

    def certificate_loaded(self, not_after: int) -> None:
        """A server certificate is in force; `not_after` epoch seconds."""
        self.certificate_not_after = not_after
        self.certificate_fault = ""
        metrics.certificate_expiry.set(not_after)

    def certificate_refused(self, why: str) -> None:
        """A changed certificate could not be used; the former one stays."""
        self.certificate_fault = why
        metrics.certificates_refused.inc()

    def load(self, connections: int, requests: int) -> None:
        """How much this worker holds open."""
        metrics.open_connections.set(connections)
        metrics.requests_waiting.set(requests)
