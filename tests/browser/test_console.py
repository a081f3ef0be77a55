"""The console as operators see it: light and dark, wide and narrow, by keyboard, by ear, and without a script."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.browser.chromium import ENTER, TAB, Chromium
from tests.browser.console_house import HOSTILE, WRITER, ConsoleHouse
from tests.browser.house import PICTURES
from tests.browser.served import Client
from tests.browser.test_looks import CONTRASTS, fits
from tests.unit.console.stand import ASKS, DOCUMENT, RESEARCHER

TRIED = {"subject": WRITER, "evidence": "jwt-svid", "scope": "ledger.write"}
PAGES = {
    "overview": "/",
    "trust": "/trust",
    "trust-domain": "/trust/domain?name=shared.example",
    "clients": "/clients",
    "clients-unused": "/clients?unused=7d",
    "client": f"/clients/client?{urlencode({'id': WRITER})}",
    "policy": "/policy",
    "policy-scope": "/policy/scope?scope=ledger.write",
    "policy-resource": "/policy/resource?name=https%3A%2F%2Forders.example.org",
    "policy-try": f"/policy/try?{urlencode(TRIED)}",
    "decisions": "/decisions",
    "decision": "/decisions/request?id=refused-today",
    "approvals": "/approvals",
    "approval": f"/approvals/client?client={RESEARCHER}",
    "approval-document": f"/approvals/client?client={DOCUMENT}",
    "limits": "/limits",
    "keys": "/keys",
    "refused": "/nowhere",
}
WIDE, NARROW = 1280, 380


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleHouse]:
    """Something of everything; nothing is changed in it."""
    house = ConsoleHouse(tmp_path_factory.mktemp("furnished"))
    house.furnish()
    yield house
    house.stop()


@pytest.fixture
def console(tmp_path: Path) -> Iterator[ConsoleHouse]:
    house = ConsoleHouse(tmp_path)
    house.stand.waiting()
    yield house
    house.stop()


@pytest.mark.parametrize("page", PAGES)
def test_each_page_can_be_read_in_both_schemes_and_on_any_screen(
    chromium: Chromium, furnished: ConsoleHouse, page: str
) -> None:
    try:
        for width in (WIDE, NARROW):
            metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
            chromium.devtools("Emulation.setDeviceMetricsOverride", metrics)
            chromium.go(furnished.origin + PAGES[page])
            assert fits(chromium)
            for scheme in ("light", "dark"):
                chromium.prefer(scheme)
                chromium.screenshot(PICTURES / f"console-{page}-{width}-{scheme}.png")
                contrasts = chromium.run(CONTRASTS)
                assert len(contrasts) > 2
                assert [found for found in contrasts if found[0] < 4.5] == [], scheme
    finally:
        chromium.devtools("Emulation.clearDeviceMetricsOverride", {})
    assert chromium.refusals() == []
    assert chromium.run("return document.scripts.length") == 0


def test_a_name_that_somebody_gave_itself_is_text(chromium: Chromium, furnished: ConsoleHouse) -> None:
    chromium.go(furnished.origin + PAGES["approval-document"])
    assert "</table><script>" in chromium.text
    assert "\\x1b[2J\\u202eevil" in chromium.text
    assert "\u202e" not in chromium.text
    assert "taken" not in chromium.title
    assert HOSTILE not in chromium.text


def test_who_gave_a_client_what_can_be_heard_paged_through_and_is_text(
    scriptless: Chromium, furnished: ConsoleHouse
) -> None:
    scriptless.go(furnished.origin + PAGES["client"])
    region = scriptless.find("section[aria-labelledby=grants] .table")
    assert (region.role, region.label) == ("region", "What users gave it")
    rows = scriptless.run(
        "return [...document.querySelectorAll('section[aria-labelledby=grants] tbody tr')]"
        ".map(row => [...row.children].map(cell => cell.textContent))"
    )
    assert len(rows) == 25
    assert (rows[0][0], rows[0][5]) == ("Person 0u-0000", "over: registered anew since")
    assert rows[1][0] == HOSTILE.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e") + "u-0001"
    assert rows[2][1:3] == ["ledger.read", "https://ledger.example"]
    assert scriptless.title != "taken"
    scriptless.click("section[aria-labelledby=grants] .after a")
    assert scriptless.find("section[aria-labelledby=grants] tbody th").text.startswith("Person 25")
    scriptless.click("section[aria-labelledby=consents] .after a")
    assert scriptless.find("section[aria-labelledby=consents] tbody th").text == "u-0025"


def test_clients_that_nobody_uses_are_a_choice_of_the_form(scriptless: Chromium, furnished: ConsoleHouse) -> None:
    scriptless.go(furnished.origin + "/clients")
    assert scriptless.find("#unused").label == "No token for"
    scriptless.run("document.querySelector('#unused').value = '30d'")
    scriptless.click("main button")
    assert scriptless.shows("Nobody meets this")
    assert scriptless.find("#unused option[selected]").text == "30 days"


def test_two_clicks_lead_to_who_can_get_a_scope_and_who_used_it(chromium: Chromium, furnished: ConsoleHouse) -> None:
    chromium.go(furnished.origin)
    chromium.click(".card a[href='/policy']")
    chromium.click("a[href='/policy/scope?scope=ledger.write']")
    assert chromium.find("main h1").text == "ledger.write"
    assert chromium.shows("settlement")
    assert chromium.shows(WRITER)
    assert chromium.find("#used").text.startswith("Who used it since")


def test_a_filter_is_a_form_that_leads_to_a_link(scriptless: Chromium, furnished: ConsoleHouse) -> None:
    scriptless.go(furnished.origin + "/decisions")
    scriptless.fill("#subject", WRITER)
    scriptless.click("main button")
    assert scriptless.shows("refused-today")
    assert scriptless.find("#subject").attribute("value") == WRITER
    scriptless.click("a[href='/decisions/request?id=refused-today']")
    assert scriptless.shows("no one rule covers all of")


def test_a_screen_reader_finds_its_way(chromium: Chromium, furnished: ConsoleHouse) -> None:
    chromium.go(furnished.origin + "/trust")
    assert chromium.find("html").attribute("lang") == "en"
    for selector, role in (("header", "banner"), ("nav", "navigation"), ("main", "main"), ("footer", "contentinfo")):
        assert chromium.find(selector).role == role
    assert chromium.find("nav").label == "Console"
    assert chromium.find("nav a[aria-current=page]").text == "Trust domains"
    assert chromium.find("main h1").text == "Trust domains"
    assert chromium.find(".table").label == "Trust domains"
    assert (chromium.find("thead th").role, chromium.find("tbody th").role) == ("columnheader", "rowheader")
    assert chromium.find("#name").label == "Part of the name"
    chromium.go(furnished.origin + PAGES["approval"])
    assert chromium.find("#note").label.startswith("Note, kept in the audit log")
    for button, label in (("approve", "Approve these terms"), ("deny", "Deny this client")):
        assert chromium.find(f"button[name={button}]").label == label


def test_everything_can_be_done_without_a_mouse(chromium: Chromium, console: ConsoleHouse) -> None:
    chromium.go(console.origin + PAGES["approval"])
    chromium.press(TAB)
    assert chromium.focused.text == "Skip to the page"
    chromium.press(ENTER)
    reached: list[str] = []
    while "Note" not in "".join(reached):
        chromium.press(TAB)
        reached.append(chromium.focused.label)
        assert chromium.focused.css("outline-style") == "solid"
        assert len(reached) < 10, reached
    chromium.press("SEC-7", TAB)
    assert chromium.focused.label == "Approve these terms"
    chromium.press(ENTER)
    assert chromium.shows("was approved")
    assert chromium.shows("SEC-7")
    store = console.stand.store
    assert store.clients.find(RESEARCHER, subject=RESEARCHER, terms=(ASKS, console.stand.digest(ASKS))).approved


def test_no_script_is_needed_and_the_back_button_does_nothing_twice(
    scriptless: Chromium, console: ConsoleHouse
) -> None:
    scriptless.go(console.origin)
    scriptless.click("a[href='/approvals']")
    scriptless.click("tbody th a")
    scriptless.fill("#note", "INC-42")
    scriptless.click("button[name=deny]")
    assert scriptless.shows("was denied")
    scriptless.reload()
    assert scriptless.shows("was denied")
    scriptless.back()
    scriptless.click("button[name=deny]")
    assert scriptless.shows("Nothing was done")
    assert len(console.stand.store.audit.rows(newest_first=True)) == 3, "keys, a registration, and one denial"


def test_no_page_can_be_framed_and_no_other_page_s_form_is_taken(
    chromium: Chromium, console: ConsoleHouse, client: Client
) -> None:
    """T-44, from another port of this very host."""
    chromium.go(console.origin + PAGES["approval"])
    fields = {
        name: chromium.find(f"form input[name={name}]").attribute("value")
        for name in ("client", "terms", "document", "form_token")
    }
    inputs = "".join(f"<input name={name} value='{value or ''}'>" for name, value in fields.items())
    client.page = (
        f"<!doctype html><title>client</title><iframe src='{console.origin}/'></iframe>"
        f"<form method=post action='{console.origin}/approvals/client'>{inputs}"
        "<button name=approve value=1>win</button></form>"
    )
    origin = client.origin.replace("127.0.0.1", "localhost")
    chromium.refusals()
    chromium.go(origin)
    assert chromium.refuses("frame-ancestors")
    chromium.click("button")
    assert chromium.shows("This was not done")
    assert console.stand.observed.refusals[-1][1] == "form_token"
    assert not console.stand.store.clients.find(
        RESEARCHER, subject=RESEARCHER, terms=(ASKS, console.stand.digest(ASKS))
    ).approved
