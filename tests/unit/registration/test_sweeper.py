"""Sweeps go step by step, so that nobody who writes meanwhile waits long behind one (T-41)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import TypeVar

import pytest

from bridge.model.audit import AuditEventKind
from bridge.model.client import ClientState
from bridge.registration.lifecycle import BATCH, FlowSweeper, Sweeper
from bridge.store.ports import Store, Swept, SweptFlow
from tests.contract.flows import digest, give, push, session
from tests.contract.places import ADAPTERS
from tests.contract.records import DAY, NOW, ensure, spiffe

MANY = 2 * BATCH + 7

_Done = TypeVar("_Done")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    place = ADAPTERS["sqlite"](tmp_path)
    place.create()
    yield place.open()
    place.close()


@pytest.fixture
def sweeper(store: Store) -> Sweeper:
    ids = count()
    return Sweeper(store.clients, keep_ended=DAY, pending_expiry=DAY, new_id=lambda: f"sweep-{next(ids)}")


def fill(store: Store, number: int, *, idle: int) -> None:
    for n in range(number):
        ensure(store.clients, spiffe(f"spiffe://example.org/idle-{idle}/{n}"), idle=idle)


def steps(step: Callable[[int], _Done | None], now: int) -> tuple[int, _Done]:
    """How many steps it took until nothing was left, and what was done."""
    for number in count(1):
        swept = step(now)
        if swept is not None:
            return number, swept
    raise AssertionError


def test_a_sweep_does_a_little_at_a_time_and_says_in_the_end_what_it_did_T_41(store: Store, sweeper: Sweeper) -> None:
    """ROFU-23, ROFU-25: all that is due expires and is forgotten later, and nothing else."""
    fill(store, MANY, idle=DAY)
    fill(store, 1, idle=9 * DAY)
    assert sweeper.step(NOW + DAY) is None
    assert store.clients.count_by_state()["spiffe", ClientState.EXPIRED] == BATCH
    assert steps(sweeper.step, NOW + DAY) == (2, Swept(MANY, 0, 0))
    assert len(store.audit.rows(events=(AuditEventKind.EXPIRED,), limit=MANY + 1)) == MANY
    assert steps(sweeper.step, NOW + 3 * DAY) == (3, Swept(0, MANY, 0))
    assert store.clients.count_live() == {"example.org": (1, 0)}


def test_where_nothing_is_due_one_step_is_all(store: Store, sweeper: Sweeper) -> None:
    fill(store, 3, idle=DAY)
    assert steps(sweeper.step, NOW) == (1, Swept(0, 0, 0))
    assert steps(sweeper.step, NOW + DAY) == (1, Swept(3, 0, 0))
    assert steps(sweeper.step, NOW + DAY) == (1, Swept(0, 0, 0)), "what was said is not said again"


def test_what_the_code_flow_leaves_behind_goes_step_by_step_too_T_41(store: Store) -> None:
    """PCR-28: all that is over, and nothing else."""
    sweeper, later = FlowSweeper(store.grants), NOW + 2 * DAY
    for number in range(MANY):
        push(store, digest(f"{number}"))
    give(store)
    store.sessions.begin(session())
    push(store, digest("live"), now=later)
    store.sessions.begin(session("live", signed_in_at=later, expires_at=later + 60))
    assert sweeper.step(later) is None
    assert store.grants.counts()["requests"] == MANY + 1 - BATCH
    assert steps(sweeper.step, later) == (2, SweptFlow(MANY, 1, 1, 0))
    assert store.grants.counts() == {"requests": 1, "grants": 0, "sessions": 1}
    assert steps(sweeper.step, later) == (1, SweptFlow(0, 0, 0, 0))
