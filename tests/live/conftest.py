"""One SPIRE for all live tests, one running service for each test module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.service import BridgeService
from tests.live.spire_domain import BINARIES
from tests.live.stage import Stage


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What stands in this folder is live, and nobody has to remember to say so."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.live)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests counted, passed or failed, so that a reader of the log sees the figures and not only a dot."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    counted = [pair for report in reports if report.when == "call" for pair in report.user_properties]
    if counted:
        terminalreporter.section("counts")
    for name, value in counted:
        terminalreporter.line(f"{name}: {value}")


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    if not (BINARIES / "spire-server").exists() or not (BINARIES / "spire-agent").exists():
        pytest.fail("SPIRE is not built; `make test-live` builds it first, or run spire-dev/build.sh")
    with Stage() as stage:
        yield stage


@pytest.fixture(scope="module")
def service(stage: Stage) -> Iterator[BridgeService]:
    """A running service, stopped with SIGTERM at the end, which must be a clean end."""
    with stage.service().running() as service:
        yield service
