"""What a person sees, and what a screen reader says. The pictures are in `build/browser`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.model.authorization import Grant, User
from bridge.model.client import ClientKind
from bridge.model.evidence import Door, EvidenceKind
from tests.browser.asking import gallery
from tests.browser.chromium import ENTER, Chromium
from tests.browser.house import PICTURES, House
from tests.unit.web.pages.stand import DOCUMENT, LEDGER, NOW, SPIFFE_ID

LOCAL = "http://127.0.0.1:53123/callback"
KINDS = tuple(gallery(LOCAL))

# Each text's contrast with what is behind it (WCAG 2.2, 1.4.3), as the browser paints it.
CONTRASTS = """
const light = rgb => rgb.map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const parts = color => color.match(/[0-9.]+/g).map(Number);
const behind = element => {
  for (let e = element; e; e = e.parentElement) {
    const color = parts(getComputedStyle(e).backgroundColor);
    if (color.length < 4 || color[3] > 0) return color.slice(0, 3);
  }
  return [255, 255, 255];
};
const hasText = e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
return [...document.querySelectorAll('body *')].filter(hasText).map(e => {
  const [a, b] = [light(parts(getComputedStyle(e).color).slice(0, 3)), light(behind(e))].sort((x, y) => y - x);
  return [(a + 0.05) / (b + 0.05), e.tagName, e.textContent.trim().slice(0, 40)];
});
"""


def at_consent(chromium: Chromium, house: House, kind: str) -> None:
    house.stand.authorizing.question = gallery(LOCAL)[kind]
    chromium.go(house.start)
    chromium.fill("#user", "alice" + ENTER)
    chromium.find("button[name=approve]")


def picture(chromium: Chromium, name: str) -> None:
    """Light and dark, and how well each can be read."""
    for scheme in ("light", "dark"):
        chromium.prefer(scheme)
        chromium.screenshot(PICTURES / f"{name}-{scheme}.png")
        contrasts = chromium.run(CONTRASTS)
        assert len(contrasts) > 2
        assert [found for found in contrasts if found[0] < 4.5] == [], scheme


def fits(chromium: Chromium) -> bool:
    """Whether nothing reaches past the sides of the window."""
    return bool(chromium.run("return document.documentElement.scrollWidth <= window.innerWidth"))


@pytest.mark.parametrize("kind", KINDS)
def test_who_asks_is_seen_first_T_43(chromium: Chromium, house: House, kind: str) -> None:
    at_consent(chromium, house, kind)
    picture(chromium, f"consent-{kind}")
    view = house.stand.authorizing.question
    who = chromium.find("h1 .who")
    sizes = chromium.run(
        "return [...document.querySelectorAll('body *')].map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert float(who.css("font-size").removesuffix("px")) == max(sizes)
    assert chromium.find("main h1").text.startswith(who.text)
    assert view.redirect_host in chromium.text
    assert "alice" in chromium.text


def test_a_name_that_a_client_gave_itself_stays_in_its_box_T_43(chromium: Chromium, house: House) -> None:
    at_consent(chromium, house, "document-hostile")
    claim = chromium.find(".claim")
    assert claim.text.startswith("Not verified")
    assert "</p><script>" in claim.text
    assert "\u202e" not in chromium.text
    assert len(claim.text) < 150
    assert chromium.title.startswith("Allow app.example.com?")
    # Nothing of it reaches out of the box, which is small.
    height = "return document.querySelector('.claim').scrollHeight <= document.querySelector('.claim').clientHeight + 1"
    assert chromium.run(height)
    assert chromium.run("return document.querySelector('.claim').clientHeight < 110")
    assert chromium.run("return document.scripts.length") == 0


def test_a_screen_reader_finds_its_way(chromium: Chromium, house: House) -> None:
    chromium.go(house.start)
    name = chromium.find("#user")
    assert (name.role, name.label) == ("textbox", "Your name")
    assert chromium.find("main").role == "main"
    at_consent(chromium, house, "document")
    assert chromium.find("html").attribute("lang") == "en"
    assert (chromium.find("header").role, chromium.find("main").role) == ("banner", "main")
    assert chromium.find("form").label.startswith("app.example.com")
    for heading in ("what", "where", "how"):
        assert chromium.find(f"#{heading}").role == "heading"
        assert chromium.find(f"section[aria-labelledby={heading}]").label == chromium.find(f"#{heading}").text
    for button, label in (("approve", "Approve"), ("deny", "Deny")):
        found = chromium.find(f"button[name={button}]")
        assert (found.role, found.label) == ("button", label)


@pytest.mark.parametrize("kind", ["document", "document-long-host", "document-hostile", "workload"])
def test_it_fits_a_small_screen(chromium: Chromium, house: House, kind: str) -> None:
    chromium.devtools(
        "Emulation.setDeviceMetricsOverride",
        {"width": 340, "height": 700, "deviceScaleFactor": 2, "mobile": False},
    )
    try:
        at_consent(chromium, house, kind)
        assert fits(chromium)
        chromium.screenshot(PICTURES / f"small-{kind}.png")
    finally:
        chromium.devtools("Emulation.clearDeviceMetricsOverride", {})


def test_the_other_pages(chromium: Chromium, house: House) -> None:
    chromium.go(house.start)
    picture(chromium, "sign-in")
    chromium.go(house.origin + "/authorize?client_id=nobody")
    picture(chromium, "error")
    chromium.go(house.origin + "/sign-in")
    chromium.fill("#user", "alice" + ENTER)
    assert chromium.shows("No application has access")
    picture(chromium, "account-empty")
    house.stand.grants.rows = grants(house.stand.ids.of("development", "alice"))
    chromium.reload()
    picture(chromium, "account")
    assert chromium.find("article form button").label == "End this access"
    chromium.go(house.origin + "/sign-out")
    picture(chromium, "sign-out")
    chromium.click("button")
    picture(chromium, "signed-out")
    chromium.go(house.origin + "/account?signed_out=1")
    picture(chromium, "session-over")


def test_a_person_ends_what_they_approved(chromium: Chromium, house: House) -> None:
    house.stand.grants.rows = grants(house.stand.ids.of("development", "alice"))
    chromium.go(house.origin + "/account")
    chromium.fill("#user", "alice" + ENTER)
    assert chromium.shows(DOCUMENT)
    chromium.click("article form button")
    assert chromium.hides(DOCUMENT)
    assert chromium.find("article h2").text == SPIFFE_ID


def grants(user_id: str) -> list[Grant]:
    first = Grant(
        grant_id="grant-1",
        code_digest="0" * 64,
        user=User(user_id, "alice"),
        client_id=DOCUMENT,
        kind=ClientKind.METADATA_DOCUMENT,
        evidence=EvidenceKind.METADATA_DOCUMENT,
        door=Door.AUTHORIZE,
        scopes=("ledger.read", "ledger.write"),
        resources=(LEDGER,),
        redirect_uri="https://app.example.com/callback",
        code_challenge="c" * 43,
        created_at=NOW,
        code_expires_at=NOW + 60,
        ends_at=NOW + 3600,
        metadata={"client_name": "The Friendly App"},
    )
    second = replace(
        first,
        grant_id="grant-2",
        client_id=SPIFFE_ID,
        kind=ClientKind.SPIFFE,
        scopes=("ledger.read",),
        redirect_uri="https://desk.apps.example.org/cb",
        created_at=NOW - 86400,
        actor=SPIFFE_ID,
        metadata={},
    )
    return [first, second]
