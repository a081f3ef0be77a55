"""What systemd hears of a service, by a socket of the tests in its place."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import RunningService

from bridge.serving.notify import Notifier

SECONDS = 30.0


class Systemd:
    """A datagram socket that is listened to."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.settimeout(SECONDS)

    def hears(self) -> dict[str, str]:
        """The next message. Raises: TimeoutError."""
        return dict(line.split("=", 1) for line in self._socket.recv(4096).decode().splitlines())

    def hears_until(self, name: str) -> list[str]:
        """What was said up to the first message with `name`, signs of life left out, by the first name of each."""
        said: list[str] = []
        while not said or said[-1] != name:
            heard = next(iter(self.hears()))
            if heard != "WATCHDOG" or name == "WATCHDOG":
                said.append(heard)
        return said

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    made = Systemd(str(tmp_path / "notify"))
    yield made
    made.close()


def test_each_word_is_one_datagram(systemd: Systemd) -> None:
    notifier = Notifier(systemd.address)
    notifier.ready("two\nlines")
    notifier.reloading(12)
    notifier.status("so so")
    notifier.stopping()
    assert [systemd.hears() for _ in range(4)] == [
        {"READY": "1", "STATUS": "two lines"},
        {"RELOADING": "1", "MONOTONIC_USEC": "12", "STATUS": "reloading"},
        {"STATUS": "so so"},
        {"STOPPING": "1", "STATUS": "ending"},
    ]


def test_an_abstract_address_is_one_too() -> None:
    systemd = Systemd(f"@bridge-test-{os.getpid()}")
    try:
        Notifier(systemd.address).ready("x")
        assert systemd.hears()["READY"] == "1"
    finally:
        systemd.close()


def test_a_sign_of_life_comes_three_times_in_the_time_that_is_waited(systemd: Systemd) -> None:
    notifier = Notifier(systemd.address, watchdog=3.0)
    assert notifier.sign_seconds == 1.0
    for now in (10.0, 10.9, 11.0, 11.5, 12.1):
        notifier.alive(now)
    notifier.stopping()
    assert systemd.hears_until("STOPPING") == ["STOPPING"]
    for now in (20.0, 20.5, 21.0):
        notifier.alive(now)
    assert [systemd.hears() for _ in range(2)] == [{"WATCHDOG": "1"}] * 2


@pytest.mark.parametrize("address", [None, "/nobody/is/there", "@nobody-is-there"])
def test_nobody_who_listens_is_no_fault(address: str | None) -> None:
    notifier = Notifier(address, watchdog=1.0)
    notifier.ready("x")
    notifier.alive(1.0)
    notifier.stopping()


@pytest.mark.parametrize(
    ("given", "signs"),
    [
        pytest.param({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7"}, 1.0, id="mine"),
        pytest.param({"WATCHDOG_USEC": "3000000"}, 1.0, id="everybody's"),
        pytest.param({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "8"}, None, id="another's"),
        pytest.param({"WATCHDOG_USEC": "0", "WATCHDOG_PID": "7"}, None, id="off"),
        pytest.param({"WATCHDOG_USEC": "-1"}, None, id="nonsense"),
        pytest.param({}, None, id="none"),
    ],
)
def test_the_environment_says_what_is_asked_and_is_emptied(
    systemd: Systemd, given: dict[str, str], signs: float | None
) -> None:
    environment = {"NOTIFY_SOCKET": systemd.address, "HOME": "/", **given}
    notifier = Notifier.from_environment(environment, 7)
    assert environment == {"HOME": "/"}
    assert notifier.sign_seconds == signs
    notifier.ready("x")
    assert systemd.hears()["READY"] == "1"


def test_an_address_of_another_kind_is_told_nothing(caplog: pytest.LogCaptureFixture) -> None:
    Notifier.from_environment({"NOTIFY_SOCKET": "vsock:2:1"}, 7).ready("x")
    assert "systemd is told nothing" in caplog.text


# --- a whole service ------------------------------------------------------------------------------


def test_a_service_says_ready_when_its_workers_are_and_then_what_it_does(
    service: Callable[..., RunningService], systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.address)
    running = service()
    heard = systemd.hears()
    assert heard["READY"] == "1"
    assert running.ready_line.startswith(heard["STATUS"])
    assert len(running.marks("start")) == 2
    running.process.send_signal(signal.SIGHUP)
    assert systemd.hears_until("READY") == ["RELOADING", "READY"]
    # Not before every worker has done it.
    assert running.marks("reload") == running.marks("start")
    running.process.send_signal(signal.SIGTERM)
    assert systemd.hears_until("STOPPING") == ["STOPPING"]
    assert (running.process.communicate(timeout=SECONDS)[1], running.process.returncode) == ("", 0)


def test_a_worker_that_dies_does_not_keep_a_reload_from_ending(
    service: Callable[..., RunningService], systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.address)
    running = service()
    assert systemd.hears()["READY"] == "1"
    # It cannot answer any more, and is replaced by one that has read everything anew.
    victim = min(running.marks("start"))
    os.kill(victim, signal.SIGSTOP)
    running.process.send_signal(signal.SIGHUP)
    assert systemd.hears_until("RELOADING") == ["RELOADING"]
    os.kill(victim, signal.SIGKILL)
    assert systemd.hears_until("READY") == ["READY"]


def test_a_watched_service_gives_signs_of_life(
    service: Callable[..., RunningService], systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.address)
    monkeypatch.setenv("WATCHDOG_USEC", "600000")
    service(workers=1)
    assert systemd.hears_until("WATCHDOG")[-1] == "WATCHDOG"
    assert systemd.hears_until("WATCHDOG")[-1] == "WATCHDOG"
