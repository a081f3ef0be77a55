"""The cache of clients' documents against real TLS servers and a real store (CIMD-12 to 16, T-4, T-6, F-10)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from bridge.fetch.failures import DocumentFailure, FetchDelayed, NetworkFailure
from bridge.fetch.held_copies import KEEP_SECONDS, LOOK_SECONDS, MEANWHILE_SECONDS
from bridge.fetch.shared_copies import REST_SECONDS, RIGHT_SECONDS, CacheOutcome
from bridge.model.document import DocumentKind
from bridge.model.errors import EvidenceRejected, LimitReached, Unavailable
from bridge.model.reasons import Reason
from tests.contract.records import NOW
from tests.unit.fetch.cache_stand import ADDRESS, Site, Worker, read_document, site, worker
from tests.unit.fetch.tls_server import TlsServer, http, sends

HIT, FETCHED, UNKEPT, REVALIDATED, STALE, REFUSED, FAILED = CacheOutcome
DAY = 24 * 3600
# When a document without a word about its life has to be asked for again.
LATER = NOW + 60


@pytest.fixture
def host() -> Iterator[Site]:
    with site() as running:
        yield running


@pytest.fixture
def one(host: Site, tmp_path: Path) -> Iterator[Worker]:
    made = worker(tmp_path, host.server)
    yield made
    made.store.close()


@pytest.fixture
def two(host: Site, tmp_path: Path, one: Worker) -> Iterator[Worker]:
    """Another process, as far as the store can tell."""
    made = worker(tmp_path, host.server, name="worker-2")
    yield made
    made.store.close()


def until(is_so: Callable[[], bool]) -> None:
    """Give other threads the time that they need."""
    for _ in range(2000):
        if is_so():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never came to this")


# --- one fetch --------------------------------------------------------------------------------------


def test_a_thousand_requests_take_one_fetch_of_the_document_and_one_of_its_keys_CIMD_15_16(
    host: Site, one: Worker, two: Worker
) -> None:
    for number in range(500):
        for each in (one, two):
            assert each.document(host.url, NOW + number % 60) == {"client_id": host.url}
            assert each.keys(host.jwks_uri, NOW + number % 60) == ["one"]
    assert host.counts == {"/client.json": 1, "/jwks.json": 1}
    assert one.read == two.read == [host.url], "and each worker parsed it once"


def test_a_document_is_handed_out_byte_for_byte_with_its_digest_T_8(host: Site, one: Worker) -> None:
    body = host.body(client_name="\u00e9")
    host.says(body=body)
    for at in (NOW, NOW + 1, NOW + 30):
        found = one.cache.document(host.url, now=at, source_address=ADDRESS)
        assert (found.body, found.digest, found.fetched_at) == (body, sha256(body).hexdigest(), NOW)
        assert found.url == host.url


def test_threads_and_processes_that_come_at_once_share_one_fetch_CIMD_16(host: Site, one: Worker, two: Worker) -> None:
    other_waits = threading.Event()

    def wait(seconds: float) -> None:
        other_waits.set()
        threading.Event().wait(0.01)
        two.time -= seconds

    two.paused = wait
    host.before_answering = lambda: other_waits.wait(20)
    with ThreadPoolExecutor(12) as threads:
        first = threads.submit(one.document, host.url)
        until(lambda: host.fetches == 1)
        asked = [threads.submit(each.document, host.url) for each in (one, two) for _ in range(5)]
        assert {future.result()["client_id"] for future in (first, *asked)} == {host.url}
    assert host.fetches == 1


def test_a_failure_is_raised_to_all_who_wait_each_its_own(host: Site, one: Worker) -> None:
    host.says("404 Not Found")
    go = threading.Event()
    host.before_answering = lambda: go.wait(20)

    def failure(_: int) -> BaseException:
        with pytest.raises(DocumentFailure) as raised:
            one.document(host.url)
        return raised.value

    with ThreadPoolExecutor(4) as threads:
        first = threads.submit(failure, 0)
        until(lambda: host.fetches == 1)
        rest = [threads.submit(failure, number) for number in range(3)]
        until(lambda: all(future.running() for future in rest))
        go.set()
        found = [future.result() for future in (first, *rest)]
    assert len(set(map(id, found))) == 4


def test_who_waits_for_a_process_that_died_is_told_to_come_back_and_takes_over_when_its_right_ends_F_1(
    host: Site, one: Worker
) -> None:
    store = one.store.documents
    assert store.begin(DocumentKind.DOCUMENT, host.url, holder="dead", now=NOW, until=NOW + RIGHT_SECONDS)
    with pytest.raises(FetchDelayed) as delay:
        one.document(host.url)
    assert (host.fetches, one.paid) == (0, [])
    assert 0 < delay.value.retry_after <= RIGHT_SECONDS
    assert 5 < one.time < 7
    assert one.document(host.url, NOW + RIGHT_SECONDS)


def test_who_waited_takes_over_at_once_from_whom_the_host_refused_CIMD_14(host: Site, one: Worker) -> None:
    """The other process was told that the document is no good, and leaves nothing to share but the right."""
    store = one.store.documents
    store.begin(DocumentKind.DOCUMENT, host.url, holder="other", now=NOW, until=NOW + RIGHT_SECONDS)
    one.paused = lambda seconds: store.release(DocumentKind.DOCUMENT, host.url, holder="other")
    assert one.document(host.url)
    assert (host.fetches, len(one.paid)) == (1, 1)


def test_who_waited_long_for_nothing_does_not_wait_again(host: Site, one: Worker) -> None:
    store = one.store.documents
    store.begin(DocumentKind.DOCUMENT, host.url, holder="other", now=NOW, until=NOW + RIGHT_SECONDS)

    def release(seconds: float) -> None:
        if one.time > 2:
            store.release(DocumentKind.DOCUMENT, host.url, holder="other")

    one.paused = release
    with pytest.raises(FetchDelayed):
        one.document(host.url)
    assert host.fetches == 0
    assert one.document(host.url)


# --- how long ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "life"),
    [({}, 60), ({"cache_control": "max-age=3600"}, 3600), ({"cache_control": "max-age=9999999"}, DAY)],
    ids=["nothing said", "max-age", "at most a day"],
)
def test_a_document_is_asked_for_again_when_its_time_is_over_CIMD_15(
    host: Site, one: Worker, headers: dict[str, str], life: int
) -> None:
    host.says(**headers)
    one.document(host.url)
    host.says(body=host.body(client_name="new"), **headers)
    assert "client_name" not in one.document(host.url, NOW + life - 1)
    assert one.document(host.url, NOW + life)["client_name"] == "new"
    assert host.fetches == 2


@pytest.mark.parametrize("holds_again", [60, 7200], ids=["as before", "as the 304 says"])
def test_an_unchanged_document_is_confirmed_by_its_etag_alone_CIMD_6_15(
    host: Site, one: Worker, two: Worker, holds_again: int
) -> None:
    host.says(etag='"v1"', cache_control="max-age=100")
    one.document(host.url)
    said = {"cache_control": f"max-age={holds_again}"} if holds_again == 7200 else {}
    host.says("304 Not Modified", body=b"", content_type="", content_length="", etag='"other"', **said)
    found = one.cache.document(host.url, now=NOW + 100, source_address=ADDRESS)
    assert (found.value, found.fetched_at) == ({"client_id": host.url}, NOW + 100)
    assert b'If-None-Match: "v1"\r\n' in host.server.requests[1]
    life = 7200 if holds_again == 7200 else 100
    two.document(host.url, NOW + 100 + life - 1)
    assert host.fetches == 2
    two.document(host.url, NOW + 100 + life)
    assert b'If-None-Match: "v1"\r\n' in host.server.requests[2], "the validator of the very body that is there"
    assert (one.outcomes, two.outcomes) == ([FETCHED, REVALIDATED], [HIT, REVALIDATED])
    assert (one.read, two.read) == ([host.url], [host.url])


def test_a_304_without_a_copy_is_no_document_CIMD_6(host: Site, one: Worker) -> None:
    host.says("304 Not Modified", body=b"", content_type="", content_length="")
    with pytest.raises(DocumentFailure):
        one.document(host.url)
    assert b"If-None-Match" not in host.server.requests[0]
    host.says()
    assert one.document(host.url)


def test_what_must_not_be_stored_is_used_once_CIMD_15(host: Site, one: Worker) -> None:
    host.says(cache_control="no-store", etag='"v1"')
    for number in range(3):
        assert one.document(host.url, NOW + number)
    assert (host.fetches, one.copy(host.url)) == (3, None)
    assert len(one.paid) == 3, "there is never a copy, so each fetch is paid for"
    host.says(etag='"v1"')
    assert [one.document(host.url, NOW + 3 + number) for number in range(3)]
    assert host.fetches == 4


def test_a_copy_goes_when_its_server_no_longer_wants_it_stored_CIMD_15(host: Site, one: Worker) -> None:
    host.says(etag='"v1"')
    one.document(host.url)
    host.says("304 Not Modified", body=b"", content_type="", content_length="", cache_control="no-store")
    assert one.document(host.url, LATER)
    assert one.copy(host.url) is None
    assert one.outcomes == [FETCHED, REVALIDATED]


def test_a_newer_copy_of_another_worker_is_seen_within_two_seconds(host: Site, one: Worker, two: Worker) -> None:
    host.has_keys("one", cache_control="max-age=3600")
    assert one.keys(host.jwks_uri) == two.keys(host.jwks_uri) == ["one"]
    host.has_keys("two", cache_control="max-age=3600")
    two.keys(host.jwks_uri, NOW + 100)
    assert one.keys(host.jwks_uri, NOW + 100) == ["one"]
    assert two.keys(host.jwks_uri, NOW + 100, unknown_kid=True) == ["two"]
    assert one.keys(host.jwks_uri, NOW + 100 + LOOK_SECONDS) == ["two"]
    assert host.fetches == 2


def test_a_clock_that_was_set_back_makes_no_copy_immortal_F_5(host: Site, one: Worker) -> None:
    host.says(cache_control="max-age=86400")
    one.document(host.url, NOW + 10 * DAY)
    assert one.document(host.url, NOW + 10 * DAY - 60), "within what clocks differ by"
    assert host.fetches == 1
    one.document(host.url, NOW)
    assert host.fetches == 2
    one.document(host.url, NOW + 1)
    assert host.fetches == 2


# --- hosts that are down ----------------------------------------------------------------------------


def test_a_good_copy_outlives_its_host_for_a_day_also_over_a_restart_CIMD_15(
    host: Site, one: Worker, tmp_path: Path
) -> None:
    one.document(host.url)
    host.is_cut_off()
    restarted = worker(tmp_path, host.server, name="worker-9")
    for at in (LATER, NOW + KEEP_SECONDS - REST_SECONDS):
        assert restarted.document(host.url, at)
    with pytest.raises(NetworkFailure):
        restarted.document(host.url, NOW + KEEP_SECONDS)
    host.says()
    assert restarted.document(host.url, NOW + KEEP_SECONDS + REST_SECONDS), "it is asked for as ever"
    assert restarted.outcomes == [STALE, STALE, FAILED, FETCHED]
    restarted.store.close()


@pytest.mark.parametrize("directive", ["must-revalidate", "no-cache"])
def test_a_copy_that_must_be_confirmed_does_not_outlive_its_host_CIMD_15(
    host: Site, one: Worker, directive: str
) -> None:
    host.says(cache_control=directive)
    one.document(host.url)
    assert one.document(host.url, LATER - 1)
    host.is_cut_off()
    with pytest.raises(NetworkFailure):
        one.document(host.url, LATER)


def test_a_host_that_gave_no_answer_is_left_alone_for_five_seconds_by_all_workers_F_10(
    host: Site, one: Worker, two: Worker
) -> None:
    one.document(host.url)
    host.says("500 Oops")
    for each in (one, two):
        for at in (LATER, LATER + REST_SECONDS - 1):
            assert each.document(host.url, at)
    assert host.fetches == 2
    two.document(host.url, LATER + REST_SECONDS)
    assert host.fetches == 3


@pytest.mark.parametrize("failing", [b"", http(b"", "500 Oops")], ids=["cut", "5xx"])
def test_a_failure_of_the_network_is_never_the_client_s_and_never_remembered_CIMD_14(
    host: Site, one: Worker, failing: bytes
) -> None:
    host.answers["/client.json"] = failing
    for _ in range(2):
        with pytest.raises(Unavailable) as failure:
            one.document(host.url)
        assert failure.value.retry_after > 0
    assert host.fetches == 2
    host.says()
    assert one.document(host.url)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        ("404 Not Found", b"{}"),
        ("302 Found", b""),
        ("200 OK", b"no JSON"),
        ("200 OK", b'{"client_id": "https://a.example/"}'),
    ],
    ids=["gone", "redirect", "no JSON", "another client"],
)
def test_a_document_that_is_no_good_is_refused_and_a_fixed_one_works_at_once_CIMD_14(
    host: Site, one: Worker, two: Worker, status: str, body: bytes
) -> None:
    host.says(status, body=body)
    for each in (one, two):
        with pytest.raises(EvidenceRejected) as refusal:
            each.document(host.url)
        assert refusal.value.reason is Reason.DOCUMENT_REFUSED
    assert (host.fetches, one.copy(host.url)) == (2, None)
    host.says()
    assert one.document(host.url)
    assert one.outcomes == [REFUSED, FETCHED]


@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone"])
def test_a_host_that_says_that_a_document_is_gone_is_believed_at_once(
    host: Site, one: Worker, two: Worker, status: str
) -> None:
    for each in (one, two):
        each.document(host.url)
    host.says(status)
    for each in (one, two):
        with pytest.raises(DocumentFailure):
            each.document(host.url, LATER)
    assert one.copy(host.url) is None
    host.says(body=host.body(client_name="back"))
    assert two.document(host.url, LATER)["client_name"] == "back"


def test_keys_that_turn_out_to_be_gone_when_one_is_missing_are_gone_at_once(
    host: Site, one: Worker, two: Worker
) -> None:
    host.has_keys("one", cache_control="max-age=3600")
    for each in (one, two):
        assert each.keys(host.jwks_uri, NOW + 10) == ["one"]
    host.has_keys("one", status="404 Not Found")
    for unknown_kid in (True, False):
        with pytest.raises(DocumentFailure):
            one.keys(host.jwks_uri, NOW + 10 + REST_SECONDS, unknown_kid=unknown_kid)
    with pytest.raises(DocumentFailure):
        two.keys(host.jwks_uri, NOW + 10 + LOOK_SECONDS)
    assert host.fetches == 4


def test_a_copy_that_just_ran_out_serves_the_others_while_one_asks(host: Site, one: Worker, two: Worker) -> None:
    one.document(host.url)
    store = one.store.documents
    at = LATER + MEANWHILE_SECONDS - 1
    store.begin(DocumentKind.DOCUMENT, host.url, holder="other", now=at, until=at + RIGHT_SECONDS)
    assert one.document(host.url, at)
    assert (one.outcomes, one.time) == ([FETCHED, STALE], 0)
    # One that nobody used for longer is waited for, and only then made do with.
    assert two.document(host.url, at + 1)
    assert two.outcomes == [STALE]
    assert two.time > 0


# --- keys that are not there -------------------------------------------------------------------------


def test_an_unknown_key_has_the_set_asked_for_at_most_once_in_five_seconds_CIMD_16(
    host: Site, one: Worker, two: Worker
) -> None:
    host.has_keys("one", cache_control="max-age=3600")
    assert one.keys(host.jwks_uri) == ["one"]
    assert one.keys(host.jwks_uri, NOW + REST_SECONDS - 1, unknown_kid=True) == ["one"]
    assert host.fetches == 1
    host.has_keys("one", "two", cache_control="max-age=3600")
    assert one.keys(host.jwks_uri, NOW + REST_SECONDS, unknown_kid=True) == ["one", "two"]
    for each in (one, two):
        assert each.keys(host.jwks_uri, NOW + 2 * REST_SECONDS - 1, unknown_kid=True) == ["one", "two"]
    assert host.fetches == 2
    assert two.keys(host.jwks_uri, NOW + 2 * REST_SECONDS, unknown_kid=True)
    assert host.fetches == 3


def test_whether_there_is_such_a_key_is_unknown_while_its_host_is_down(host: Site, one: Worker, two: Worker) -> None:
    host.has_keys("one", cache_control="max-age=3600")
    one.keys(host.jwks_uri)
    host.is_cut_off()
    with pytest.raises(NetworkFailure):
        one.keys(host.jwks_uri, NOW + 100, unknown_kid=True)
    for each in (one, two):
        with pytest.raises(FetchDelayed):
            each.keys(host.jwks_uri, NOW + 101, unknown_kid=True)
        assert each.keys(host.jwks_uri, NOW + 101) == ["one"], "known keys are as good as before"
    assert host.fetches == 2
    host.has_keys("two")
    assert two.keys(host.jwks_uri, NOW + 100 + REST_SECONDS, unknown_kid=True) == ["two"]


def test_a_set_is_never_taken_for_a_document_nor_a_document_for_a_set_T_25(host: Site, one: Worker) -> None:
    assert one.keys(host.jwks_uri) == ["one"]
    with pytest.raises(EvidenceRejected):
        one.document(host.jwks_uri)
    assert one.document(host.url)
    with pytest.raises(EvidenceRejected):
        one.keys(host.url)
    assert one.keys(host.jwks_uri) == ["one"]


# --- who pays ---------------------------------------------------------------------------------------


def test_only_a_url_without_a_copy_is_paid_for_by_who_asks_T_41(host: Site, one: Worker, two: Worker) -> None:
    one.document(host.url)
    assert one.paid == [(ADDRESS, NOW)]
    for each in (one, two):
        each.document(host.url, NOW + 1)
        each.document(host.url, LATER)
    assert (len(one.paid), two.paid) == (1, [])
    one.keys(host.jwks_uri)
    one.keys(host.jwks_uri, NOW + 9, unknown_kid=True)
    assert len(one.paid) == 2


def test_who_cannot_pay_has_nothing_fetched_and_keeps_nobody_off_T_41(host: Site, one: Worker, tmp_path: Path) -> None:
    def refuse(source_address: str, at: int) -> None:
        raise LimitReached("anonymous_per_minute", 9)

    poor = worker(tmp_path, host.server, name="worker-3", pay=refuse)
    with pytest.raises(LimitReached):
        poor.document(host.url)
    assert host.fetches == 0
    assert one.document(host.url)
    assert poor.document(host.url)
    assert poor.document(host.url, LATER), "a document that somebody paid for is everybody's"
    poor.store.close()


# --- bounds -----------------------------------------------------------------------------------------


def test_where_the_store_is_full_a_worker_keeps_its_own_copy_for_its_time_T_42(host: Site, tmp_path: Path) -> None:
    full = worker(tmp_path, host.server, document_limit=1)
    full.keys(host.jwks_uri)
    host.says(etag='"v1"')
    for number in range(60):
        assert full.document(host.url, NOW + number)
    assert host.counts["/client.json"] == 1
    assert full.copy(host.url) is None
    host.says("304 Not Modified", body=b"", content_type="", content_length="")
    assert full.document(host.url, LATER)
    assert (host.counts["/client.json"], len(full.paid)) == (2, 2)
    assert [outcome for outcome in full.outcomes if outcome is not HIT] == [FETCHED, UNKEPT, UNKEPT]
    full.store.close()


def test_waiting_fetches_hold_half_of_the_threads_at_most_and_known_documents_feel_nothing_T_6_F_10(
    host: Site, tmp_path: Path
) -> None:
    busy = worker(tmp_path, host.server, threads=8)
    host.says(cache_control="must-revalidate")
    busy.document(host.url)
    go = threading.Event()

    def hang() -> None:
        if b" /client.json " not in host.server.requests[-1]:
            go.wait(20)

    host.before_answering = hang
    tarpits = [host.server.url(f"/{number}") for number in range(4)]
    host.answers |= {f"/{number}": b"" for number in range(4)}
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(busy.document, url) for url in tarpits[:2]]
        until(lambda: host.fetches == 3)
        for url in tarpits[2:]:
            with pytest.raises(FetchDelayed):
                busy.document(url)
        assert busy.document(host.url, NOW + 30)
        assert busy.document(host.url, LATER), (
            "nor one that has to be asked for again: new URLs have half of the places"
        )
        go.set()
        for future in waiting:
            with pytest.raises(NetworkFailure):
                future.result()
    busy.store.close()


def test_a_check_that_has_grown_stricter_holds_for_what_was_kept_before(
    host: Site, one: Worker, tmp_path: Path
) -> None:
    one.document(host.url)

    def stricter(body: bytes, url: str) -> dict[str, Any]:
        if b"client_name" not in body:
            raise EvidenceRejected(Reason.DOCUMENT_REFUSED, "no name")
        return read_document(body, url)

    upgraded = worker(tmp_path, host.server, name="worker-4", read=stricter)
    with pytest.raises(EvidenceRejected):
        upgraded.document(host.url)
    host.says(body=host.body(client_name="C"))
    assert upgraded.document(host.url)["client_name"] == "C"
    assert host.fetches == 3
    upgraded.store.close()


# --- inner hosts ------------------------------------------------------------------------------------


def test_no_url_of_a_client_or_of_its_document_reaches_an_inner_host_T_1_T_4_CIMD_11_12(
    host: Site, one: Worker
) -> None:
    """The document itself, `jwks_uri`, and what a browser would have loaded from `logo_uri`."""
    with TlsServer(sends(http(b'{"keys": []}'))) as inner:
        inward = [inner.url(host="127.0.0.1"), inner.url(), f"https://[::ffff:7f00:1]:{inner.port}/"]
        for number, url in enumerate(inward):
            with pytest.raises(DocumentFailure):
                one.document(url)
            host.says(body=host.body(jwks_uri=url, logo_uri=url, policy_uri=url))
            named = one.document(host.url, NOW + 60 * number)
            assert named["logo_uri"] == url
            with pytest.raises(DocumentFailure, match="at jwks_uri, "):
                one.keys(named["jwks_uri"])
        assert inner.connections == 0
    assert one.keys(host.jwks_uri) == ["one"]


def test_a_redirect_leads_nowhere_T_2_CIMD_7(host: Site, one: Worker) -> None:
    with TlsServer() as inner:
        for status in ("301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"):
            host.says(status, body=b"", location=inner.url(host="127.0.0.1"))
            with pytest.raises(DocumentFailure):
                one.document(host.url)
        assert inner.connections == 0
    assert host.fetches == 4
