"""From a client's request to the user's answer, and everything that must not lead there."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest

from bridge.grants.answers import AnsweredByRedirect
from bridge.grants.consent import Seen
from bridge.model.authorization import PUSHED_CLIENT_ID
from bridge.model.client import ClientKind
from bridge.model.errors import (
    ApprovalPending,
    BridgeError,
    EvidenceRejected,
    GrantNotAllowed,
    InvalidRequest,
    LimitReached,
    PolicyDenied,
    RedirectUriRejected,
    ScopeNotAllowed,
    Unavailable,
)
from bridge.model.reasons import Reason
from tests.browsing import Page
from tests.unit.web.pages.stand import (
    DOCUMENT,
    ISSUER,
    LEDGER,
    ORDERS,
    REQUEST_URI,
    SESSION_IDLE,
    SPIFFE_ID,
    Stand,
    authorization_request,
    authorize_url,
    question,
)

CALLBACK = "https://app.example.com/callback"


@pytest.fixture
def stand() -> Stand:
    return Stand()


def parameters(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.location).query, strict_parsing=True)


def refused(page: Page, status: int = 400) -> str:
    """That this is a page that says no, and nothing else (OAS-7); its words."""
    assert page.status == status, page.text
    assert "Location" not in page.headers
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "an-id-of-twenty-two-ch" in page.text
    assert page.headers["X-Request-Id"] == "an-id-of-twenty-two-ch"
    assert page.forms == []
    return page.text


# --- the way --------------------------------------------------------------------------------------


def test_a_pushed_request_leads_through_sign_in_to_the_page_and_back_with_a_code_OAS_8(stand: Stand) -> None:
    browser = stand.browser()
    sign_in = browser.follow(browser.get(stand.pushed_url))
    assert sign_in.form.texts == ["user"]
    consent = browser.follow(browser.submit(sign_in, user="alice"))
    assert consent.form.buttons.keys() == {"approve", "deny"}
    answer = browser.submit(consent, "approve")
    assert answer.location.startswith(f"{CALLBACK}?")
    assert parameters(answer) == {"code": ["the-code"], "state": ["the-state"], "iss": [ISSUER]}
    # Opened before anybody signed in, so that the minute which it may wait is not used up by that.
    assert stand.authorizing.verbs == ["open", "open", "consent_wanted", "consent_wanted", "approve"]


def test_a_no_goes_back_as_one_OAS_8_PCR_23(stand: Stand) -> None:
    browser, page = stand.at_consent()
    found = parameters(browser.submit(page, "deny"))
    assert (found["error"], found["state"], found["iss"]) == (["access_denied"], ["the-state"], [ISSUER])
    assert "code" not in found


def test_whoever_agreed_to_all_of_it_before_is_not_asked(stand: Stand) -> None:
    stand.authorizing.question = question(remembered=True)
    browser = stand.signed_in()
    assert parameters(browser.get(stand.pushed_url))["code"] == ["the-code"]


def test_every_redirect_is_303_OAS_32_PCR_25(stand: Stand) -> None:
    browser = stand.browser()
    pages = [browser.get(stand.pushed_url)]
    while pages[-1].status == 303 and browser.is_here(f"{ISSUER}{pages[-1].location}"):
        pages.append(browser.get(pages[-1].location))
    pages.append(browser.submit(pages[-1], user="alice"))
    pages.append(browser.get(pages[-1].location))
    pages.append(browser.get(pages[-1].location))
    pages.append(browser.submit(pages[-1], "approve"))
    assert [page.status for page in pages] == [303, 200, 303, 303, 200, 303]
    # Where a redirect leads to learns nothing of where it came from.
    assert {page.headers["Referrer-Policy"] for page in pages} == {"no-referrer"}


def test_a_reload_asks_again_until_it_is_answered(stand: Stand) -> None:
    browser, page = stand.at_consent()
    assert browser.get(page.url).form.buttons == page.form.buttons
    browser.submit(page, "approve")
    refused(browser.get(page.url))
    refused(browser.submit(page, "approve"))
    assert stand.authorizing.verbs.count("approve") == 2


def test_the_answer_keeps_a_query_of_the_redirect_uri(stand: Stand) -> None:
    stand.authorizing.question = question(authorization_request(redirect_uri=f"{CALLBACK}?a=b"))
    browser, page = stand.at_consent()
    assert parameters(browser.submit(page, "approve"))["a"] == ["b"]


def test_a_request_without_state_is_answered_without(stand: Stand) -> None:
    stand.authorizing.question = question(authorization_request(state=None))
    browser, page = stand.at_consent()
    assert parameters(browser.submit(page, "approve")).keys() == {"code", "iss"}


# --- plain parameters -----------------------------------------------------------------------------


def direct(**changes: str) -> str:
    return authorize_url(**{"client_id": DOCUMENT, "response_type": "code", "redirect_uri": CALLBACK, **changes})


def test_nothing_is_looked_at_before_somebody_is_signed_in_CIMD_31(stand: Stand) -> None:
    browser = stand.browser()
    sign_in = browser.follow(browser.get(direct()))
    assert stand.authorizing.calls == []
    # And nothing is kept for it but by the browser.
    assert stand.sessions.rows == {}
    consent = browser.follow(browser.submit(sign_in, user="alice"))
    assert stand.authorizing.verbs == ["begin_direct", "consent_wanted", "consent_wanted"]
    assert "code" in parameters(browser.submit(consent, "approve"))


@pytest.mark.parametrize(
    "client_id", [PUSHED_CLIENT_ID, SPIFFE_ID, "instance-x", "app.example.com", "http://a.example/"]
)
def test_every_other_client_has_to_push_PCR_2_ROFU_14(stand: Stand, client_id: str) -> None:
    assert "push its request" in refused(stand.browser().get(direct(client_id=client_id)))
    assert stand.authorizing.calls == []


def test_a_request_that_no_cookie_can_hold_is_told_to_be_pushed(stand: Stand) -> None:
    browser = stand.browser()
    assert browser.get(direct(state="s" * 1024)).status == 303
    assert "push it" in refused(browser.get(direct(state="s" * 3000)))


# --- what must not lead there ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        "&scope=ledger.write",
        "&redirect_uri=https://evil.example/",
        "&state=other",
        f"&resource={LEDGER}",
        "&response_type=code",
        "&prompt=none",
    ],
)
def test_nothing_but_client_id_may_stand_beside_request_uri_PCR_14_T_31(stand: Stand, more: str) -> None:
    browser = stand.signed_in()
    assert "nothing but client_id and request_uri" in refused(browser.get(stand.pushed_url + more)).lower()
    assert stand.authorizing.calls == []
    assert browser.get(stand.pushed_url).status == 303


@pytest.mark.parametrize(
    "query",
    [
        f"client_id={quote(DOCUMENT)}&client_id={quote(DOCUMENT)}&request_uri={REQUEST_URI}",
        f"client_id={quote(DOCUMENT)}&request_uri={REQUEST_URI}&request_uri={REQUEST_URI}",
        "client_id=%ff",
        "client_id=a%00b",
        "&".join(f"p{number}=1" for number in range(70)),
        "",
        f"request_uri={REQUEST_URI}",
    ],
)
def test_a_malformed_query_is_a_page_OAS_1_T_31(stand: Stand, query: str) -> None:
    refused(stand.browser().get(f"/authorize?{query}"))
    assert stand.authorizing.calls == []


def test_a_request_uri_of_another_client_or_of_nobody_is_a_page_PCR_12_13_T_5(stand: Stand) -> None:
    browser = stand.signed_in()
    for changed in (
        {"client_id": "https://other.example/", "request_uri": REQUEST_URI},
        {"client_id": DOCUMENT, "request_uri": REQUEST_URI[:-1] + "x"},
        {"client_id": DOCUMENT, "request_uri": "https://evil.example/request"},
    ):
        refused(browser.get(authorize_url(**changed)))


def test_a_page_that_says_no_names_parameters_as_they_are_written_and_leads_to_what_was_approved(stand: Stand) -> None:
    """A second press of Approve comes here too, so it does not say that nothing was approved at all."""
    page = refused(stand.browser().get("/authorize"))
    assert ">client_id is required.<" in page
    assert "This approved nothing." in page
    assert 'href="/account"' in page


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "OPTIONS"])
def test_only_get_is_taken_at_authorize(stand: Stand, method: str) -> None:
    browser = stand.browser()
    page = browser._ask(method, stand.pushed_url, b"", [])
    assert page.status == 405
    assert page.headers["Allow"] == "GET"
    assert stand.authorizing.calls == []


# --- the form (T-44) ------------------------------------------------------------------------------


def test_a_form_of_another_browser_is_none_T_44(stand: Stand) -> None:
    browser, page = stand.at_consent()
    other = stand.signed_in("mallory")
    form = page.form
    refused(other.post("/consent", {**form.fields, "approve": "approve"}))
    assert "approve" not in stand.authorizing.verbs
    assert browser.submit(page, "approve").status == 303


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda fields: fields.pop("form_token"), id="no token"),
        pytest.param(lambda fields: fields.update(form_token="x" * 43), id="another token"),
        pytest.param(lambda fields: fields.update(form_token="ü"), id="no ASCII"),
        pytest.param(lambda fields: fields.update(request_uri=REQUEST_URI[:-1] + "x"), id="another request"),
        pytest.param(lambda fields: fields.update(scopes="ledger.read ledger.write orders.read"), id="more scopes"),
        pytest.param(lambda fields: fields.update(resources=f"{LEDGER} {ORDERS}"), id="more resources"),
        pytest.param(lambda fields: fields.pop("scopes"), id="no scopes"),
        pytest.param(lambda fields: fields.update(deny="deny"), id="both buttons"),
        pytest.param(lambda fields: fields.pop("approve"), id="no button"),
    ],
)
def test_a_form_that_is_not_as_it_was_shown_is_none_T_44(
    stand: Stand, change: Callable[[dict[str, str]], object]
) -> None:
    browser, page = stand.at_consent()
    fields = {**page.form.fields, "approve": "approve"}
    change(fields)
    refused(browser.post("/consent", fields))
    assert not {"approve", "deny"} & set(stand.authorizing.verbs)
    assert browser.submit(page, "approve").status == 303
    assert stand.authorizing.seen == Seen(("ledger.read", "ledger.write"), (LEDGER,)), "a yes is to what was shown"


def test_a_form_of_an_earlier_session_is_none_T_44(stand: Stand) -> None:
    browser, page = stand.at_consent()
    signed_out = browser.get("/sign-out")
    browser.submit(signed_out)
    browser.follow(browser.submit(browser.follow(browser.get("/sign-in")), user="mallory"))
    refused(browser.submit(page, "approve"))
    assert "approve" not in stand.authorizing.verbs


def test_a_form_of_another_page_is_none_T_44(stand: Stand) -> None:
    browser, page = stand.at_consent()
    token = browser.get("/sign-out").form.fields["form_token"]
    refused(browser.post("/consent", {**page.form.fields, "form_token": token, "approve": "approve"}))


@pytest.mark.parametrize("site", [b"cross-site", b"same-site"])
def test_a_form_that_another_site_sends_is_none_T_44(stand: Stand, site: bytes) -> None:
    browser, page = stand.at_consent()
    fields = {**page.form.fields, "approve": "approve"}
    refused(browser.post("/consent", fields, (b"sec-fetch-site", site)))
    assert browser.post("/consent", fields, (b"sec-fetch-site", b"same-origin")).status == 303


def test_a_form_of_another_type_is_none(stand: Stand) -> None:
    browser, page = stand.at_consent()
    body = urlencode({**page.form.fields, "approve": "approve"}).encode()
    for kind in (b"text/plain", b"multipart/form-data; boundary=x", b"application/json"):
        answer = browser._ask("POST", "/consent", body, [(b"content-type", kind)])
        refused(answer, 415)
    answer = browser._ask(
        "POST", "/consent", body, [(b"content-type", b"application/x-www-form-urlencoded; charset=UTF-8")]
    )
    assert answer.status == 303


def test_a_session_that_is_over_asks_to_sign_in_and_decides_nothing(stand: Stand) -> None:
    browser, page = stand.at_consent()
    stand.now += SESSION_IDLE
    told = browser.follow(browser.submit(page, "approve"))
    assert "signed out meanwhile" in told.text
    assert "approve" not in stand.authorizing.verbs
    sign_in = browser.follow(browser.get(f"/consent?{urlencode({'request_uri': REQUEST_URI})}"))
    again = browser.follow(browser.submit(sign_in, user="alice"))
    assert browser.submit(again, "approve").status == 303


# --- refusals -------------------------------------------------------------------------------------

REFUSALS = {
    "OAS-7 a client that nobody knows": (EvidenceRejected(Reason.CLIENT_UNKNOWN), 400, "not one that may ask"),
    "CIMD-18 a document's fault": (EvidenceRejected(Reason.DOCUMENT_REFUSED, "too_large"), 400, "not one that may"),
    "no rule": (PolicyDenied(Reason.POLICY_NO_RULE), 400, "not one that may ask"),
    "OAS-7 T-30 a redirect URI of nobody's": (RedirectUriRejected(Reason.REDIRECT_URI_MISMATCH), 400, "redirect_uri"),
    "waits for an operator": (ApprovalPending(Reason.APPROVAL_PENDING), 403, "Registration incomplete"),
    "a limit": (LimitReached("anonymous_per_minute", 7), 429, "anonymous_per_minute"),
    "the network": (Unavailable(Reason.FETCH_FAILED), 503, "temporarily unavailable"),
}


@pytest.mark.parametrize(("error", "status", "words"), REFUSALS.values(), ids=list(REFUSALS))
def test_what_is_refused_before_the_client_may_be_told_is_a_page(
    stand: Stand, error: BridgeError, status: int, words: str
) -> None:
    browser = stand.signed_in()
    stand.authorizing.refusal = error
    page = browser.get(direct())
    assert words in refused(page, status)
    assert ("Retry-After" in page.headers) == (status in (429, 503))
    # The exact reason is for the log.
    assert error.reason.value not in page.text
    assert stand.observed.refusals[-1][:2] == ("authorize", error.reason.value)


TOLD = {
    "invalid_scope": ScopeNotAllowed(Reason.POLICY_SCOPE),
    "unauthorized_client": GrantNotAllowed(Reason.POLICY_GRANT_TYPE),
    "invalid_request": InvalidRequest(Reason.CODE_CHALLENGE, public="code_challenge is required"),
    "temporarily_unavailable": Unavailable(Reason.STORE_UNAVAILABLE),
}


@pytest.mark.parametrize(("code", "error"), TOLD.items(), ids=list(TOLD))
def test_what_the_client_may_be_told_is_told_with_state_and_iss_OAS_8(
    stand: Stand, code: str, error: BridgeError
) -> None:
    browser = stand.signed_in()
    stand.authorizing.refusal = AnsweredByRedirect(error, redirect_uri=CALLBACK, state="the-state")
    page = browser.get(direct())
    assert page.location.startswith(f"{CALLBACK}?")
    found = parameters(page)
    assert (found["error"], found["state"], found["iss"]) == ([code], ["the-state"], [ISSUER])
    assert found["error_description"] == [error.public]


def test_no_page_runs_a_script_or_can_be_framed_or_read_by_another_OAS_36_T_44(stand: Stand) -> None:
    browser, consent = stand.at_consent()
    pages = [
        consent,
        browser.get("/account"),
        browser.get("/sign-out"),
        browser.get("/authorize"),
        stand.browser().follow(stand.browser().get("/sign-in")),
    ]
    sign_in = stand.browser()
    pages.append(sign_in.follow(sign_in.get("/sign-in")))
    for page in pages:
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["X-Frame-Options"] == "DENY"
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert page.headers["Cache-Control"] == "no-store"
        # Nobody else's page may read one of ours (OAS-36).
        assert not any(name.startswith("Access-Control-") for name in page.headers)
        assert not {"script", "style", "img", "iframe", "object"} & set(page.tags)
        assert not {name for name in page.attributes if name.startswith("on") or name == "style"}


FORM_TARGETS = {
    CALLBACK: "https://app.example.com",
    "https://app.example.com:8443/cb?x=1": "https://app.example.com:8443",
    "http://127.0.0.1:4711/cb": "http://127.0.0.1:4711",
    "http://[::1]:4711/cb": "http:",
    "com.example.app:/cb": "com.example.app:",
}


@pytest.mark.parametrize(("redirect_uri", "target"), FORM_TARGETS.items())
def test_the_form_leads_here_and_to_the_client_and_nowhere_else(stand: Stand, redirect_uri: str, target: str) -> None:
    stand.authorizing.question = question(authorization_request(redirect_uri=redirect_uri))
    _, page = stand.at_consent()
    directives = dict(part.strip().split(" ", 1) for part in page.headers["Content-Security-Policy"].split(";"))
    assert directives["form-action"] == f"'self' {target}"


def test_an_issuer_with_a_path_has_its_pages_below_it() -> None:
    stand = Stand(issuer="https://as.example.org/tenant")
    browser = stand.browser()
    sign_in = browser.follow(browser.get("/tenant" + stand.pushed_url))
    consent = browser.follow(browser.submit(sign_in, user="alice"))
    assert browser.get("/authorize").status == 404
    assert parameters(browser.submit(consent, "approve"))["iss"] == ["https://as.example.org/tenant"]


# --- what it says (T-43) --------------------------------------------------------------------------


def test_who_asks_comes_before_what_they_call_themselves_T_43_CIMD_25_PCR_31(stand: Stand) -> None:
    _, page = stand.at_consent()
    text = page.text
    assert text.index("app.example.com</bdi>") < text.index("Not verified") < text.index("The Friendly App")
    assert text.index("The Friendly App") < text.index("Read entries")
    assert all(word in text for word in ("Read entries", "ledger.read", "The ledger", LEDGER, "alice", DOCUMENT))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        pytest.param(ClientKind.SPIFFE, SPIFFE_ID, id="a workload"),
        pytest.param(ClientKind.SHARED, "scribes", id="a group, by its name"),
        pytest.param(ClientKind.SHARED, f"running as the workload <code>{SPIFFE_ID}", id="a group, by who acts"),
        pytest.param(ClientKind.STATEMENT, "release-notes", id="a vouched client"),
        pytest.param(ClientKind.STATEMENT, "https://ci.example.org", id="who vouches for it"),
        pytest.param(ClientKind.PUSHED, "nobody registered", id="PCR-31 a pushed client"),
    ],
)
def test_every_kind_of_client_is_called_by_what_is_proved_of_it(stand: Stand, kind: ClientKind, words: str) -> None:
    stand.authorizing.question = question(authorization_request(kind))
    _, page = stand.at_consent()
    assert words in page.text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        pytest.param("<b>Bank</b>", "&lt;b&gt;Bank&lt;/b&gt;", id="markup"),
        pytest.param("Bank\u202egnab", "Bank\ufffdgnab", id="a turn of direction"),
        pytest.param("Bank\u200b\u2066", "Bank\ufffd\ufffd", id="invisible signs"),
        pytest.param("Bank\n\n\nApproved", "Bank\ufffd\ufffd\ufffdApproved", id="lines"),
        pytest.param("B" * 200, "B" * 59 + "…", id="a name without end"),
        pytest.param("a" + "\u0310" * 50, "a\u0310\u0310<", id="a tower of marks"),
    ],
)
def test_a_name_is_cut_escaped_and_neutralised_T_43(stand: Stand, name: str, shown: str) -> None:
    stand.authorizing.question = question(authorization_request(metadata={"client_name": name}))
    _, page = stand.at_consent()
    assert shown in page.text


@pytest.mark.parametrize("metadata", [{}, {"client_name": ""}, {"client_name": " "}, {"client_name": 7}])
def test_a_client_without_a_name_is_not_called_by_one(stand: Stand, metadata: dict[str, object]) -> None:
    stand.authorizing.question = question(authorization_request(metadata=metadata))
    _, page = stand.at_consent()
    assert "calls itself" not in page.text


MATTERS = {
    "works only with this application": ({"is_key_bound": True}, {"is_key_bound": False}),
    "not tied to a key": ({"is_key_bound": False}, {"is_key_bound": True}),
    "It will not ask again for the same.": ({"can_be_remembered": True}, {"can_be_remembered": False}),
    "It will ask again each time.": ({"can_be_remembered": False}, {"can_be_remembered": True}),
    "Did you start this yourself": ({"is_loopback": True}, {"is_loopback": False}),
    "This is another site than": ({"redirect_host": "other.example.net"}, {"redirect_host": "app.example.com"}),
}


@pytest.mark.parametrize(("words", "changes"), MATTERS.items(), ids=list(MATTERS))
def test_what_matters_is_said_where_it_holds_and_only_there(
    words: str, changes: tuple[dict[str, object], dict[str, object]]
) -> None:
    for change, is_said in zip(changes, (True, False), strict=True):
        stand = Stand()
        stand.authorizing.question = question(**change)
        assert (words in stand.at_consent()[1].text) is is_said


def test_an_app_that_any_program_of_the_device_could_be_is_asked_about_too(stand: Stand) -> None:
    stand.authorizing.question = question(authorization_request(redirect_uri="com.example.app:/cb"))
    assert "Did you start this yourself" in stand.at_consent()[1].text


def test_nothing_that_a_client_names_is_loaded_or_linked_CIMD_26_T_4(stand: Stand) -> None:
    named = {name: f"https://evil.example/{name}" for name in ("logo_uri", "client_uri", "policy_uri", "tos_uri")}
    stand.authorizing.question = question(authorization_request(metadata={"client_name": "App", **named}))
    _, page = stand.at_consent()
    assert "App" in page.text
    assert "evil.example" not in page.text
