"""What the processes of the parallel part do. Imported by them, so everything here is importable."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Any

from bridge.model.audit import AuditEventKind
from bridge.model.authorization import GrantUse
from bridge.model.errors import BridgeError, LimitReached, RegistrationChanged
from bridge.model.identity import Marker
from bridge.store.ports import Access, RegistrationLimits, Rotation, Store
from tests.contract.flows import BROWSER, HANDLE, digest, grant, push, redemption, rotation
from tests.contract.flows import spend as issue_from
from tests.contract.places import Place
from tests.contract.records import API, NOW, WIDE, ensure, event, instance, issue, issue_for, shared, spiffe

PROCESSES, THREADS = 2, 6
DEADLINE = 60.0

Task = Callable[[Store, int], object]


@dataclass(frozen=True, slots=True)
class Start:
    """What one process needs to know."""

    place: Place
    task: Task
    process: int
    rounds: int
    options: dict[str, Any]


def race(place: Place, task: Task, *, rounds: int = 1, **options: Any) -> list[object]:
    """Run `task(store, number)` in all threads of all processes at once; what each call returned. `options` are
    those with which the stores are opened.

    `number` is different for every call. A domain error is returned by its class name.
    """
    context = get_context("spawn")
    # A task waits for its fellows at the barrier, so no process can take two.
    with context.Pool(PROCESSES, initializer=_meet_at, initargs=(context.Barrier(PROCESSES),)) as pool:
        starts = [Start(place, task, process, rounds, options) for process in range(PROCESSES)]
        return [value for values in pool.map_async(run, starts, chunksize=1).get(DEADLINE) for value in values]


_meeting: list[Barrier] = []


def _meet_at(barrier: Barrier) -> None:
    _meeting.append(barrier)


def run(start: Start) -> list[object]:
    """One process: all its threads begin together, when every other process is ready too."""
    store = start.place.open(patience=DEADLINE, **start.options)
    barrier = threading.Barrier(THREADS, action=lambda: _meeting[0].wait(DEADLINE))
    values: list[object] = []

    def thread(number: int) -> None:
        barrier.wait(DEADLINE)
        for turn in range(start.rounds):
            try:
                value = start.task(store, (start.process * THREADS + number) * start.rounds + turn)
            except BridgeError as error:
                value = type(error).__name__
            values.append(value)

    threads = [threading.Thread(target=thread, args=(number,)) for number in range(THREADS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(DEADLINE)
    store.close()
    return values


def first_use(store: Store, number: int) -> bool:
    ensured = ensure(store.clients)
    issue(store.clients, ensured)
    return ensured.created


def member_use(store: Store, number: int) -> bool:
    return ensure(store.clients, shared(f"{API}-{number % 3}")).created


def claim(store: Store, number: int) -> bool:
    return store.tokens.claim(Marker("dpop", f"{number % 5:064x}", NOW + 300), now=NOW)


def issue_once(store: Store, number: int) -> str:
    issue(store.clients, ensure(store.clients), markers=(Marker("dpop", f"{number % 5:064x}", NOW + 300),))
    return "issued"


def register_another(store: Store, number: int) -> bool:
    limits = RegistrationLimits(records=1000, per_second=1, burst=25)
    return ensure(store.clients, spiffe(f"{API}-{number}"), limits=limits).created


def register_within(store: Store, number: int) -> bool:
    limits = RegistrationLimits(records=25, per_second=1, burst=1000)
    return ensure(store.clients, spiffe(f"{API}-{number}"), limits=limits).created


def register_instance(store: Store, number: int) -> bool:
    limits = replace(WIDE, instances=25, identity_per_minute=1_000_000)
    return ensure(store.clients, instance(number), limits=limits, lease=NOW + 60).created


def register_by_one_statement(store: Store, number: int) -> bool:
    marker = Marker("statement", f"{number % 5:064x}", NOW + 300)
    return ensure(store.clients, spiffe(f"{API}-{number}"), markers=(marker,)).created


def spend(store: Store, number: int) -> bool:
    return store.buckets.spend("anonymous_per_minute", "192.0.2.1", per_minute=1, burst=25, now=NOW) == 0


def rotate(store: Store, number: int) -> bool:
    """All open, and each tries to end what it has seen in force."""
    ensured = ensure(store.clients)
    wanted = Access(API, f"handle-{number}", ensured.record.epoch, 1, "first")
    next_one = Rotation(store.management.open(wanted), f"digest-{number}")
    return store.management.rotate(next_one, event=event(AuditEventKind.UPDATED)) is not None


def renew(store: Store, number: int) -> str:
    """Everybody leases the same instance a little longer than the one before."""
    ensured = ensure(store.clients, instance(1), lease=NOW + 60)
    given = replace(issue_for(ensured), subject=API, lease_until=NOW + 61 + number)
    store.clients.record_issue(given, now=NOW)
    return "issued"


def take_lease(store: Store, number: int) -> bool:
    return store.leases.take("sweep", holder=f"holder-{number}", now=NOW, until=NOW + 60)


def use_while_revoked(store: Store, number: int) -> str:
    """A third revokes, the rest register and issue."""
    if number % 3 == 0:
        return "revoked" if store.clients.revoke(API, event=event(AuditEventKind.REVOKED), now=NOW) else "nobody"
    try:
        issue(store.clients, ensure(store.clients))
    except RegistrationChanged:
        return "changed"
    except LimitReached:
        return "limit"
    return "issued"


FEW_REQUESTS = 7


def redeem(store: Store, number: int) -> str:
    issue_from(store, ensure(store.clients), redemption(grant()))
    return "issued"


def refresh(store: Store, number: int) -> str:
    """Each tries to end the refresh token that it sees in force."""
    given = store.grants.get(grant().grant_id)
    assert given is not None
    issue_from(store, ensure(store.clients), rotation(given, given.generation))
    return "issued"


def decide(store: Store, number: int) -> bool:
    given = grant(number)
    return store.requests.decide(HANDLE, browser=BROWSER, grant=given, consent=None, event=None, now=NOW)


def push_another(store: Store, number: int) -> str:
    push(store, digest(f"request {number}"))
    return "pushed"


def spend_and_die(place: Place, use: GrantUse, told: Connection) -> None:
    """A process that issues a token, says so, and is killed before it can do anything else."""
    store = place.open()
    issue_from(store, ensure(store.clients), use)
    told.send("issued")
    os.kill(os.getpid(), signal.SIGKILL)
