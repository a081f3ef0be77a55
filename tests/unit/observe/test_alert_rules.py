"""The alert rules that are shipped: they name metrics and label values that there are, in the form of Prometheus."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from bridge.model.bundle import BundleHealth
from bridge.model.reasons import Reason
from bridge.observe import metrics  # noqa: F401 - registers what the rules name

MONITORING = Path(__file__).resolve().parents[3] / "monitoring"
FILES = sorted(MONITORING.glob("*.rules.yml"))
# The values that each label may have, where they are a closed set.
VALUES = {
    "reason": {reason.value for reason in Reason},
    "state": {health.value for health in BundleHealth},
    "fault": {health.value for health in BundleHealth},
    "kind": {"file", "svid"},
}


def test_there_are_rules_about_bundles_and_about_certificates() -> None:
    assert {path.name for path in FILES} >= {"certificates.rules.yml", "trust-bundles.rules.yml"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_names_metrics_labels_and_values_that_there_are(path: Path) -> None:
    text = path.read_text()
    known = {name for family in REGISTRY.collect() for name in (family.name, f"{family.name}_total")}
    named = set(re.findall(r"\bbridge_\w+", text))
    assert named
    assert named <= known
    for label, values in VALUES.items():
        asked = {value for group in re.findall(rf'\b{label}=~?"([^"]+)"', text) for value in group.split("|")}
        assert asked <= values


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_alert_is_whole_and_has_a_name_of_its_own(path: Path) -> None:
    text = path.read_text()
    alerts = re.findall(r"- alert: (\w+)", text)
    parts = ("expr:", "severity:", "summary:", "description:")
    assert {text.count(part) for part in parts} == {len(alerts)} == {len(set(alerts))}
    assert "\t" not in text
    others = [name for other in FILES if other != path for name in re.findall(r"- alert: (\w+)", other.read_text())]
    assert not set(alerts) & set(others)


def test_a_spoofed_certificate_header_is_an_alert_T_18() -> None:
    """That such a refusal is counted so is shown in `tests/flows/test_trusted_proxies.py`."""
    text = (MONITORING / "certificates.rules.yml").read_text()
    assert f'bridge_refusals_total{{reason="{Reason.CERTIFICATE_HEADER.value}"}}' in text
