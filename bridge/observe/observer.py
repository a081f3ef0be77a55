"""Where the web layer reports: metrics always, a log line for what somebody may ask about later."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from functools import cache

from prometheus_client import Counter, Histogram

from bridge.model.errors import BridgeError, LimitReached, Unavailable
from bridge.model.reasons import Reason
from bridge.observe import metrics

_log = logging.getLogger("bridge.web")

# The endpoints that look for a client's certificate.
CREDENTIAL_DOORS = ("token", "par", "introspect", "revoke", "register", "registration")
# An ask may fill a whole request. The audit row has it in full; a log line keeps so much of each part.
_MAX_NAMES = 16
_MAX_CHARACTERS = 256


class RequestObserver:
    """One per worker. The exact reason of a refusal is said here and nowhere on the wire."""

    def __init__(self) -> None:
        # From 0 on what alerts count the increase of: Prometheus sees none in a series that begins with 1.
        for door in CREDENTIAL_DOORS:
            metrics.refusals.labels(door, Reason.CERTIFICATE_HEADER.value).inc(0)
        for reason in Reason:
            metrics.identity_refusals.labels(reason.value).inc(0)
        metrics.requests.labels("token", "503").inc(0)

    def answered(self, endpoint: str, status: int, seconds: float) -> None:
        """An answer left. `endpoint` is a route's name, so that no caller can invent label values."""
        count, times = _of_answers(endpoint, status)
        count.inc()
        times.observe(seconds)

    def refused(self, door: str, error: Exception, correlation_id: str, source_address: str) -> None:
        """A request was refused for a domain reason. All are counted; of a flood that was named in the log a
        moment ago, no line is added for each."""
        reason = error.reason if isinstance(error, BridgeError) else Reason.MALFORMED_REQUEST
        metrics.refusals.labels(door, reason.value).inc()
        if isinstance(error, BridgeError) and error.subject and not isinstance(error, Unavailable):
            metrics.identity_refusals.labels(reason.value).inc()
        if reason is Reason.STORE_UNAVAILABLE:
            metrics.store_failures.inc()
        if isinstance(error, LimitReached):
            metrics.limit_refusals.labels(error.limit).inc()
            if error.repeated:
                return
        _log.log(
            logging.ERROR if isinstance(error, Unavailable) else logging.INFO,
            "refused",
            extra={
                "correlation_id": correlation_id,
                "door": door,
                "reason": reason.value,
                "detail": str(error),
                "source_address": source_address,
                **_about(error),
            },
        )

    def failed(self, endpoint: str, correlation_id: str) -> None:
        """A defect of ours reached the boundary; called while its exception is being handled."""
        _log.error("failed", exc_info=sys.exc_info(), extra={"correlation_id": correlation_id, "door": endpoint})

    def token_issued(self, grant_type: str) -> None:
        """A token left."""
        _of_tokens(grant_type).inc()


# What is counted with every token is looked up once: the labels are of small closed sets.


@cache
def _of_answers(endpoint: str, status: int) -> tuple[Counter, Histogram]:
    return metrics.requests.labels(endpoint, str(status)), metrics.request_seconds.labels(endpoint)


@cache
def _of_tokens(grant_type: str) -> Counter:
    return metrics.tokens.labels(grant_type)


def _about(error: Exception) -> dict[str, object]:
    """Whom a refusal befell and what was asked. What an unverified caller says of itself is named `claimed_`,
    and the audiences it came with matter only where they are the reason."""
    if not isinstance(error, BridgeError):
        return {}
    said: dict[str, object] = {"subject": error.subject, "evidence": error.evidence, "rule": error.rule}
    said.update(_bounded(error.asked))
    if error.claimed is not None and not error.subject:
        said["claimed_subject"] = error.claimed.subject
        if error.reason is Reason.JWT_AUDIENCE:
            said["claimed_audiences"] = list(error.claimed.audiences)
    return {name: value for name, value in said.items() if value}


def _bounded(asked: Mapping[str, object]) -> dict[str, object]:
    return {
        name: [str(one)[:_MAX_CHARACTERS] for one in value[:_MAX_NAMES]]
        if isinstance(value, list)
        else str(value)[:_MAX_CHARACTERS]
        for name, value in asked.items()
    }
