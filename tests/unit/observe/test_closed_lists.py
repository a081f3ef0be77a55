"""Each refusal reason is a label value of a closed list, in every metric that has one, and each is really used."""

from __future__ import annotations

import ast
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, Counter, Gauge, Histogram

from bridge.model.errors import EvidenceRejected, LimitReached, ScopeNotAllowed, Unavailable
from bridge.model.reasons import Reason, ServerReason
from bridge.observe import metrics
from bridge.observe.observer import RequestObserver
from bridge.observe.serving_metrics import ServingMetrics
from bridge.registration.limit_uses import LIMITS
from bridge.serving import answers
from bridge.serving.handshakes import FAULTS, NoCertificate, handshake_fault

BRIDGE = Path(__file__).resolve().parents[3] / "bridge"
# Every metric with such a label, and what the label may be.
REASONS = {
    "bridge_refusals": {*map(str, Reason), *map(str, ServerReason)},
    "bridge_identity_refusals": {*map(str, Reason)},
    "bridge_tls_handshake_failures": FAULTS,
    "bridge_limit_refusals": set(LIMITS),
}
LABELS = ("reason",)


def made() -> Iterator[Counter | Gauge | Histogram]:
    for metric in vars(metrics).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            yield metric


def test_every_metric_with_a_reason_has_its_list() -> None:
    named = {metric._name for metric in made() if set(LABELS) & set(metric._labelnames)}
    assert named == REASONS.keys() - {"bridge_limit_refusals"}


def test_what_was_counted_until_now_is_of_these_lists() -> None:
    for family in REGISTRY.collect():
        for sample in family.samples:
            for label in ("reason", "limit"):
                if family.name in REASONS and label in sample.labels:
                    assert sample.labels[label] in REASONS[family.name], sample


def test_a_reason_that_is_in_no_list_is_not_counted() -> None:
    observer = ServingMetrics()
    observer.request_refused("plain", 503, "queue_full")
    with pytest.raises(ValueError, match=r"spiffe://example\.org/a"):
        observer.request_refused("plain", 503, "spiffe://example.org/a")


def test_every_refusal_of_the_server_has_a_reason_of_its_list() -> None:
    given = [one.reason for one in vars(answers).values() if isinstance(one, answers.Refusal)]
    assert sorted(given) == sorted(ServerReason)


def used(where: str) -> set[str]:
    """Names of reasons that the code outside `where` speaks of."""
    found = set()
    for path in BRIDGE.rglob("*.py"):
        if path.name != "reasons.py" and path.parent.name != where:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Reason":
                    found.add(node.attr)
    return found


def test_every_reason_is_given_by_some_code() -> None:
    """What nobody is ever refused for has no place in a list that dashboards and runbooks go by."""
    assert {reason.name for reason in Reason} == used("advice")


def test_every_limit_that_code_names_is_of_the_list() -> None:
    literal = set()
    for path in BRIDGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "LimitReached":
                literal |= {arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)}
    assert literal <= set(LIMITS)
    assert len(set(LIMITS)) == len(LIMITS)


def of_openssl(reason: str | None) -> ssl.SSLError:
    error = ssl.SSLError(1, "words")
    error.reason = reason  # type: ignore[assignment]
    return error


@pytest.mark.parametrize(
    ("error", "timed_out", "fault"),
    [
        (of_openssl("HTTP_REQUEST"), False, "http_request"),
        (of_openssl("A_WORD_OF_THE_NEXT_RELEASE"), False, "tls_other"),
        (of_openssl(None), False, "tls_other"),
        (NoCertificate(), False, "no_certificate"),
        (ConnectionResetError(), False, "closed"),
        (ConnectionResetError(), True, "timeout"),
    ],
    ids=["known", "unknown", "none", "no certificate", "closed", "timeout"],
)
def test_a_handshake_fails_for_a_word_of_its_list(error: OSError, timed_out: bool, fault: str) -> None:
    assert handshake_fault(error, timed_out=timed_out) == fault
    assert fault in FAULTS


def total(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize(
    ("subject", "reason", "more"), [("spiffe://example.org/a", "policy_scope", 1), ("", "policy_scope", 0)]
)
def test_refusals_of_those_who_proved_who_they_are_are_counted_apart(subject: str, reason: str, more: int) -> None:
    observer, error = RequestObserver(), ScopeNotAllowed(Reason(reason))
    error.subject = subject
    before = total("bridge_identity_refusals_total", reason=reason)
    observer.refused("token", error, "an-id", "192.0.2.1")
    assert total("bridge_identity_refusals_total", reason=reason) == before + more


def test_only_the_stores_own_silence_counts_as_such() -> None:
    observer = RequestObserver()
    before = total("bridge_store_failures_total")
    observer.refused("token", Unavailable(Reason.STORE_UNAVAILABLE), "an-id", "192.0.2.1")
    assert total("bridge_store_failures_total") == before + 1
    observer.refused("token", Unavailable(Reason.BUNDLE_UNAVAILABLE), "an-id", "192.0.2.1")
    observer.refused("token", EvidenceRejected(Reason.CREDENTIAL_MISSING), "an-id", "192.0.2.1")
    observer.refused("token", LimitReached("markers", 3), "an-id", "192.0.2.1")
    assert total("bridge_store_failures_total") == before + 1
