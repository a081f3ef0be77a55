"""What a registration would come to is what it comes to, and foreseeing it changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bridge.model.client import ClientState, ProposedClient
from bridge.model.errors import BridgeError
from bridge.model.identity import Marker
from bridge.store.ports import RegistrationLimits, Store
from tests.contract.records import API, NOW, OTHER, WIDE, ensure, event, instance, shared, spiffe

TIGHT = replace(WIDE, per_second=1, burst=1)
Case = tuple[Callable[[Store], object], ProposedClient, RegistrationLimits]
CASES: dict[str, Case] = {
    "nobody yet": (lambda store: None, spiffe(), WIDE),
    "known": (lambda store: ensure(store.clients), spiffe(), TIGHT),
    "a new one, and no token left": (lambda store: ensure(store.clients, limits=TIGHT), spiffe(OTHER), TIGHT),
    "a new one, and no room": (lambda store: ensure(store.clients), spiffe(OTHER), replace(WIDE, records=1)),
    "waiting, and the queue is full": (
        lambda store: ensure(store.clients, spiffe(state=ClientState.PENDING)),
        spiffe(OTHER, state=ClientState.PENDING),
        replace(WIDE, pending=1),
    ),
    "an instance, and all leases taken": (
        lambda store: ensure(store.clients, instance(1), lease=NOW + 60),
        instance(2),
        replace(WIDE, instances=1),
    ),
    "denied": (lambda store: deny(store), spiffe(), WIDE),
    "a member, denied": (lambda store: deny(store), shared(), WIDE),
    "a name of another trust domain": (
        lambda store: ensure(store.clients, shared()),
        shared("spiffe://e.test/a", trust_domain="e.test"),
        WIDE,
    ),
    "one that was revoked": (lambda store: revoke(store), spiffe(), TIGHT),
}


def deny(store: Store) -> None:
    store.clients.deny(API, absent=spiffe(), event=event(), now=NOW)


def revoke(store: Store) -> None:
    ensure(store.clients)
    store.clients.revoke(API, event=event(), now=NOW)


def outcome(answer: Callable[[], object]) -> object:
    """What an answer comes to: a record, none, or a refusal with its reason."""
    try:
        return answer()
    except BridgeError as refusal:
        return type(refusal), refusal.reason, refusal.detail


@pytest.mark.parametrize(("before", "proposed", "limits"), CASES.values(), ids=[f"T-41 {name}" for name in CASES])
def test_what_is_foreseen_is_what_happens(
    store: Store, before: Callable[[Store], object], proposed: ProposedClient, limits: RegistrationLimits
) -> None:
    before(store)
    seen = store.audit.rows(limit=99), store.buckets.use(now=NOW), store.clients.count_live()
    foreseen = [outcome(lambda: store.clients.foresee(proposed, limits=limits, now=NOW)) for _ in range(2)]
    assert (store.audit.rows(limit=99), store.buckets.use(now=NOW), store.clients.count_live()) == seen
    happened = outcome(
        lambda: ensure(store.clients, proposed, limits=limits, lease=NOW + 60 if proposed.parent else None)
    )
    if isinstance(happened, tuple):
        assert foreseen == [happened, happened]
    else:
        expected = None if happened.created else happened  # type: ignore[attr-defined]
        assert foreseen == [expected, expected]


def test_whether_a_marker_is_claimed_is_told_without_claiming_it(store: Store) -> None:
    marker, other = Marker("jwt-svid", "ab" * 32, NOW + 60), Marker("dpop", "ab" * 32, NOW + 60)
    assert not store.tokens.is_claimed(marker)
    assert not store.tokens.is_claimed(marker)
    assert store.tokens.claim(marker, now=NOW)
    assert store.tokens.is_claimed(marker)
    assert not store.tokens.is_claimed(other)
