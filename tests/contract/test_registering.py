"""`ensure` and `find`: a record comes into being once, stays what it is, and comes back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.model.audit import AuditEventKind
from bridge.model.client import ClientKind, ClientState, Provenance
from bridge.model.errors import CredentialReplayed, EvidenceRejected, IdentityDenied, LimitReached
from bridge.model.evidence import EvidenceKind
from bridge.model.identity import Marker
from bridge.model.reasons import Reason
from bridge.store.ports import RegistrationLimits, Store
from tests.contract.places import Place
from tests.contract.records import (
    API,
    BATCH_CLIENT,
    DAY,
    IDLE,
    NOW,
    OTHER,
    ensure,
    event,
    find,
    instance,
    shared,
    spiffe,
)

REGISTERED = AuditEventKind.REGISTERED


def test_a_first_use_makes_an_active_record_and_one_event(store: Store) -> None:
    """ROFU-3, ROFU-4, ROFU-29."""
    ensured = ensure(store.clients, spiffe(metadata={"grant_types": ["client_credentials"], "spiffe_id": API}))
    record = ensured.record
    assert ensured.created
    assert ensured.member is None
    assert (record.client_id, record.kind, record.subject, record.trust_domain) == (
        API,
        ClientKind.SPIFFE,
        API,
        "example.org",
    )
    assert (record.state, record.rule, record.identities) == (ClientState.ACTIVE, "web", 1)
    assert (record.created_at, record.last_used_at, record.expires_at, record.epoch) == (NOW, NOW, NOW + IDLE, NOW)
    assert record.metadata == {"grant_types": ["client_credentials"], "spiffe_id": API}
    assert store.clients.get(API) == record
    assert [row.event.event for row in store.audit.rows()] == [REGISTERED]


def test_a_second_use_returns_the_record_and_writes_nothing(store: Store) -> None:
    """ROFU-5, ROFU-7: whatever the rule or the key of the second request."""
    first = ensure(store.clients)
    second = ensure(store.clients, spiffe(rule="another", metadata={"changed": True}), now=NOW + 5)
    assert second == replace(first, created=False)
    assert len(store.audit.rows()) == 1


def test_nobody_is_found_before_the_first_use(store: Store) -> None:
    found = find(store.clients)
    assert (found.record, found.member, found.denied, found.approved) == (None, None, False, False)
    assert store.clients.get(API) is None


def test_find_shows_the_record_and_its_member_in_one_read(store: Store) -> None:
    ensured = ensure(store.clients, shared())
    found = store.clients.find(BATCH_CLIENT, subject=API, member=API)
    assert (found.record, found.member, found.denied) == (ensured.record, ensured.member, False)
    assert store.clients.find(BATCH_CLIENT, subject=OTHER, member=OTHER).member is None


def test_a_record_that_idled_out_comes_back_under_its_name_and_a_new_epoch(store: Store) -> None:
    """ROFU-5, ROFU-23, T-23: swept or not."""
    first = ensure(store.clients, idle=100)
    still = ensure(store.clients, now=NOW + 99, idle=100)
    back = ensure(store.clients, spiffe(rule="newer"), now=NOW + 100, idle=100)
    assert not still.created
    assert back.created
    assert (back.record.client_id, back.record.created_at) == (API, NOW)
    assert back.record.epoch > first.record.epoch
    assert (back.record.rule, back.record.expires_at) == ("newer", NOW + 200)
    assert [row.event.event for row in store.audit.rows()] == [REGISTERED, REGISTERED]


def test_a_return_within_the_second_of_its_end_has_an_epoch_of_its_own(store: Store) -> None:
    epochs = [ensure(store.clients).record.epoch]
    for _ in range(3):
        store.clients.revoke(API, event=event(AuditEventKind.REVOKED), now=NOW)
        epochs.append(ensure(store.clients).record.epoch)
    assert epochs == sorted(set(epochs))


def test_a_pending_record_stays_pending_until_policy_allows_without_asking(store: Store) -> None:
    """ROFU-12: an allow rule that comes later activates it, as a registration of its own."""
    first = ensure(store.clients, spiffe(state=ClientState.PENDING))
    again = ensure(store.clients, spiffe(state=ClientState.PENDING), now=NOW + 1)
    allowed = ensure(store.clients, spiffe(rule="allows"), now=NOW + 2)
    assert (first.created, again.created, allowed.created) == (True, False, True)
    assert (allowed.record.state, allowed.record.rule) == (ClientState.ACTIVE, "allows")


def test_an_active_record_does_not_change_when_other_terms_have_to_wait(store: Store) -> None:
    active = ensure(store.clients)
    asked = ensure(store.clients, spiffe(state=ClientState.PENDING, rule="asks"), now=NOW + 1)
    assert asked == replace(active, created=False)


@pytest.mark.parametrize(
    ("change", "taken"),
    [
        ({"rule": "another"}, True),
        ({"kind": ClientKind.STATEMENT}, False),
        ({"trust_domain": "elsewhere.test"}, False),
    ],
    ids=["same owner", "other kind", "other trust domain"],
)
def test_a_client_id_belongs_to_one_kind_subject_and_trust_domain(store: Store, change: dict, taken: bool) -> None:
    ensure(store.clients, shared())
    proposed = replace(shared(), **change)
    if taken:
        assert not ensure(store.clients, proposed).created
    else:
        with pytest.raises(EvidenceRejected) as refusal:
            ensure(store.clients, proposed)
        assert refusal.value.reason is Reason.CLIENT_ID_RESERVED
        assert len(store.audit.rows()) == 1


def test_each_identity_under_a_shared_client_is_a_member_and_an_event(store: Store) -> None:
    first = ensure(store.clients, shared())
    second = ensure(store.clients, shared(OTHER))
    again = ensure(store.clients, shared(OTHER))
    assert (first.created, second.created, again.created) == (True, True, False)
    assert first.record.identities == 1
    assert second.record.identities == 2
    assert again.record == store.clients.get(BATCH_CLIENT)
    assert [member.spiffe_id for member in store.clients.members(BATCH_CLIENT, limit=10)] == [API, OTHER]
    assert store.clients.members(BATCH_CLIENT, limit=10, after=API) == [second.member]
    assert [row.event.subject for row in store.audit.rows()] == [API, OTHER]


def test_a_revoked_member_comes_back_under_a_new_epoch_and_leaves_the_record_alone(store: Store) -> None:
    before = ensure(store.clients, shared())
    store.clients.revoke(API, event=event(AuditEventKind.REVOKED), now=NOW)
    after = ensure(store.clients, shared())
    assert after.created
    assert before.member is not None
    assert after.member is not None
    assert after.member.epoch > before.member.epoch
    assert after.record == before.record


def test_instances_are_records_of_their_own(store: Store) -> None:
    ensure(store.clients)
    one, two = ensure(store.clients, instance(1)), ensure(store.clients, instance(2))
    assert (one.created, two.created) == (True, True)
    assert (one.record.parent, one.record.client_id) == (API, "instance-1")


# --- where a record came from


@pytest.mark.parametrize(
    "origin",
    [
        Provenance(),
        Provenance(EvidenceKind.X509_SVID),
        Provenance(EvidenceKind.JWT_SVID, ("client_name", "redirect_uris"), "aa" * 32),
        Provenance(EvidenceKind.SOFTWARE_STATEMENT, (), "bb" * 32, "https://ci.example.org", NOW + 600),
    ],
    ids=["unknown", "x509-svid", "jwt-svid", "software-statement"],
)
def test_a_record_keeps_where_it_came_from_until_it_comes_back(store: Store, origin: Provenance) -> None:
    """DCR-30, DCR-35."""
    assert ensure(store.clients, spiffe(provenance=origin)).record.provenance == origin
    again = ensure(store.clients, spiffe(provenance=Provenance(EvidenceKind.WIT_SVID)))
    assert again.record.provenance == origin
    store.clients.revoke(API, event=event(AuditEventKind.REVOKED), now=NOW)
    back = ensure(store.clients, spiffe(provenance=Provenance(EvidenceKind.WIT_SVID))).record
    assert back.provenance == Provenance(EvidenceKind.WIT_SVID)
    assert store.clients.get(API) == back


# --- markers (T-46)

STATEMENT, PROOF = Marker("statement", "aa" * 32, NOW + 600), Marker("dpop", "aa" * 32, NOW + 300)


def test_markers_are_claimed_with_the_registration_they_stand_under(store: Store) -> None:
    """T-46: what was used once is refused, with nothing written; the twin with another proof is registered."""
    assert ensure(store.clients, markers=(STATEMENT, PROOF)).created
    for markers in ((STATEMENT,), (replace(PROOF, digest="bb" * 32), PROOF)):
        with pytest.raises(CredentialReplayed):
            ensure(store.clients, spiffe(OTHER), markers=markers)
    assert store.clients.get(OTHER) is None
    assert len(store.audit.rows()) == 1
    assert ensure(store.clients, spiffe(OTHER), markers=(replace(PROOF, digest="bb" * 32),)).created


def test_no_marker_is_claimed_where_no_registration_is_written(store: Store) -> None:
    """A caller that finds a known client claims its markers with the token, or not at all."""
    ensure(store.clients)
    assert not ensure(store.clients, markers=(STATEMENT,)).created
    with pytest.raises(LimitReached):
        ensure(store.clients, spiffe(OTHER), limits=limits(burst=0), markers=(STATEMENT,))
    assert store.tokens.claim(STATEMENT, now=NOW)


def test_a_replayed_registration_spends_no_token(store: Store) -> None:
    store.tokens.claim(STATEMENT, now=NOW)
    with pytest.raises(CredentialReplayed):
        ensure(store.clients, limits=limits(burst=1), markers=(STATEMENT,))
    assert store.buckets.use(now=NOW) == []
    assert ensure(store.clients, limits=limits(burst=1), markers=(PROOF,)).created


def test_a_registration_is_refused_when_no_more_markers_fit(place: Place) -> None:
    """T-42: refused, never evicted."""
    store = place.open(marker_limit=1)
    assert ensure(store.clients, markers=(STATEMENT,)).created
    with pytest.raises(LimitReached) as refusal:
        ensure(store.clients, spiffe(OTHER), markers=(PROOF,))
    assert refusal.value.limit == "markers"
    assert ensure(store.clients, spiffe(OTHER)).created


# --- limits (ROFU-28, T-41)


def limits(records: int = 1000, per_second: int = 1, burst: int = 1000) -> RegistrationLimits:
    return RegistrationLimits(records, per_second, burst)


def names(number: int, trust_domain: str = "example.org") -> list[str]:
    return [f"spiffe://{trust_domain}/n/{i}" for i in range(number)]


def test_no_more_live_records_than_the_limit(store: Store) -> None:
    """ROFU-28."""
    for name in names(3):
        ensure(store.clients, spiffe(name), limits=limits(records=3))
    with pytest.raises(LimitReached) as refusal:
        ensure(store.clients, spiffe(OTHER), limits=limits(records=3))
    assert refusal.value.limit == "records_per_trust_domain"
    assert store.clients.get(OTHER) is None
    assert len(store.audit.rows()) == 3
    elsewhere = "spiffe://elsewhere.test/n/1"
    assert ensure(store.clients, spiffe(elsewhere, trust_domain="elsewhere.test"), limits=limits(records=3)).created


def test_an_ended_record_makes_room_and_needs_room_to_come_back(store: Store) -> None:
    one, two = names(2)
    ensure(store.clients, spiffe(one), limits=limits(records=1))
    store.clients.revoke(one, event=event(AuditEventKind.REVOKED), now=NOW)
    assert ensure(store.clients, spiffe(two), limits=limits(records=1)).created
    with pytest.raises(LimitReached):
        ensure(store.clients, spiffe(one), limits=limits(records=1))
    store.clients.revoke(two, event=event(AuditEventKind.REVOKED), now=NOW)
    assert ensure(store.clients, spiffe(one), limits=limits(records=1)).created


def test_a_known_identity_needs_neither_room_nor_a_token(store: Store) -> None:
    """Limits are for new things (section 9 of the contract)."""
    ensure(store.clients, limits=limits(records=1, burst=1))
    assert not ensure(store.clients, limits=limits(records=0, burst=0)).created


def test_the_bucket_gives_its_burst_and_fills_with_its_rate(store: Store) -> None:
    bucket = limits(per_second=2, burst=3)
    made = names(8)
    for name in made[:3]:
        ensure(store.clients, spiffe(name), limits=bucket)
    with pytest.raises(LimitReached) as refusal:
        ensure(store.clients, spiffe(made[3]), limits=bucket)
    assert refusal.value.limit == "registrations_per_second"
    for name in made[3:5]:
        assert ensure(store.clients, spiffe(name), limits=bucket, now=NOW + 1).created
    with pytest.raises(LimitReached):
        ensure(store.clients, spiffe(made[5]), limits=bucket, now=NOW + 1)
    for name in made[5:8]:
        assert ensure(store.clients, spiffe(name), limits=bucket, now=NOW + DAY).created
    with pytest.raises(LimitReached):
        ensure(store.clients, spiffe(OTHER), limits=bucket, now=NOW + DAY)


def test_a_clock_that_jumped_ahead_and_back_does_not_close_the_door(store: Store) -> None:
    """F-5: and a clock that is a little behind gives nothing away."""
    bucket = limits(per_second=1, burst=1)
    made = names(4)
    ensure(store.clients, spiffe(made[0]), limits=bucket, now=NOW + 3600)
    with pytest.raises(LimitReached):
        ensure(store.clients, spiffe(made[1]), limits=bucket, now=NOW + 3595)
    assert ensure(store.clients, spiffe(made[1]), limits=bucket, now=NOW).created
    with pytest.raises(LimitReached):
        ensure(store.clients, spiffe(made[2]), limits=bucket, now=NOW)
    assert ensure(store.clients, spiffe(made[2]), limits=bucket, now=NOW + 1).created


def test_a_new_member_spends_a_token_and_a_known_one_does_not(store: Store) -> None:
    bucket = limits(records=1, burst=2)
    ensure(store.clients, shared(), limits=bucket)
    assert ensure(store.clients, shared(OTHER), limits=bucket).created
    assert not ensure(store.clients, shared(OTHER), limits=bucket).created
    with pytest.raises(LimitReached):
        ensure(store.clients, shared(names(1)[0]), limits=bucket)


def test_a_denied_identity_is_refused_before_any_limit_is_looked_at(store: Store) -> None:
    """ROFU-24; nothing is told apart by the kind of refusal that only a registered one could meet."""
    store.clients.deny(API, absent=spiffe(), event=event(AuditEventKind.DENIED), now=NOW)
    with pytest.raises(IdentityDenied):
        ensure(store.clients, limits=limits(records=0))
