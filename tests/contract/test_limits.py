"""Limits on registrations: whose bucket, how full, and that a refusal takes nothing (ROFU-28, DCR-22, T-41)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge.model.audit import AuditEventKind
from bridge.model.client import ClientKind, ClientState, ProposedClient, Provenance
from bridge.model.errors import LimitReached
from bridge.store.ports import RegistrationLimits, Store
from tests.contract.records import API, NOW, OTHER, WIDE, ensure, event, instance, spiffe

CI = "https://ci.example.org"


def names(number: int) -> list[str]:
    return [f"spiffe://example.org/n/{i}" for i in range(number)]


def stated(number: int, issuer: str = CI, **fields: Any) -> ProposedClient:
    """The client of a software statement, which has no trust domain."""
    given: dict[str, Any] = {
        "client_id": f"statement-{issuer}-{number}",
        "subject": f"{issuer} {number}",
        "kind": ClientKind.STATEMENT,
        "trust_domain": None,
        "provenance": Provenance(statement_issuer=issuer),
    }
    return spiffe(**(given | fields))


def refusal(store: Store, proposed: ProposedClient, limits: RegistrationLimits, now: int = NOW) -> tuple[str, int]:
    before = len(store.audit.rows())
    with pytest.raises(LimitReached) as caught:
        ensure(store.clients, proposed, limits=limits, now=now)
    assert store.clients.get(proposed.client_id) is None
    assert len(store.audit.rows()) == before
    return caught.value.limit, caught.value.retry_after


def test_a_rule_has_a_bucket_of_its_own_beside_its_trust_domains(store: Store) -> None:
    narrow = replace(WIDE, rule_per_second=1, rule_burst=2)
    made = names(5)
    for name in made[:2]:
        ensure(store.clients, spiffe(name), limits=narrow)
    assert refusal(store, spiffe(made[2]), narrow) == ("rule_registrations_per_second", 1)
    assert ensure(store.clients, spiffe(made[3], rule="another"), limits=narrow).created
    assert not ensure(store.clients, spiffe(made[0]), limits=narrow).created, "a known identity spends nothing"
    assert ensure(store.clients, spiffe(made[2]), limits=narrow, now=NOW + 1).created
    assert refusal(store, spiffe(made[4]), narrow, NOW + 1) == ("rule_registrations_per_second", 1)


def test_a_flood_at_one_trust_domain_takes_nothing_from_another(store: Store) -> None:
    """T-41."""
    narrow = replace(WIDE, per_second=1, burst=1)
    ensure(store.clients, spiffe(API), limits=narrow)
    for name in names(5):
        assert refusal(store, spiffe(name), narrow) == ("registrations_per_second", 1)
    elsewhere = spiffe("spiffe://elsewhere.test/a", trust_domain="elsewhere.test", rule="elsewhere")
    assert ensure(store.clients, elsewhere, limits=narrow).created


@pytest.mark.parametrize("empty", ["trust domain", "rule", "identity", "leases"])
def test_a_refused_registration_leaves_every_bucket_as_it_was(store: Store, empty: str) -> None:
    """Whichever of them refuses; the twin is admitted as long as there is a token."""
    limits = {
        "trust domain": replace(WIDE, per_second=1, burst=3, instances=9, rule_burst=9),
        "rule": replace(WIDE, rule_per_second=1, rule_burst=3, instances=9, burst=9),
        "identity": replace(WIDE, identity_per_minute=60, instances=3, burst=9, rule_burst=9),
        "leases": replace(WIDE, instances=3, burst=9, rule_burst=9),
    }[empty]
    end = NOW + 1000 if empty == "leases" else NOW + 1
    for number in range(3):
        assert ensure(store.clients, instance(number), limits=limits, lease=end).created
    # A second later the leases of the others have ended, and an empty bucket has one token again.
    before = store.buckets.use(now=NOW)
    for number in range(3, 6):
        with pytest.raises(LimitReached):
            ensure(store.clients, instance(number), limits=limits, lease=end)
    assert store.buckets.use(now=NOW) == before
    assert len(before) >= 2


def test_a_registration_takes_one_token_of_each_bucket_it_stands_under(store: Store) -> None:
    limits = replace(WIDE, burst=10, rule_burst=20, instances=30, per_second=1, rule_per_second=1)
    ensure(store.clients, instance(1), limits=replace(limits, identity_per_minute=1))
    assert store.buckets.use(now=NOW) == [
        ("identity_registrations_per_minute", API, 29, 30),
        ("registrations_per_second", "example.org", 9, 10),
        ("rule_registrations_per_second", "web", 19, 20),
    ]
    ensure(store.clients, spiffe(OTHER), limits=limits)
    assert store.buckets.use(now=NOW)[1:] == [
        ("registrations_per_second", "example.org", 8, 10),
        ("rule_registrations_per_second", "web", 18, 20),
    ]


def test_those_who_wait_for_an_operator_are_capped_and_the_others_are_not(store: Store) -> None:
    """ROFU-12: an endless queue would be nobody's; one that is answered makes room."""
    capped = replace(WIDE, pending=2)
    waiting = [spiffe(name, state=ClientState.PENDING) for name in names(4)]
    for proposed in waiting[:2]:
        ensure(store.clients, proposed, limits=capped)
    assert refusal(store, waiting[2], capped) == ("pending_per_trust_domain", 60)
    assert ensure(store.clients, spiffe(API), limits=capped).created
    elsewhere = spiffe("spiffe://e.test/a", trust_domain="e.test", state=ClientState.PENDING)
    assert ensure(store.clients, elsewhere, limits=capped).created
    store.clients.await_approval(waiting[0].client_id, rule="web", digest="terms", now=NOW)
    store.clients.approve(waiting[0].client_id, note="", event=event(AuditEventKind.APPROVED), now=NOW)
    assert ensure(store.clients, waiting[2], limits=capped).created
    store.clients.revoke(waiting[1].client_id, event=event(AuditEventKind.REVOKED), now=NOW)
    assert ensure(store.clients, waiting[3], limits=capped).created
    with pytest.raises(LimitReached):
        ensure(store.clients, waiting[1], limits=capped)


def test_a_pending_record_that_policy_now_allows_needs_no_room(store: Store) -> None:
    ensure(store.clients, spiffe(state=ClientState.PENDING), limits=replace(WIDE, records=1, burst=1))
    allowed = ensure(store.clients, spiffe(), limits=replace(WIDE, records=1, burst=1, pending=0))
    assert allowed.record.state is ClientState.ACTIVE


def test_clients_without_a_trust_domain_count_against_their_issuer(store: Store) -> None:
    """Else one pinned issuer could use up what belongs to another."""
    two = replace(WIDE, records=2)
    for number in (1, 2):
        ensure(store.clients, stated(number), limits=two)
    assert refusal(store, stated(3), two) == ("records_per_trust_domain", 60)
    assert ensure(store.clients, stated(3, "https://other.example.org"), limits=two).created
    assert ensure(store.clients, spiffe(), limits=two).created
    store.clients.revoke(stated(1).client_id, event=event(AuditEventKind.REVOKED), now=NOW)
    assert ensure(store.clients, stated(3), limits=two).created
    assert refusal(store, stated(4), two) == ("records_per_trust_domain", 60)
    narrow = replace(WIDE, per_second=1, burst=3)
    third = "https://third.example.org"
    for number in range(3):
        ensure(store.clients, stated(number, third), limits=narrow)
    assert refusal(store, stated(3, third), narrow) == ("registrations_per_second", 1)
    assert ("registrations_per_second", third, 0, 3) in store.buckets.use(now=NOW)


def test_kinds_without_issuer_count_apart_from_a_trust_domain_of_that_name(store: Store) -> None:
    one = replace(WIDE, records=1)
    pushed = stated(1, kind=ClientKind.PUSHED, provenance=Provenance())
    assert ensure(store.clients, pushed, limits=one).created
    assert ensure(store.clients, spiffe("spiffe://pushed/a", trust_domain="pushed"), limits=one).created
    assert refusal(store, replace(pushed, client_id="p-2", subject="p-2"), one)[0] == "records_per_trust_domain"


def test_the_wait_is_as_long_as_it_takes_to_get_a_token(store: Store) -> None:
    """A caller that comes back in time is admitted, and not one second before."""
    slow = replace(WIDE, instances=2, identity_per_minute=7)
    for number in range(2):
        ensure(store.clients, instance(number), limits=slow, lease=NOW + 1)
    now = NOW + 1
    for number in range(2, 6):
        with pytest.raises(LimitReached) as caught:
            ensure(store.clients, instance(number), limits=slow, now=now, lease=now + 1)
        wait = caught.value.retry_after
        with pytest.raises(LimitReached):
            ensure(store.clients, instance(number), limits=slow, now=now + wait - 1, lease=now + wait)
        now += wait
        assert ensure(store.clients, instance(number), limits=slow, now=now, lease=now + 1).created
    # Seven a minute: the fourth token is there after 34.3 seconds, with nothing lost to rounding.
    assert now == NOW + 35


def test_live_records_are_counted_by_whom_they_count_against(store: Store) -> None:
    """What the limits of records and of pending ones look at, for metrics; whatever ended counts no more."""
    assert store.clients.count_live() == {}
    for name in names(3):
        ensure(store.clients, spiffe(name))
    ensure(store.clients, spiffe(OTHER, state=ClientState.PENDING))
    ensure(store.clients, stated(1))
    assert store.clients.count_live() == {"example.org": (4, 1), CI: (1, 0)}
    store.clients.revoke(names(1)[0], event=event(AuditEventKind.REVOKED), now=NOW)
    store.clients.revoke(f"statement-{CI}-1", event=event(AuditEventKind.REVOKED), now=NOW)
    assert store.clients.count_live() == {"example.org": (3, 1), CI: (0, 0)}
