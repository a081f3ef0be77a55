"""`/register`: what is taken, what is answered, and what is refused before anything is asked (RFC 7591)."""

from __future__ import annotations

import json

import pytest

from bridge.model.evidence import DpopEvidence, PresentedStatement, RequestContext
from bridge.model.metadata import ClientMetadata
from bridge.registration.enrolment import RegistrationAccess
from tests.unit.web.registration_stand import (
    CHAIN,
    CLIENT,
    ISSUER,
    JSON,
    MTLS,
    NOW,
    STATEMENT,
    Registration,
    Stand,
)

BODY = {"software_statement": STATEMENT, "client_name": "api"}


@pytest.fixture
def stand() -> Stand:
    return Stand()


def taken(registration: Registration) -> tuple[PresentedStatement, ClientMetadata, RequestContext]:
    """What the one request brought to the registration."""
    assert len(registration.calls) == 1
    _, presented, metadata, context = registration.calls[0]
    assert isinstance(presented, PresentedStatement)
    assert isinstance(metadata, ClientMetadata)
    assert isinstance(context, RequestContext)
    return presented, metadata, context


# --- what is answered ------------------------------------------------------------------------------------------


def test_a_registration_is_201_not_stored_and_names_the_client_DCR_2(stand: Stand) -> None:
    reply = stand.register(BODY)
    assert reply.status == 201
    assert (reply.headers["Content-Type"], reply.headers["Cache-Control"]) == ("application/json", "no-store")
    assert reply.headers["Pragma"] == "no-cache"
    assert (reply.body["client_id"], reply.body["client_id_issued_at"]) == (CLIENT, NOW - 60)
    assert stand.observed.answers == [("register", 201)]
    context = taken(stand.registration)[2]
    assert (context.door.value, context.now, context.source_address) == ("register", NOW, "127.0.0.1")


def test_every_registered_member_is_echoed_also_what_the_server_set_DCR_5(stand: Stand) -> None:
    stand.registration.extra = {"token_endpoint_auth_method": "spiffe_jwt", "client_name#fr": "l'api"}
    body = stand.register(BODY).body
    assert (body["client_name"], body["client_name#fr"]) == ("api", "l'api")
    assert body["token_endpoint_auth_method"] == "spiffe_jwt"


def test_the_statement_is_echoed_byte_for_byte_DCR_8(stand: Stand) -> None:
    reply = stand.register(BODY)
    assert taken(stand.registration)[0].statement == STATEMENT
    assert f'"software_statement":"{STATEMENT}"'.encode() in reply.content
    without = Stand().register({"client_name": "api"}, chain=CHAIN)
    assert without.status == 201
    assert "software_statement" not in without.body


@pytest.mark.parametrize("secret", ["client_secret", "client_secret_expires_at"])
def test_no_secret_leaves_whatever_a_record_holds_DCR_12(stand: Stand, secret: str) -> None:
    stand.registration.extra = {secret: "x", "client_uri": "https://api.example.org"}
    body = stand.register(BODY).body
    assert body["client_uri"] == "https://api.example.org"
    assert not [name for name in body if name.startswith("client_secret")]


def test_no_member_of_a_record_stands_in_for_what_the_server_gives(stand: Stand) -> None:
    names = ("client_id", "client_id_issued_at", "registration_client_uri", "registration_access_token")
    stand.registration.extra = dict.fromkeys(names, "theirs")
    body = stand.register(BODY).body
    assert "theirs" not in body.values()
    assert body["client_id"] == CLIENT


def test_where_to_manage_it_and_with_which_token_is_told_where_that_is_offered_DCR_25(stand: Stand) -> None:
    stand.registration.access = RegistrationAccess("the-handle", "the-token")
    body = stand.register(BODY).body
    assert body["registration_client_uri"] == f"{MTLS}/register/the-handle"
    assert body["registration_access_token"] == "the-token"
    assert not {"registration_client_uri", "registration_access_token"} & set(Stand().register(BODY).body)


# --- what is taken ---------------------------------------------------------------------------------------------


def test_unknown_members_and_those_of_an_answer_are_ignored_DCR_3(stand: Stand) -> None:
    given = {"client_id": "mine", "client_secret": "s", "made_up": [1], "client_auth": "client-spiffe-jwt"}
    reply = stand.register({**BODY, **given})
    assert reply.status == 201
    assert dict(taken(stand.registration)[1].members) == {"client_name": "api"}
    assert not set(given) - {"client_id"} & set(reply.body)


@pytest.mark.parametrize("chain", [(), CHAIN], ids=["plain", "mtls"])
def test_statement_certificate_and_proof_are_presented_for_the_url_of_that_listener(
    stand: Stand, chain: tuple[bytes, ...]
) -> None:
    assert stand.register(BODY, (b"dpop", b"a.b.c"), chain=chain).status == 201
    url = (MTLS if chain else ISSUER) + "/register"
    expected = PresentedStatement(STATEMENT, chain, DpopEvidence("a.b.c", "POST", url))
    assert taken(stand.registration)[0] == expected


def test_two_dpop_proofs_are_refused_and_one_is_not(stand: Stand) -> None:
    proof = (b"dpop", b"a.b.c")
    assert stand.register(BODY, proof, proof).error == (400, "invalid_dpop_proof")
    assert stand.registration.calls == []
    assert stand.register(BODY, proof).status == 201


def test_a_nonce_for_the_next_proof_comes_with_the_answer_to_a_proof() -> None:
    stand = Stand(nonce="fresh")
    assert stand.register(BODY, (b"dpop", b"a.b.c")).headers["DPoP-Nonce"] == "fresh"
    assert "DPoP-Nonce" not in stand.register(BODY).headers


# --- what is refused -------------------------------------------------------------------------------------------

WRONG_TYPES = {
    "none": None,
    "form": b"application/x-www-form-urlencoded",
    "text": b"text/json",
    "a longer name": b"application/jsonp",
    "a suffix": b"application/merge-patch+json",
    "two in one": b"application/json, text/plain",
    "another charset": b"application/json; charset=utf-16",
    "empty": b"",
}
RIGHT_TYPES = [
    b"application/json",
    b"Application/JSON",
    b"application/json;charset=utf-8",
    b'application/json; charset="UTF-8"',
    b"application/json; profile=x",
]


@pytest.mark.parametrize("kind", WRONG_TYPES.values(), ids=list(WRONG_TYPES))
def test_another_content_type_is_415_and_says_which_to_send_DCR_1(stand: Stand, kind: bytes | None) -> None:
    reply = stand.register(BODY, kind=kind)
    assert reply.error == (415, "invalid_request")
    assert reply.body["error_description"] == "send application/json"
    assert stand.registration.calls == []


@pytest.mark.parametrize("kind", RIGHT_TYPES)
def test_json_is_taken_whatever_harmless_is_said_of_it_DCR_1(stand: Stand, kind: bytes) -> None:
    assert stand.register(BODY, kind=kind).status == 201


def test_two_content_type_fields_are_415_DCR_1(stand: Stand) -> None:
    assert stand.register(BODY, (b"content-type", b"application/json")).error == (415, "invalid_request")
    assert stand.register(BODY).status == 201


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_another_method_is_405_and_says_which_there_is_DCR_1(stand: Stand, method: str) -> None:
    reply = stand.call(method, "/register", BODY, headers=[JSON])
    assert (reply.status, reply.headers["Allow"]) == (405, "POST")
    assert stand.registration.calls == []
    assert stand.register(BODY).status == 201


def _deep(levels: int) -> bytes:
    inner = levels - 1
    return b'{"x":' + b"[" * inner + b"]" * inner + b"}"


NOT_AN_OBJECT = {
    "empty": b"",
    "a form": b"client_name=api",
    "cut": b'{"client_name":"api"',
    "an array": b"[]",
    "a string": b'"x"',
    "null": b"null",
    "two objects": b"{}{}",
    "a name twice": b'{"client_name":"api","client_name":"other"}',
    "a statement twice": b'{"software_statement":"a","software_statement":"b"}',
    "a name twice below": b'{"jwks":{"keys":[],"keys":[]}}',
    "nested too deep": _deep(17),
    "not UTF-8": b'{"client_name":"\xff"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": json.dumps(BODY).encode("utf-16"),
    "half a surrogate pair": b'{"client_name":"\\ud800"}',
    "NaN": b'{"x":NaN}',
    "beyond a double": b'{"x":1e400}',
    "too large": b'{"x":"' + b"a" * 65_536 + b'"}',
}


@pytest.mark.parametrize("body", NOT_AN_OBJECT.values(), ids=list(NOT_AN_OBJECT))
def test_a_body_that_is_not_one_json_object_is_refused_DCR_1(stand: Stand, body: bytes) -> None:
    reply = stand.register(body)
    assert reply.error == (400, "invalid_client_metadata")
    assert reply.body["error_description"].startswith("the body must be one JSON object: ")
    assert stand.registration.calls == []
    assert stand.observed.refusals == [("register", "malformed_request")]


@pytest.mark.parametrize("body", [b"{}", b' {"client_name":"api"}\n', _deep(16)], ids=["empty", "spaced", "deep"])
def test_any_json_object_is_taken_DCR_1(stand: Stand, body: bytes) -> None:
    assert stand.register(body).status == 201


@pytest.mark.parametrize("statement", ["", None, 1, True, [STATEMENT], {"jwt": STATEMENT}])
def test_a_statement_is_a_string_with_something_in_it(stand: Stand, statement: object) -> None:
    reply = stand.register({**BODY, "software_statement": statement})
    assert reply.error == (400, "invalid_client_metadata")
    assert stand.registration.calls == []
    assert stand.register(BODY).status == 201


def test_metadata_that_no_client_may_have_is_refused_before_anything_is_asked_DCR_21(stand: Stand) -> None:
    assert stand.register({**BODY, "client_name": ["api"]}).error == (400, "invalid_client_metadata")
    wild = {**BODY, "redirect_uris": ["https://*.example.org/back"]}
    assert stand.register(wild).error == (400, "invalid_redirect_uri")
    assert stand.registration.calls == []
    assert stand.register({**BODY, "redirect_uris": ["https://api.example.org/back"]}).status == 201


AUTHORIZATIONS = [
    b"Bearer initial",
    b"bearer",
    b"Basic YTpi",
    b"Basic %%%",
    b"DPoP x",
    b"",
    b"\xff\xfe",
    b",",
    b"Bearer a, b",
]


@pytest.mark.parametrize("value", AUTHORIZATIONS)
def test_any_authorization_is_told_that_no_initial_access_token_is_issued_DCR_23_T_47(
    stand: Stand, value: bytes
) -> None:
    reply = stand.register(BODY, (b"authorization", value))
    assert reply.error == (401, "invalid_token")
    assert reply.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert stand.registration.calls == []
    assert stand.register(BODY).status == 201


# --- what is not offered ---------------------------------------------------------------------------------------


def test_without_registration_there_is_nothing_there() -> None:
    absent = Stand(enrolment=False, management=False)
    assert absent.register(BODY).error == (404, "not_found")
    assert absent.manage("GET").error == (404, "not_found")
    assert Stand(management=False).register(BODY).status == 201


def test_without_management_only_registration_is_there() -> None:
    stand = Stand(management=False)
    assert stand.manage("GET").error == (404, "not_found")
    assert stand.registration.calls == []
    assert Stand().manage("GET").status == 200


WELL_KNOWN = "/.well-known/oauth-authorization-server"


def test_the_metadata_names_registration_and_what_clients_of_it_authenticate_with_OAS_9() -> None:
    document = Stand().call("GET", WELL_KNOWN).body
    assert document["registration_endpoint"] == f"{ISSUER}/register"
    assert document["mtls_endpoint_aliases"]["registration_endpoint"] == f"{MTLS}/register"
    for kind in ("token", "introspection", "revocation"):
        methods = document[f"{kind}_endpoint_auth_methods_supported"]
        assert methods == ["spiffe_jwt", "spiffe_x509", "private_key_jwt"]
        algorithms = document[f"{kind}_endpoint_auth_signing_alg_values_supported"]
        assert "ES256" in algorithms
        assert not {"none", "HS256"} & set(algorithms)


def test_the_metadata_names_nothing_of_registration_where_there_is_none_OAS_9() -> None:
    document = Stand(enrolment=False, management=False).call("GET", WELL_KNOWN).body
    assert "registration_endpoint" not in {*document, *document["mtls_endpoint_aliases"]}
    for kind in ("token", "introspection", "revocation"):
        assert document[f"{kind}_endpoint_auth_methods_supported"] == ["spiffe_jwt", "spiffe_x509"]
        assert f"{kind}_endpoint_auth_signing_alg_values_supported" not in document


def test_without_an_mtls_listener_registration_has_no_alias() -> None:
    document = Stand(mtls=None).call("GET", WELL_KNOWN).body
    assert document["registration_endpoint"] == f"{ISSUER}/register"
    assert "mtls_endpoint_aliases" not in document
