"""Chores go on whatever one of them does."""

from __future__ import annotations

import logging
import threading

import pytest

from bridge.chores import Chore, Chores
from bridge.model.errors import Unavailable
from bridge.model.reasons import Reason


@pytest.mark.parametrize("error", [Unavailable(Reason.STORE_UNAVAILABLE), OSError("disk"), ValueError("a defect")])
def test_a_chore_that_fails_stops_neither_itself_nor_the_others_T_48(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    failed, done = threading.Semaphore(0), threading.Semaphore(0)

    def fail(now: int) -> None:
        failed.release()
        raise error

    with caplog.at_level(logging.WARNING):
        chores = Chores((Chore("fails", 0.0, fail), Chore("works", 0.0, lambda now: done.release())), clock=lambda: 1)
        chores.start()
        for semaphore in (failed, failed, done, done):
            assert semaphore.acquire(timeout=10)
        chores.close()
    assert "chore failed" in caplog.text
    assert chores.silent_seconds < 10


def test_hurry_does_everything_at_once() -> None:
    done = threading.Semaphore(0)
    chores = Chores((Chore("rare", 3600.0, lambda now: done.release()),), clock=lambda: 1)
    chores.start()
    assert done.acquire(timeout=10)
    chores.hurry()
    assert done.acquire(timeout=10)
    chores.close()


def test_who_hurries_is_told_when_it_is_done_or_will_never_be() -> None:
    runs: list[int] = []
    chores = Chores((Chore("rare", 3600.0, runs.append),), clock=lambda: 1)
    chores.start()
    assert chores.hurry().wait(10)
    assert runs[-1] == 1
    chores.close()
    assert chores.hurry().wait(10)


def test_a_chore_with_more_to_do_says_when_it_comes_again_and_the_others_get_their_turns_meanwhile_T_41() -> None:
    """One that goes on for long would hold up changed policies and keys."""
    left, done = [5], threading.Semaphore(0)
    turns: list[str] = []

    def part(now: int) -> float | None:
        turns.append("part")
        left[0] -= 1
        if left[0]:
            return 0.0
        done.release()
        return None

    others = Chore("others", 0.0, lambda now: turns.append("other"))
    chores = Chores((Chore("in parts", 3600.0, part), others), clock=lambda: 1)
    chores.start()
    assert done.acquire(timeout=10)
    chores.close()
    assert turns.count("part") == 5, "then an hour passes"
    assert turns[:9] == ["part", "other"] * 4 + ["part"]
