"""One running service for the tests that leave it as they found it; `fresh` for the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import bridge.ambient
import bridge.app
from tests.flows.clinic import Clinic
from tests.flows.enrolling import Office, Registering
from tests.flows.managing import ON
from tests.flows.stand import Stand
from tests.flows.timed import Clock, Timed


@pytest.fixture(scope="session")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with Stand(tmp_path_factory.mktemp("stand")) as running:
        yield running


@pytest.fixture(scope="session")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A worker with `/register` in this process; its tests register identities of their own and leave the rest."""
    running = Office(tmp_path_factory.mktemp("office") / "service")
    yield running
    running.close()


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """The same where clients manage themselves."""
    running = Office(tmp_path_factory.mktemp("desk") / "service", lambda folder: Registering(folder, more=ON))
    yield running
    running.close()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Callable[..., Stand]]:
    """Makes services of the test's own; they are stopped afterwards."""
    made: list[Stand] = []

    def make(**options: object) -> Stand:
        made.append(Stand(tmp_path / f"stand{len(made)}", **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    """A service and the doctor beside it, by a clock that stands still. Its tests use identities of their own."""
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bridge.app, "now", clock)
        patch.setattr(bridge.ambient, "now", clock)
        running = Clinic(tmp_path_factory.mktemp("clinic") / "service", clock)
        yield running
        running.close()


@pytest.fixture
def timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Timed]]:
    """Makes services whose time the test moves; one clock for all of them."""
    clock = Clock()
    monkeypatch.setattr(bridge.app, "now", clock)
    monkeypatch.setattr(bridge.ambient, "now", clock)
    made: list[Timed] = []

    def make(**options: str) -> Timed:
        made.append(Timed(tmp_path / f"timed{len(made)}", clock, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()
