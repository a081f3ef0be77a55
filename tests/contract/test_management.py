"""Management of registrations: whose token is in force, and metadata that are replaced (RFC 7592)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.model.audit import AuditEventKind
from bridge.model.client import ClientState, Provenance
from bridge.model.errors import RegistrationChanged
from bridge.model.evidence import EvidenceKind
from bridge.store.ports import Access, Ensured, Rotation, Store, Swept, Waiting
from tests.contract.records import API, IDLE, NOW, OTHER, ensure, event, spiffe

UPDATED = AuditEventKind.UPDATED
ABSENT = "spiffe://example.org/absent"


def wanted(ensured: Ensured, **fields: object) -> Access:
    record = ensured.record
    given = {"handle": f"handle-of-{record.client_id[-3:]}", "epoch": record.epoch, "generation": 1, "digest": "d1"}
    return Access(**({"client_id": record.client_id} | given | fields))  # type: ignore[arg-type]


def revoke(store: Store, client_id: str = API) -> None:
    store.clients.revoke(client_id, event=event(AuditEventKind.REVOKED), now=NOW)


def rotate(store: Store, current: Access, digest: str) -> Access | None:
    return store.management.rotate(Rotation(current, digest), event=event(UPDATED))


# --- registration access tokens


def test_the_first_who_opens_decides_and_the_others_get_the_same(store: Store) -> None:
    """DCR-25, DCR-32: a repeated registration does not rotate."""
    ensured = ensure(store.clients)
    first = wanted(ensured)
    assert store.management.by_handle(first.handle) is None
    assert store.management.open(first) == first
    assert store.management.open(wanted(ensured, handle="another", digest="d2", generation=5)) == first
    assert store.management.by_handle(first.handle) == first
    assert store.management.by_handle("another") is None


def test_a_record_that_came_back_has_another_token_in_force(store: Store) -> None:
    """DCR-26, DCR-31: what was handed out under an earlier epoch is void."""
    first = wanted(ensure(store.clients))
    store.management.open(first)
    revoke(store)
    assert rotate(store, first, "d2") is None
    with pytest.raises(RegistrationChanged):
        store.management.open(replace(first, epoch=first.epoch + 1))
    back = wanted(ensure(store.clients), digest="d9")
    assert back.epoch > first.epoch
    assert store.management.open(back) == back
    assert store.management.by_handle(first.handle) == back
    assert store.management.open(first) == back, "an old asker does not bring the old one back"


@pytest.mark.parametrize("known", [True, False])
def test_only_a_live_record_can_be_managed(store: Store, known: bool) -> None:
    ensured = ensure(store.clients)
    access = wanted(ensured) if known else wanted(ensured, client_id=ABSENT)
    if known:
        assert store.management.open(access) == access
    else:
        with pytest.raises(RegistrationChanged):
            store.management.open(access)
        assert store.management.by_handle(access.handle) is None


def test_a_rotation_ends_the_token_before_it(store: Store) -> None:
    """DCR-26, DCR-32."""
    first = store.management.open(wanted(ensure(store.clients)))
    second = rotate(store, first, "d2")
    assert second == replace(first, generation=2, digest="d2")
    assert store.management.by_handle(first.handle) == second
    assert rotate(store, first, "d3") is None
    assert rotate(store, replace(second, digest="guessed"), "d3") is None
    assert store.management.by_handle(first.handle) == second
    assert len(store.audit.rows(events=[UPDATED])) == 1, "one row for the one that was made"


def test_no_row_outlives_its_record(store: Store) -> None:
    one, other = wanted(ensure(store.clients, idle=100)), wanted(ensure(store.clients, spiffe(OTHER)))
    for access in (one, other):
        store.management.open(access)
    for now in (NOW + 100, NOW + 200):
        swept = store.clients.sweep(
            now=now, keep_ended=100, pending_expiry=IDLE, batch=9, event=lambda record: event(AuditEventKind.EXPIRED)
        )
    assert swept == Swept(0, 1, 0)
    assert store.management.by_handle(one.handle) is None
    assert store.management.by_handle(other.handle) == other


# --- metadata


def test_metadata_are_replaced_whole_with_their_event(store: Store) -> None:
    """DCR-28: replaced, not merged; where the record came from is not touched (DCR-30)."""
    origin = Provenance(EvidenceKind.JWT_SVID, ("client_name",), "aa" * 32, "https://ci.example.org", NOW + 60)
    before = ensure(store.clients, spiffe(metadata={"client_name": "a", "scope": "b"}, provenance=origin)).record
    changed = event(UPDATED)
    after = store.clients.replace_metadata(
        API, epoch=before.epoch, rule="newer", metadata={"scope": "c"}, event=changed, now=NOW + 1
    )
    assert after == replace(before, rule="newer", metadata={"scope": "c"})
    assert store.clients.get(API) == after
    assert after.provenance == origin
    assert [row.event for row in store.audit.rows(events=[UPDATED])] == [changed]


@pytest.mark.parametrize("end", ["nothing", "revoked", "another epoch", "idle", "pending", "unknown"])
def test_only_the_registration_that_was_read_is_replaced(store: Store, end: str) -> None:
    state = ClientState.PENDING if end == "pending" else ClientState.ACTIVE
    record = ensure(store.clients, spiffe(state=state)).record
    if end in ("revoked", "another epoch"):
        revoke(store)
    if end == "another epoch":
        ensure(store.clients)
    client_id, now = (ABSENT if end == "unknown" else API), NOW + (IDLE if end == "idle" else 0)
    before = store.clients.get(API)

    def put() -> None:
        store.clients.replace_metadata(
            client_id, epoch=record.epoch, rule="web", metadata={"scope": "c"}, event=event(UPDATED), now=now
        )

    if end == "nothing":
        put()
        return
    with pytest.raises(RegistrationChanged):
        put()
    assert store.clients.get(API) == before
    assert store.audit.rows(events=[UPDATED]) == []


@pytest.mark.parametrize("in_force", [True, False])
def test_an_update_and_the_rotation_of_its_token_are_one_write(store: Store, in_force: bool) -> None:
    """DCR-28, DCR-32, F-4: of two updates that came with one token, one is made."""
    before = ensure(store.clients).record
    token = store.management.open(wanted(ensure(store.clients)))
    if not in_force:
        rotate(store, token, "of the other one")
    rows = len(store.audit.rows(events=[UPDATED]))

    def put() -> None:
        store.clients.replace_metadata(
            API,
            epoch=before.epoch,
            rule="web",
            metadata={"scope": "c"},
            event=event(UPDATED),
            now=NOW,
            rotation=Rotation(token, "d2"),
        )

    if in_force:
        put()
        assert store.management.by_handle(token.handle) == replace(token, generation=2, digest="d2")
        assert store.clients.get(API) == replace(before, rule="web", metadata={"scope": "c"})
        assert len(store.audit.rows(events=[UPDATED])) == rows + 1
        return
    with pytest.raises(RegistrationChanged):
        put()
    assert store.clients.get(API) == before
    assert len(store.audit.rows(events=[UPDATED])) == rows


# --- who waits


def test_terms_that_wait_are_listed_in_pages_and_those_of_ended_records_are_not(store: Store) -> None:
    """ROFU-12."""
    clients = sorted(f"{API}-{number}" for number in range(3))
    for second, name in enumerate(clients):
        ensure(store.clients, spiffe(name, state=ClientState.PENDING))
        for rule in ("a", "b"):
            store.clients.await_approval(name, rule=rule, digest=f"terms-{rule}", now=NOW + second)
    every = [
        Waiting(name, rule, f"terms-{rule}", NOW + second) for second, name in enumerate(clients) for rule in ("a", "b")
    ]
    assert store.clients.waiting(limit=9) == every
    first = store.clients.waiting(limit=3)
    assert first == every[:3]
    assert store.clients.waiting(limit=9, after=(first[-1].client_id, first[-1].rule)) == every[3:]
    store.clients.approve(clients[0], note="", event=event(AuditEventKind.APPROVED), now=NOW)
    revoke(store, clients[2])
    assert store.clients.waiting(limit=9) == every[2:4]
