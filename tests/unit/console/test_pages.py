"""What the pages of the console say, and that nothing that somebody wrote into a record says anything else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from urllib.parse import urlencode

import pytest

from bridge.console import keys
from bridge.console.section import Standing
from bridge.console.trust import STANDINGS, WORDS
from bridge.console.words import distance, harmless, length, minute
from bridge.model.bundle import BundleHealth, SharedKey
from bridge.model.errors import Unavailable
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import TrustDomain
from bridge.observe.readiness import Readiness
from tests.browsing import Page
from tests.contract.records import API, NOW, ensure, instance, spiffe
from tests.unit.console.stand import LIMITS, ConsoleStand, status

# Markup, a terminal's escapes, a turn of direction, a line of its own, and a C1 control.
HOSTILE = "</td><script>alert(1)</script>\"'\x1b[2J\x1b]0;x\x07\u202eevil\u2028line\x9b31m"
INERT = "</td><script>alert(1)</script>\"'\\x1b[2J\\x1b]0;x\\x07\\u202eevil\\u2028line\\x9b31m"
PARTNER = TrustDomain.parse("partner.example")


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleStand]:
    """Its statuses and readiness are put back after each test (`as_it_was`)."""
    stand = ConsoleStand(tmp_path_factory.mktemp("console"))
    yield stand
    stand.close()


@pytest.fixture(autouse=True)
def as_it_was(console: ConsoleStand) -> Iterator[None]:
    statuses, ready, now = console.statuses, console.readiness, console.now
    yield
    console.statuses, console.readiness, console.now = statuses, ready, now


def is_inert(page: Page) -> bool:
    """Nothing of it became a tag, a control or a direction."""
    signs = page.text.replace("\n", "")
    return "script" not in page.tags and all(sign.isprintable() for sign in signs)


# --- the start page -----------------------------------------------------------------------------


def test_the_start_page_says_that_all_is_well(console: ConsoleStand) -> None:
    page = console.browser().get("/")
    assert "<h1>All is well</h1>" in page.text
    assert "This worker is ready" in page.text
    assert "no limit is used for more than 80%" in page.text
    assert "ES256, the next in 30 d" in page.text


@pytest.mark.parametrize(
    ("health", "headline"),
    [
        (BundleHealth.FRESH, "All is well"),
        (BundleHealth.LATE, "Somebody should look"),
        *((health, "Something is wrong") for health, standing in STANDINGS.items() if standing is Standing.WRONG),
    ],
)
def test_a_trust_domain_that_needs_somebody_is_on_the_start_page(
    console: ConsoleStand, health: BundleHealth, headline: str
) -> None:
    console.statuses = [*console.statuses, status("second.example", health, bundle=console.statuses[0].bundle)]
    page = console.browser().get("/")
    assert f"<h1>{headline}</h1>" in page.text
    assert (f"second.example: {WORDS[health]}" in unescape(page.text)) is (health is not BundleHealth.FRESH)


def test_a_part_that_is_not_ready_is_named_with_its_reason(console: ConsoleStand) -> None:
    console.readiness = Readiness(False, {"store": {"ready": False, "reason": HOSTILE}})
    page = console.browser().get("/")
    assert "This worker is not ready" in page.text
    assert INERT in unescape(page.text)
    assert is_inert(page)


def test_what_cannot_be_looked_at_hides_nothing_else(console: ConsoleStand, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*, limit: int, after: object = None) -> None:
        raise Unavailable(Reason.STORE_UNAVAILABLE, "the disk is full")

    monkeypatch.setattr(console.store.clients, "waiting", broken)
    browser = console.browser()
    page = browser.get("/")
    assert page.status == 200
    assert "cannot be looked at: store_unavailable: the disk is full" in page.text
    assert "no limit is used" in page.text
    page = browser.get("/approvals")
    assert (page.status, page.headers["Retry-After"]) == (503, "5")
    assert "store_unavailable: the disk is full" in page.text


# --- trust domains ------------------------------------------------------------------------------


def test_trust_domains_that_need_somebody_come_first(console: ConsoleStand) -> None:
    bundle = console.statuses[0].bundle
    console.statuses = [
        status("a.example", bundle=bundle),
        status("b.example", BundleHealth.LATE, bundle=bundle, reason=HOSTILE),
        status("z.example", BundleHealth.UNREACHABLE),
    ]
    page = console.browser().get("/trust")
    places = [page.text.index(f">{name}.example</a>") for name in "zba"]
    assert places == sorted(places)
    assert INERT in unescape(page.text)
    assert is_inert(page)
    assert "bundles/example.org.json" not in page.text


def test_trust_domains_are_found_by_a_part_of_their_name_and_shown_page_by_page(console: ConsoleStand) -> None:
    bundle = console.statuses[0].bundle
    console.statuses = [status(f"td-{number:03}.example", bundle=bundle) for number in range(205)]
    browser = console.browser()
    page = browser.get("/trust")
    assert page.text.count('scope="row"') == 100
    assert 'href="/trust?name=&amp;skip=100"' in page.text
    page = browser.get("/trust?skip=200")
    assert page.text.count('scope="row"') == 5
    assert ">More<" not in page.text
    page = browser.get("/trust?name=td-01")
    assert page.text.count('scope="row"') == 10
    assert 'value="td-01"' in page.text
    page = browser.get(f"/trust?{urlencode({'name': HOSTILE.replace(chr(27), '').replace(chr(7), '')})}")
    assert "No trust domain has" in page.text
    assert "script" not in page.tags
    assert browser.get("/trust?skip=x").status == 200


def test_a_trust_domain_is_shown_with_each_key_and_the_digest(console: ConsoleStand) -> None:
    page = console.browser().get("/trust/domain?name=example.org")
    bundle = console.statuses[0].bundle
    assert bundle is not None
    assert bundle.jwt_authorities[0].key_id in page.text
    assert "bundles/example.org.json" in page.text
    assert "bridge trust show example.org" in page.text
    assert console.browser().get("/trust/domain?name=nobody.example").status == 404


def test_a_shared_key_is_told_with_whom(console: ConsoleStand) -> None:
    shared = SharedKey("k" * 43, PARTNER, "jwt-1", HOSTILE, last=PARTNER)
    (own,) = console.statuses
    console.statuses = [replace(own, health=BundleHealth.SHARED, shared=shared, reason=str(shared))]
    page = console.browser().get("/trust/domain?name=example.org")
    assert "shares key" in page.text
    assert "partner.example came by it last" in page.text
    assert INERT in unescape(page.text)
    assert is_inert(page)


# --- limits and keys ----------------------------------------------------------------------------


def test_limits_in_use_are_shown_the_fullest_first(console: ConsoleStand) -> None:
    for number in range(4):
        ensure(console.store.clients, spiffe(f"{API}-{number}"), limits=LIMITS)
    ensure(console.store.clients, instance(), limits=LIMITS)
    browser = console.browser()
    page = browser.get("/limits")
    text = unescape(page.text)
    assert "records_per_trust_domain" in text
    assert text.index("records_per_trust_domain") < text.index("registrations_per_second")
    assert "50 %" in text
    assert API in text
    for number in range(4, 8):
        ensure(console.store.clients, spiffe(f"{API}-{number}"), limits=LIMITS)
    assert "records_per_trust_domain example.org 90%" in unescape(browser.get("/").text)
    assert "Somebody should look" in browser.get("/").text


def test_signing_keys_are_shown_by_their_state_and_without_their_private_part(console: ConsoleStand) -> None:
    page = console.browser().get("/keys")
    for shown in ("key-1", "key-2", "signing", "waiting", "the next change is due", "in 30 d"):
        assert shown in page.text
    assert "sealed in the store" in page.text
    rows = console.ring.rows()
    assert len(rows) == 2
    for row in rows:
        assert row.sealed.hex() not in page.text


def test_a_key_that_should_have_been_changed_is_told_of(console: ConsoleStand) -> None:
    console.now += 30 * 86400 + keys.OVERDUE
    assert "the next now" in console.browser().get("/").text
    console.now += 1
    assert "was to be changed 1 d 1 s ago" not in console.browser().get("/").text
    assert "was to be changed 1 d ago" in console.browser().get("/").text


# --- words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (90061, "1 d 1 h"),
        (86400 * 400, "400 d"),
    ],
)
def test_lengths_of_time_are_said_in_two_words_at_most(seconds: int, said: str) -> None:
    assert length(seconds) == said


def test_times_are_said_from_here() -> None:
    assert (distance(NOW - 90, NOW), distance(NOW + 90, NOW)) == ("1 min 30 s ago", "in 1 min 30 s")
    assert minute(NOW) == "2027-01-15 08:00 UTC"


def test_what_prints_nothing_is_spelled_out_and_the_rest_left_alone() -> None:
    assert harmless(HOSTILE) == INERT
    assert harmless("a\u3164b\u2800c\u034f") == "a\\u3164b\\u2800c\\u034f"
    assert harmless("Straße 東京 e\u0301") == "Straße 東京 e\u0301"
    assert harmless(None) == ""
    assert harmless(5) == "5"
    assert harmless(SharedKey("k", PARTNER, HOSTILE, HOSTILE)) == str(SharedKey("k", PARTNER, INERT, INERT))
