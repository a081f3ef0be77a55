"""The keeper of a token by clocks that the tests turn, and as a process beside a real service that goes away."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from bridge.cli.options import Failure
from bridge.cli.token.endpoint import NotNow, seconds_of
from bridge.cli.token.request import Granted
from bridge.cli.token.watch import INFO, WARNING, Surroundings, TokenKeeper, say_on_stderr
from bridge.lab.workload_api import Entry, WorkloadApi
from bridge.model.errors import StartRefused
from tests.flows.client import decode
from tests.flows.stand import LEDGER, RULES, Stand
from tests.live.processes import wait_until
from tests.unit.cli.conftest import ROOT, Run

SECONDS = 30.0
LIFE = 300


def granted(number: int, lifetime: int | None = LIFE) -> Granted:
    return Granted({}, f"token{number}", "Bearer", lifetime, None)


class World:
    """Clocks that stand still but for waits, and answers in the order of a list; then it is over."""

    def __init__(self, file: Path, answers: Sequence[Granted | Exception], *, chance: float = 0.0) -> None:
        """`chance`: where between its bounds each chance falls, from 0 to 1."""
        self.now, self.asleep = 1000.0, 0.0
        self.said: list[tuple[int, str]] = []
        self.attempts: list[float] = []
        self.told: list[bool] = []
        self.outdated, self.follows = False, False
        self._file, self._answers = file, list(answers)
        self._chance = chance

    def fetch(self) -> Granted:
        self.attempts.append(self.now)
        self.outdated = False
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return not self._answers

    def run(self) -> list[float]:
        """The times between the attempts, and from the last one to the end."""
        around = Surroundings(
            monotonic=lambda: self.now - self.asleep,
            wall=lambda: 1_800_000_000 + self.now,
            chance=lambda low, high: low + (high - low) * self._chance,
            wait=self.wait,
            say=lambda priority, text: self.said.append((priority, text)),
            told=lambda state, good: self.told.append(good),
        )
        keeper = TokenKeeper(self._file, self.fetch, around)
        if self.follows:
            keeper.follow(lambda held: self.outdated)
        keeper.run()
        return [round(b - a, 3) for a, b in zip(self.attempts, self.attempts[1:], strict=False)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "token"


@pytest.mark.parametrize(("chance", "pause"), [(0.0, 180.0), (0.5, 210.0), (1.0, 240.0)])
def test_a_token_is_renewed_within_its_life_by_chance(file: Path, chance: float, pause: float) -> None:
    world = World(file, [granted(1), granted(2)], chance=chance)
    assert world.run() == [pause]
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("token2\n", 0o600)
    assert [priority for priority, _ in world.said] == [INFO, INFO]
    assert not any("token1" in words or "token2" in words for _, words in world.said)
    assert world.told == [True, True]


def test_a_token_of_a_second_is_not_asked_for_without_pause(file: Path) -> None:
    assert World(file, [granted(1, 1), granted(2, 1)]).run() == [1.0]


def test_failures_come_later_and_later_and_the_token_stays(file: Path) -> None:
    failures = [Failure("no"), OSError(28, "No space left on device"), StartRefused(["key file"]), Failure("no")]
    world = World(file, [granted(1), *failures, *[Failure("no")] * 6, granted(2)], chance=1.0)
    assert world.run() == [240.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0, 60.0]
    first, *failed, last = world.said
    assert [priority for priority, _ in failed] == [WARNING] * 10
    assert "the token in " in failed[0][1]
    assert "good for 60 s more" in failed[0][1]
    assert "No space left on device" in failed[1][1]
    assert "has ended" in failed[-1][1]
    assert (first[0], last[0], file.read_text()) == (INFO, INFO, "token2\n")


def test_what_was_there_before_stays_until_there_is_a_token(file: Path) -> None:
    file.write_text("of yesterday")
    world = World(file, [Failure("no"), Failure("no")])
    world.run()
    assert file.read_text() == "of yesterday"
    assert "is as it was" in world.said[0][1]
    assert world.told == [False, False]


@pytest.mark.parametrize(("after", "pause"), [(None, 1.0), (0, 1.0), (7, 8.0), (100, 101.0), (10**6, 3601.0)], ids=str)
def test_a_server_that_says_when_is_asked_then_and_not_before(file: Path, after: int | None, pause: float) -> None:
    """RFC 9110 section 10.2.3."""
    assert World(file, [NotNow("later", after=after), granted(1)], chance=1.0).run() == [pause]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7), ("0", 0), (None, None), ("", None), ("-1", None), ("Fri, 31 Dec 1999 23:59:59 GMT", None), ("٧", None)],
)
def test_only_plain_seconds_are_read(text: str | None, seconds: int | None) -> None:
    assert seconds_of(text) == seconds


def test_failures_are_forgotten_after_a_token(file: Path) -> None:
    answers = [Failure("no"), Failure("no"), granted(1), Failure("no"), granted(2)]
    assert World(file, answers, chance=1.0).run() == [1.0, 2.0, 240.0, 1.0]


def test_an_answer_that_does_not_say_its_life_is_no_token_to_keep(file: Path) -> None:
    world = World(file, [granted(1, None), granted(2)], chance=1.0)
    assert world.run() == [1.0]
    assert "expires_in" in world.said[0][1]


@pytest.mark.parametrize(("answers", "pauses"), [([], [1.0]), ([Failure("no")], [1.0, 1.0])], ids=["granted", "failed"])
def test_a_token_of_a_replaced_certificate_is_renewed_at_once(
    file: Path, answers: list[Exception], pauses: list[float]
) -> None:
    """But an attempt that failed is followed by its pause, like others."""
    world = World(file, [granted(1), *answers, granted(2)], chance=1.0)
    world.follows = True
    wait = world.wait

    def replaced_meanwhile(seconds: float) -> bool:
        world.outdated = True
        return wait(seconds)

    world.wait = replaced_meanwhile  # type: ignore[method-assign]
    assert world.run() == pauses


def test_a_machine_that_slept_renews_when_it_wakes(file: Path) -> None:
    """The even clock stands still meanwhile; the other goes on."""
    world = World(file, [granted(1), granted(2)])
    wait = world.wait

    def sleeps(seconds: float) -> bool:
        if not world.asleep:
            world.asleep = 100_000.0
            world.now += world.asleep
        return wait(seconds)

    world.wait = sleeps  # type: ignore[method-assign]
    assert world.run() == [100_015.0]


def test_lines_for_the_journal_have_a_priority_and_no_other(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    say_on_stderr(WARNING, "one\ntwo\x1b[2J")
    assert capfd.readouterr().err == "bridge token: one\nbridge token: two\\x1b[2J\n"
    there = os.fstat(2)
    monkeypatch.setattr(sys, "stderr", open(os.dup(2), "w"))  # noqa: SIM115 - closed with the test
    monkeypatch.setenv("JOURNAL_STREAM", f"{there.st_dev}:{there.st_ino}")
    try:
        say_on_stderr(WARNING, "one\ntwo")
    finally:
        sys.stderr.close()
    assert capfd.readouterr().err == "<4>bridge token: one\n<4>bridge token: two\n"


# --- as a process -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    running = Stand(tmp_path_factory.mktemp("watch"), workers=1)
    short = RULES.replace('bind = "if-present" }', 'token_ttl = "4s", bind = "if-present" }', 1)
    assert short != RULES
    running.write_rules(short)
    with running:
        yield running


@pytest.fixture(scope="module")
def agent(stand: Stand) -> Iterator[WorkloadApi]:
    # A token never outlives the certificate that it is bound to.
    identities = ["/ns/web/sa/shop", Entry("/ns/both/sa/1", x509_ttl=3600)]
    with (
        tempfile.TemporaryDirectory(prefix="cli") as folder,
        WorkloadApi(stand.authority, Path(folder) / "a.sock", identities=identities) as api,
    ):
        yield api


class Watching:
    """`bridge token --watch` at work."""

    def __init__(self, issuer: str, file: Path, *more: str) -> None:
        self.log = file.with_name("watch.log")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bridge", "token", "--issuer", issuer, "--watch", str(file), *more],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=file.parent,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    def says(self, words: str) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return words in self.log.read_text()

    def ends(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(SECONDS)


def _content(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def test_a_file_holds_a_fresh_token_keeps_it_while_the_service_is_gone_and_a_signal_ends_it(
    stand: Stand, agent: WorkloadApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ledger.token"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(SECONDS)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        more = ["--ca", str(stand.folder / "tls/ca.pem"), "--socket", agent.address]
        watching = Watching(stand.client.issuer, file, *more)
        try:
            # Whoever starts after it finds a token.
            assert systemd.recv(4096).startswith(b"READY=1\n")
            first = _content(file)
            assert first.count(".") == 2
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            wait_until(lambda: _content(file) not in ("", first), seconds=SECONDS, what="the token is renewed")
            stand.stop()
            try:
                wait_until(lambda: watching.says("no new token"), seconds=SECONDS, what="it says that it failed")
                kept = _content(file)
                assert kept.count(".") == 2
            finally:
                stand.start()
            wait_until(lambda: _content(file) not in ("", kept), seconds=SECONDS, what="it goes on by itself")
            assert watching.ends(signal.SIGTERM) == 0
        finally:
            watching.process.kill()
            watching.process.wait()
    assert _content(file).count(".") == 2
    assert "Traceback" not in watching.log.read_text()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_token_that_is_bound_to_a_certificate_follows_the_agents_renewal(
    stand: Stand, agent: WorkloadApi, tmp_path: Path
) -> None:
    """Its life is five minutes: it is renewed because the workload no longer shows that certificate."""
    file = tmp_path / "bound.token"
    more = ["--ca", str(stand.folder / "tls/ca.pem"), "--socket", agent.address, "--x509"]
    more += ["--spiffe-id", "spiffe://example.org/ns/both/sa/1", "--resource", LEDGER]
    watching = Watching(stand.client.issuer, file, *more)
    try:
        wait_until(lambda: _content(file), seconds=SECONDS, what="there is a token")
        first = decode(_content(file), 1)
        assert first["exp"] - first["iat"] == 300
        stand.authority.rotate_x509("prepare", "activate")
        stand.publish_bundle()
        stand.authority.rotate_x509("taint")
        wait_until(lambda: decode(_content(file), 1) != first, seconds=SECONDS, what="it is renewed")
        assert decode(_content(file), 1)["cnf"] != first["cnf"]
        assert watching.ends(signal.SIGTERM) == 0
    finally:
        watching.process.kill()
        watching.process.wait()


def test_ctrl_c_ends_it_also_while_it_waits_for_an_answer(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.settimeout(SECONDS)
        issuer = f"http://127.0.0.1:{mute.getsockname()[1]}"
        watching = Watching(issuer, tmp_path / "token", "--socket", "unix:///nobody.sock", "--timeout", "300")
        try:
            asked, _ = mute.accept()
            with asked:
                assert watching.ends(signal.SIGINT) == 0
            assert watching.log.read_text() == ""
            assert not (tmp_path / "token").exists()
        finally:
            watching.process.kill()
            watching.process.wait()


# --- wrong usage ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [("none/token", "there is no directory"), ("folder", "is a directory"), ("link", "is a link")],
)
def test_a_file_that_cannot_be_replaced_is_said_before_anybody_is_asked(
    run: Run, tmp_path: Path, name: str, words: str
) -> None:
    """The accepted twin is the flow above."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("elsewhere")
    asked = ["token", "--issuer", "https://127.0.0.1:1", "--socket", "unix:///nobody.sock"]
    ran = run(*asked, "--watch", tmp_path / name)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("more", [["--json"], ["--output", "exec-credential"]], ids=["json", "exec-credential"])
def test_what_is_printed_cannot_be_watched(run: Run, tmp_path: Path, more: list[str]) -> None:
    ran = run("token", "--issuer", LEDGER, "--socket", "unix:///nobody.sock", "--watch", tmp_path / "token", *more)
    assert ran.code == 2
    assert "--watch" in ran.err
    assert not (tmp_path / "token").exists()
