"""How much of anything somebody may have: buckets by trust domain, rule, identity and source address (DCR-22)."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from bridge.app import Worker
from bridge.lab.authority import Authority
from tests.flows.dpop import DpopKey
from tests.flows.enrolling import Reply
from tests.flows.timed import ID, LEEWAY, Timed

Make = Callable[..., Timed]
WEB, BOTH, JOB = "/ns/web/sa/q", "/ns/both/sa/q", "/ns/jobs/sa/q"
OVER = (429, "temporarily_unavailable")
NEIGHBOUR = "neighbour.example"


def limits(**numbers: int) -> str:
    return "[limits]\n" + "".join(f"{name} = {number}\n" for name, number in numbers.items())


def named(answer: Reply, limit: str, *, within: int = 60) -> None:
    """The refusal of a limit says which one it is, and when to come again."""
    assert answer.error == OVER, answer.content
    assert answer.body["error_description"] == f"limit reached: {limit}"
    assert 0 < int(answer.headers["Retry-After"]) <= within


def buckets(service: Timed) -> list[tuple[str, str, int, int]]:
    return service.process.worker._store.buckets.use(now=service.clock())


# --- registrations of identities --------------------------------------------------------------------


@pytest.mark.parametrize("door", ["token", "register"])
def test_the_bucket_of_a_trust_domain_names_itself_and_spares_who_is_known_ROFU_28(timed: Make, door: str) -> None:
    service = timed(more=limits(registrations_per_second=1, registration_burst=2))

    def come(path: str) -> Reply:
        return service.by_jwt(path) if door == "token" else service.enrol(path)

    for number in range(2):
        assert come(f"{WEB}-{number}").status in (200, 201)
    for _ in range(3):
        named(come(f"{WEB}-2"), "registrations_per_second", within=1)
    assert come(f"{WEB}-0").status in (200, 201), "a known identity spends nothing"
    assert service.by_jwt(f"{WEB}-1").status == 200
    assert service.standing(f"{ID}{WEB}-2") == "absent"
    service.clock.offset += 1
    assert come(f"{WEB}-2").status in (200, 201), "refusals took nothing: one second is one token"
    named(come(f"{WEB}-3"), "registrations_per_second", within=1)


def test_the_bucket_of_a_rule_leaves_other_rules_theirs(timed: Make) -> None:
    service = timed(more=limits(rule_registrations_per_second=1, rule_registration_burst=2))
    for number in range(2):
        assert service.by_jwt(f"{WEB}-{number}").status == 200
    named(service.by_jwt(f"{WEB}-2"), "rule_registrations_per_second", within=1)
    assert service.by_jwt(BOTH, scope="orders.read").status == 200


def test_a_refusal_by_one_bucket_takes_nothing_of_the_others(timed: Make) -> None:
    service = timed(more=limits(rule_registrations_per_second=1, rule_registration_burst=1))
    assert service.by_jwt(WEB).status == 200
    before = buckets(service)
    assert {row[0] for row in before} == {"registrations_per_second", "rule_registrations_per_second"}
    for number in range(5):
        named(service.by_jwt(f"{WEB}-{number}"), "rule_registrations_per_second", within=1)
    assert buckets(service) == before


def test_a_registration_that_policy_refuses_takes_nothing_T_41(timed: Make) -> None:
    service = timed()
    for number in range(5):
        assert service.by_jwt(f"/ns/nobody/sa/{number}").error == (401, "invalid_client")
        assert service.enrol(f"/ns/nobody/sa/{number}").status == 400
        assert service.by_jwt(f"{WEB}-{number}", scope="orders.read").error == (400, "invalid_scope")
    assert buckets(service) == []
    assert service.clients() == []


def test_a_client_that_comes_back_spends_no_token_but_needs_room(timed: Make) -> None:
    more = limits(registrations_per_second=1, registration_burst=1, records_per_trust_domain=1)
    service = timed(more=more + '[registration]\nidle_expiry = "10m"\n')
    assert service.by_jwt(f"{WEB}-a").status == 200
    named(service.by_jwt(f"{WEB}-b"), "records_per_trust_domain")
    service.after(601)
    before = buckets(service)
    assert service.by_jwt(f"{WEB}-a").status == 200
    assert buckets(service) == before == []
    service.after(601)
    assert service.by_jwt(f"{WEB}-b").status == 200, "the one that idled out made room"
    named(service.by_jwt(f"{WEB}-a"), "records_per_trust_domain")


def test_workers_share_the_buckets(timed: Make) -> None:
    service = timed(more=limits(registrations_per_second=1, registration_burst=3))
    first = service.process.worker
    second = Worker(service.process.settings)
    second.start()
    try:
        answers = []
        for number in range(6):
            service.process.worker = (first, second)[number % 2]
            answers.append(service.by_jwt(f"{WEB}-{number}").status)
        assert answers == [200, 200, 200, 429, 429, 429]
    finally:
        service.process.worker = first
        second.close()


# --- trust domains beside each other ----------------------------------------------------------------


@pytest.fixture
def neighbours(timed: Make) -> Callable[..., tuple[Timed, Authority]]:
    """A service with a second trust domain, whose `[trust_domains]` section has `own` in it."""

    def make(*, more: str, own: str = "") -> tuple[Timed, Authority]:
        section = f'[trust_domains."{NEIGHBOUR}"]\nsource = "file"\npath = "bundles/{NEIGHBOUR}.json"\n{own}\n'
        service = timed(more=more + section)
        authority = Authority(NEIGHBOUR, clock=service.clock)
        (service.stand.folder / f"bundles/{NEIGHBOUR}.json").write_bytes(authority.bundle_json())
        rules = (service.stand.policies / "example.org.toml").read_text()
        first = rules.split("[[rule]]")[1].replace('id = "web-reads-ledger"', 'id = "neighbours-read-ledger"')
        assert "neighbours-read-ledger" in first
        (service.stand.policies / f"{NEIGHBOUR}.toml").write_text(
            f'version = 1\nsource = "spiffe"\ntrust_domain = "{NEIGHBOUR}"\n[[rule]]{first}'
        )
        service.look()
        service.stand.until(lambda: by_neighbour(service, authority, "first").status == 200, "the bundle is read")
        return service, authority

    return make


def by_neighbour(service: Timed, authority: Authority, name: str) -> Reply:
    return service.token(authority.jwt_svid(f"/ns/web/sa/{name}", service.stand.client.issuer))


def test_a_flood_at_one_trust_domain_uses_up_nothing_of_another_T_41(
    neighbours: Callable[..., tuple[Timed, Authority]],
) -> None:
    service, authority = neighbours(more=limits(registrations_per_second=1, registration_burst=3))
    flood = [service.by_jwt(f"{WEB}-{number}").status for number in range(30)]
    assert flood.count(200) == 3
    assert [by_neighbour(service, authority, f"n{number}").status for number in range(2)] == [200, 200]
    named(by_neighbour(service, authority, "n2"), "registrations_per_second", within=1)


def test_a_trust_domain_may_have_limits_of_its_own(neighbours: Callable[..., tuple[Timed, Authority]]) -> None:
    service, authority = neighbours(
        more=limits(registrations_per_second=1, registration_burst=2, records_per_trust_domain=100),
        own="limits = { records_per_trust_domain = 2, registration_burst = 50 }",
    )
    assert by_neighbour(service, authority, "second").status == 200
    named(by_neighbour(service, authority, "third"), "records_per_trust_domain")
    assert [service.by_jwt(f"{WEB}-{number}").status for number in range(3)] == [200, 200, 429]


# --- noise ------------------------------------------------------------------------------------------


@contextmanager
def lines() -> Iterator[list[logging.LogRecord]]:
    """The lines about refusals."""

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record)

    found: list[logging.LogRecord] = []
    handler, log = Kept(), logging.getLogger("bridge.web")
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield found
    log.removeHandler(handler)
    log.setLevel(level)


def foreign(service: Timed) -> Reply:
    """By a statement of nobody's."""
    return service.register({"software_statement": service.stand.stranger.jwt_svid("/a", service.stand.endpoint)})


NOISE: dict[str, Callable[[Timed], Reply]] = {
    "no statement": lambda service: service.register({}),
    "no JWT": lambda service: service.register({"software_statement": "x.y.z"}),
    "nobody's statement": foreign,
    "an SVID for the token endpoint": lambda service: service.register({"software_statement": service.stand.jwt(WEB)}),
    "nobody's certificate": lambda service: service.register({}, svid=service.stand.stranger.x509_svid("/a")),
    "a bad proof beside nothing": lambda service: service.register({}, (b"dpop", b"x.y.z")),
}


@pytest.mark.parametrize("make_noise", NOISE.values(), ids=NOISE)
def test_noise_is_limited_by_its_source_and_a_verified_statement_is_no_noise_DCR_22_T_41(
    timed: Make, make_noise: Callable[[Timed], Reply]
) -> None:
    service = timed(more=limits(anonymous_per_minute=3))
    for _ in range(3):
        assert make_noise(service).status == 400
    named(make_noise(service), "anonymous_per_minute", within=20)
    assert service.enrol(WEB).status == 201, "whoever is vouched for is welcome from anywhere"
    assert service.enrol("/ns/nobody/sa/a").error == (400, "unapproved_software_statement"), "a refusal, not a limit"
    bad_proof = service.enrol(WEB, (b"dpop", b"x.y.z"))
    assert bad_proof.error == (400, "invalid_dpop_proof"), "and hears what is wrong with its proof"
    assert service.by_jwt(WEB).status == 200
    service.clock.offset += 20
    assert make_noise(service).status == 400
    named(make_noise(service), "anonymous_per_minute", within=20)


def test_a_certificate_that_a_rule_admits_is_no_noise(timed: Make) -> None:
    service = timed(more=limits(anonymous_per_minute=1))
    assert service.register({}).status == 400
    named(service.register({}), "anonymous_per_minute")
    assert service.register({}, svid=service.stand.authority.x509_svid(WEB)).status == 201
    unknown = service.register({}, svid=service.stand.authority.x509_svid("/ns/nobody/sa/a"))
    assert unknown.error == (400, "invalid_client_metadata")


def test_a_flood_of_noise_costs_neither_writes_nor_lines_T_41(timed: Make) -> None:
    service = timed(more=limits(anonymous_per_minute=5))
    row, seen = service.last_row(), 0
    with lines() as found:
        for _ in range(200):
            seen += service.register({}).status == 429
    assert seen == 195
    refusals = [record for record in found if record.getMessage() == "refused"]
    assert len(refusals) == 6, "five of the requests, and one that says that there are more"
    assert service.last_row() == row, "none is in the audit log"
    kinds = [(limit, key, burst) for limit, key, _, burst in buckets(service)]
    assert kinds == [("anonymous_per_minute", "127.0.0.1", 5)]
    service.clock.offset += 61
    service.sweep()
    assert buckets(service) == []
    assert service.process.worker._store.clients.count_by_state() == {}


def test_what_a_client_says_of_its_address_is_not_believed_T_36(timed: Make) -> None:
    service = timed(more=limits(anonymous_per_minute=2))
    for last in range(2):
        assert service.register({}, (b"x-forwarded-for", f"192.0.2.{last}".encode())).status == 400
    for name in (b"x-forwarded-for", b"forwarded", b"x-real-ip"):
        named(service.register({}, (name, b"192.0.2.9")), "anonymous_per_minute")


def test_workers_share_the_bucket_of_an_address(timed: Make) -> None:
    service = timed(more=limits(anonymous_per_minute=4))
    first = service.process.worker
    second = Worker(service.process.settings)
    second.start()
    try:
        answers = []
        for number in range(8):
            service.process.worker = (first, second)[number % 2]
            answers.append(service.register({}).status)
        assert answers == [400] * 4 + [429] * 4
    finally:
        service.process.worker = first
        second.close()


def test_an_instance_that_was_refused_by_a_limit_is_let_in_when_there_is_room(timed: Make) -> None:
    service = timed(more=limits(instances_per_identity=1))
    assert service.by_jwt(JOB, key=DpopKey()).status == 200
    key = DpopKey()
    refused = service.by_jwt(JOB, key=key)
    named(refused, "instances_per_identity", within=300 + LEEWAY)
    service.clock.offset += int(refused.headers["Retry-After"])
    assert service.by_jwt(JOB, key=key).status == 200, "exactly when it was told"


def test_the_refusal_of_a_limit_is_in_the_audit_of_who_was_verified(timed: Make) -> None:
    service = timed(more=limits(records_per_trust_domain=1))
    assert service.by_jwt(f"{WEB}-0").status == 200
    named(service.by_jwt(f"{WEB}-1"), "records_per_trust_domain")
    rows = [row.event for row in service.process.worker._store.audit.rows(limit=100)]
    refused = [(row.subject, row.reason) for row in rows if row.event.value == "refused"]
    assert refused == [(f"{ID}{WEB}-1", "limit_reached")]
    assert json.loads(service.operate("clients", "list", "--json")[1])[0]["subject"] == f"{ID}{WEB}-0"
