"""The alert rules that are shipped: each is whole, names what there is, and leads to a page that says what to do."""

from __future__ import annotations

import re

import pytest

from bridge.model.reasons import Reason
from tests.alerts import FILES, Alert, alerts
from tests.docs.test_written import anchors
from tests.markdown import ROOT
from tests.promql import parse
from tests.unit.observe.exposed import faults

ALERTS = alerts()


def test_there_are_rules_about_the_service_its_certificates_and_bundles() -> None:
    assert {path.name for path in FILES} == {"certificates.rules.yml", "service.rules.yml", "trust-bundles.rules.yml"}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_each_is_promql_of_metrics_labels_and_values_that_there_are(alert: Alert) -> None:
    parse(alert.expr)
    assert faults(alert.expr) == []


def test_each_has_a_name_of_its_own() -> None:
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)
    assert all("\t" not in path.read_text() for path in FILES)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_each_leads_to_a_section_of_the_operations_guide(alert: Alert) -> None:
    page, _, anchor = alert.runbook.partition("#")
    assert page == "docs/operations.md"
    assert anchor in anchors(ROOT / page)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_each_shows_only_labels_that_its_expression_keeps(alert: Alert) -> None:
    shown = set(re.findall(r"\$labels\.(\w+)", alert.summary + alert.description))
    assert shown <= set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", alert.expr))))


def test_a_spoofed_certificate_header_is_an_alert_T_18() -> None:
    """That such a refusal is counted so is shown in `tests/flows/test_trusted_proxies.py`."""
    (alert,) = (alert for alert in ALERTS if alert.name == "BridgeCertificateHeaderRefused")
    assert f'bridge_refusals_total{{reason="{Reason.CERTIFICATE_HEADER.value}"}}' in alert.expr
