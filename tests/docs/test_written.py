"""What the pages name is there: commands with their options, metrics, alerts, limits, files, headings, targets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import Counter, Gauge, Histogram

from bridge.config.settings import Limits
from bridge.model.bundle import BundleHealth
from bridge.observe import metrics
from bridge.store.requests import WAITING
from tests.docs.written import PAGES, RULES, fault_of, written_commands, written_metrics
from tests.markdown import ROOT

COMMANDS = sorted({(one.page, one.words) for one in written_commands()})
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def test_there_are_commands_on_the_pages() -> None:
    assert len(COMMANDS) > 150
    assert {page for page, _ in COMMANDS} >= {"README.md", "docs/operations.md", "docs/tutorial.md", "docs/cookbook.md"}


@pytest.mark.parametrize("page", sorted({page for page, _ in COMMANDS}))
def test_every_command_of_a_page_exists_with_its_options(page: str) -> None:
    faults = {words: fault_of(words) for name, words in COMMANDS if name == page}
    assert {words: fault for words, fault in faults.items() if fault is not None} == {}


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("clients list --pending", None),
        ("clients lst --pending", "clients has no lst"),
        ("clients list --waiting", "list has no --waiting"),
        ("policy explain --evidence jwt-svid | less", None),
        ("policy explain --evidence jwt", "--evidence is one of"),
        ("check && bridge serve", None),
        ("check file.toml", "check takes 0 arguments, not 1"),
        ("trust diff NAME FILE", None),
        ("trust diff NAME FILE OTHER", "diff takes 2 arguments, not 3"),
        ("lab up --detach=no", None),
        ("frobnicate", "has no frobnicate"),
        ("token --scope='a b' --x509)", None),
        ("trust show {{ $labels.trust_domain }}", None),
        ("trust impact NAME KEY [--revoke]", None),
        ("trust impact NAME KEY [--end]", "impact has no --end"),
    ],
)
def test_the_check_of_commands_can_say_no(words: str, fault: str | None) -> None:
    said = fault_of(words)
    assert (said is None) if fault is None else (said is not None and fault in said)


def known_metrics() -> set[str]:
    names = set()
    for metric in vars(metrics).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            for family in metric.describe():
                suffixes = {"counter": ("_total",), "histogram": ("", "_bucket", "_sum", "_count")}
                names |= {family.name + suffix for suffix in suffixes.get(family.type, ("",))}
    return names


@pytest.mark.parametrize("page", [*PAGES, *RULES], ids=lambda page: page.name)
def test_every_metric_of_a_page_exists(page: Path) -> None:
    assert written_metrics(page) - known_metrics() == set()


def anchors(page: Path) -> set[str]:
    """The names of a page's headings as a repository's web pages make them."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links() -> Iterator[tuple[Path, str]]:
    for page in (*PAGES, ROOT / "CHANGELOG.md"):
        for target in _LINK.findall(page.read_text(encoding="utf-8")):
            if not target.startswith(("http:", "https:")):
                yield page, target


def test_every_link_between_pages_leads_somewhere() -> None:
    lost = []
    for page, target in links():
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            lost.append(f"{page.name}: {target}")
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_target_that_a_page_makes_is_in_the_makefile(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)`", page.read_text(encoding="utf-8"))) <= targets


OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
# Limits that nobody configures; the second is in `bridge.store.claims`.
UNCONFIGURED = {WAITING, "markers"}
# What belongs to another limit's name in the answer, and what is answered by 503.
UNNAMED = {"registration_burst", "rule_registration_burst", "outbound_fetches"}


def test_the_operations_guide_says_what_to_do_about_every_limit() -> None:
    rows = re.findall(r"^\| `(\w+)`.* \| .+ \| .+ \|$", OPERATIONS, re.MULTILINE)
    assert {*Limits.model_fields, *UNCONFIGURED} - UNNAMED <= set(rows)
    assert all(f"`{name}`" in OPERATIONS for name in UNNAMED)


def test_the_operations_guide_says_what_to_do_about_every_state_of_a_bundle() -> None:
    states = re.findall(r"^\| `(\w+)`(?:, `(\w+)`)? \|.*\|$", OPERATIONS, re.MULTILINE)
    assert {state.value for state in BundleHealth} <= {name for row in states for name in row}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_alert_of_a_page_exists(page: Path) -> None:
    rules = "".join(path.read_text(encoding="utf-8") for path in RULES)
    named = set(re.findall(r"`(Bridge[A-Z][A-Za-z]+)`", page.read_text(encoding="utf-8")))
    assert named <= set(re.findall(r"alert: (\w+)", rules))
