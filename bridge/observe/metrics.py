"""What `/metrics` shows. No label holds an identity, a URL or anything else a caller can choose.

With several workers, prometheus_client keeps its numbers in files below PROMETHEUS_MULTIPROC_DIR, which
the parent process sets before it starts them; any worker can then answer for all.
"""

from __future__ import annotations

import os
import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

from bridge.observe import tracing

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.5, 1, 2.5, 5)

requests = Counter("bridge_requests_total", "Answers, by endpoint and status.", ["endpoint", "status"])
request_seconds = Histogram(
    "bridge_request_seconds", "Time from whole request to answer.", ["endpoint"], buckets=_BUCKETS
)
decisions = Counter("bridge_decisions_total", "Policy decisions, by rule and outcome.", ["rule", "outcome"])
refusals = Counter("bridge_refusals_total", "Refusals, by door and reason.", ["door", "reason"])
identity_refusals = Counter(
    "bridge_identity_refusals_total", "Refusals of callers that had proved who they are, by reason.", ["reason"]
)
registrations = Counter(
    "bridge_registrations_total", "Registrations written, of new clients and of ones that came back, by kind.", ["kind"]
)
tokens = Counter("bridge_tokens_issued_total", "Tokens issued, by grant type.", ["grant_type"])
store_seconds = Histogram("bridge_store_write_seconds", "Time a request waits for its durable write.", buckets=_BUCKETS)
store_failures = Counter("bridge_store_failures_total", "Requests that the store did not answer, or not in time.")
audit_rows = Gauge(
    "bridge_audit_rows",
    "Audit rows that were ever written, by all writers together.",
    multiprocess_mode="livemostrecent",
)
ready = Gauge(
    "bridge_ready",
    "1 for a part that lets every worker be ready, 0 for one that keeps one from it.",
    ["part"],
    multiprocess_mode="livemin",
)
handshake_failures = Counter(
    "bridge_tls_handshake_failures_total", "TLS handshakes that failed.", ["listener", "reason"]
)
policy_reloads = Counter("bridge_policy_reloads_total", "Attempts to load changed policy files.", ["outcome"])
bundle_changes = Counter("bridge_bundle_changes_total", "Changes of a trust domain's keys.", ["trust_domain"])
bundle_stale_in = Gauge(
    "bridge_bundle_stale_in_seconds",
    "Seconds until the bundle may not be used any more unless it is confirmed; negative when that is past.",
    ["trust_domain"],
    multiprocess_mode="livemin",
)
bundle_x509_ends_in = Gauge(
    "bridge_bundle_x509_ends_in_seconds",
    "Seconds until the last X.509 authority of the bundle ends; negative when that is past.",
    ["trust_domain"],
    multiprocess_mode="livemin",
)
bundle_x509_life = Gauge(
    "bridge_bundle_x509_life_seconds",
    "How long the X.509 authority that ends last lives altogether.",
    ["trust_domain"],
    multiprocess_mode="livemax",
)
bundle_state = Gauge(
    "bridge_bundle_state",
    "1 for a trust domain's state: fresh, late, stale, empty, malformed, unreachable or shared; 0 for former ones.",
    ["trust_domain", "state"],
    multiprocess_mode="livemax",
)
bundle_fault = Gauge(
    "bridge_bundle_fault",
    "1 while the source of a bundle is malformed or unreachable, also where the last good bundle is in force.",
    ["trust_domain", "fault"],
    multiprocess_mode="livemax",
)
bundle_polls = Counter(
    "bridge_bundle_polls_total",
    "Questions to bundle endpoints, by what came of them; changed, unchanged and empty are good answers.",
    ["trust_domain", "outcome"],
)
policy_findings = Gauge(
    "bridge_policy_findings",
    "Errors and warnings in the policy files as they stand; above 0 something on disk is not as it should be.",
    multiprocess_mode="livemax",
)
policy_loaded = Gauge(
    "bridge_policy_loaded_seconds",
    "When the policies in force were loaded, epoch seconds; of several workers the one whose are oldest.",
    multiprocess_mode="livemin",
)
signing_key_age = Gauge(
    "bridge_signing_key_age_seconds",
    "Seconds for which the key that was promoted last has signed tokens.",
    multiprocess_mode="livemostrecent",
)
signing_key_due_in = Gauge(
    "bridge_signing_key_due_in_seconds",
    "Seconds until the next key is due to sign; negative when it is overdue.",
    multiprocess_mode="livemostrecent",
)
bundle_age = Gauge(
    "bridge_bundle_age_seconds",
    "Seconds since the bundle was last confirmed.",
    ["trust_domain"],
    multiprocess_mode="livemax",
)
bundle_usable = Gauge(
    "bridge_bundle_usable",
    "1 while the trust domain's bundle may be used.",
    ["trust_domain"],
    multiprocess_mode="livemin",
)
records = Gauge(
    "bridge_client_records", "Client records, by kind and state.", ["kind", "state"], multiprocess_mode="mostrecent"
)
live_records = Gauge(
    "bridge_trust_domain_records",
    "Client records that live, by trust domain; the pending ones wait for an operator.",
    ["trust_domain", "state"],
    multiprocess_mode="livemostrecent",
)
waiting_longest = Gauge(
    "bridge_approval_waiting_seconds",
    "Seconds for which the client has waited that waits longest for an operator; 0 while none does.",
    multiprocess_mode="livemostrecent",
)
flow = Gauge(
    "bridge_code_flow",
    "Authorization requests that wait, grants that have not ended, and sessions.",
    ["what"],
    multiprocess_mode="mostrecent",
)
limit_used = Gauge(
    "bridge_limit_used_ratio",
    "Used share of a limit, 1 at the limit; of a trust domain or a rule where one is named, else of the fullest.",
    ["limit", "trust_domain", "rule"],
    multiprocess_mode="livemostrecent",
)
limit_empty = Gauge(
    "bridge_limit_empty_buckets",
    "Buckets without a token among those of identities, addresses and statement issuers; counts to 200.",
    ["limit"],
    multiprocess_mode="livemostrecent",
)
limit_refusals = Counter(
    "bridge_limit_refusals_total", "Refusals by a limit, by its name in the configuration.", ["limit"]
)
fetches = Counter(
    "bridge_outbound_fetches_total", "Fetches that went out, by what for and what came of them.", ["purpose", "outcome"]
)
document_uses = Counter(
    "bridge_document_uses_total",
    "Times a client's document or key set was needed, by kind and by how it was had.",
    ["kind", "outcome"],
)
fetch_seconds = Histogram("bridge_outbound_fetch_seconds", "Time of a fetch.", ["purpose"], buckets=_BUCKETS)
certificate_expiry = Gauge(
    "bridge_tls_certificate_not_after_seconds",
    "When the server's own certificate ends, epoch seconds, by where it is from: file or svid.",
    ["kind"],
    multiprocess_mode="livemin",
)
certificates_refused = Counter(
    "bridge_tls_certificates_refused_total", "Changed certificates of the server's own that were unusable.", ["kind"]
)
own_svid_fault = Gauge(
    "bridge_own_svid_fault",
    "1 while the agent does not give this service its own X.509-SVID, also where an earlier one is in hand.",
    multiprocess_mode="livemax",
)
webhook_queue = Gauge(
    "bridge_webhook_queue",
    "Messages in the webhook's queue: waiting to be delivered, and dead ones, which were given up.",
    ["state"],
    multiprocess_mode="mostrecent",
)
webhook_oldest = Gauge(
    "bridge_webhook_oldest_seconds",
    "For how long the oldest waiting message has waited; 0 where none waits.",
    multiprocess_mode="mostrecent",
)
webhook_dropped = Gauge(
    "bridge_webhook_dropped",
    "Messages that found the queue full, since the store was made.",
    multiprocess_mode="mostrecent",
)
webhook_deliveries = Counter(
    "bridge_webhook_deliveries_total", "Tries to deliver a message, by what came of them.", ["outcome"]
)
webhook_given_up = Counter("bridge_webhook_given_up_total", "Messages that were given up.")
spans = Counter(
    "bridge_spans_total", "Spans of traces, by what became of them: exported, failed or dropped.", ["outcome"]
)
open_connections = Gauge("bridge_open_connections", "Open connections.", multiprocess_mode="livesum")
requests_waiting = Gauge("bridge_requests_in_hand", "Requests waiting or being answered.", multiprocess_mode="livesum")


def fetched(purpose: str, outcome: str, seconds: float) -> None:
    """Count a fetch that went out and is over now, and note it in the trace of whoever waited for it."""
    fetches.labels(purpose, outcome).inc()
    fetch_seconds.labels(purpose).observe(seconds)
    tracing.past(tracing.Stage.FETCH, time.perf_counter() - seconds, purpose=purpose, outcome=outcome)


def exposition() -> bytes:
    """All metrics of all workers, in the Prometheus text format."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest()
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
