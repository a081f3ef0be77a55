"""One chromedriver for all, one browser for each kind, and for each test a service of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import Chromium, Driver
from tests.browser.house import House
from tests.browser.served import Client


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    with Driver(tmp_path_factory.mktemp("chromedriver")) as running:
        yield running


@pytest.fixture(scope="session")
def _chromium(driver: Driver) -> Iterator[Chromium]:
    browser = Chromium(driver)
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def scriptless(driver: Driver) -> Iterator[Chromium]:
    """A browser that runs no script."""
    browser = Chromium(driver, scripts=False)
    yield browser
    browser.close()


@pytest.fixture
def chromium(_chromium: Chromium) -> Chromium:
    """A browser without cookies."""
    _chromium.go("about:blank")
    _chromium.devtools("Network.clearBrowserCookies", {})
    _chromium.prefer("light")
    _chromium.resize(900, 1100)
    _chromium.refusals()
    return _chromium


@pytest.fixture
def client() -> Iterator[Client]:
    with Client() as listening:
        yield listening


@pytest.fixture
def house(tmp_path: Path, client: Client) -> Iterator[House]:
    running = House(tmp_path, client)
    yield running
    running.stop()
