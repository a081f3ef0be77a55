"""One running service for the tests that leave it as they found it; `fresh` for the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.flows.enrolling import Office, Registering
from tests.flows.managing import ON
from tests.flows.stand import Stand


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
