"""Fetched documents that all workers share, and who may fetch one of them now."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest

from bridge.model.document import DocumentCopy, DocumentKind, FoundDocument
from bridge.store.ports import Store
from tests.contract.places import Place
from tests.contract.racers import race
from tests.contract.records import NOW

URL = "https://client.example/c"
ME, OTHER = "worker-1", "worker-2"
DOCUMENT, JWKS = DocumentKind.DOCUMENT, DocumentKind.JWKS
NOBODY = FoundDocument(None, 0)


def copy(
    url: str = URL, *, body: bytes = b'{"a": "\xc3\xa9"}', at: int = NOW, kind: DocumentKind = DOCUMENT
) -> DocumentCopy:
    return DocumentCopy(kind, url, body, sha256(body).hexdigest(), 'W/"1"', at, at + 60, must_revalidate=False)


def found(store: Store, url: str = URL, kind: DocumentKind = DOCUMENT) -> DocumentCopy | None:
    return store.documents.find(kind, url).copy


def begin(store: Store, holder: str = ME, *, now: int = NOW, until: int = NOW + 7) -> bool:
    return store.documents.begin(DOCUMENT, URL, holder=holder, now=now, until=until)


def test_a_copy_is_found_as_it_was_kept_by_every_process_and_after_a_restart(store: Store, place: Place) -> None:
    """CIMD-15: byte for byte, since its digest is bound to consent (T-8)."""
    assert store.documents.find(DOCUMENT, URL) == NOBODY
    kept = replace(copy(), must_revalidate=True)
    assert store.documents.keep(kept, holder=ME)
    assert store.documents.find(DOCUMENT, URL) == FoundDocument(kept, 0)
    assert found(place.open()) == kept


def test_a_url_is_compared_as_it_is_written_and_one_kind_is_never_the_other(store: Store) -> None:
    """CIMD-3; T-8: a document is no key set, whatever is in it."""
    store.documents.keep(copy(), holder=ME)
    assert found(store, kind=JWKS) is None
    for url in (URL + "/", URL.upper(), URL.replace("example/", "example:443/")):
        assert found(store, url) is None
    keys = copy(kind=JWKS, body=b'{"keys": []}')
    store.documents.keep(keys, holder=ME)
    assert (found(store), found(store, kind=JWKS)) == (copy(), keys)


def test_a_younger_copy_takes_the_place_of_an_older_one_and_never_the_other_way(store: Store) -> None:
    """A worker that was slow to answer does not bring back what was there before."""
    younger = copy(body=b"{}", at=NOW + 30)
    for each in (copy(), younger, copy(at=NOW + 29)):
        assert store.documents.keep(each, holder=ME)
    assert found(store) == younger
    again = replace(younger, fetched_at=NOW + 90, fresh_until=NOW + 150, etag="")
    store.documents.keep(again, holder=ME)
    assert found(store) == again


def test_a_copy_from_a_clock_that_was_set_back_gives_way(store: Store) -> None:
    """F-5."""
    store.documents.keep(copy(at=NOW + 86_400), holder=ME)
    store.documents.keep(copy(body=b"{}"), holder=ME)
    assert found(store) == copy(body=b"{}")


def test_of_all_who_ask_one_may_until_the_answer_is_kept(store: Store, place: Place) -> None:
    """CIMD-16: one fetch of a URL at a time, over all processes."""
    other = place.open()
    assert begin(store)
    assert not begin(other, OTHER)
    assert not begin(store), "nor its own holder"
    assert other.documents.find(DOCUMENT, URL) == FoundDocument(None, NOW + 7)
    assert other.documents.begin(JWKS, URL, holder=OTHER, now=NOW, until=NOW + 7), "the other kind is another question"
    store.documents.keep(copy(), holder=ME)
    assert other.documents.find(DOCUMENT, URL) == FoundDocument(copy(), 0)
    assert begin(other, OTHER)


def test_the_right_to_ask_comes_back_also_without_an_answer_and_from_who_died(store: Store) -> None:
    """CIMD-14: who failed leaves nothing that would keep the next one from asking."""
    assert begin(store)
    store.documents.release(DOCUMENT, URL, holder=ME)
    assert store.documents.find(DOCUMENT, URL) == NOBODY
    assert begin(store)
    assert not begin(store, OTHER, now=NOW + 6, until=NOW + 13)
    assert begin(store, OTHER, now=NOW + 7, until=NOW + 14)


def test_who_came_too_late_takes_nobodys_right_away(store: Store) -> None:
    begin(store)
    begin(store, OTHER, now=NOW + 7, until=NOW + 14)
    store.documents.release(DOCUMENT, URL, holder=ME)
    store.documents.keep(copy(), holder=ME)
    store.documents.drop(copy(), holder=ME)
    assert store.documents.find(DOCUMENT, URL) == FoundDocument(None, NOW + 14)


def test_a_server_that_was_found_dead_is_left_alone_for_as_long_as_was_said(store: Store) -> None:
    store.documents.keep(copy(), holder=ME)
    begin(store, now=NOW + 60, until=NOW + 67)
    store.documents.release(DOCUMENT, URL, holder=ME, until=NOW + 65)
    assert store.documents.find(DOCUMENT, URL) == FoundDocument(copy(), NOW + 65, rests=True)
    assert not begin(store, now=NOW + 64, until=NOW + 71)
    assert begin(store, OTHER, now=NOW + 65, until=NOW + 72)


def test_a_right_from_a_clock_that_was_set_back_holds_nobody_off(store: Store) -> None:
    """F-5."""
    begin(store, now=NOW + 86_400, until=NOW + 86_407)
    assert begin(store, OTHER)


def test_only_the_copy_that_was_seen_is_dropped(store: Store) -> None:
    store.documents.keep(copy(), holder=ME)
    for other in (copy(body=b"{}"), copy(at=NOW - 1), copy(kind=JWKS), copy(URL + "2")):
        store.documents.drop(other, holder=ME)
        assert found(store) == copy()
    begin(store)
    store.documents.drop(copy(), holder=ME)
    assert store.documents.find(DOCUMENT, URL) == NOBODY


def test_a_full_store_keeps_no_new_copy_and_puts_none_out(place: Place) -> None:
    """T-42: whoever has URLs without end cannot wash out another's; known URLs are kept up to date."""
    store = place.open(document_limit=2)
    assert store.documents.keep(copy(), holder=ME)
    assert store.documents.keep(copy(kind=JWKS), holder=ME)
    begun = store.documents.begin(DOCUMENT, URL + "3", holder=ME, now=NOW, until=NOW + 7)
    assert begun
    assert not store.documents.keep(copy(URL + "3"), holder=ME)
    assert store.documents.find(DOCUMENT, URL + "3") == NOBODY, "and the right to ask is given back"
    assert store.documents.keep(copy(at=NOW + 60), holder=ME)
    assert found(store) == copy(at=NOW + 60)
    store.documents.drop(copy(kind=JWKS), holder=ME)
    assert store.documents.keep(copy(URL + "3"), holder=ME)


def test_a_sweep_takes_what_is_too_old_in_small_steps(store: Store) -> None:
    for number in range(5):
        store.documents.keep(copy(f"{URL}{number}", at=NOW + number), holder=ME)
    begin(store)

    def sweep(before: int) -> int:
        return store.documents.sweep(before=before, ended_before=NOW + 7, batch=2)

    assert [sweep(NOW + 3) for _ in range(4)] == [2, 2, 0, 0]
    assert [found(store, f"{URL}{number}") is not None for number in range(5)] == [False] * 4 + [True]
    assert store.documents.find(DOCUMENT, URL) == NOBODY


def test_a_sweep_leaves_rights_that_hold(store: Store) -> None:
    begin(store)
    store.documents.sweep(before=NOW, ended_before=NOW + 6, batch=9)
    assert not begin(store, OTHER)


def ask(store: Store, number: int) -> object:
    return store.documents.begin(DOCUMENT, URL, holder=str(number), now=NOW, until=NOW + 7)


@pytest.mark.parametrize("rounds", [2])
def test_one_of_many_at_once_gets_the_right(place: Place, rounds: int) -> None:
    """CIMD-16."""
    assert sum(map(bool, race(place, ask, rounds=rounds))) == 1
