"""`/register/{handle}`: both credentials or nothing, whole replacements, and answers that lose no token (RFC 7592)."""

from __future__ import annotations

import pytest

from bridge.registration.enrolment import RegistrationAccess
from tests.unit.web.registration_stand import CHAIN, CLIENT, MTLS, NOW, STATEMENT, Stand

UPDATE = {"client_id": CLIENT, "client_name": "api"}
METHODS = ["GET", "PUT", "DELETE"]


@pytest.fixture
def stand() -> Stand:
    stand = Stand()
    stand.registration.access = RegistrationAccess("the-handle", "rotated")
    return stand


def test_a_read_gives_the_whole_client_with_the_token_in_force_DCR_25_DCR_32(stand: Stand) -> None:
    stand.registration.extra = {"client_name": "api"}
    reply = stand.manage("GET")
    assert (reply.status, reply.headers["Cache-Control"], reply.headers["Pragma"]) == (200, "no-store", "no-cache")
    assert reply.body == {
        "client_id": CLIENT,
        "client_id_issued_at": NOW - 60,
        "client_name": "api",
        "registration_client_uri": f"{MTLS}/register/the-handle",
        "registration_access_token": "rotated",
    }
    assert stand.registration.calls == [("read", "the-handle", "the-token", CHAIN)]
    assert stand.observed.answers == [("registration", 200)]


def test_an_update_hands_over_all_that_the_client_shall_be_DCR_28(stand: Stand) -> None:
    reply = stand.manage("PUT", {**UPDATE, "made_up": 1})
    assert (reply.status, reply.body["client_name"]) == (200, "api")
    expected = ("replace", "the-handle", "the-token", CHAIN, CLIENT, {"client_name": "api"})
    assert stand.registration.calls == [expected]


def test_a_delete_is_204_with_no_body_and_no_type_of_one_DCR_31(stand: Stand) -> None:
    reply = stand.manage("DELETE")
    assert (reply.status, reply.content) == (204, b"")
    assert "Content-Type" not in reply.headers
    assert stand.registration.calls == [("delete", "the-handle", "the-token", CHAIN)]


# --- credentials -----------------------------------------------------------------------------------------------

MALFORMED_TOKENS = {
    "nothing behind it": b"Bearer",
    "a space behind it": b"Bearer ",
    "two tokens": b"Bearer one two",
    "a comma": b"Bearer one,two",
    "a character no token has": b'Bearer "one"',
    "beyond ASCII": b"Bearer t\xc3\xb6ken",
    "padding within": b"Bearer a=b",
    "no space": b"Bearer:the-token",
    "a tab": b"Bearer\tthe-token",
}
TOKENS = [b"Bearer the-token", b"bearer the-token", b"BEARER   the-token"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", MALFORMED_TOKENS.values(), ids=list(MALFORMED_TOKENS))
def test_a_malformed_bearer_token_is_refused_before_anything_is_asked_DCR_26_T_47(
    stand: Stand, method: str, value: bytes
) -> None:
    reply = stand.manage(method, UPDATE, authorization=value)
    assert reply.error == (401, "invalid_token")
    assert reply.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert stand.registration.calls == []


@pytest.mark.parametrize("value", TOKENS)
def test_a_bearer_token_is_taken_in_all_that_RFC_6750_lets_it_look_like(stand: Stand, value: bytes) -> None:
    assert stand.manage("GET", authorization=value).status == 200
    assert stand.registration.calls == [("read", "the-handle", "the-token", CHAIN)]


def test_the_whole_alphabet_of_a_bearer_token_comes_through(stand: Stand) -> None:
    assert stand.manage("GET", authorization=b"Bearer aZ09-._~+/==").status == 200
    assert stand.registration.calls[0][2] == "aZ09-._~+/=="


def test_two_authorization_fields_are_none_DCR_26_T_47(stand: Stand) -> None:
    field = (b"authorization", b"Bearer the-token")
    assert stand.call("GET", "/register/the-handle", headers=[field, field], chain=CHAIN).error[0] == 401
    assert stand.registration.calls == []
    assert stand.call("GET", "/register/the-handle", headers=[field], chain=CHAIN).status == 200


@pytest.mark.parametrize("value", [None, b"", b"Basic YTpi", b"DPoP the-token", b"the-token", b"Bearertoken x"])
def test_who_sends_no_bearer_token_is_told_that_one_is_needed_and_of_no_error_DCR_26(
    stand: Stand, value: bytes | None
) -> None:
    reply = stand.manage("GET", authorization=value)
    assert (reply.error, reply.headers["WWW-Authenticate"]) == ((401, "invalid_token"), "Bearer")
    assert stand.registration.calls == []
    assert stand.manage("GET").status == 200


@pytest.mark.parametrize("method", METHODS)
def test_the_token_without_a_certificate_opens_nothing_T_47(stand: Stand, method: str) -> None:
    reply = stand.manage(method, UPDATE, chain=())
    assert reply.error == (401, "invalid_token")
    assert reply.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert stand.registration.calls == []
    assert stand.manage(method, UPDATE).status in (200, 204)


@pytest.mark.parametrize("handle", ["%00", "a%0Ab", "a%20b", "%C3%A9", "a" * 257, "a%2Cb"])
def test_a_handle_that_no_client_has_is_not_looked_up_DCR_27(stand: Stand, handle: str) -> None:
    assert stand.manage("GET", handle=handle).error == (401, "invalid_token")
    assert stand.registration.calls == []
    assert stand.manage("GET", handle="a" * 256).status == 200


@pytest.mark.parametrize("path", ["/register/", "/register/a/b", "/register/a%2Fb", "//register/a"])
def test_a_path_that_is_no_client_is_404(stand: Stand, path: str) -> None:
    headers = [(b"authorization", b"Bearer the-token")]
    assert stand.call("GET", path, headers=headers, chain=CHAIN).error == (404, "not_found")
    assert stand.call("GET", "/register/a", headers=headers, chain=CHAIN).status == 200


# --- methods and bodies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PATCH", "HEAD", "OPTIONS"])
def test_another_method_is_405_and_a_head_reads_nothing_DCR_32(stand: Stand, method: str) -> None:
    reply = stand.manage(method, UPDATE)
    assert (reply.status, reply.headers["Allow"]) == (405, "DELETE, GET, PUT")
    assert stand.registration.calls == []


def test_an_update_is_json_and_a_read_needs_no_type(stand: Stand) -> None:
    reply = stand.manage("PUT", UPDATE, kind=b"application/x-www-form-urlencoded")
    assert reply.error == (415, "invalid_request")
    assert reply.body["error_description"] == "send application/json"
    assert stand.registration.calls == []
    assert stand.manage("PUT", UPDATE).status == 200


@pytest.mark.parametrize("client_id", [{}, {"client_id": None}, {"client_id": ""}, {"client_id": [CLIENT]}])
def test_an_update_without_client_id_is_refused_DCR_28(stand: Stand, client_id: dict[str, object]) -> None:
    reply = stand.manage("PUT", {"client_name": "api", **client_id})
    assert reply.error == (400, "invalid_client_metadata")
    assert stand.registration.calls == []
    assert stand.manage("PUT", UPDATE).status == 200


@pytest.mark.parametrize("value", ["x", 0, None], ids=["text", "number", "null"])
@pytest.mark.parametrize(
    "name",
    [
        "registration_access_token",
        "registration_client_uri",
        "client_secret_expires_at",
        "client_id_issued_at",
        "client_secret",
    ],
)
def test_an_update_must_not_say_what_only_the_server_gives_DCR_29(stand: Stand, name: str, value: object) -> None:
    reply = stand.manage("PUT", {**UPDATE, name: value})
    assert reply.error == (400, "invalid_client_metadata")
    assert name in reply.body["error_description"]
    assert stand.registration.calls == []
    assert stand.manage("PUT", {**UPDATE, "software_id": "x"}).status == 200


def test_an_update_that_is_no_object_is_refused_and_a_statement_in_it_changes_nothing_DCR_30(stand: Stand) -> None:
    twice = b'{"client_id":"a","client_id":"b"}'
    assert stand.manage("PUT", twice).error == (400, "invalid_client_metadata")
    assert stand.registration.calls == []
    reply = stand.manage("PUT", {**UPDATE, "software_statement": STATEMENT})
    assert "software_statement" not in reply.body
    assert stand.registration.calls[0][-1] == {"client_name": "api"}
