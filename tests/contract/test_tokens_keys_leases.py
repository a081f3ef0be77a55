"""The small stores: single tokens, signing keys, leases."""

from __future__ import annotations

from dataclasses import replace

from bridge.model.audit import AuditEventKind
from bridge.model.signing_key import SigningKeyRow
from bridge.store.ports import Store
from tests.contract.records import DAY, NOW, event


def revoke_token(store: Store, jti: str) -> None:
    store.tokens.revoke_token(jti, expires_at=NOW + 300, event=event(AuditEventKind.REVOKED, jti=jti), now=NOW)


def test_one_token_is_ended_once_and_others_live(store: Store) -> None:
    for _ in range(2):
        revoke_token(store, "one")
    assert store.tokens.is_revoked("one")
    assert not store.tokens.is_revoked("two")
    assert [row.event.jti for row in store.audit.rows()] == ["one"]


def test_a_revoked_token_stays_known_well_past_its_end(store: Store) -> None:
    """F-5: a clock that is set back must not revive it."""
    revoke_token(store, "one")
    for later, known in ((3600, True), (2 * DAY, False)):
        store.clients.sweep(now=NOW + later, keep_ended=DAY, pending_expiry=DAY, batch=10, event=lambda record: event())
        assert store.tokens.is_revoked("one") is known


def key(kid: str, **fields: int) -> SigningKeyRow:
    return replace(SigningKeyRow(kid, "ES256", '{"kid":"x"}', b"\x00sealed", NOW), **fields)


def add_first(store: Store, *rows: SigningKeyRow) -> bool:
    return store.keys.add_first(rows, event=event(AuditEventKind.KEYS_ROTATED))


def rotate(store: Store, promote: str, successor: SigningKeyRow) -> bool:
    return store.keys.rotate(
        promote=promote,
        signs_from=NOW + 10,
        retire_others_at=NOW + 20,
        successor=successor,
        event=event(AuditEventKind.KEYS_ROTATED),
    )


def test_the_first_keys_are_made_once(store: Store) -> None:
    rows = [key("a", signs_from=NOW), key("b", created_at=NOW + 1)]
    assert add_first(store, *rows)
    assert not add_first(store, key("c"))
    assert store.keys.keys() == rows
    assert len(store.audit.rows()) == 1


def test_a_rotation_promotes_the_waiting_key_and_ends_the_one_before(store: Store) -> None:
    """F-7: published before use; the old key stays until the last token died."""
    add_first(store, key("a", signs_from=NOW), key("b", created_at=NOW + 1))
    assert rotate(store, "b", key("c", created_at=NOW + 2))
    assert store.keys.keys() == [
        key("a", signs_from=NOW, retires_at=NOW + 20),
        key("b", created_at=NOW + 1, signs_from=NOW + 10),
        key("c", created_at=NOW + 2),
    ]


def test_a_rotation_that_lost_the_race_changes_nothing(store: Store) -> None:
    add_first(store, key("a", signs_from=NOW), key("b", created_at=NOW + 1))
    assert rotate(store, "b", key("c", created_at=NOW + 2))
    before, rows = store.keys.keys(), len(store.audit.rows())
    assert not rotate(store, "b", key("d"))
    assert not rotate(store, "nobody", key("d"))
    assert (store.keys.keys(), len(store.audit.rows())) == (before, rows)


def test_a_retired_key_is_dropped_after_its_end(store: Store) -> None:
    add_first(store, key("a", signs_from=NOW), key("b", created_at=NOW + 1))
    rotate(store, "b", key("c", created_at=NOW + 2))
    assert store.keys.drop_retired(now=NOW + 19) == 0
    assert store.keys.drop_retired(now=NOW + 20) == 1
    left = store.keys.keys()
    assert [row.kid for row in left] == ["b", "c"]


def test_a_lease_has_one_holder_until_it_ends(store: Store) -> None:
    def take(holder: str, now: int, name: str = "sweep") -> bool:
        return store.leases.take(name, holder=holder, now=now, until=now + 60)

    assert take("one", NOW)
    assert not take("two", NOW + 59)
    assert take("two", NOW, "another chore")
    assert take("one", NOW + 30), "prolonged by its holder"
    assert not take("two", NOW + 60)
    assert take("two", NOW + 90)
    assert not take("one", NOW + 91)


def test_the_store_answers(store: Store) -> None:
    store.ping()
