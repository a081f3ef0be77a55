"""Where the web layer reports: metrics always, a log line for what somebody may ask about later."""

from __future__ import annotations

import logging
import sys

from bridge.model.errors import BridgeError, Unavailable
from bridge.model.reasons import Reason
from bridge.observe import metrics

_log = logging.getLogger("bridge.web")


class RequestObserver:
    """One per worker. The exact reason of a refusal is said here and nowhere on the wire."""

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        """An answer left. `endpoint` is a route's name, so that no caller can invent label values."""
        metrics.requests.labels(endpoint, str(status)).inc()
        metrics.request_seconds.labels(endpoint).observe(seconds)

    def refused(self, door: str, error: Exception, correlation_id: str, source_address: str) -> None:
        """A request was refused for a domain reason."""
        reason = error.reason if isinstance(error, BridgeError) else Reason.MALFORMED_REQUEST
        metrics.refusals.labels(door, reason.value).inc()
        if isinstance(error, Unavailable):
            metrics.store_failures.inc()
        _log.log(
            logging.ERROR if isinstance(error, Unavailable) else logging.INFO,
            "refused",
            extra={
                "correlation_id": correlation_id,
                "door": door,
                "reason": reason.value,
                "detail": str(error),
                "source_address": source_address,
            },
        )

    def failed(self, endpoint: str, correlation_id: str) -> None:
        """A defect of ours reached the boundary; called while its exception is being handled."""
        _log.error("failed", exc_info=sys.exc_info(), extra={"correlation_id": correlation_id, "door": endpoint})

    def token_issued(self, grant_type: str) -> None:
        """A token left."""
        metrics.tokens.labels(grant_type).inc()
