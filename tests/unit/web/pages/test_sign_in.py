"""Signing in and out, and what browsers are made to keep."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode, urlsplit

import pytest

from tests.browsing import Browser, Page
from tests.openid_provider import Conduct, OpenIdProvider
from tests.unit.users.upstream_stand import UpstreamStand
from tests.unit.web.pages.stand import ISSUER, SESSION_IDLE, SESSION_LIFE, Stand

# A browser's own cookie, a session's, and one for each sign-in under way.
KEPT = "__Host-bridge-"


@pytest.fixture
def stand() -> Stand:
    return Stand()


def to_form(stand: Stand, browser: Browser, url: str = "/sign-in") -> Page:
    return browser.follow(browser.get(url))


def pending(browser: Browser) -> list[str]:
    return [name for name in browser.cookies if name.startswith(f"{KEPT}sign-in-")]


# --- cookies --------------------------------------------------------------------------------------


def test_cookies_are_for_this_host_alone_and_no_script(stand: Stand) -> None:
    browser = stand.browser()
    left = browser.get("/sign-in")
    arrived = browser.submit(browser.follow(left), user="alice")
    given = [cookie for page in (left, arrived) for cookie in page.cookies]
    assert len(given) >= 4
    for cookie in given:
        name, _, rest = cookie.partition("=")
        assert name.startswith("__Host-")
        attributes = set(rest.split("; ")[1:])
        assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= attributes
        assert not any(attribute.startswith("Domain") for attribute in attributes)


def test_an_issuer_on_http_has_plain_names_since_no_browser_would_take_others() -> None:
    stand = Stand(issuer="http://127.0.0.1:8080")
    browser = stand.browser()
    page = to_form(stand, browser)
    assert browser.follow(browser.submit(page, user="alice")).status == 200
    assert browser.cookies.keys() == {"bridge-browser", "bridge-session"}


def test_a_cookie_that_comes_twice_is_none(stand: Stand) -> None:
    browser = stand.signed_in()
    name = f"{KEPT}session"
    assert browser.get("/account").status == 200
    twice = f"{name}={browser.cookies.pop(name)}; {name}=x"
    assert browser.get("/account", (b"cookie", twice.encode())).status == 303


def test_another_s_cookies_are_not_ours(stand: Stand) -> None:
    browser = stand.signed_in()
    browser.cookies["other"] = "a=b; c"
    browser.cookies["bridge-session"] = "x"
    assert browser.get("/account").status == 200


# --- signing in -----------------------------------------------------------------------------------


def test_whoever_opens_the_sign_in_comes_to_their_account(stand: Stand) -> None:
    browser = stand.browser()
    account = browser.follow(browser.submit(to_form(stand, browser), user="alice"))
    assert urlsplit(account.url).path == "/account"
    assert "alice" in account.text


def test_nothing_is_kept_here_of_who_is_not_signed_in_T_42(stand: Stand) -> None:
    for _ in range(3):
        to_form(stand, stand.browser(), stand.pushed_url)
    assert stand.sessions.rows == {}


def test_a_sign_in_gives_a_new_session_and_ends_the_one_before(stand: Stand) -> None:
    browser = stand.signed_in("alice")
    (first,) = stand.sessions.rows
    browser.follow(browser.submit(to_form(stand, browser), user="bob"))
    (second,) = stand.sessions.rows
    assert first != second
    assert stand.sessions.rows[second].user.name == "bob"


def test_a_session_that_a_browser_brings_along_is_not_made_its_own(stand: Stand) -> None:
    browser = stand.browser()
    planted = browser.cookies[f"{KEPT}session"] = stand.signed_in("mallory").cookies[f"{KEPT}session"]
    browser.follow(browser.submit(to_form(stand, browser), user="alice"))
    assert browser.cookies[f"{KEPT}session"] != planted


@pytest.mark.parametrize("user", ["", " ", "x" * 65, "\u202ealice"])
def test_what_is_no_name_signs_nobody_in(stand: Stand, user: str) -> None:
    browser = stand.browser()
    page = to_form(stand, browser)
    assert browser.submit(page, user=user).status == 400
    assert stand.sessions.rows == {}
    assert browser.submit(page, user="alice").status == 303


def test_a_sign_in_is_over_after_ten_minutes(stand: Stand) -> None:
    browser = stand.browser()
    page = to_form(stand, browser)
    stand.now += 600
    assert browser.submit(page, user="alice").status == 400
    assert "this sign-in is over" in browser.get(page.url).text.lower()
    stand.now -= 1
    assert browser.submit(page, user="alice").status == 303


def test_a_sign_in_of_another_browser_is_none_T_44(stand: Stand) -> None:
    browser, other = stand.browser(), stand.browser()
    page, _ = to_form(stand, browser), to_form(stand, other)
    # Somebody is to be signed in as somebody else: with their form, and even with their cookie of it.
    assert other.post("/sign-in", {**page.form.fields, "user": "mallory"}).status == 400
    (name,) = pending(browser)
    other.cookies[name] = browser.cookies[name]
    assert other.post("/sign-in", {**page.form.fields, "user": "mallory"}).status == 400
    assert browser.submit(page, user="alice").status == 303


def test_a_changed_cookie_of_a_sign_in_is_none(stand: Stand) -> None:
    browser = stand.browser()
    page = to_form(stand, browser)
    (name,) = pending(browser)
    good = browser.cookies[name]
    for changed in (good[:-2] + ("AA" if good[-2:] != "AA" else "BB"), good[:20], "", "!"):
        browser.cookies[name] = changed
        assert browser.submit(page, user="alice").status == 400
    browser.cookies[name] = good
    assert browser.submit(page, user="alice").status == 303


def test_it_is_used_up_by_signing_in(stand: Stand) -> None:
    browser = stand.browser()
    page = to_form(stand, browser)
    browser.submit(page, user="alice")
    assert pending(browser) == []
    assert browser.submit(page, user="bob").status == 400


def test_two_tabs_do_not_disturb_each_other(stand: Stand) -> None:
    browser = stand.browser()
    one, other = to_form(stand, browser, "/account"), to_form(stand, browser, stand.pushed_url)
    assert urlsplit(browser.follow(browser.submit(one, user="alice")).url).path == "/account"
    assert urlsplit(browser.follow(browser.submit(other, user="alice")).url).path == "/consent"


def test_of_many_sign_ins_the_oldest_give_way(stand: Stand) -> None:
    browser = stand.browser()
    pages = []
    for _ in range(7):
        pages.append(to_form(stand, browser))
        stand.now += 1
    assert len(pending(browser)) == 4
    assert browser.submit(pages[2], user="alice").status == 400
    assert browser.submit(pages[3], user="alice").status == 303


# --- sessions -------------------------------------------------------------------------------------


def test_a_session_in_use_stays_until_its_absolute_end(stand: Stand) -> None:
    browser = stand.signed_in()
    for _ in range(SESSION_LIFE // (SESSION_IDLE - 1)):
        stand.now += SESSION_IDLE - 1
        assert browser.get("/account").status == 200
    stand.now += SESSION_IDLE - 1
    assert browser.get("/account").status == 303


def test_a_session_that_idles_is_over(stand: Stand) -> None:
    browser = stand.signed_in()
    stand.now += SESSION_IDLE
    assert browser.get("/account").status == 303


def test_signing_out_needs_a_form_of_this_session_T_44(stand: Stand) -> None:
    browser = stand.signed_in()
    foreign = stand.signed_in("mallory").get("/sign-out").form.fields
    assert browser.get("/sign-out").form.buttons == {}
    assert browser.post("/sign-out", foreign).status == 400
    assert len(stand.sessions.rows) == 2
    done = browser.follow(browser.submit(browser.get("/sign-out")))
    assert "You are signed out" in done.text
    assert [row.user.name for row in stand.sessions.rows.values()] == ["mallory"]
    assert f"{KEPT}session" not in browser.cookies
    assert browser.get("/account").status == 303


def test_signing_out_twice_is_signing_out(stand: Stand) -> None:
    browser = stand.signed_in()
    page = browser.get("/sign-out")
    browser.submit(page)
    assert browser.follow(browser.submit(page)).status == 200


# --- at a provider --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIdProvider]:
    with OpenIdProvider(tmp_path_factory.mktemp("provider")) as provider:
        yield provider


@pytest.fixture
def provider(running: OpenIdProvider) -> OpenIdProvider:
    running.conduct = Conduct()
    running.redirect_uri = f"{ISSUER}/sign-in/callback"
    return running


def upstream(provider: OpenIdProvider) -> Stand:
    there = UpstreamStand(provider)
    stand = Stand(sign_in=there.upstream)
    stand.now = there.now
    return stand


def test_a_browser_goes_to_the_provider_and_comes_back_to_what_waits(provider: OpenIdProvider) -> None:
    stand = upstream(provider)
    browser = stand.browser()
    left = browser.get(stand.pushed_url)
    assert left.location.startswith(provider.issuer)
    consent = browser.follow(browser.get(provider.visit(left.location)))
    assert urlsplit(consent.url).path == "/consent"
    assert "Alice Adams" in consent.text
    assert pending(browser) == []


def test_an_answer_to_a_sign_in_of_another_browser_signs_nobody_in_T_44(provider: OpenIdProvider) -> None:
    stand = upstream(provider)
    browser, mallory = stand.browser(), stand.browser()
    mine, hers = browser.get("/sign-in"), mallory.get("/sign-in")
    answer = provider.visit(hers.location)
    assert browser.get(answer).status == 400
    assert stand.sessions.rows == {}
    assert browser.get(provider.visit(mine.location)).status == 303


@pytest.mark.parametrize("change", ["state", "code"])
def test_an_answer_with_one_thing_changed_signs_nobody_in(provider: OpenIdProvider, change: str) -> None:
    stand = upstream(provider)
    browser = stand.browser()
    answer = provider.visit(browser.get("/sign-in").location)
    other = answer.replace(f"{change}=", f"{change}=x")
    assert other != answer
    assert browser.get(other).status == 400
    assert browser.get(answer).status == 303


def test_an_error_of_the_provider_is_a_page_that_quotes_none_of_it(provider: OpenIdProvider) -> None:
    stand = upstream(provider)
    browser = stand.browser()
    state = provider.visit(browser.get("/sign-in").location).partition("state=")[2]
    query = urlencode({"error": "access_denied", "error_description": "<b>no</b>", "state": ""}) + state
    page = browser.get(f"/sign-in/callback?{query}")
    assert page.status == 400
    assert "could not be signed in" in page.text
    assert "<b>" not in page.text
    assert stand.observed.refusals[-1][2] == "the provider answers access_denied"


def test_while_the_provider_cannot_be_asked_the_same_page_can_be_loaded_again(provider: OpenIdProvider) -> None:
    stand = upstream(provider)
    browser = stand.browser()
    answer = provider.visit(browser.get("/sign-in").location)
    # Its keys are not known yet.
    provider.conduct.status = 500
    page = browser.get(answer)
    assert (page.status, page.headers["Retry-After"]) == (503, "5")
    assert "load this page again" in page.text
    assert len(pending(browser)) == 1


def test_there_is_no_form_where_a_provider_is_asked(provider: OpenIdProvider) -> None:
    stand = upstream(provider)
    assert stand.browser().post("/sign-in", {"user": "alice"}).status == 405
    assert Stand().browser().get("/sign-in/callback").status == 404
