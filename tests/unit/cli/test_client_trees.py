"""`bridge clients`: instances under their identity, members under their client, and what waits for an operator."""

from __future__ import annotations

import pytest

from bridge.ambient import now
from bridge.cli.output import timestamp
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.client import ClientKind, ClientState, ProposedClient
from bridge.store.ports import Store
from tests.unit.cli.conftest import LIMITS, Records, Run

API = "spiffe://example.org/ns/web/sa/api"
JOB = "spiffe://example.org/ns/web/sa/job"


@pytest.fixture
def at() -> int:
    return now()


def instance(store: Store, number: int, at: int, parent: str = API, *, lease: int = 3600, pending: bool = False) -> str:
    """An instance whose lease ends so many seconds after `at`."""
    proposed = ProposedClient(
        client_id=f"instance-{number}",
        kind=ClientKind.INSTANCE,
        subject=f"{parent} key-{number}",
        trust_domain="example.org",
        state=ClientState.PENDING if pending else ClientState.ACTIVE,
        rule="r",
        parent=parent,
    )
    event = AuditEvent(id=f"reg-{number}", time=at, event=AuditEventKind.REGISTERED, client_id=proposed.client_id)
    store.clients.ensure(proposed, limits=LIMITS, idle_expiry=3600, event=event, now=at, lease_until=at + lease)
    return proposed.client_id


def states(store: Store, *client_ids: str) -> list[str]:
    found = [store.clients.get(client_id) for client_id in client_ids]
    return ["none" if record is None else record.state.value for record in found]


def test_instances_are_listed_by_the_spiffe_id_of_their_identity(run: Run, store: Store, at: int) -> None:
    for number, parent in enumerate((API, API, JOB)):
        instance(store, number, at, parent)
    found = run("clients", "list", "--parent", API, "--json").json
    assert [(record["client_id"], record["parent"]) for record in found] == [("instance-0", API), ("instance-1", API)]
    assert {record["expires_at"] for record in found} == {timestamp(at + 3600)}


def test_people_are_told_who_stands_behind_a_name_that_does_not_say_it(
    run: Run, records: Records, store: Store, at: int
) -> None:
    records.add("/ns/web/sa/job", now=at)
    records.add("/batch/a", shared="fleet", now=at)
    instance(store, 0, at)
    ci = ProposedClient(
        client_id="statement-0",
        kind=ClientKind.STATEMENT,
        subject="https://ci.example.org pipeline",
        trust_domain=None,
        state=ClientState.ACTIVE,
        rule="r",
    )
    event = AuditEvent(id="reg-ci", time=at, event=AuditEventKind.REGISTERED, client_id=ci.client_id)
    store.clients.ensure(ci, limits=LIMITS, idle_expiry=3600, event=event, now=at)
    header, *lines = (line.split("\t") for line in run("clients", "list").out.splitlines())
    assert (header[0], header[-1]) == ("client_id", "subject")
    assert [(line[0], line[-1]) for line in lines] == [
        ("fleet", "-"),
        ("instance-0", API),
        (JOB, "-"),
        ("statement-0", "https://ci.example.org pipeline"),
    ]
    told = {record["client_id"]: record["subject"] for record in run("clients", "list", "--json").json}
    assert (told["instance-0"], told[JOB]) == (f"{API} key-0", JOB)


def test_a_tree_has_instances_and_members_under_what_they_belong_to(
    run: Run, records: Records, store: Store, at: int
) -> None:
    records.add("/ns/web/sa/job", now=at)
    records.add("/batch/a", shared="fleet", now=at)
    for number, parent in enumerate((API, JOB, API)):
        instance(store, number, at, parent)
    ran = run("clients", "list", "--tree")
    assert ran.code == 0
    assert [line.split("  ")[: 3 if line.startswith(" ") else 2] for line in ran.out.splitlines()] == [
        ["fleet", "shared"],
        ["", "spiffe://example.org/batch/a", "member"],
        [API, "(instances only)"],
        ["", "instance-0", "instance"],
        ["", "instance-2", "instance"],
        [JOB, "spiffe"],
        ["", "instance-1", "instance"],
    ]
    assert len(run("clients", "list", "--tree", "--limit", "1").out.splitlines()) == 2
    assert run("clients", "list", "--tree", "--parent", JOB).out.splitlines()[0].startswith(JOB)


def test_an_identity_that_has_instances_only_can_be_shown(run: Run, store: Store, at: int) -> None:
    instance(store, 1, at)
    instance(store, 2, at - 7200)
    shown = run("clients", "show", API, "--json").json
    assert (shown["client_id"], shown["subject"]) == (None, API)
    assert [one["client_id"] for one in shown["instances"]] == ["instance-1"], "the other one's lease has ended"
    out = run("clients", "show", API).out
    assert "live instances" in out
    assert "instance-1" in out


def test_show_says_what_waits_of_the_client_and_of_its_instances(
    run: Run, records: Records, store: Store, at: int
) -> None:
    records.add("/ns/web/sa/api", now=at)
    instance(store, 1, at)
    store.clients.await_approval(API, rule="more", digest="d1", now=at)
    store.clients.await_approval("instance-1", rule="tools", digest="d2", now=at)
    waits = run("clients", "show", API, "--json").json["waiting"]
    assert [(one["client_id"], one["rule"], one["waits_since"]) for one in waits] == [
        (API, "more", timestamp(at)),
        ("instance-1", "tools", timestamp(at)),
    ]
    assert "waiting for approval" in run("clients", "show", API).out
    assert run("clients", "approve", API).code == 0
    assert run("clients", "show", API, "--json").json["waiting"] == []


# --- what waits -----------------------------------------------------------------------------------


def test_pending_shows_client_rule_and_since_when_rofu_12(run: Run, records: Records, store: Store, at: int) -> None:
    assert run("clients", "list", "--pending", "--json").json == []
    records.add("/ns/web/sa/api", state=ClientState.PENDING, now=at)
    records.add("/ns/web/sa/job", now=at, trust_domain="partner.example")
    store.clients.await_approval(API, rule="r", digest="d1", now=at - 60)
    partner = "spiffe://partner.example/ns/web/sa/job"
    store.clients.await_approval(partner, rule="more", digest="d2", now=at)
    first = {"client_id": API, "subject": API, "rule": "r", "waits_since": timestamp(at - 60)}
    second = {"client_id": partner, "subject": partner, "rule": "more", "waits_since": timestamp(at)}
    assert run("clients", "list", "--pending", "--json").json == [first, second]
    assert run("clients", "list", "--pending", "--json", "--limit", "1").json == [first]
    assert run("clients", "list", "--pending", "--json", "--rule", "more").json == [second]
    assert run("clients", "list", "--pending", "--json", "--trust-domain", "example.org").json == [first]
    header, line, _ = run("clients", "list", "--pending").out.splitlines()
    assert header.split("\t") == ["client_id", "subject", "rule", "waits_since"]
    assert line.split("\t")[:3] == [API, API, "r"]
    assert run("clients", "approve", API).code == 0
    assert run("clients", "list", "--pending", "--json").json == [second]


def test_an_instance_that_waits_is_shown_with_the_identity_that_asks(run: Run, store: Store, at: int) -> None:
    waiting = instance(store, 0, at, pending=True)
    store.clients.await_approval(waiting, rule="r", digest="d1", now=at)
    for found in (
        run("clients", "list", "--pending", "--json").json,
        run("clients", "show", API, "--json").json["waiting"],
    ):
        assert [(one["client_id"], one["subject"]) for one in found] == [(waiting, f"{API} key-0")]


@pytest.mark.parametrize(("pending_expiry", "ends_after"), [("2m", 120), ("90d", 3600)], ids=["swept", "idle"])
def test_what_waits_is_shown_with_the_end_that_comes_first(
    run: Run, store: Store, at: int, monkeypatch: pytest.MonkeyPatch, pending_expiry: str, ends_after: int
) -> None:
    monkeypatch.setenv("BRIDGE_REGISTRATION__PENDING_EXPIRY", pending_expiry)
    waiting, ends = instance(store, 0, at, pending=True), timestamp(at + ends_after)
    assert [one["expires_at"] for one in run("clients", "list", "--json").json] == [ends]
    assert run("clients", "show", waiting, "--json").json["expires_at"] == ends
    assert f"ends {ends}" in run("clients", "list", "--tree").out


@pytest.mark.parametrize(
    "words", [("--pending", "--tree"), ("--pending", "--state", "active"), ("--tree", "--json")], ids=" ".join
)
def test_options_that_say_nothing_together_are_exit_2(run: Run, store: Store, words: tuple[str, ...]) -> None:
    assert run("clients", "list", words[0]).code == 0
    assert run("clients", "list", *words).code == 2


# --- one instance, or all -------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["revoke", "deny"])
def test_one_instance_ends_by_its_client_id_and_all_by_the_spiffe_id(
    run: Run, store: Store, at: int, verb: str
) -> None:
    for number, parent in enumerate((API, API, JOB)):
        instance(store, number, at, parent)
    ended = "revoked" if verb == "revoke" else "denied"
    one = run("clients", verb, "instance-0", "--note", "that pod", "--json").json
    assert (one["client_ids"], one["seen"], one["configured"]) == (["instance-0"], True, True)
    assert states(store, "instance-0", "instance-1", "instance-2") == [ended, "active", "active"]
    rest = run("clients", verb, API, "--note", "all of it", "--json").json
    assert "instance-1" in rest["client_ids"]
    assert states(store, "instance-0", "instance-1", "instance-2") == [ended, ended, "active"]
    for answer, reason in ((one, "that pod"), (rest, "all of it")):
        (row,) = run("audit", "show", answer["id"], "--json").lines
        assert (row["event"], row["reason"]) == (ended, reason)


def test_a_denied_instance_keeps_its_identity_free_to_make_another(run: Run, store: Store, at: int) -> None:
    """And a denied identity keeps out every instance, those to come too (ROFU-24)."""
    instance(store, 1, at)
    assert run("clients", "deny", "instance-1").code == 0
    assert store.clients.find("instance-1", subject=API).denied
    assert not store.clients.find("instance-2", subject=API).denied
    assert run("clients", "undeny", "instance-1").code == 0
    assert not store.clients.find("instance-1", subject=API).denied
    assert run("clients", "deny", API).code == 0
    assert store.clients.find("instance-2", subject=API).denied


@pytest.mark.parametrize("verb", ["revoke", "deny", "approve"])
def test_an_instance_never_seen_is_nobody(run: Run, store: Store, verb: str) -> None:
    ran = run("clients", verb, "instance-none")
    assert (ran.code, ran.out) == (1, "")


def test_the_note_of_an_approval_is_in_the_log_and_one_id_approves_all_that_wait(
    run: Run, store: Store, at: int
) -> None:
    for number in (1, 2):
        instance(store, number, at, pending=True)
        store.clients.await_approval(f"instance-{number}", rule="r", digest="d", now=at)
    answer = run("clients", "approve", API, "--note", "SEC-9, looked at", "--json").json
    assert sorted(answer["client_ids"]) == ["instance-1", "instance-2"]
    assert states(store, "instance-1", "instance-2") == ["active", "active"]
    (row,) = run("audit", "show", answer["id"], "--json").lines
    assert (row["event"], row["reason"], row["subject"]) == ("approved", "SEC-9, looked at", API)
