"""The dashboard that is shipped: Grafana can read it, it asks for what there is, and each panel says what to do."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

import pytest

from tests.docs.test_written import anchors
from tests.docs.written import fault_of
from tests.markdown import ROOT
from tests.promql import parse, series_of
from tests.unit.observe.exposed import exposed, faults

DASHBOARD: dict[str, Any] = json.loads((ROOT / "monitoring/dashboard.json").read_text(encoding="utf-8"))
ALL: list[dict[str, Any]] = DASHBOARD["panels"]
PANELS = [panel for panel in ALL if panel["type"] != "row"]
# Grafana's names of units; another one would be shown as text behind the number.
UNITS = {"short", "s", "reqps", "ops", "percentunit"}
VARIABLES = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def expressions(panel: dict[str, Any]) -> list[str]:
    """As Prometheus gets them, with an interval in place of Grafana's word for one."""
    return [target["expr"].replace("$__rate_interval", "5m") for target in panel["targets"]]


def test_it_can_be_imported() -> None:
    assert isinstance(DASHBOARD["schemaVersion"], int)
    assert DASHBOARD["schemaVersion"] >= 36
    assert re.fullmatch(r"[\w-]{1,40}", DASHBOARD["uid"])
    assert DASHBOARD["title"]
    assert "id" not in DASHBOARD, "a number that one Grafana gave it"
    assert {"datasource", "trust_domain"} == VARIABLES


def test_every_panel_has_a_number_of_its_own() -> None:
    numbers = [panel["id"] for panel in ALL]
    assert len(set(numbers)) == len(numbers)
    assert all(isinstance(number, int) and number > 0 for number in numbers)


def test_no_panel_covers_another_or_leaves_the_grid() -> None:
    def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
        at = panel["gridPos"]
        assert at["x"] >= 0
        assert at["x"] + at["w"] <= 24
        return {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}

    for one, other in combinations(ALL, 2):
        assert not cells(one) & cells(other), (one["title"], other["title"])


def test_every_panel_and_variable_asks_the_chosen_source() -> None:
    for panel in PANELS:
        assert panel["datasource"] == SOURCE
        assert all(target["datasource"] == SOURCE for target in panel["targets"])
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters) > 0
    asking = [variable for variable in DASHBOARD["templating"]["list"] if variable["type"] == "query"]
    assert all(variable["datasource"] == SOURCE for variable in asking)


def test_titles_tell_panels_apart() -> None:
    titles = [panel["title"] for panel in ALL]
    assert all(titles)
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_has_a_unit_and_says_what_to_do(panel: dict[str, Any]) -> None:
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    description = panel["description"]
    (guide,) = re.findall(r"docs/operations\.md#([\w-]+)", description)
    assert guide in anchors(ROOT / "docs/operations.md")
    assert len(description) > 60
    commands = re.findall(r"`bridge ([^`]+)`", description)
    assert [fault_of(command) for command in commands] == [None] * len(commands)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_asks_for_what_there_is(panel: dict[str, Any]) -> None:
    for expression, target in zip(expressions(panel), panel["targets"], strict=True):
        parse(expression)
        assert faults(expression) == []
        assert set(re.findall(r"\$(\w+)", expression)) <= VARIABLES
        shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        grouped = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", expression)))) - {"le"}
        assert shown <= grouped


def test_every_metric_of_the_service_is_shown_somewhere() -> None:
    def base(name: str) -> str:
        return re.sub(r"_(bucket|sum|count)$", "", name)

    asked = {base(name) for panel in PANELS for one in expressions(panel) for name, _ in series_of(one)}
    assert {base(name) for name in exposed()} == asked


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("sum by (reason) (rate(bridge_refusals_total[5m]))", []),
        ("sum by (reason) (rate(bridge_refusals[5m]))", ["no metric bridge_refusals"]),
        ("sum by (cause) (rate(bridge_refusals_total[5m]))", ["bridge_refusals_total has no label cause"]),
        ('bridge_refusals_total{cause="x"}', ["bridge_refusals_total has no label cause"]),
        ('bridge_refusals_total{reason="overloaded"}', ["bridge_refusals_total: no reason overloaded"]),
        ('bridge_refusals_total{reason=~"queue_full|x509_.+"}', []),
        ('bridge_refusals_total{reason=~"queue_full|x510_.+"}', ["bridge_refusals_total: no reason x510_.+"]),
    ],
)
def test_the_check_of_expressions_can_say_no(expression: str, fault: list[str]) -> None:
    assert faults(expression) == fault
