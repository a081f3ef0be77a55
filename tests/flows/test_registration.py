"""One workload is one client, whichever door it came by first, and it is told everything that is recorded of it."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bridge.lab.x509 import X509Svid
from bridge.model.evidence import EvidenceKind
from tests.flows.dpop import DpopKey
from tests.flows.enrolling import PORTAL, Office, Registering, Reply

ID = "spiffe://example.org"
SECRETS = ("client_secret", "client_secret_expires_at")


def register(stand: Registering, body: str, svid: X509Svid | None = None) -> Reply:
    """The same request through the real door."""
    answer = stand.client.request(
        "POST", "/register", body=body, headers=[("Content-Type", "application/json")], svid=svid
    )
    return Reply(answer.status, dict(answer.headers), answer.content)


def test_first_use_then_register_then_first_use_by_another_door_is_one_client_DCR_20(tmp_path: Path) -> None:
    """Done when: one record, one `client_id`, and the audit shows each (through real sockets, TLS and processes)."""
    with Registering(tmp_path / "stand") as stand:
        path = "/ns/web/sa/three-doors"
        assert stand.client.by_jwt(stand.jwt(path)).claims["client_id"] == ID + path
        by_statement = register(
            stand, f'{{"software_statement": "{stand.svid(path)}", "client_name": "Late"}}'
        ).registered
        svid = stand.authority.x509_svid(path)
        by_certificate = register(stand, "{}", svid).registered
        assert stand.client.by_x509(svid).claims["client_id"] == ID + path
        assert {by_statement["client_id"], by_certificate["client_id"]} == {ID + path}
        # Recorded values, not those of the late request: only management changes them.
        assert "client_name" not in by_statement
        rows = [row for row in stand.audit() if row["subject"] == ID + path]
        assert [(row["event"], row["door"], row["evidence"]) for row in rows] == [
            ("registered", "token", "jwt-svid"),
            ("token_issued", "token", "jwt-svid"),
            ("updated", "register", "jwt-svid"),
            ("updated", "register", "x509-svid"),
            ("token_issued", "token", "x509-svid"),
        ]
        assert len([client for client in stand.clients() if client["subject"] == ID + path]) == 1
        assert stand.bridge("audit", "verify").returncode == 0


def test_register_then_first_use_is_the_same_record_DCR_20_ROFU_5(office: Office) -> None:
    path = "/ns/web/sa/registers-first"
    row = office.last_row()
    told = office.enrol(path, client_name="First").registered
    claims = office.token(office.stand.jwt(path)).claims
    assert claims["client_id"] == claims["sub"] == told["client_id"] == ID + path
    assert [event[:2] for event in office.events(row)] == [("registered", "register"), ("token_issued", "token")]
    record = office.record(path)
    assert record is not None
    assert record.metadata["client_name"] == "First"


def test_a_registration_again_is_201_with_the_recorded_values_DCR_20(office: Office) -> None:
    path = "/ns/web/sa/again"
    first = office.enrol(path, client_name="One", contacts=["a@example.org"]).registered
    second = office.enrol(path, client_name="Two").registered
    del first["software_statement"], second["software_statement"]
    assert first == second
    assert first["client_name"] == "One"


def test_parallel_registrations_of_one_identity_are_one_record_and_one_event_T_40(office: Office) -> None:
    path, row = "/ns/web/sa/stampede", office.last_row()
    statements = [office.stand.svid(path, ttl=200 + n) for n in range(40)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda each: office.register({"software_statement": each}), statements))
    assert Counter(answer.status for answer in answers) == {201: 40}
    assert len({answer.body["client_id_issued_at"] for answer in answers}) == 1
    assert Counter(event[0] for event in office.events(row)) == {"registered": 1, "updated": 39}


def test_all_that_is_registered_is_echoed_and_the_statement_byte_for_byte_DCR_2_5_8_13(office: Office) -> None:
    statement = office.stand.svid("/ns/told/sa/echo", {"client_name": "Stated", "software_id": "4f2a"})
    said: dict[str, Any] = {
        "client_name": "Said", "client_name#de": "Gesagt", "client_uri": "https://echo.example.org/",
        "logo_uri": "https://echo.example.org/logo.png", "tos_uri": "https://echo.example.org/tos",
        "policy_uri": "https://echo.example.org/policy", "software_version": "1.2", "application_type": "web",
        "contacts": ["ops@example.org"], "scope": "ledger.read", "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"], "redirect_uris": [PORTAL], "dpop_bound_access_tokens": True,
        "require_pushed_authorization_requests": True, "unheard_of": {"a": 1},
    }  # fmt: skip
    answer = office.register({"software_statement": statement, **said})
    told = answer.registered
    assert isinstance(told.pop("client_id_issued_at"), int)
    client_id = f"{ID}/ns/told/sa/echo"
    kept = {name: value for name, value in said.items() if name not in ("client_name#de", "unheard_of")}
    assert told == {
        **kept, "client_id": client_id, "spiffe_id": client_id, "client_name": "Stated", "software_id": "4f2a",
        "token_endpoint_auth_method": "spiffe_jwt", "software_statement": statement,
    }  # fmt: skip
    assert (answer.headers["Cache-Control"], answer.headers["Pragma"]) == ("no-store", "no-cache")
    assert answer.headers["Content-Type"] == "application/json"
    record = office.record("/ns/told/sa/echo")
    assert record is not None
    assert record.metadata == {name: told[name] for name in record.metadata}


def test_what_nobody_said_is_told_as_the_server_set_it_DCR_5(office: Office) -> None:
    told = office.enrol("/ns/told/sa/defaults").registered
    assert set(told["grant_types"]) == {"client_credentials", "authorization_code", "refresh_token"}
    assert told["response_types"] == ["code"]
    assert told["redirect_uris"] == ["https://defaults.apps.example.org/cb", PORTAL]
    assert told["scope"] == "ledger.read ledger.write"


@pytest.mark.parametrize(
    ("path", "body", "method"),
    [
        ("/ns/web/sa/no-method", {}, "spiffe_jwt"),
        ("/ns/web/sa/says-jwt", {"token_endpoint_auth_method": "spiffe_jwt"}, "spiffe_jwt"),
        ("/ns/web/sa/says-x509", {"token_endpoint_auth_method": "spiffe_x509"}, "spiffe_x509"),
        pytest.param(
            "/ns/web/sa/says-pkj", {"token_endpoint_auth_method": "private_key_jwt"}, "spiffe_jwt", id="no own key"
        ),
    ],
)
def test_the_method_is_spiffe_and_there_is_never_a_secret_DCR_12_13(
    office: Office, path: str, body: dict[str, Any], method: str
) -> None:
    told = office.enrol(path, **body).registered
    assert told["token_endpoint_auth_method"] == method
    assert not told.keys() & set(SECRETS)
    record = office.record(path)
    assert record is not None
    assert not record.metadata.keys() & set(SECRETS)


def test_what_a_statement_was_is_recorded_and_never_relied_on_again_DCR_35(office: Office) -> None:
    path = "/ns/told/sa/provenance"
    statement = office.stand.svid(path, {"client_name": "Stated"})
    office.register({"software_statement": statement}).registered  # noqa: B018
    record = office.record(path)
    assert record is not None
    provenance = record.provenance
    assert (provenance.evidence, provenance.stated) == (EvidenceKind.JWT_SVID, ("client_name",))
    assert len(provenance.statement_digest) == 64
    assert provenance.statement_expires_at > record.created_at
    # The record holds no statement, and the next token is decided by a live SVID and by policy alone.
    assert statement not in repr(record)
    assert office.token(office.stand.jwt(path, ttl=-60)).error == (401, "invalid_client")
    assert office.token(office.stand.jwt(path), scope="ledger.read").status == 200


# --- without a statement, and with more than one --------------------------------------------------------------


def test_a_certificate_that_a_rule_admits_registers_without_a_statement(office: Office) -> None:
    svid = office.stand.authority.x509_svid("/ns/payments/sa/certified")
    told = office.register({"client_name": "Settlement"}, svid=svid).registered
    assert told["client_id"] == str(svid.spiffe_id)
    assert told["token_endpoint_auth_method"] == "spiffe_x509"
    assert "software_statement" not in told
    with office.untouched():
        assert office.register({"client_name": "Settlement"}).error == (400, "invalid_client_metadata")


def test_a_certificate_beside_its_own_statement_is_a_second_proof(office: Office) -> None:
    statement = office.stand.svid("/ns/web/sa/both-proofs")
    own = office.stand.authority.x509_svid("/ns/web/sa/both-proofs")
    other = office.stand.authority.x509_svid("/ns/web/sa/another")
    with office.untouched():
        refused = office.register({"software_statement": statement}, svid=other)
        assert refused.error == (400, "invalid_client_metadata")
    told = office.register({"software_statement": statement}, svid=own).registered
    assert told["client_id"] == str(own.spiffe_id)


def test_a_certificate_beside_the_statement_of_a_pinned_issuer_is_a_second_identity(office: Office) -> None:
    own = office.stand.authority.x509_svid("/ns/web/sa/ci-runner")
    with office.untouched():
        refused = office.register({"software_statement": office.stand.statement()}, svid=own)
        assert refused.error == (400, "invalid_client_metadata")


# --- DPoP and statements that may be used once -------------------------------------------------------------------


def test_a_dpop_proof_at_register_is_checked_and_used_once_T_29(office: Office) -> None:
    key = DpopKey()
    proof = office.proof(key)
    assert office.enrol("/ns/edge/sa/proves", proof).status == 201
    with office.untouched("dpop_replayed"):
        # For a new identity nothing is recorded; for the known one nothing changes.
        assert office.enrol("/ns/edge/sa/proves-too", proof).error == (400, "invalid_dpop_proof")
    with office.untouched("dpop_replayed"):
        assert office.enrol("/ns/edge/sa/proves", proof).error == (400, "invalid_dpop_proof")
    assert office.enrol("/ns/edge/sa/proves", office.proof(key)).status == 201


@pytest.mark.parametrize(
    "change",
    [{"htm": "PUT"}, {"htu": "https://other.example/register"}, {"iat": 1}, {"header": {"typ": "JWT"}}],
    ids=["T-29 htm", "T-29 htu", "stale", "T-25 typ"],
)
def test_a_wrong_dpop_proof_registers_nobody(office: Office, change: dict[str, Any]) -> None:
    with office.untouched():
        refused = office.enrol("/ns/edge/sa/wrong-proof", office.proof(DpopKey(), **change))
        assert refused.error == (400, "invalid_dpop_proof")


def test_two_dpop_proofs_are_none_at_register(office: Office) -> None:
    key = DpopKey()
    with office.untouched():
        refused = office.enrol("/ns/edge/sa/two-proofs", office.proof(key), office.proof(key))
        assert refused.error == (400, "invalid_dpop_proof")


def test_a_statement_that_may_be_used_once_registers_once_T_46(office: Office) -> None:
    path = "/ns/once/sa/statement"
    body = {"software_statement": office.stand.svid(path)}
    assert office.register(body).status == 201
    with office.untouched("credential_replayed"):
        assert office.register(body).error == (400, "invalid_software_statement")
    assert office.enrol(path, client_name="Fresh").status == 201


def test_one_statement_at_once_from_many_wins_once_T_33(office: Office) -> None:
    body = {"software_statement": office.stand.svid("/ns/once/sa/race")}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: office.register(body), range(24)))
    assert Counter(answer.status for answer in answers) == {201: 1, 400: 23}


# --- shared clients ------------------------------------------------------------------------------------------------


def test_a_shared_client_is_described_by_policy_and_by_no_member_T_45(office: Office) -> None:
    """What one member says of itself would bind, or speak for, all the others."""
    said: dict[str, Any] = {
        "client_name": "Mine",
        "dpop_bound_access_tokens": True,
        "spiffe_id": f"{ID}/ns/batch/sa/one",
    }
    told = office.enrol("/ns/batch/sa/one", **said).registered
    assert told["client_id"] == "batch"
    assert not told.keys() & said.keys()
    assert office.enrol("/ns/batch/sa/two").registered["client_id"] == "batch"
    assert office.token(office.stand.jwt("/ns/batch/sa/two")).claims["client_id"] == "batch"
    with office.untouched("metadata_invalid"):
        refused = office.enrol("/ns/batch/sa/three", token_endpoint_auth_method="none")
        assert refused.error == (400, "invalid_client_metadata")


def test_a_client_that_promised_bound_tokens_is_held_to_it(office: Office) -> None:
    path, key = "/ns/web/sa/promised", DpopKey()
    assert office.enrol(path, dpop_bound_access_tokens=True).registered["dpop_bound_access_tokens"] is True
    refused = office.token(office.stand.jwt(path))
    assert refused.error == (400, "invalid_request")
    assert "DPoP" in refused.body["error_description"]
    proof = (b"dpop", key.proof("POST", office.stand.client.issuer + "/token").encode())
    assert office.token(office.stand.jwt(path), proof).claims["cnf"] == {"jkt": key.thumbprint}


def test_the_metadata_says_where_to_register(office: Office) -> None:
    document = office.call("GET", "/.well-known/oauth-authorization-server").body
    assert document["registration_endpoint"] == office.stand.endpoint
    assert document["mtls_endpoint_aliases"]["registration_endpoint"] == office.stand.mtls_base + "/register"
