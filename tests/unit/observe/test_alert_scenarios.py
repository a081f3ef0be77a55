"""Each alert, tried: what makes it true, and the same in all but one thing, of which it is not.

Series are written as `/metrics` shows them. Of each: its value now, and what it was five and ten minutes, an hour, and
an hour and ten minutes before; where one number stands, it was always that. Alerts about the sources of bundles are
tried on a service with such sources, in `tests/flows/test_bundle_faults.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from tests.alerts import BUNDLES, Alert, alerts
from tests.promql import History, Scrape
from tests.unit.observe.exposed import exposed

NOW = 2_000_000_000.0
AGES = (0, 300, 600, 3600, 4200)
DAY = 86_400

# A value, or the values at each of AGES.
Series = Mapping[str, float | tuple[float, float, float, float, float]]


def rises(by: float, *, hour_before: float = 0.0) -> tuple[float, float, float, float, float]:
    """A counter that rose so much in the last five minutes, and so much in the hour before the last ten."""
    return (1000.0 + by, 1000.0, 1000.0, 1000.0 - hour_before * 50 / 60, 1000.0 - hour_before)


def still(value: float = 1000.0) -> tuple[float, float, float, float, float]:
    return (value,) * 5


READY = 'bridge_ready{part="chores"}'
OF_TOKEN = 'bridge_requests_total{endpoint="token",status="%s"}'
KNOWN = 'bridge_identity_refusals_total{reason="policy_scope"}'
KEY_UNKNOWN = 'bridge_refusals_total{door="token",reason="jwt_key_unknown"}'
QUEUE = 'bridge_refusals_total{door="server",reason="queue_full"}'
HEADER = 'bridge_refusals_total{door="token",reason="certificate_header"}'
TOKENS = 'bridge_tokens_issued_total{grant_type="client_credentials"}'
LIMIT = 'bridge_limit_refusals_total{limit="registrations_per_second"}'
ROOM = 'bridge_limit_used_ratio{limit="records_per_trust_domain",rule="",trust_domain="a.example"}'
BUCKET = 'bridge_limit_used_ratio{limit="registrations_per_second",rule="",trust_domain="a.example"}'
DEAD, DROPPED = 'bridge_webhook_queue{state="dead"}', "bridge_webhook_dropped"
FILE_ENDS = 'bridge_tls_certificate_not_after_seconds{kind="file"}'
SVID_ENDS = 'bridge_tls_certificate_not_after_seconds{kind="svid"}'
CERTIFICATES = 'bridge_tls_certificates_refused_total{kind="file"}'
ENDS_IN = 'bridge_bundle_x509_ends_in_seconds{trust_domain="a.example"}'
LIFE = 'bridge_bundle_x509_life_seconds{trust_domain="a.example"}'


def writes(fast: float, slow: float) -> Series:
    bucket = 'bridge_store_write_seconds_bucket{le="%s"}'
    return {bucket % "0.02": rises(fast), bucket % "1": rises(fast + slow), bucket % "+Inf": rises(fast + slow)}


# By alert: what it is true of, and what it is not true of.
SCENARIOS: dict[str, tuple[tuple[Series, Series], ...]] = {
    "BridgeGone": (({}, {READY: 1}), ({}, {READY: 0})),
    "BridgeNotReady": (({READY: 0, 'bridge_ready{part="store"}': 1}, {READY: 1, 'bridge_ready{part="store"}': 1}),),
    "BridgeServerErrors": (
        (
            {OF_TOKEN % 500: rises(2), OF_TOKEN % 200: rises(998)},
            {OF_TOKEN % 500: still(), OF_TOKEN % 200: rises(998)},
        ),
    ),
    "BridgeUnavailable": (
        ({OF_TOKEN % 503: rises(3), OF_TOKEN % 200: rises(97)}, {OF_TOKEN % 503: rises(1), OF_TOKEN % 200: rises(99)}),
        (
            {OF_TOKEN % 503: rises(9), OF_TOKEN % 200: rises(90)},
            {'bridge_requests_total{endpoint="readyz",status="503"}': rises(9), OF_TOKEN % 200: rises(90)},
        ),
    ),
    "BridgeOverloaded": (({QUEUE: rises(1)}, {QUEUE: still()}),),
    "BridgeKnownClientsRefused": (
        ({KNOWN: rises(30, hour_before=6)}, {KNOWN: rises(30, hour_before=600)}),
        ({KNOWN: rises(21)}, {KNOWN: rises(19)}),
    ),
    "BridgeCredentialsRefused": (
        ({KEY_UNKNOWN: rises(60, hour_before=6)}, {KEY_UNKNOWN: rises(60, hour_before=600)}),
        ({KEY_UNKNOWN: rises(60)}, {KEY_UNKNOWN.replace("jwt_key_unknown", "dpop_nonce"): rises(60)}),
    ),
    "BridgeStoreFails": (({"bridge_store_failures_total": rises(1)}, {"bridge_store_failures_total": still()}),),
    "BridgeStoreSlow": ((writes(fast=98, slow=2), writes(fast=100, slow=0)),),
    "BridgeAuditNotWritten": (
        ({TOKENS: rises(5), "bridge_audit_rows": still()}, {TOKENS: rises(5), "bridge_audit_rows": rises(5)}),
        ({TOKENS: rises(5), "bridge_audit_rows": still()}, {TOKENS: still(), "bridge_audit_rows": still()}),
    ),
    "BridgeSigningKeyOverdue": (
        ({"bridge_signing_key_due_in_seconds": -601}, {"bridge_signing_key_due_in_seconds": -599}),
    ),
    "BridgePolicyFindings": (({"bridge_policy_findings": 1}, {"bridge_policy_findings": 0}),),
    "BridgeApprovalsWait": (
        ({"bridge_approval_waiting_seconds": DAY + 1}, {"bridge_approval_waiting_seconds": DAY - 1}),
    ),
    "BridgeLimitReached": (({LIMIT: rises(1)}, {LIMIT: still()}),),
    "BridgeLimitNear": (({ROOM: 0.81}, {ROOM: 0.8}), ({ROOM: 1.0}, {BUCKET: 1.0})),
    "BridgeCertificateHeaderRefused": (({HEADER: rises(1)}, {HEADER: still()}),),
    "BridgeCertificateEnds": (({FILE_ENDS: NOW + 6 * DAY}, {FILE_ENDS: NOW + 8 * DAY}),),
    "BridgeCertificateEndsNow": (({FILE_ENDS: NOW + DAY / 2}, {FILE_ENDS: NOW + 2 * DAY}),),
    "BridgeCertificateRefused": (({CERTIFICATES: rises(1)}, {CERTIFICATES: still()}),),
    "BridgeOwnSvidNotRenewed": (({"bridge_own_svid_fault": 1}, {"bridge_own_svid_fault": 0}),),
    "BridgeOwnSvidEnds": (
        (
            {SVID_ENDS: NOW + 500, "bridge_own_svid_fault": 1},
            {SVID_ENDS: NOW + 500, "bridge_own_svid_fault": 0},
        ),
    ),
    "BridgeBundleAuthoritiesEndSoon": (
        ({ENDS_IN: 4 * 3600, LIFE: DAY}, {ENDS_IN: 12 * 3600, LIFE: DAY}),
        ({ENDS_IN: 29 * DAY, LIFE: 3650 * DAY}, {ENDS_IN: 31 * DAY, LIFE: 3650 * DAY}),
    ),
    "BridgeBundleAuthoritiesEnded": (({ENDS_IN: -1}, {ENDS_IN: 1}), ({ENDS_IN: -1}, {ENDS_IN: float("inf")})),
    "BridgeWebhookWaits": (({"bridge_webhook_oldest_seconds": 901}, {"bridge_webhook_oldest_seconds": 900}),),
    "BridgeWebhookGivenUp": (
        ({DEAD: 1, DROPPED: still()}, {DEAD: 0, DROPPED: still()}),
        ({DEAD: 0, DROPPED: rises(1)}, {DEAD: 0, DROPPED: still()}),
    ),
}
ALERTS = {alert.name: alert for alert in alerts()}
ON_A_SERVICE = {alert.name for alert in alerts(BUNDLES)} - SCENARIOS.keys()


def history(series: Series) -> History:
    """The scrapes that show these series, and of everything else that it is there."""
    declared = "".join(f"# TYPE {name} gauge\n" for name in exposed())
    scrapes = []
    for place, age in enumerate(AGES):
        lines = (
            f"{name} {value if isinstance(value, float | int) else value[place]}\n" for name, value in series.items()
        )
        scrapes.append((float(age), Scrape.of(declared + "".join(lines))))
    return History(scrapes, NOW)


def test_every_alert_is_tried_here_or_on_a_service() -> None:
    assert SCENARIOS.keys() | ON_A_SERVICE == ALERTS.keys()
    assert all(name.startswith("BridgeBundle") for name in ON_A_SERVICE)


@pytest.mark.parametrize(
    ("alert", "fires", "silent"),
    [(ALERTS[name], *pair) for name, pairs in SCENARIOS.items() for pair in pairs],
    ids=[f"{name}-{number}" for name, pairs in SCENARIOS.items() for number in range(len(pairs))],
)
def test_an_alert_fires_and_its_twin_stays_silent(alert: Alert, fires: Series, silent: Series) -> None:
    (labels,) = alert.is_true_of(history(fires))
    assert set(re.findall(r"\$labels\.(\w+)", alert.summary)) <= labels.keys()
    assert alert.is_true_of(history(silent)) == []


def test_an_alert_about_reasons_names_the_reason() -> None:
    (labels,) = ALERTS["BridgeKnownClientsRefused"].is_true_of(history({KNOWN: rises(30)}))
    assert labels == {"reason": "policy_scope"}
