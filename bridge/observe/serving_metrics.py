"""What the server itself saw, before any endpoint did."""

from __future__ import annotations

from bridge.model.reasons import ServerReason
from bridge.observe import metrics


class ServingMetrics:
    """Counts what the server reports; every string it passes is of a small closed set."""

    def __init__(self) -> None:
        # By kind (`file`, `svid`): when what is shown ends, and why what there is now is not in use.
        self.certificate_ends: dict[str, int] = {}
        self.certificate_faults: dict[str, str] = {}
        # From 0 on: Prometheus sees no increase in a series that begins with 1.
        for reason in (ServerReason.QUEUE_FULL, ServerReason.WAITED_TOO_LONG):
            metrics.refusals.labels("server", reason.value).inc(0)
        for kind in ("file", "svid"):
            metrics.certificates_refused.labels(kind).inc(0)

    def handshake_failed(self, listener: str, reason: str) -> None:
        """A TLS handshake ended before there was a request."""
        metrics.handshake_failures.labels(listener, reason).inc()

    def request_refused(self, listener: str, status: int, reason: str) -> None:
        """A request was refused before it reached the application, for a ServerReason."""
        metrics.requests.labels("server", str(status)).inc()
        metrics.refusals.labels("server", ServerReason(reason).value).inc()

    def certificate_loaded(self, kind: str, not_after: int) -> None:
        """A server certificate is in force; `not_after` epoch seconds."""
        self.certificate_ends[kind] = not_after
        self.certificate_faults.pop(kind, None)
        metrics.certificate_expiry.labels(kind).set(not_after)

    def certificate_refused(self, kind: str, why: str) -> None:
        """A changed certificate could not be used; the former one stays."""
        self.certificate_faults[kind] = why
        metrics.certificates_refused.labels(kind).inc()

    def load(self, connections: int, requests: int) -> None:
        """How much this worker holds open."""
        metrics.open_connections.set(connections)
        metrics.requests_waiting.set(requests)
