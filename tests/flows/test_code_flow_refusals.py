"""What the code flow refuses, each beside what it takes: strange redirect URIs, crossed codes, used and old things."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.grants.handles import REQUEST_URI_PREFIX
from tests.flows.approving import AGENT_CB, APP_CB, SHARED_CB, URN, Approving, Verifier, answered, running
from tests.flows.dpop import DpopKey
from tests.flows.inprocess import TYPED
from tests.flows.stand import LEDGER

ID = "spiffe://example.org"
DESK, OTHER = "/ns/people/sa/desk", "/ns/people/sa/other"
INVALID_GRANT, INVALID_REQUEST = (400, "invalid_grant"), (400, "invalid_request")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Approving]:
    with running(tmp_path_factory.mktemp("house") / "service") as service:
        yield service


# --- at /par --------------------------------------------------------------------------------------

MUTATED = {
    "upper host": "https://DESK.apps.example.org/cb",
    "other case": AGENT_CB.replace("/cb", "/CB"),
    "slash behind": AGENT_CB + "/",
    "path behind": AGENT_CB + "/x",
    "suffix": AGENT_CB + "x",
    "query": AGENT_CB + "?a=b",
    "empty query": AGENT_CB + "?",
    "fragment": AGENT_CB + "#",
    "user": "https://a@desk.apps.example.org/cb",
    "other user": "https://desk.apps.example.org@evil.example/cb",
    "host behind": "https://desk.apps.example.org.evil.example/cb",
    "port": "https://desk.apps.example.org:443/cb",
    "other port": "https://desk.apps.example.org:8443/cb",
    "dot": "https://desk.apps.example.org/./cb",
    "dots": "https://desk.apps.example.org/x/../cb",
    "encoded dots": "https://desk.apps.example.org/x/%2e%2e/cb",
    "encoded": "https://desk.apps.example.org/c%62",
    "backslash": "https://desk.apps.example.org\\@evil.example/cb",
    "newline": AGENT_CB + "\n",
    "space": AGENT_CB + " ",
    "tab inside": "https://desk.apps.example.org/\tcb",
    "http": AGENT_CB.replace("https:", "http:"),
    "scheme": AGENT_CB.replace("https:", "HTTPS:"),
    "dot behind host": "https://desk.apps.example.org./cb",
    "two slashes": "https://desk.apps.example.org//cb",
    "another's": "https://other.apps.example.org/cb",
    "template": "https://{1}.apps.example.org/cb",
    "wildcard": "https://*.apps.example.org/cb",
    "javascript": "javascript:alert(1)//" + AGENT_CB,
    "data": "data:text/html,x",
    "relative": "/cb",
    "empty": "",
    "loopback name": "http://localhost/desk",
    "loopback path": "http://127.0.0.1:8080/desk/",
    "loopback https": "https://127.0.0.1/desk",
    "other loopback": "http://127.0.0.2/desk",
    "loopback user": "http://127.0.0.1:80@evil.example/desk",
}


@pytest.mark.parametrize("redirect", MUTATED.values(), ids=MUTATED)
def test_no_mutation_of_a_trusted_redirect_uri_is_taken_T_30_ROFU_15(house: Approving, redirect: str) -> None:
    row = house.last_row()
    assert house.push(house.agent(DESK), Verifier(), redirect_uri=redirect).error == INVALID_REQUEST
    reasons = [reason for _, _, reason in house.events(row)]
    assert reasons in (["redirect_uri_mismatch"], []), "counted with equal ones, or not even decoded"


@pytest.mark.parametrize(
    "redirect", [AGENT_CB, "http://127.0.0.1/desk", "http://127.0.0.1:1/desk", "http://127.0.0.1:65535/desk"]
)
def test_the_trusted_ones_are_taken_and_a_loopback_port_may_be_any_OAS_30_ROFU_15(
    house: Approving, redirect: str
) -> None:
    assert house.push(house.agent(DESK), Verifier(), redirect_uri=redirect).status == 201


def test_a_refused_push_leaves_nothing_behind_ROFU_9_ROFU_14(house: Approving) -> None:
    path = "/ns/people/sa/stranger"
    assert house.push(house.agent(path), Verifier(), redirect_uri=AGENT_CB).error == INVALID_REQUEST
    assert ID + path not in house.records()
    own = "https://stranger.apps.example.org/cb"
    assert house.push(house.agent(path), Verifier(), redirect_uri=own).status == 201
    assert ID + path in house.records()


BROKEN: dict[str, tuple[Mapping[str, str | None], str]] = {
    "PCR-3 no response_type": ({"response_type": None}, "invalid_request"),
    "T-38 token": ({"response_type": "token"}, "unsupported_response_type"),
    "T-38 hybrid": ({"response_type": "code id_token"}, "unsupported_response_type"),
    "T-38 none": ({"response_type": "none"}, "unsupported_response_type"),
    "fragment": ({"response_mode": "fragment"}, "invalid_request"),
    "form_post": ({"response_mode": "form_post"}, "invalid_request"),
    "PCR-3 no redirect_uri": ({"redirect_uri": None}, "invalid_request"),
    "OAS-12 no challenge": ({"code_challenge": None}, "invalid_request"),
    "OAS-12 plain": ({"code_challenge_method": "plain"}, "invalid_request"),
    "OAS-12 T-35 no method": ({"code_challenge_method": None}, "invalid_request"),
    "PCR-4 lower case": ({"code_challenge_method": "s256"}, "invalid_request"),
    "short challenge": ({"code_challenge": "a" * 42}, "invalid_request"),
    "long challenge": ({"code_challenge": "a" * 44}, "invalid_request"),
    "padded challenge": ({"code_challenge": "a" * 42 + "="}, "invalid_request"),
    "PCR-11 T-5 request_uri": ({"request_uri": "https://evil.example/r"}, "invalid_request"),
    "PCR-11 our request_uri": ({"request_uri": REQUEST_URI_PREFIX + "a" * 43}, "invalid_request"),
    "request": ({"request": "e30.e30."}, "invalid_request"),
    "long state": ({"state": "s" * 1025}, "invalid_request"),
    "strange state": ({"state": "caf\u00e9"}, "invalid_request"),
    "dpop_jkt": ({"dpop_jkt": "short"}, "invalid_request"),
    "pushed metadata of a known client": ({"client_registration": "{}"}, "invalid_request"),
    "OAS-17 fragment": ({"resource": LEDGER + "#f"}, "invalid_target"),
    "OAS-17 relative": ({"resource": "ledger"}, "invalid_target"),
    "OAS-17 unknown": ({"resource": "https://nobody.example.org"}, "invalid_target"),
    "scope unknown": ({"scope": "ledger.own"}, "invalid_scope"),
    "scope malformed": ({"scope": "ledger.read  ledger.write"}, "invalid_scope"),
}


@pytest.mark.parametrize(("fields", "code"), BROKEN.values(), ids=BROKEN)
def test_a_parameter_that_is_missing_or_wrong_is_said_so(
    house: Approving, fields: Mapping[str, Any], code: str
) -> None:
    assert house.push(house.agent(DESK), Verifier(), **fields).error == (400, code)


@pytest.mark.parametrize(
    "fields",
    [
        {"response_mode": "query"},
        {"state": None},
        {"state": "s" * 1024},
        {"request": ""},
        {"nonce": "n", "prompt": "x"},
    ],
)
def test_what_may_be_left_out_or_said_beside_is_taken(house: Approving, fields: Mapping[str, Any]) -> None:
    assert house.push(house.agent(DESK), Verifier(), **fields).status == 201


NAMES = (
    "response_type", "redirect_uri", "state", "scope", "code_challenge", "code_challenge_method", "dpop_jkt",
    "client_id", "client_assertion", "client_assertion_type", "response_mode", "request", "request_uri",
    "client_registration", "something_else",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_parameter_comes_once_at_every_door_T_31_PCR_33(house: Approving, name: str) -> None:
    twice = urlencode([(name, "x"), (name, "x")]).encode()
    for path in ("/par", "/token"):
        assert house.raw("POST", path, twice).error == INVALID_REQUEST
    page = house.browser().get(f"/authorize?{twice.decode()}")
    assert (page.status, page.location) == (400, None)
    once = urlencode({name: "x"}).encode()
    assert "repeated" not in str(house.raw("POST", "/par", once).body["error_description"])


@pytest.mark.parametrize(
    ("method", "kind", "body", "status"),
    [
        ("GET", None, b"", 405),
        ("PUT", b"application/x-www-form-urlencoded", b"a=b", 405),
        ("POST", b"application/json", b"{}", 415),
        ("POST", None, b"a=b", 415),
    ],
)
def test_par_takes_posted_forms_alone_PCR_11(
    house: Approving, method: str, kind: bytes | None, body: bytes, status: int
) -> None:
    headers = [] if kind is None else [(b"content-type", kind)]
    assert house.call(method, "/par", body, headers=headers).status == status


def test_par_answers_201_with_whole_seconds_and_is_never_stored_PCR_10_OAS_2(house: Approving) -> None:
    answer = house.push(house.agent(DESK), Verifier())
    assert (answer.status, set(answer.body)) == (201, {"request_uri", "expires_in"})
    assert answer.body["request_uri"].startswith(REQUEST_URI_PREFIX)
    assert (answer.body["expires_in"], answer.headers["Cache-Control"]) == (60, "no-store")


def test_a_proof_and_dpop_jkt_say_one_key_PCR_18(house: Approving) -> None:
    key, other = DpopKey(), DpopKey()
    assert house.push(house.agent(DESK), Verifier(), key=key, dpop_jkt=key.thumbprint).status == 201
    mixed = house.push(house.agent(DESK), Verifier(), key=key, dpop_jkt=other.thumbprint)
    assert mixed.error == (400, "invalid_dpop_proof")


def test_a_proof_at_par_is_good_for_once_and_a_refused_push_does_not_use_it_PCR_22_T_29(house: Approving) -> None:
    key, pkce = DpopKey(), Verifier()
    proof = key.proof("POST", house.stand.client.issuer + "/par", iat=house.clock()).encode()
    form = {"response_type": "code", "redirect_uri": AGENT_CB, "scope": "ledger.read", **pkce.fields}

    def push(**fields: str) -> tuple[int, str]:
        body = urlencode({**form, **house.agent(DESK), **fields}).encode()
        answer = house.call("POST", "/par", body, headers=[TYPED, (b"dpop", proof)])
        return answer.status, str(answer.body.get("error", ""))

    assert push(redirect_uri=SHARED_CB) == INVALID_REQUEST
    assert push() == (201, "")
    assert push() == (400, "invalid_dpop_proof")
    strange = key.proof("POST", house.stand.client.issuer + "/token", iat=house.clock())
    answer = house.call(
        "POST", "/par", urlencode({**form, **house.agent(DESK)}).encode(), headers=[TYPED, (b"dpop", strange.encode())]
    )
    assert answer.error == (400, "invalid_dpop_proof")


def test_who_is_not_who_it_says_pushes_nothing(house: Approving) -> None:
    stolen = {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"}
    bad = house.stand.authority.jwt_svid(DESK, "https://elsewhere.example")
    assert house.push({**stolen, "client_assertion": bad}, Verifier()).error == (401, "invalid_client")
    assert house.push(house.agent(DESK, client_id=ID + OTHER), Verifier()).error == (401, "invalid_client")
    assert house.push({"client_id": ID + DESK}, Verifier()).error == (401, "invalid_client")
    assert house.push({}, Verifier()).error == (401, "invalid_client")


def test_a_workload_whose_rule_gives_no_codes_is_not_registered_by_asking_for_one_ROFU_20(house: Approving) -> None:
    path = "/ns/web/sa/no-codes"
    assert house.push(house.agent(path), Verifier()).error == (400, "unauthorized_client")
    assert ID + path not in house.records()
    assert house.by_jwt(path).status == 200


# --- at /authorize --------------------------------------------------------------------------------


def test_a_request_uri_is_for_the_client_that_pushed_it_PCR_13_T_32(house: Approving) -> None:
    request_uri = house.pushed(house.agent(DESK), Verifier())
    for other in (ID + OTHER, URN, house.app("/plain/foreign")):
        page = house.browser().authorize(client_id=other, request_uri=request_uri)
        assert (page.status, page.location) == (400, None)
    assert house.browser().authorize(client_id=ID + DESK, request_uri=request_uri, user="opens").status == 200


@pytest.mark.parametrize(
    "request_uri",
    [
        REQUEST_URI_PREFIX + "A" * 43,
        REQUEST_URI_PREFIX + "A" * 42,
        "https://evil.example/request.jwt",
        "http://127.0.0.1:1/request.jwt",
        "urn:ietf:params:oauth:request_uri:",
    ],
)
def test_a_request_uri_that_nobody_was_given_is_a_page_and_never_fetched_PCR_12_T_5(
    house: Approving, request_uri: str
) -> None:
    page = house.browser().authorize(client_id=ID + DESK, request_uri=request_uri)
    assert (page.status, page.location) == (400, None)


def test_a_request_uri_is_over_after_a_minute_unless_a_browser_opened_it_PCR_12(house: Approving) -> None:
    late, opened = (house.pushed(house.agent(DESK), Verifier()) for _ in range(2))
    browser = house.browser()
    assert browser.get("/authorize?" + urlencode({"client_id": ID + DESK, "request_uri": opened})).status == 303
    house.after(61)
    assert house.browser().authorize(client_id=ID + DESK, request_uri=late).status == 400
    page = browser.authorize(client_id=ID + DESK, request_uri=opened, user="slow")
    assert page.status == 200, "signing in took a while"
    assert house.browser().authorize(client_id=ID + DESK, request_uri=opened).status == 400, "another browser"
    house.after(550)
    answer = browser.decide(page)
    assert (answer.status, answer.location) == (400, None), "ten minutes are enough to decide"


def test_a_request_is_decided_once_and_may_be_reloaded_before_T_32(house: Approving) -> None:
    browser, request_uri = house.browser(), house.pushed(house.agent(DESK), Verifier())
    named = {"client_id": ID + DESK, "request_uri": request_uri}
    page = browser.authorize(**named, user="reloads")
    assert browser.authorize(**named).status == 200
    assert "code" in browser.decide(page).answer
    assert browser.decide(page).status == 400
    assert browser.decide(page, "deny").status == 400
    assert browser.authorize(**named).status == 400


def test_nothing_may_stand_beside_a_request_uri_PCR_14_T_31(house: Approving) -> None:
    named = {"client_id": ID + DESK, "request_uri": house.pushed(house.agent(DESK), Verifier())}
    for name, value in {
        "scope": "ledger.write",
        "redirect_uri": "https://evil.example/",
        "state": "x",
        "resource": LEDGER,
    }.items():
        page = house.browser().authorize(**named, **{name: value})
        assert (page.status, page.location) == (400, None), name
    assert house.browser().authorize(**named, user="besides").status == 200


def test_whoever_has_to_push_does_not_come_with_plain_parameters_PCR_2_ROFU_14_ROFU_16(house: Approving) -> None:
    path = "/ns/people/sa/front"
    asked = {"response_type": "code", "redirect_uri": "https://front.apps.example.org/cb", "scope": "ledger.read"}
    for client_id in (ID + path, URN, "fleet", ""):
        page = house.browser().authorize(client_id=client_id, **asked, **Verifier().fields)
        assert (page.status, page.location) == (400, None), client_id
    assert ID + path not in house.records()


def test_a_refusal_is_an_answer_with_state_and_iss_OAS_8_PCR_23(house: Approving) -> None:
    browser = house.browser()
    request_uri = house.pushed(house.agent(DESK), Verifier())
    page = browser.authorize(client_id=ID + DESK, request_uri=request_uri, user="refuses")
    refused = browser.decide(page, "deny")
    answer = answered(refused)
    assert refused.status == 303
    assert (answer["error"], answer["state"]) == ("access_denied", "state-of-this-request")
    assert answer["iss"] == house.stand.client.issuer
    assert "code" not in answer
    row = house.rows_of(ID + DESK)[-1]
    assert (row.event.value, row.reason) == ("refused", "access_denied")


FRONT_ERRORS: dict[str, tuple[Mapping[str, str], str]] = {
    "T-38": ({"response_type": "token"}, "unsupported_response_type"),
    "OAS-12": ({"code_challenge_method": "plain"}, "invalid_request"),
    "scope": ({"scope": "ledger.own"}, "invalid_scope"),
    "resource": ({"resource": "https://nobody.example.org"}, "invalid_target"),
    "request": ({"request": "e30.e30."}, "invalid_request"),
}


@pytest.mark.parametrize(("fields", "code"), FRONT_ERRORS.values(), ids=FRONT_ERRORS)
def test_what_is_wrong_with_a_plain_request_is_told_to_its_verified_client_OAS_8(
    house: Approving, fields: Mapping[str, str], code: str
) -> None:
    url = house.app("/plain/front")
    asked = {"response_type": "code", "client_id": url, "redirect_uri": APP_CB, "state": "s t", "scope": "ledger.read"}
    answer = answered(house.browser().authorize(**{**asked, **Verifier().fields, **fields}), APP_CB)
    assert (answer["error"], answer["state"], answer["iss"]) == (code, "s t", house.stand.client.issuer)


PAGE_ERRORS: dict[str, Mapping[str, str]] = {
    "OAS-7 CIMD-18 unlisted": {"redirect_uri": "https://evil.example/cb"},
    "OAS-7 prefix": {"redirect_uri": APP_CB + "/x"},
    "OAS-7 none": {"redirect_uri": ""},
    "OAS-7 both wrong": {"redirect_uri": "https://evil.example/cb", "response_type": "token"},
}


@pytest.mark.parametrize("fields", PAGE_ERRORS.values(), ids=PAGE_ERRORS)
def test_nobody_is_sent_to_a_place_that_no_document_lists_OAS_7_CIMD_18(
    house: Approving, fields: Mapping[str, str]
) -> None:
    url = house.app("/plain/front")
    asked = {"response_type": "code", "client_id": url, "redirect_uri": APP_CB, "state": "s", "scope": "ledger.read"}
    page = house.browser().authorize(**{**asked, **Verifier().fields, **fields})
    assert (page.status, page.location) == (400, None)


def test_a_rule_s_list_of_redirect_uris_narrows_the_document_s(house: Approving) -> None:
    """A refusal is not told to a place that the rule leaves out, either."""
    url = house.app("/narrow/app", redirect_uris=[APP_CB, "https://other.example.org/cb"])
    asked = {"response_type": "code", "client_id": url, "state": "s", **Verifier().fields}
    for fields in ({"scope": "ledger.read"}, {"scope": "ledger.own"}, {"response_type": "token"}):
        page = house.browser().authorize(**{**asked, **fields, "redirect_uri": "https://other.example.org/cb"})
        assert (page.status, page.location) == (400, None), fields
    own = house.browser().authorize(**{**asked, "scope": "ledger.own", "redirect_uri": APP_CB})
    assert answered(own, APP_CB)["error"] == "invalid_scope"
    assert house.browser().authorize(**{**asked, "scope": "ledger.read", "redirect_uri": APP_CB}).status == 200


@pytest.mark.parametrize("path", ["/pushing/app", "/plain/pushes-itself"])
def test_who_has_to_push_by_rule_or_by_its_own_word_is_told_so(house: Approving, path: str) -> None:
    url = house.app(path, require_pushed_authorization_requests="pushes-itself" in path)
    pkce = Verifier()
    asked = {"response_type": "code", "client_id": url, "redirect_uri": APP_CB, "scope": "ledger.read"}
    page = house.browser().authorize(**asked, **pkce.fields)
    assert answered(page, APP_CB)["error"] == "invalid_request"
    request_uri = house.pushed({"client_id": url}, pkce, redirect_uri=APP_CB)
    assert house.redeem({"client_id": url}, house.code(url, request_uri), pkce).status == 200


# --- at /token ------------------------------------------------------------------------------------


def test_a_code_is_for_the_client_the_verifier_and_the_redirect_uri_it_was_asked_with(house: Approving) -> None:
    """OAS-13, PCR-16, ROFU-17: whatever is wrong consumes nothing, harms nobody, and the right one works after it."""
    mine, pkce = house.agent(DESK), Verifier()
    house.push(house.agent(OTHER), Verifier(), redirect_uri="https://other.apps.example.org/cb")
    code = house.code(ID + DESK, house.pushed(mine, pkce))
    foreign = Verifier()
    wrong = {
        "another client": house.redeem(house.agent(OTHER), code, pkce),
        "another's verifier": house.redeem(mine, code, foreign),
        "no verifier": house.redeem(mine, code, None),
        "the challenge as verifier": house.redeem(mine, code, None, code_verifier=pkce.challenge),
        "a short verifier": house.redeem(mine, code, None, code_verifier="a" * 42),
        "a long verifier": house.redeem(mine, code, None, code_verifier="a" * 129),
        "a strange verifier": house.redeem(mine, code, None, code_verifier=pkce.verifier + "+"),
        "another redirect_uri": house.redeem(mine, code, pkce, redirect_uri=APP_CB),
        "a pushed client": house.redeem({"client_id": URN}, code, pkce),
        "another code": house.redeem(mine, code[:-1] + ("A" if code[-1] != "A" else "B"), pkce),
        "no code at all": house.redeem(mine, "x", pkce),
    }
    assert {name: reply.error for name, reply in wrong.items()} == dict.fromkeys(wrong, INVALID_GRANT)
    assert house.redeem(mine, "", pkce).error == INVALID_REQUEST
    wrong_svid = house.stand.authority.jwt_svid(DESK, "https://elsewhere.example")
    assert house.redeem({**mine, "client_assertion": wrong_svid}, code, pkce).error == (401, "invalid_client")
    assert ID + DESK in house.records(), "nobody is de-registered by a failure"
    assert house.redeem(mine, code, pkce, redirect_uri=AGENT_CB).status == 200


def test_codes_verifiers_and_keys_of_two_clients_do_not_go_with_each_other_PCR_16_T_37(house: Approving) -> None:
    """Two transactions of pushed clients, which have one name: nothing but code, verifier and key together works."""
    who = {"client_id": URN}
    flows = []
    for _ in range(2):
        pkce, key = Verifier(), DpopKey()
        request_uri = house.pushed(who, pkce, key=key, redirect_uri=APP_CB)
        flows.append((house.code(URN, request_uri), pkce, key))
    for mixed in itertools.product(range(2), repeat=3):
        if len(set(mixed)) > 1:
            code_of, verifier_of, key_of = mixed
            crossed = house.redeem(who, flows[code_of][0], flows[verifier_of][1], key=flows[key_of][2])
            assert crossed.error == INVALID_GRANT, mixed
    tokens = [house.redeem(who, code, pkce, key=key) for code, pkce, key in flows]
    assert tokens[0].claims["client_transaction"] != tokens[1].claims["client_transaction"]
    for one, other in ((0, 1), (1, 0)):
        refresh_token = tokens[one].body["refresh_token"]
        assert house.refresh(who, refresh_token, key=flows[other][2]).error == INVALID_GRANT
        assert house.refresh(who, refresh_token, key=flows[one][2]).status == 200


def test_a_bound_code_needs_its_key_and_a_nonce_that_is_asked_for_consumes_nothing_PCR_19(house: Approving) -> None:
    mine, pkce, key = house.agent(DESK), Verifier(), DpopKey()
    code = house.code(ID + DESK, house.pushed(mine, pkce, dpop_jkt=key.thumbprint))
    assert house.redeem(mine, code, pkce).error == INVALID_GRANT
    assert house.redeem(mine, code, pkce, key=DpopKey()).error == INVALID_GRANT
    assert house.redeem(mine, code, pkce, key=key).claims["cnf"] == {"jkt": key.thumbprint}


def test_a_code_is_good_for_a_minute_and_once_and_a_second_use_ends_what_it_gave(house: Approving) -> None:
    """OAS-14, PCR-17, T-33."""
    mine, pkce = house.agent(DESK), Verifier()
    old = house.code(ID + DESK, house.pushed(mine, pkce))
    house.after(60)
    assert house.redeem(mine, old, pkce).error == INVALID_GRANT
    mine = house.agent(DESK)
    code = house.code(ID + DESK, house.pushed(mine, pkce))
    house.after(59)
    mine = house.agent(DESK)
    reply = house.redeem(mine, code, pkce)
    access, refresh_token = reply.body["access_token"], reply.body["refresh_token"]
    assert house.redeem(mine, code, Verifier()).error == INVALID_GRANT
    assert house.redeem(house.agent(OTHER), code, pkce).error == INVALID_GRANT
    assert house.introspect(access)["active"], "those who could not have used it end nothing"
    assert house.redeem(mine, code, pkce).error == INVALID_GRANT
    assert house.introspect(access) == {"active": False}
    assert house.refresh(mine, refresh_token).error == INVALID_GRANT
    row = next(row for row in reversed(house.rows_of(ID + DESK)) if row.event.value == "revoked")
    assert row.outcome == "code_reused"


def test_a_refresh_token_that_was_rotated_out_ends_its_family_OAS_15_T_33(house: Approving) -> None:
    url, pkce = house.app("/plain/family"), Verifier()
    who = {"client_id": url}
    first = house.redeem(who, house.code(url, house.pushed(who, pkce, redirect_uri=APP_CB)), pkce)
    second = house.refresh(who, first.body["refresh_token"])
    third = house.refresh(who, second.body["refresh_token"])
    assert third.status == 200
    assert house.refresh(who, first.body["refresh_token"]).error == INVALID_GRANT
    assert house.refresh(who, third.body["refresh_token"]).error == INVALID_GRANT
    for reply in (first, second, third):
        assert house.introspect(reply.body["access_token"]) == {"active": False}
    other = house.redeem(who, house.code(url, house.pushed(who, pkce, redirect_uri=APP_CB)), pkce)
    assert house.refresh(who, other.body["refresh_token"]).status == 200, "another grant of the same client lives"


@pytest.mark.parametrize("what", ["code", "refresh"])
def test_of_many_at_once_one_is_served_and_the_family_ends_T_33(house: Approving, what: str) -> None:
    url, pkce = house.app(f"/plain/race-{what}"), Verifier()
    who = {"client_id": url}
    code = house.code(url, house.pushed(who, pkce, redirect_uri=APP_CB))
    if what == "code":
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda _: house.redeem(who, code, pkce), range(8)))
    else:
        token = house.redeem(who, code, pkce).body["refresh_token"]
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda _: house.refresh(who, token), range(8)))
    served = [reply for reply in replies if reply.status == 200]
    assert len(served) <= 1
    assert {reply.error for reply in replies if reply.status != 200} == {INVALID_GRANT}
    for reply in served:
        assert house.introspect(reply.body["access_token"]) == {"active": False}


def test_a_refresh_token_is_none_but_ours(house: Approving) -> None:
    url, pkce = house.app("/plain/forged"), Verifier()
    who = {"client_id": url}
    token = house.redeem(who, house.code(url, house.pushed(who, pkce, redirect_uri=APP_CB)), pkce).body["refresh_token"]
    prefix, grant, generation, key, mac = token.split(".")
    forged = [
        ".".join((prefix, grant, "2", key, mac)),
        ".".join((prefix, "A" * 22, generation, key, mac)),
        ".".join((prefix, grant, generation, "k" * 43, mac)),
        ".".join((prefix, grant, generation, key, "A" * 43)),
        token + "A",
        token.upper(),
        "x",
    ]
    for each in forged:
        assert house.refresh(who, each).error == INVALID_GRANT, each
    assert house.refresh(house.agent(DESK), token).error == INVALID_GRANT, "another client's"
    assert house.refresh(who, token).status == 200, "none of that ended anything"


# --- anything -------------------------------------------------------------------------------------

_VALUES = st.one_of(
    st.text(max_size=60),
    st.sampled_from(["code", "S256", AGENT_CB, "ledger.read", LEDGER, URN, ID + DESK, "{}", "[]", "query", "a" * 43]),
    st.sampled_from([REQUEST_URI_PREFIX + "a" * 43, "rt1." + "a" * 22 + ".1.." + "b" * 43, "%00", "\ud800", "\u202e"]),
)
_FORMS = st.lists(st.tuples(st.sampled_from([*NAMES, "resource", "code", "code_verifier", "refresh_token"]), _VALUES))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=_FORMS, grant_type=st.sampled_from(["authorization_code", "refresh_token", "client_credentials"]))
def test_whatever_is_sent_is_answered_and_nobody_is_sent_away_F_12(
    house: Approving, pairs: list[tuple[str, str]], grant_type: str
) -> None:
    """No 5xx at any door of the flow, and no redirect but to our own pages: nothing here was verified."""
    form = urlencode(pairs, errors="surrogatepass").encode()
    for path, body in (("/par", form), ("/token", form + f"&grant_type={grant_type}".encode())):
        answer = house.raw("POST", path, body)
        assert 400 <= answer.status < 500, (path, answer.content)
    for method in ("GET", "POST"):
        for path in ("/authorize", "/consent"):
            answer = house.raw(method, f"{path}", form if method == "POST" else b"")
            assert answer.status < 500
    page = house.browser().visit("/authorize?" + form.decode(), user="fuzz")
    assert page.status < 500
    assert page.location is None or page.location.startswith("/")
