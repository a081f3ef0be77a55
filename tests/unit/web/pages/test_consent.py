"""From a client's request to the user's answer."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from tests.unit.web.pages.stand import Stand


def test_a_pushed_request_leads_through_sign_in_to_the_page_and_back_with_a_code() -> None:
    stand = Stand()
    browser = stand.browser()
    sign_in = browser.follow(browser.get(stand.pushed_url))
    assert sign_in.form.texts == ["user"]
    consent = browser.follow(browser.submit(sign_in, user="alice"))
    assert consent.form.buttons.keys() == {"approve", "deny"}
    answer = browser.submit(consent, "approve")
    assert answer.location.startswith("https://app.example.com/callback?")
    assert parse_qs(urlsplit(answer.location).query) == {
        "code": ["the-code"],
        "state": ["the-state"],
        "iss": ["https://as.example.org"],
    }
    assert stand.authorizing.verbs == ["open", "open", "consent_wanted", "consent_wanted", "approve"]
