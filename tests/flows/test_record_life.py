"""The life of a record, by the clock and by the operator: absent, pending, active, expired, revoked, denied."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from bridge.app import Worker
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.upkeep import PRUNE_BATCH
from tests.flows.client import jwt_fields
from tests.flows.dpop import DpopKey
from tests.flows.enrolling import MORE_RULES, Reply, own_jwks
from tests.flows.stand import RULES
from tests.flows.timed import HOUR, ID, INSTANCE_RULES, MINUTE, Timed

Make = Callable[..., Timed]
WEB, ASKS, DRONE = "/ns/web/sa/lives", "/ns/research/sa/lives", "/ns/drones/sa/lives"
LIFE = '[registration]\nidle_expiry = "2h"\npending_expiry = "1h"\nkeep_ended = "4h"\n'
INCOMPLETE = (403, "unauthorized_client")


@pytest.fixture
def service(timed: Make) -> Timed:
    return timed(more=LIFE)


def by_token(service: Timed, path: str) -> Reply:
    return service.by_jwt(path)


def by_certificate(service: Timed, path: str) -> Reply:
    return service.by_x509(service.stand.authority.x509_svid(path))


def by_statement(service: Timed, path: str) -> Reply:
    return service.register({"software_statement": service.stand.authority.jwt_svid(path, service.stand.endpoint)})


def by_registering(service: Timed, path: str) -> Reply:
    return service.register({}, svid=service.stand.authority.x509_svid(path))


DOORS = [by_token, by_certificate, by_statement, by_registering]
at_every_door = pytest.mark.parametrize("come", DOORS)


def expire(service: Timed) -> str:
    service.after(2 * HOUR + 1)
    return "expired"


def idle_out_unswept(service: Timed) -> str:
    service.clock.offset += 2 * HOUR + 1
    return "expired"


def revoke(service: Timed) -> str:
    assert service.operate("clients", "revoke", ID + WEB)[0] == 0
    return "revoked"


def deny_and_undeny(service: Timed) -> str:
    assert service.operate("clients", "deny", ID + WEB)[0] == 0
    assert service.standing(ID + WEB) == "denied"
    assert service.operate("clients", "undeny", ID + WEB)[0] == 0
    return "revoked"


def be_forgotten(service: Timed) -> str:
    service.after(2 * HOUR + 1)
    service.after(4 * HOUR + 1)
    return "absent"


@at_every_door
@pytest.mark.parametrize("end", [expire, idle_out_unswept, revoke, deny_and_undeny, be_forgotten])
def test_however_a_record_ended_the_next_valid_request_brings_the_client_back_ROFU_5_23(
    service: Timed, end: Callable[[Timed], str], come: Callable[[Timed, str], Reply]
) -> None:
    """No end is a dead end but a denial: the same `client_id`, under a new registration event, at both doors; and
    what was issued before stays dead (T-23: a recycled SPIFFE ID inherits nothing)."""
    before = service.by_jwt(WEB).body["access_token"]
    assert service.standing(ID + WEB) == "active"
    state = end(service)
    assert service.standing(ID + WEB) == state
    assert not service.is_active(before)
    registered = service.events_of(ID + WEB).count("registered")
    assert come(service, WEB).status in (200, 201)
    assert service.standing(ID + WEB) == "active"
    assert service.events_of(ID + WEB).count("registered") == registered + 1
    assert service.by_jwt(WEB).claims["client_id"] == ID + WEB
    assert not service.is_active(before), "its identity is another's now, for all we know"


def test_a_record_in_use_never_ends_T_41(service: Timed) -> None:
    first = service.by_jwt(WEB).claims
    for _ in range(8):
        service.after(2 * HOUR - 5 * MINUTE)
        assert service.by_jwt(WEB).claims["epoch"] == first["epoch"]
    assert service.events_of(ID + WEB).count("registered") == 1


def test_sweeps_end_whoever_is_idle_and_nobody_else_T_41(service: Timed) -> None:
    """Twenty clients come at times of their own; each sweep is held to what a list of last uses says."""
    draw, used, epochs = random.Random(20), dict[str, int](), dict[str, object]()
    idle, step = 2 * HOUR, MINUTE
    for _ in range(60):
        path = f"/ns/web/sa/swept-{draw.randrange(20)}"
        claims = service.by_jwt(path).claims
        gap = service.clock() - used.get(path, 0)
        if path in used and gap < idle - step:
            assert claims["epoch"] == epochs[path], "a live one keeps its epoch"
        elif path in used and gap > idle:
            assert claims["epoch"] != epochs[path]
        used[path], epochs[path] = service.clock(), claims["epoch"]
        service.after(draw.randrange(1, 20 * MINUTE))
        for name, at in used.items():
            gap = service.clock() - at
            # The end of a record is written in steps of a minute.
            if abs(gap - idle) > step:
                assert service.standing(ID + name) == ("active" if gap < idle else "expired"), (name, gap)


def test_live_grants_and_questions_about_them_are_no_use_ROFU_23(timed: Make) -> None:
    service = timed(more='[registration]\nidle_expiry = "3m"\n')
    token = service.by_jwt(WEB).body["access_token"]
    for _ in range(2):
        service.after(MINUTE)
        assert service.is_active(token)
    service.after(MINUTE + 1)
    assert service.standing(ID + WEB) == "expired"
    assert not service.is_active(token), "the token ends with the record, two minutes before its exp"


def test_an_approval_does_not_outlive_the_record_T_23(service: Timed) -> None:
    assert service.by_jwt(ASKS).error == INCOMPLETE
    assert service.operate("clients", "approve", ID + ASKS)[0] == 0
    assert service.by_jwt(ASKS).status == 200
    service.after(2 * HOUR + 1)
    assert service.by_jwt(ASKS).error == INCOMPLETE
    assert service.standing(ID + ASKS) == "pending"


# --- waiting for an operator ------------------------------------------------------------------------


@at_every_door
def test_every_door_says_that_the_registration_is_incomplete_ROFU_12(
    service: Timed, come: Callable[[Timed, str], Reply]
) -> None:
    twin = come(service, WEB)
    assert twin.status in (200, 201)
    for _ in range(2):
        answer = come(service, ASKS)
        assert answer.error == INCOMPLETE
        assert answer.body["error_description"] == "registration incomplete"
    assert service.standing(ID + ASKS) == "pending"
    assert service.events_of(ID + ASKS) == ["registered"], "one record, however often it comes"
    assert service.operate("clients", "approve", ID + ASKS)[0] == 0
    assert come(service, ASKS).status == twin.status


@pytest.mark.parametrize("at", ["/introspect", "/revoke"])
def test_who_waits_may_not_ask_about_tokens_either_ROFU_12(service: Timed, at: str) -> None:
    def ask(path: str) -> Reply:
        return service.ask(jwt_fields(service.stand.jwt(path)) | {"token": "x"}, at=at)

    assert ask(ASKS).status == 200, "whoever only asks has no record, and needs none"
    assert service.by_jwt(ASKS).error == INCOMPLETE
    assert ask(ASKS).error == INCOMPLETE
    assert service.operate("clients", "approve", ID + ASKS)[0] == 0
    assert ask(ASKS).status == 200


def test_an_instance_that_waits_is_told_so_by_whichever_credential_it_comes_ROFU_12(service: Timed) -> None:
    key = DpopKey()
    svid = service.stand.authority.x509_svid(DRONE)
    answer = service.register({"jwks": own_jwks(key)}, svid=svid)
    assert answer.error == INCOMPLETE
    (waiting,) = service.clients("--state", "pending")
    name = waiting["client_id"]
    assert waiting["parent"] == ID + DRONE
    for refused in (
        service.by_x509(svid, key=key),
        service.by_jwt(DRONE, client_id=name),
        service.by_key(key, name),
        service.ask({**service.key_fields(key, name), "token": "x"}, at="/introspect"),
    ):
        assert refused.error == INCOMPLETE
    assert service.operate("clients", "approve", name)[0] == 0
    assert service.by_key(key, name).claims["client_id"] == name
    sibling = service.by_jwt(DRONE, key=DpopKey())
    assert sibling.error == INCOMPLETE, "an approval is one client's"


def test_approval_and_denial_leave_their_note_in_the_audit(service: Timed) -> None:
    other = ASKS + "-2"
    for path in (ASKS, other):
        assert service.by_jwt(path).error == INCOMPLETE
    assert {row["client_id"] for row in service.clients("--pending")} == {ID + ASKS, ID + other}
    assert service.operate("clients", "approve", ID + ASKS, "--note", "SEC-7, reviewed")[0] == 0
    assert service.operate("clients", "deny", ID + other, "--note", "SEC-8, no")[0] == 0
    rows = [row.event for row in service.process.worker._store.audit.rows(limit=1000)]
    noted = {(row.event.value, row.subject): row.reason for row in rows if row.door == "operator"}
    assert noted == {("approved", ID + ASKS): "SEC-7, reviewed", ("denied", ID + other): "SEC-8, no"}
    assert service.by_jwt(ASKS).status == 200
    assert service.by_jwt(other).error == (401, "invalid_client")
    assert service.clients("--pending") == []


def test_an_approval_is_for_these_terms(service: Timed) -> None:
    assert service.by_jwt(ASKS).error == INCOMPLETE
    assert service.operate("clients", "approve", ID + ASKS)[0] == 0
    token = service.by_jwt(ASKS).body["access_token"]
    rules = RULES + MORE_RULES + INSTANCE_RULES
    terms = 'scopes = ["orders.read"], bind = "if-present" }'
    wider = rules.replace(terms, terms.replace(" }", ', token_ttl = "9m" }'))
    assert wider != rules
    service.stand.write_rules(wider)
    service.look()
    assert service.by_jwt(ASKS).error == INCOMPLETE
    assert service.standing(ID + ASKS) == "active", "nothing about an active record changes"
    assert service.is_active(token, by=ASKS)
    assert service.operate("clients", "approve", ID + ASKS)[0] == 0
    assert service.by_jwt(ASKS).body["expires_in"] == 540


def test_who_waits_for_too_long_has_to_come_again(service: Timed) -> None:
    assert service.by_jwt(ASKS).error == INCOMPLETE
    service.after(HOUR + 1)
    assert service.standing(ID + ASKS) == "expired"
    assert service.operate("clients", "approve", ID + ASKS)[0] == 1, "nothing waits any more"
    assert service.by_jwt(ASKS).error == INCOMPLETE
    assert service.events_of(ID + ASKS) == ["registered", "expired", "registered"]
    assert service.operate("clients", "approve", ID + ASKS)[0] == 0
    assert service.by_jwt(ASKS).status == 200


def test_those_who_wait_are_capped_and_known_clients_are_not_T_41(timed: Make) -> None:
    service = timed(more="[limits]\npending_per_trust_domain = 2\n")
    for number in range(2):
        assert service.by_jwt(f"{ASKS}-{number}").error == INCOMPLETE
    over = service.by_jwt(f"{ASKS}-2")
    assert over.error == (429, "temporarily_unavailable")
    assert "pending_per_trust_domain" in over.body["error_description"]
    assert int(over.headers["Retry-After"]) > 0
    assert service.by_jwt(f"{ASKS}-0").error == INCOMPLETE, "one that waits already needs no room"
    assert service.by_jwt(WEB).status == 200, "who need not wait does not wait"
    assert service.operate("clients", "approve", f"{ID}{ASKS}-0")[0] == 0
    assert service.by_jwt(f"{ASKS}-2").error == INCOMPLETE, "an approval makes room"


def test_who_waits_under_a_rule_that_now_allows_it_is_let_in(service: Timed) -> None:
    assert service.by_jwt(ASKS).error == INCOMPLETE
    rules = RULES + MORE_RULES + INSTANCE_RULES
    service.stand.write_rules(rules.replace('effect = "ask"', 'effect = "allow"'))
    service.look()
    assert service.by_jwt(ASKS).status == 200
    assert service.standing(ID + ASKS) == "active"


# --- tombstones -------------------------------------------------------------------------------------


def test_a_denial_holds_at_every_door_ROFU_24(service: Timed) -> None:
    token = service.by_jwt(WEB).body["access_token"]
    twin = WEB + "-twin"
    for path, welcome in ((WEB, False), (twin, True)):
        if not welcome:
            assert service.operate("clients", "deny", ID + path)[0] == 0
        for come in DOORS:
            answer = come(service, path)
            assert (answer.status in (200, 201)) is welcome, come
            if not welcome:
                assert answer.error in ((401, "invalid_client"), (400, "unapproved_software_statement"),
                                        (400, "invalid_client_metadata"))  # fmt: skip
        for at in ("/introspect", "/revoke"):
            answer = service.ask(jwt_fields(service.stand.jwt(path)) | {"token": token}, at=at)
            assert (answer.status != 401) is welcome, at
    assert not service.is_active(token)
    service.after(2 * HOUR)
    service.after(10 * HOUR)
    assert service.standing(ID + WEB) == "denied", "a denial is not forgotten"
    assert service.by_jwt(WEB).error == (401, "invalid_client")


def test_a_worker_that_knew_the_client_meets_the_denial_in_the_write_ROFU_24(service: Timed) -> None:
    """The first worker remembers the record and reads nothing before its write: the write looks for itself."""
    first = service.process.worker
    assert service.by_jwt(WEB).status == 200
    assert service.by_jwt(WEB).status == 200
    second = Worker(service.process.settings)
    second.start()
    try:
        assert service.operate("clients", "deny", ID + WEB)[0] == 0
        for worker in (first, second):
            service.process.worker = worker
            assert service.by_jwt(WEB).error == (401, "invalid_client")
        assert service.operate("clients", "undeny", ID + WEB)[0] == 0
        epochs = set()
        for worker in (first, second):
            service.process.worker = worker
            epochs.add(service.by_jwt(WEB).claims["epoch"])
        assert len(epochs) == 1, "one registration, known to both"
    finally:
        service.process.worker = first
        second.close()


def test_old_audit_rows_go_in_small_steps_with_rests_between_them_T_41(service: Timed) -> None:
    """And what is left still verifies, from the signed checkpoint on."""
    store, prune = service.process.worker._store, service.process.worker._upkeep._prune
    for number in range(2 * PRUNE_BATCH):
        store.audit.begin_append(AuditEvent(f"old-{number}", service.clock(), AuditEventKind.TOKEN_ISSUED)).result()
    service.clock.offset += 91 * 24 * HOUR
    store.audit.append(AuditEvent("young", service.clock(), AuditEventKind.TOKEN_ISSUED))
    rests = []
    while (rest := prune(service.clock())) is not None:
        rests.append(rest)
    assert len(rests) == 2
    assert all(rest > 0 for rest in rests)
    assert [row.event.id for row in store.audit.rows(limit=10_000, events=[AuditEventKind.TOKEN_ISSUED])] == ["young"]
    assert list(store.audit.verify()) == []
