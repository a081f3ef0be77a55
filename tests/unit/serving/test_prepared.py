"""Workers load their code while what they need is put in place, and do nothing else before it is."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.serving.options import ServingOptions

Launch = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def verdict(tmp_path: Path) -> Path:
    """The file whose coming says how the preparation ended."""
    return tmp_path / "verdict"


@pytest.fixture
def waiting(launch: Launch, tmp_path: Path, verdict: Path) -> subprocess.Popen[str]:
    """A parent whose two workers have begun, and wait."""
    options = ServingOptions("serving_probe:file_probe", str(tmp_path), "127.0.0.1:0", plain_http=True, threads=2)
    process = launch(options, str(verdict))
    pause, deadline = threading.Event(), time.monotonic() + 30
    # Beside the workers there is the helper with which multiprocessing keeps count of what is shared.
    while len(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()) < 3:
        assert time.monotonic() < deadline, "no workers"
        assert process.poll() is None
        pause.wait(0.02)
    assert marks(tmp_path) == []
    return process


def marks(folder: Path) -> list[str]:
    """What workers did that made an application."""
    return [path.name for path in folder.glob("start-*")]


def end_of(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    said, errors = process.communicate(timeout=30)
    return process.returncode, said, errors


def test_they_go_on_when_all_is_in_place(waiting: subprocess.Popen[str], verdict: Path, tmp_path: Path) -> None:
    (tmp_path / "draft").write_text("0")
    (tmp_path / "draft").rename(verdict)
    assert waiting.stdout is not None
    assert waiting.stdout.readline().startswith("ready: ")
    assert len(marks(tmp_path)) == 2
    waiting.send_signal(signal.SIGTERM)
    assert end_of(waiting)[0] == 0


@pytest.mark.parametrize("code", [1, 2])
def test_they_never_begin_when_it_cannot_be(
    waiting: subprocess.Popen[str], verdict: Path, tmp_path: Path, code: int
) -> None:
    (tmp_path / "draft").write_text(str(code))
    (tmp_path / "draft").rename(verdict)
    assert end_of(waiting) == (code, "", "")
    assert marks(tmp_path) == []


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT], ids=["sigterm", "sigint"])
def test_a_signal_to_end_is_not_kept_waiting(
    waiting: subprocess.Popen[str], tmp_path: Path, sig: signal.Signals
) -> None:
    waiting.send_signal(sig)
    assert end_of(waiting)[:2] == (0, "")
    assert marks(tmp_path) == []
