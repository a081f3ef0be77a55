"""A person, a browser, and the way to an answer (T-44, OAS-32, PCR-25)."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs

import pytest

from bridge.model.client import ClientKind
from tests.browser.asking import asking
from tests.browser.chromium import ENTER, PAGE_SECONDS, SPACE, TAB, Chromium, Driver
from tests.browser.house import House
from tests.browser.served import Client
from tests.live.processes import wait_until

APPROVE, DENY = "button[name=approve]", "button[name=deny]"


def to_consent(chromium: Chromium, house: House) -> None:
    """Up to the consent page of the client on this machine."""
    if house.stand.authorizing.question.request.redirect_uri.startswith("https://app.example.com/"):
        house.stand.authorizing.question = asking(ClientKind.METADATA_DOCUMENT, house.client.callback)
    chromium.go(house.start)
    chromium.fill("#user", "alice" + ENTER)
    chromium.find(APPROVE)


def answer_of(client: Client) -> dict[str, str]:
    """The next answer that the client gets."""
    query = client.answers.get(timeout=PAGE_SECONDS)
    return {name: values[0] for name, values in parse_qs(query, strict_parsing=True).items()}


def approved(house: House) -> dict[str, str]:
    return {"code": "the-code", "state": "the-state", "iss": house.origin}


def test_a_person_signs_in_and_approves(chromium: Chromium, house: House) -> None:
    to_consent(chromium, house)
    chromium.click(APPROVE)
    assert answer_of(house.client) == approved(house)
    assert chromium.url.startswith(house.client.callback)
    assert chromium.refusals() == []


def test_a_person_denies(chromium: Chromium, house: House) -> None:
    to_consent(chromium, house)
    chromium.click(DENY)
    answer = answer_of(house.client)
    assert (answer["error"], answer["state"], answer["iss"]) == ("access_denied", "the-state", house.origin)
    assert "code" not in answer


def test_whoever_is_signed_in_is_not_asked_who_they_are(chromium: Chromium, house: House) -> None:
    to_consent(chromium, house)
    chromium.go(house.start)
    assert chromium.find(APPROVE).label == "Approve"


def test_a_reload_loses_nothing(chromium: Chromium, house: House) -> None:
    chromium.go(house.start)
    chromium.reload()
    to_consent(chromium, house)
    chromium.reload()
    chromium.click(APPROVE)
    assert answer_of(house.client) == approved(house)


def test_the_back_button_decides_nothing_twice(chromium: Chromium, house: House) -> None:
    to_consent(chromium, house)
    chromium.click(APPROVE)
    assert answer_of(house.client) == approved(house)
    chromium.back()
    # The browser may have kept the page; what it asks about is decided.
    chromium.click(DENY)
    assert chromium.shows("This request is not there")
    chromium.reload()
    assert chromium.shows("This request is not there")
    assert house.client.answers.empty()


def test_the_back_button_leads_from_consent_to_no_second_sign_in(chromium: Chromium, house: House) -> None:
    to_consent(chromium, house)
    chromium.back()
    assert chromium.shows("This sign-in is over")
    chromium.go(house.start)
    chromium.click(APPROVE)
    assert answer_of(house.client) == approved(house)


def test_everything_can_be_done_without_a_mouse(chromium: Chromium, house: House) -> None:
    house.stand.authorizing.question = asking(ClientKind.METADATA_DOCUMENT, house.client.callback)
    chromium.go(house.start)
    assert chromium.focused.attribute("id") == "user"
    chromium.press("alice", TAB)
    assert chromium.focused.label == "Sign in"
    chromium.press(ENTER)
    chromium.find(APPROVE)
    reached = []
    while "Deny" not in reached:
        chromium.press(TAB)
        reached.append(chromium.focused.label)
        # Where the focus is, can be seen.
        assert chromium.focused.css("outline-style") == "solid"
        assert chromium.focused.css("outline-width") == "3px"
        assert len(reached) < 10, reached
    assert reached == ["Not you?", "Approve", "Deny"]
    chromium.press(SPACE)
    assert answer_of(house.client)["error"] == "access_denied"


def test_no_script_is_needed(scriptless: Chromium, house: House) -> None:
    scriptless.go("data:text/html,<p id=p>no</p><script>document.getElementById('p').textContent = 'yes'</script>")
    assert scriptless.find("p").text == "no"
    to_consent(scriptless, house)
    scriptless.click(APPROVE)
    assert answer_of(house.client) == approved(house)


@pytest.mark.parametrize("page", ["/consent", "/sign-in", "/account", "/sign-out", "/authorize"])
def test_no_page_can_be_framed_OAS_36(chromium: Chromium, house: House, page: str) -> None:
    to_consent(chromium, house)
    urls: dict[str, Callable[[], str]] = {"/consent": lambda: chromium.url, "/authorize": lambda: house.start}
    url = urls.get(page, lambda: house.origin + page)()
    chromium.go(url)
    assert chromium.has("main")
    house.client.page = f'<!doctype html><title>client</title><iframe src="{url}"></iframe>'
    chromium.refusals()
    chromium.go(house.client.origin)
    chromium.enter_frame("iframe")
    assert not chromium.has("main")
    assert chromium.refuses("frame-ancestors")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_browser_lets_the_answer_through_to_every_loopback_spelling(
    chromium: Chromium, house: House, address: str
) -> None:
    with Client(address=address) as client:
        house.stand.authorizing.question = asking(ClientKind.METADATA_DOCUMENT, client.callback)
        to_consent(chromium, house)
        chromium.click(APPROVE)
        assert answer_of(client) == approved(house)
    assert chromium.refusals() == []


def test_a_browser_lets_the_answer_through_to_an_app_of_the_device(driver: Driver, house: House) -> None:
    house.stand.authorizing.question = asking(ClientKind.METADATA_DOCUMENT, "com.example.app:/callback")
    # A browser of its own: it goes on asking which program is meant, and no program here is.
    chromium = Chromium(driver)
    try:
        to_consent(chromium, house)
        chromium.click(APPROVE)
        called = house.stand.authorizing
        wait_until(lambda: called.verbs[-1] == "approve", seconds=PAGE_SECONDS, what="the form arrives")
        assert chromium.refusals() == []
    finally:
        chromium.close()


def test_where_nobody_need_be_asked_the_sign_in_form_leads_straight_to_the_client(
    chromium: Chromium, house: House
) -> None:
    house.stand.authorizing.question = asking(ClientKind.METADATA_DOCUMENT, house.client.callback, remembered=True)
    chromium.go(house.start)
    chromium.fill("#user", "alice" + ENTER)
    assert answer_of(house.client) == approved(house)
    assert chromium.refusals() == []


def test_a_form_of_the_consent_page_leads_nowhere_else(chromium: Chromium, house: House) -> None:
    """The policy holds: with the answer going elsewhere than the page said, the browser stays."""
    to_consent(chromium, house)
    house.stand.authorizing.question = asking(ClientKind.METADATA_DOCUMENT, "https://127.0.0.1:1/elsewhere")
    chromium.click(APPROVE)
    assert chromium.refuses("form-action")
    assert chromium.has(APPROVE)


def test_a_session_that_ends_meanwhile_ends_nothing_else(chromium: Chromium, house: House) -> None:
    to_consent(chromium, house)
    house.stand.sessions.rows.clear()
    chromium.click(APPROVE)
    assert chromium.shows("signed out meanwhile")
    chromium.click("main a")
    chromium.fill("#user", "alice" + ENTER)
    chromium.click(APPROVE)
    assert answer_of(house.client) == approved(house)


def test_whoever_is_somebody_else_signs_out_and_in_again(chromium: Chromium, house: House) -> None:
    to_consent(chromium, house)
    chromium.click(".you a")
    chromium.click("button")
    assert chromium.shows("You are signed out")
    assert house.stand.sessions.rows == {}
    chromium.go(house.start)
    chromium.fill("#user", "bob" + ENTER)
    assert chromium.shows("You are bob")
