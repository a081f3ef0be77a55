"""RFC 7592 whole: a client reads, replaces and deletes its registration, by its token and its own SVID together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.config import load_settings
from bridge.model.errors import StartRefused
from tests.flows.dpop import DpopKey
from tests.flows.enrolling import JSON_TYPE, MORE_RULES, PORTAL, Office, Registering
from tests.flows.managing import ID, ON, Mine
from tests.flows.stand import RULES, Stand

# --- read and update ------------------------------------------------------------------------------------------------


def test_a_client_reads_its_whole_registration_DCR_25_32(desk: Office) -> None:
    mine = Mine(desk, "/ns/web/sa/reads", client_name="Reader")
    first = dict(mine.told)
    second = mine.keep(mine.send("GET"))
    assert second["registration_access_token"] != first["registration_access_token"]
    for told in (first, second):
        told.pop("registration_access_token")
        told.pop("software_statement", None)
    assert first == second
    assert mine.send("GET", token=second.get("registration_access_token", "x")).status == 401


def test_an_answer_is_not_stored_and_says_who_it_is_for(desk: Office) -> None:
    answer = Mine(desk, "/ns/web/sa/not-stored").send("GET")
    assert (answer.headers["Cache-Control"], answer.headers["Pragma"]) == ("no-store", "no-cache")
    assert answer.headers["Content-Type"] == "application/json"


def test_an_update_replaces_and_does_not_merge_DCR_28(desk: Office) -> None:
    mine = Mine(desk, "/ns/web/sa/updates", client_name="Old", contacts=["old@example.org"])
    row = desk.last_row()
    told = mine.keep(mine.send("PUT", mine.update(client_name="New", contacts=None, software_id="s1")))
    assert (told["client_name"], told["software_id"], told["client_id"]) == ("New", "s1", ID + mine.path)
    assert "contacts" not in told
    assert desk.events(row) == [("updated", "register", "metadata_replaced")]
    assert desk.enrol(mine.path, client_name="Ignored").registered["client_name"] == "New"
    assert mine.keep(mine.send("GET"))["client_name"] == "New"
    # What is left out goes back to what the server sets (RFC 7592 section 2.2).
    least = mine.keep(mine.send("PUT", {"client_id": ID + mine.path}))
    assert "client_name" not in least
    assert (least["grant_types"], least["spiffe_id"]) == (["client_credentials"], ID + mine.path)


def test_an_update_that_names_no_grant_types_has_those_of_the_rule_DCR_28(desk: Office) -> None:
    """Also where the rule gives other ones than RFC 7591 thinks of, as it is at registration."""
    mine = Mine(desk, "/ns/portal/sa/least")
    code = ["authorization_code", "refresh_token"]
    assert mine.told["grant_types"] == code
    row = desk.last_row()
    assert mine.keep(mine.send("PUT", {"client_id": ID + mine.path}))["grant_types"] == code
    assert desk.events(row) == [("updated", "register", "metadata_replaced")]
    refused = mine.send("PUT", {"client_id": ID + mine.path, "grant_types": ["client_credentials"]})
    assert refused.error == (400, "invalid_client_metadata")


def test_what_an_update_promises_holds_from_the_next_request_on(desk: Office) -> None:
    """RFC 9449 section 5.2: no token without a proof, however often the service saw the client before."""
    mine, key = Mine(desk, "/ns/web/sa/promises"), DpopKey()
    for _ in range(3):
        assert desk.token(desk.stand.jwt(mine.path)).status == 200
    mine.keep(mine.send("PUT", mine.update(dpop_bound_access_tokens=True)))
    assert desk.token(desk.stand.jwt(mine.path)).error == (400, "invalid_request")
    proof = (b"dpop", key.proof("POST", desk.stand.client.issuer + "/token").encode())
    assert desk.token(desk.stand.jwt(mine.path), proof).body["token_type"] == "DPoP"
    mine.keep(mine.send("PUT", mine.update(dpop_bound_access_tokens=None)))
    assert desk.token(desk.stand.jwt(mine.path)).body["token_type"] == "Bearer"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"client_id": None}, "invalid_client_metadata", id="DCR-28 no client_id"),
        pytest.param({"client_id": ID + "/ns/web/sa/other"}, "invalid_client_metadata", id="DCR-28 another client_id"),
        pytest.param({"registration_access_token": "x"}, "invalid_client_metadata", id="DCR-29 token"),
        pytest.param({"registration_client_uri": "https://x/"}, "invalid_client_metadata", id="DCR-29 URI"),
        pytest.param({"client_secret_expires_at": 0}, "invalid_client_metadata", id="DCR-29 expiry"),
        pytest.param({"client_id_issued_at": 1}, "invalid_client_metadata", id="DCR-29 issued at"),
        pytest.param({"client_secret": "x"}, "invalid_client_metadata", id="a secret"),
        pytest.param({"spiffe_id": ID + "/ns/web/sa/other"}, "invalid_client_metadata", id="DCR-30 another identity"),
        pytest.param({"spiffe_id": ID + "/ns/web/sa/kept/*"}, "invalid_client_metadata", id="DCR-30 a wider identity"),
        pytest.param({"token_endpoint_auth_method": "none"}, "invalid_client_metadata", id="DCR-30 no authentication"),
        pytest.param(
            {"token_endpoint_auth_method": "client_secret_basic"}, "invalid_client_metadata", id="DCR-30 a secret"
        ),
        pytest.param({"jwks_uri": "https://x.example/"}, "invalid_client_metadata", id="DCR-30 keys by reference"),
        pytest.param({"scope": "ledger.read ledger.write"}, "invalid_client_metadata", id="DCR-34 a scope too many"),
        pytest.param({"grant_types": ["authorization_code"]}, "invalid_client_metadata", id="DCR-34 a grant too many"),
        pytest.param({"redirect_uris": ["javascript:1"]}, "invalid_redirect_uri", id="DCR-21 a script"),
        pytest.param({"client_name": 7}, "invalid_client_metadata", id="T-28 a number"),
    ],
)
def test_an_update_that_is_not_allowed_changes_nothing(desk: Office, changes: dict[str, Any], error: str) -> None:
    path = "/ns/web/sa/kept"
    mine = Mine(desk, path, client_name="Kept")
    before = desk.record(path)
    assert mine.send("PUT", mine.update(**changes)).error == (400, error)
    assert desk.record(path) == before
    # Nothing is rotated by a refusal: the token still holds (DCR-32), and the twin is taken.
    assert mine.keep(mine.send("PUT", mine.update(client_name="Kept")))["client_name"] == "Kept"


def test_what_was_stated_stays_as_it_was_stated_DCR_30(desk: Office) -> None:
    claims: dict[str, object] = {"client_name": "Stated", "redirect_uris": [PORTAL], "contacts": ["a@example.org"]}
    mine = Mine(desk, "/ns/told/sa/stated", claims, software_version="1")
    attempts: tuple[dict[str, Any], ...] = (
        {"client_name": "Said"},
        {"client_name": None},
        {"client_name#de": "Gesagt"},
        {"redirect_uris": ["https://stated.apps.example.org/cb"]},
        {"contacts": []},
    )
    for changes in attempts:
        assert mine.send("PUT", mine.update(**changes)).error == (400, "invalid_client_metadata"), changes
    told = mine.keep(mine.send("PUT", mine.update(software_version="2", software_statement="ignored")))
    assert (told["client_name"], told["software_version"]) == ("Stated", "2")
    assert "software_statement" not in told


def test_policy_decides_anew_on_an_update_DCR_34(desk: Office) -> None:
    path = "/ns/web/sa/redecided"
    mine = Mine(desk, path, scope="ledger.read")
    stand = desk.stand
    try:
        stand.write_rules(
            (RULES + MORE_RULES).replace('scopes = ["ledger.read"], bind', 'scopes = ["ledger.write"], bind')
        )
        desk.look()
        assert mine.send("PUT", mine.update()).error == (400, "invalid_client_metadata")
        assert mine.keep(mine.send("PUT", mine.update(scope=None)))["scope"] == "ledger.write"
        stand.write_rules(RULES + MORE_RULES + deny("/ns/web/sa/redecided"))
        desk.look()
        for method, body in (("GET", b""), ("PUT", mine.update()), ("DELETE", b"")):
            assert mine.send(method, body).error == (403, "access_denied")
    finally:
        stand.write_rules(RULES + MORE_RULES)
        desk.look()
    assert mine.send("GET").status == 200


def deny(path: str) -> str:
    return f'\n[[rule]]\nid = "out"\nwhy = "INC-12"\neffect = "deny"\nwhen = {{ path = "{path}" }}\n'


# --- delete ---------------------------------------------------------------------------------------------------------


def test_deleting_ends_the_client_its_tokens_and_its_registration_token_at_once_DCR_31_26(desk: Office) -> None:
    path = "/ns/web/sa/deletes"
    mine = Mine(desk, path)
    access = desk.token(desk.stand.jwt(path)).body["access_token"]
    assert desk.is_active(access) is True
    row = desk.last_row()
    gone = mine.send("DELETE")
    assert (gone.status, gone.content, "Content-Type" in gone.headers) == (204, b"", False)
    assert desk.events(row) == [("revoked", "register", "deregistered")]
    assert desk.is_active(access) is False
    for method in ("GET", "PUT", "DELETE"):
        refused = mine.send(method, mine.update() if method == "PUT" else b"")
        assert refused.error == (401, "invalid_token")
    # No dead end: the identity registers again under its name, and its old token is as dead as before.
    again = Mine(desk, path)
    assert again.told["client_id"] == ID + path
    assert again.send("GET", token=mine.token).error == (401, "invalid_token")
    assert desk.is_active(access) is False
    assert again.send("GET").status == 200


@pytest.mark.parametrize("method", ["POST", "PATCH", "HEAD", "OPTIONS"])
def test_no_other_method_is_offered_and_none_rotates(desk: Office, method: str) -> None:
    mine = Mine(desk, "/ns/web/sa/methods")
    answer = mine.send(method)
    assert (answer.status, answer.headers["Allow"]) == (405, "DELETE, GET, PUT")
    assert mine.send("GET").status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"client_id": "a", "client_id": "%s"}',
        b'{"client_id": "%s", "x": ' + b"[" * 40 + b"]" * 40 + b"}",
    ],
)
def test_an_update_that_is_no_plain_json_object_changes_nothing_T_28(desk: Office, body: bytes) -> None:
    mine = Mine(desk, "/ns/web/sa/bodies")
    raw = body.replace(b"%s", (ID + mine.path).encode())
    assert mine.send("PUT", raw).error == (400, "invalid_client_metadata")
    assert mine.send("PUT", {"client_id": ID + mine.path}).status == 200


# --- where it is offered ---------------------------------------------------------------------------------------------


def test_it_is_off_unless_configured(office: Office, desk: Office) -> None:
    told = office.enrol("/ns/web/sa/unmanaged").registered
    assert not told.keys() & {"registration_client_uri", "registration_access_token"}
    svid = office.stand.authority.x509_svid("/ns/web/sa/unmanaged")
    for method in ("GET", "PUT", "DELETE"):
        headers = [JSON_TYPE, (b"authorization", b"Bearer x")]
        assert office.call(method, "/register/x", {}, headers=headers, svid=svid).status == 404
    assert desk.call("GET", "/register/x", headers=[(b"authorization", b"Bearer x")], svid=svid).status == 401


def test_it_needs_a_listener_for_certificates_DCR_25(tmp_path: Path) -> None:
    stand = Stand(tmp_path / "stand", more=ON)
    assert load_settings(stand.config).registration.management is True
    text = stand.config.read_text()
    stand.config.write_text("\n".join(line for line in text.splitlines() if not line.startswith("mtls_listen")))
    with pytest.raises(StartRefused) as refused:
        load_settings(stand.config)
    assert [fault for fault in refused.value.faults if "management" in fault]


def test_it_works_through_the_real_door(tmp_path: Path) -> None:
    with Registering(tmp_path / "stand", more=ON) as stand:
        svid = stand.authority.x509_svid("/ns/payments/sa/door")
        typed = ("Content-Type", "application/json")
        told = stand.client.request("POST", "/register", body="{}", headers=[typed], svid=svid).body
        at = told["registration_client_uri"].removeprefix(stand.mtls_base)
        bearer = ("Authorization", f"Bearer {told['registration_access_token']}")
        assert stand.client.request("GET", at, headers=[bearer]).status == 401
        told = stand.client.request("GET", at, headers=[bearer], svid=svid).body
        bearer = ("Authorization", f"Bearer {told['registration_access_token']}")
        body = json.dumps({"client_id": told["client_id"], "client_name": "Door"})
        told = stand.client.request("PUT", at, body=body, headers=[bearer, typed], svid=svid).body
        assert told["client_name"] == "Door"
        bearer = ("Authorization", f"Bearer {told['registration_access_token']}")
        assert stand.client.request("DELETE", at, headers=[bearer], svid=svid).status == 204
        assert stand.client.request("GET", at, headers=[bearer], svid=svid).status == 401
        assert told["registration_access_token"] not in stand.log
