"""What an operator decides, and what is scarce, holds at `/register` as it does at every door."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from bridge.lab.authority import Authority
from bridge.model.client import ClientState
from tests.flows.enrolling import Office, Registering, Reply
from tests.flows.stand import LEDGER, Stand

ID = "spiffe://example.org"
LATE_RULES = f"""
version = 1
source = "spiffe"
trust_domain = "late.example"
[[rule]]
id = "late-reads"
why = "its bundle is on its way"
effect = "allow"
when = {{ path = "/ns/web/sa/*" }}
grant = {{ resources = ["{LEDGER}"], scopes = ["ledger.read"], bind = "if-present" }}
"""
SCARCE = """
[trust_domains."late.example"]
source = "file"
path = "bundles/late.example.json"
[limits]
records_per_trust_domain = 40
registrations_per_second = 1
registration_burst = 2
"""


def operator(office: Office, *words: str) -> None:
    done = office.stand.bridge("clients", *words)
    assert done.returncode == 0, done.stderr


# --- tombstones ------------------------------------------------------------------------------------------------


def test_a_denied_identity_does_not_register_until_it_is_let_in_again_ROFU_24(office: Office) -> None:
    path = "/ns/web/sa/tombstone"
    assert office.enrol(path).status == 201
    operator(office, "deny", ID + path, "--note", "INC-9")
    with office.untouched("identity_denied", "identity_denied"):
        assert office.enrol(path).error == (400, "unapproved_software_statement")
        certificate = office.stand.authority.x509_svid(path)
        assert office.register({}, svid=certificate).error == (400, "invalid_client_metadata")
    operator(office, "undeny", ID + path, "--note", "INC-9 closed")
    assert office.enrol(path).registered["client_id"] == ID + path


def test_an_identity_can_be_denied_before_it_was_ever_seen_ROFU_24(office: Office) -> None:
    path = "/ns/web/sa/never-seen"
    operator(office, "deny", ID + path, "--note", "INC-10")
    with office.untouched("identity_denied"):
        assert office.enrol(path).error == (400, "unapproved_software_statement")
    assert office.enrol(path + "-twin").status == 201


def test_a_member_of_a_shared_client_is_denied_alone(office: Office) -> None:
    assert office.enrol("/ns/batch/sa/stays").status == 201
    operator(office, "deny", f"{ID}/ns/batch/sa/leaves", "--note", "INC-11")
    assert office.enrol("/ns/batch/sa/leaves").error == (400, "unapproved_software_statement")
    assert office.enrol("/ns/batch/sa/stays").status == 201


def test_a_revoked_client_registers_anew_under_its_old_name_T_23(office: Office) -> None:
    """A new registration event, and what was recorded before is gone: a recycled ID inherits nothing."""
    path = "/ns/web/sa/revoked"
    assert office.enrol(path, client_name="Before").status == 201
    old = office.token(office.stand.jwt(path)).body["access_token"]
    operator(office, "revoke", ID + path)
    row = office.last_row()
    told = office.enrol(path, contacts=["after@example.org"]).registered
    assert (told["client_id"], told.get("client_name")) == (ID + path, None)
    assert office.events(row) == [("registered", "register", "active")]
    assert office.is_active(old) is False
    assert office.is_active(office.token(office.stand.jwt(path)).body["access_token"]) is True


# --- approval ------------------------------------------------------------------------------------------------------


def test_a_registration_that_asks_waits_for_an_operator_and_is_then_what_it_said_ROFU_12(office: Office) -> None:
    path = "/ns/research/sa/asks"
    row = office.last_row()
    for _ in range(2):
        answer = office.enrol(path, client_name="Asked")
        assert answer.error == (403, "unauthorized_client")
        assert answer.body["error_description"] == "registration incomplete"
    assert office.events(row)[0] == ("registered", "register", "pending")
    record = office.record(path)
    assert record is not None
    assert record.state is ClientState.PENDING
    assert office.token(office.stand.jwt(path)).error == (403, "unauthorized_client")
    operator(office, "approve", ID + path, "--note", "SEC-8")
    assert office.enrol(path, client_name="Later").registered["client_name"] == "Asked"
    assert office.token(office.stand.jwt(path)).claims["client_id"] == ID + path


# --- what is scarce ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scarce(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A worker with narrow limits, and a trust domain whose bundle is not there."""

    def make(folder: object) -> Registering:
        stand = Registering(folder, more=SCARCE)  # type: ignore[arg-type]
        (stand.policies / "late.example.toml").write_text(LATE_RULES)
        return stand

    running = Office(tmp_path_factory.mktemp("scarce") / "service", make)
    yield running
    running.close()


def test_new_registrations_are_limited_and_known_clients_spend_nothing_DCR_22_T_41(scarce: Office) -> None:
    known = "/ns/web/sa/known"
    answers: list[Reply] = [scarce.enrol(known)]
    while answers[-1].status == 201 and len(answers) < 60:
        answers.append(scarce.enrol(f"/ns/web/sa/flood-{len(answers)}"))
    refused = answers[-1]
    assert refused.error == (429, "temporarily_unavailable")
    assert refused.body["error_description"] == "limit reached: registrations_per_second"
    assert int(refused.headers["Retry-After"]) >= 1
    assert scarce.record(f"/ns/web/sa/flood-{len(answers) - 1}") is None
    for _ in range(5):
        assert scarce.enrol(known).status == 201
        assert scarce.token(scarce.stand.jwt(known)).status == 200


def test_an_unavailable_bundle_is_503_and_not_the_client_s_fault(scarce: Office) -> None:
    late, stand = Authority("late.example"), scarce.stand
    body = {"software_statement": late.jwt_svid("/ns/web/sa/x", stand.endpoint)}
    with scarce.untouched():
        for answer in (scarce.register(body), scarce.register({}, svid=late.x509_svid("/ns/web/sa/x"))):
            assert answer.error == (503, "temporarily_unavailable")
            assert int(answer.headers["Retry-After"]) >= 1
    (stand.folder / "bundles/late.example.json").write_bytes(late.bundle_json())
    stand.until(lambda: scarce.register(body).status == 201, "a bundle that came late")


# --- through the sockets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [65_537, 1_000_000])
def test_a_huge_body_is_413_before_it_is_read_as_json(stand: Stand, size: int) -> None:
    statement = stand.authority.jwt_svid(f"/ns/web/sa/huge-{size}", stand.client.issuer + "/register")
    body = {"software_statement": statement, "padding": ""}
    typed = [("Content-Type", "application/json")]
    padded = json.dumps({**body, "padding": "x" * (size - len(json.dumps(body)))})
    answer = stand.client.request("POST", "/register", body=padded, headers=typed)
    assert (answer.status, answer.body["error_id"]) == (413, answer.headers["X-Request-Id"])
    assert not any(client["subject"].endswith(f"/huge-{size}") for client in stand.clients())
    fits = json.dumps({**body, "padding": "x" * (65_536 - len(json.dumps(body)))})
    assert stand.client.request("POST", "/register", body=fits, headers=typed).status == 201


@pytest.mark.parametrize("value", ["Bearer \x00", "B" * 40_000], ids=["NUL T-47", "40 KB T-47"])
def test_an_authorization_header_that_is_no_header_is_a_clear_4xx(stand: Stand, value: str) -> None:
    statement = stand.authority.jwt_svid("/ns/web/sa/headers", stand.client.issuer + "/register")
    headers = [("Content-Type", "application/json")]
    body = json.dumps({"software_statement": statement})
    connection = stand.client.connect()
    raw = f"POST /register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    connection.connect()
    connection.sock.sendall(f"{raw}Authorization: {value}\r\n\r\n{body}".encode())
    status = int(connection.sock.recv(4096).split()[1])
    connection.close()
    assert status in (400, 431)
    assert stand.client.request("POST", "/register", body=body, headers=headers).status == 201
