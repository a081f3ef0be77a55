"""What `/metrics` can show, and what is wrong with an expression that names something else."""

from __future__ import annotations

import re
from collections.abc import Iterator

from prometheus_client import Counter, Gauge, Histogram

from bridge.fetch.fetcher import Purpose
from bridge.model.bundle import BundleHealth
from bridge.model.client import ClientKind, ClientState
from bridge.model.reasons import Reason, ServerReason
from bridge.model.terms import Effect
from bridge.observe import metrics
from bridge.registration.limit_uses import LIMITS
from bridge.serving.handshakes import FAULTS
from bridge.store.ports import NoticeState
from bridge.webhook.outcomes import Outcome
from tests.promql import labels_of, series_of

_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
# What labels may be, where that is a closed set; of some, differently for each metric.
VALUES: dict[str, set[str]] = {
    "reason": {*map(str, Reason), *map(str, ServerReason), *FAULTS},
    "limit": set(LIMITS),
    "fault": {health.value for health in BundleHealth},
    "part": {"store", "keys", "policies", "bundles", "tls", "chores"},
    "purpose": {purpose.value for purpose in Purpose},
}
OF_METRIC: dict[tuple[str, str], set[str]] = {
    ("bridge_bundle_state", "state"): VALUES["fault"],
    ("bridge_client_records", "state"): {state.value for state in ClientState},
    ("bridge_client_records", "kind"): {kind.value for kind in ClientKind},
    ("bridge_trust_domain_records", "state"): {"active", "pending"},
    ("bridge_tls_certificate_not_after_seconds", "kind"): {"file", "svid"},
    ("bridge_tls_certificates_refused_total", "kind"): {"file", "svid"},
    ("bridge_decisions_total", "outcome"): {effect.value for effect in Effect},
    ("bridge_webhook_queue", "state"): {state.value for state in NoticeState},
    ("bridge_webhook_deliveries_total", "outcome"): {outcome.value for outcome in Outcome},
    ("bridge_code_flow", "what"): {"requests", "grants", "sessions"},
}


def exposed() -> dict[str, set[str]]:
    """Every series that there can be, with its labels."""
    return dict(_exposed())


def _exposed() -> Iterator[tuple[str, set[str]]]:
    for metric in vars(metrics).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            labels = set(metric._labelnames)
            for family in metric.describe():
                for suffix in _SUFFIXES[family.type]:
                    yield family.name + suffix, labels | ({"le"} if suffix == "_bucket" else set())


def faults(expression: str) -> list[str]:
    """What an expression names that there is not: metrics, labels of them, and values that a label cannot have."""
    known = exposed()
    found, around = [], labels_of(expression)
    for name, matchers in series_of(expression):
        if name not in known:
            found.append(f"no metric {name}")
            continue
        found += [f"{name} has no label {label}" for label in around - known[name]]
        for label, match, value in matchers:
            if label not in known[name]:
                found.append(f"{name} has no label {label}")
            values = OF_METRIC.get((name, label), VALUES.get(label))
            if values is None or value.startswith("$"):
                continue
            asked = value.split("|") if match in ("Re", "NotRe") else [value]
            found += [f"{name}: no {label} {one}" for one in asked if not any(re.fullmatch(one, v) for v in values)]
    return found
