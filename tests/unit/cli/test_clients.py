"""`bridge clients`: lists, one record, and the operator's verbs (interface section 9)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bridge.ambient import now
from bridge.cli.output import timestamp
from bridge.model.client import ClientState
from bridge.store.ports import Store
from tests.unit.cli.conftest import NOW, Records, Run

API = "spiffe://example.org/ns/web/sa/api"
FIELDS = [
    "client_id", "kind", "subject", "trust_domain", "state", "rule", "parent", "created_at", "last_used_at",
    "expires_at", "identities", "metadata",
]  # fmt: skip


def ids(run: Run, *words: str) -> list[str]:
    return [record["client_id"] for record in run("clients", "list", "--json", *words).json]


def test_a_record_has_the_fields_of_the_contract(run: Run, records: Records) -> None:
    records.add("/ns/web/sa/api", rule="web-reads")
    assert run("clients", "list", "--json").json == [
        {
            "client_id": API,
            "kind": "spiffe",
            "subject": API,
            "trust_domain": "example.org",
            "state": "active",
            "rule": "web-reads",
            "parent": None,
            "created_at": "2027-01-15T08:00:00Z",
            "last_used_at": "2027-01-15T08:00:00Z",
            "expires_at": "2058-09-23T09:46:40Z",
            "identities": 1,
            "metadata": {"grant_types": ["client_credentials"]},
        }
    ]
    assert list(run("clients", "list", "--json").json[0]) == FIELDS


def test_an_empty_store_lists_nothing(run: Run, store: Store) -> None:
    assert run("clients", "list", "--json").json == []
    assert len(run("clients", "list").out.splitlines()) == 1


def test_a_list_stops_at_its_limit_unless_all_are_wanted(run: Run, records: Records) -> None:
    for number in range(105):
        records.add(f"/n/{number:03}")
    assert len(ids(run)) == 100
    assert ids(run, "--limit", "2") == [f"spiffe://example.org/n/{n:03}" for n in (0, 1)]
    assert len(ids(run, "--all")) == 105
    assert len(ids(run, "--all", "--limit", "3")) == 105


def test_people_get_a_line_for_each(run: Run, records: Records) -> None:
    records.add("/ns/web/sa/api", rule="web-reads")
    header, line = run("clients", "list").out.splitlines()
    assert header.split("\t")[0] == "client_id"
    assert line.split("\t")[:4] == [API, "spiffe", "active", "web-reads"]


def test_filters_narrow_the_list_and_join(run: Run, records: Records, store: Store) -> None:
    a = records.add("/ns/web/sa/a", rule="one")
    b = records.add("/ns/pay/sa/b", rule="two")
    c = records.add("/ns/web/sa/c", rule="two", trust_domain="partner.example")
    assert set(ids(run)) == {a, b, c}
    assert ids(run, "--trust-domain", "partner.example") == [c]
    assert ids(run, "--rule", "one") == [a]
    assert ids(run, "--prefix", "spiffe://example.org/ns/pay/") == [b]
    assert ids(run, "--prefix", "spiffe://example.org/", "--rule", "two") == [b]
    assert ids(run, "--parent", a) == []


def test_states_are_those_that_hold_now_swept_or_not(run: Run, records: Records) -> None:
    at = now()
    live = records.add("/live", now=at, idle_expiry=3600)
    idle = records.add("/idle", now=at - 7200, idle_expiry=3600)
    gone = records.add("/gone", now=at, idle_expiry=3600)
    assert run("clients", "deny", gone).code == 0
    assert ids(run, "--state", "active") == [live]
    assert ids(run, "--state", "expired") == [idle]
    assert ids(run, "--state", "denied") == [gone]
    assert ids(run, "--state", "revoked") == []


def test_unused_are_those_without_a_token_for_so_long_the_longest_first(run: Run, records: Records) -> None:
    at = now()
    newer = records.add("/a/newer", now=at - 31 * 86_400, rule="one")
    older = records.add("/b/older", now=at - 90 * 86_400, rule="two")
    records.add("/c/fresh", now=at - 29 * 86_400)
    waits = records.add("/d/waits", now=at - 60 * 86_400, state=ClientState.PENDING)
    idle = records.add("/e/idle", now=at - 40 * 86_400, idle_expiry=86_400)
    assert ids(run, "--unused", "30d") == [older, waits, idle, newer]
    assert ids(run, "--unused", "30d", "--limit", "2") == [older, waits]
    assert ids(run, "--unused", "30d", "--state", "active") == [older, newer]
    assert ids(run, "--unused", "30d", "--state", "expired") == [idle]
    assert ids(run, "--unused", "30d", "--state", "pending") == [waits]
    assert ids(run, "--unused", "30d", "--rule", "one", "--prefix", "spiffe://example.org/a") == [newer]
    assert ids(run, "--unused", "91d") == []
    assert ids(run, "--unused", timestamp(at - 89 * 86_400)) == [older]


def test_a_client_used_within_the_last_minute_of_the_time_is_not_called_unused(run: Run, records: Records) -> None:
    """The stored time of a use may be a minute behind the use."""
    at = now()
    records.add("/doubtful", now=at - 3600 - 20)
    sure = records.add("/sure", now=at - 3600 - 90)
    assert ids(run, "--unused", "1h") == [sure]


@pytest.mark.parametrize("words", [("--tree",), ("--pending",)], ids=" ".join)
def test_unused_goes_with_no_list_of_another_order(run: Run, store: Store, words: tuple[str, ...]) -> None:
    assert run("clients", "list", *words).code == 0
    assert run("clients", "list", "--unused", "30d").code == 0
    assert run("clients", "list", "--unused", "30d", *words).code == 2
    assert run("clients", "list", "--unused", "30").code == 2


def test_show_has_the_record_its_members_and_what_it_left(run: Run, records: Records) -> None:
    for name in ("a", "b", "c"):
        records.add(f"/job/{name}", shared="batch")
    shown = run("clients", "show", "batch", "--json").json
    assert (shown["client_id"], shown["kind"], shown["identities"]) == ("batch", "shared", 3)
    assert [m["spiffe_id"] for m in shown["members"]] == [f"spiffe://example.org/job/{n}" for n in "abc"]
    assert len(run("clients", "show", "batch", "--json", "--limit", "2").json["members"]) == 2
    assert {row["event"] for row in shown["audit"]} == {"registered"}
    assert "spiffe://example.org/job/a" in run("clients", "show", "batch").out


def test_a_member_is_shown_by_its_own_name(run: Run, records: Records, folder: Path) -> None:
    records.add("/ns/example/sa/a", shared="batch")
    records.add("/ns/example/sa/b", shared="batch")
    rules = folder / "policies" / "example.org.toml"
    rules.write_text(
        rules.read_text().replace('bind = "if-present"', 'bind = "if-present", client = {shared = "batch"}')
    )
    shown = run("clients", "show", "spiffe://example.org/ns/example/sa/a", "--json").json
    assert shown["client_id"] == "batch"
    assert [m["spiffe_id"] for m in shown["members"]] == ["spiffe://example.org/ns/example/sa/a"]
    assert run("clients", "show", "spiffe://example.org/ns/example/sa/c").code == 1


def test_showing_nobody_is_exit_1(run: Run, records: Records) -> None:
    records.add("/ns/web/sa/api")
    assert run("clients", "show", API).code == 0
    ran = run("clients", "show", "nobody")
    assert (ran.code, ran.out) == (1, "")
    assert "clients list" in ran.err


# --- verbs ----------------------------------------------------------------------------------------


def state_of(store: Store, client_id: str) -> ClientState:
    record = store.clients.get(client_id)
    assert record is not None
    return record.state


def test_revoke_ends_a_record_and_leaves_who_and_why_in_the_log(run: Run, records: Records, store: Store) -> None:
    records.add("/ns/web/sa/api")
    ran = run("clients", "revoke", API, "--note", "INC-42", "--json")
    assert ran.code == 0
    assert ran.json["client_ids"] == [API]
    assert state_of(store, API) is ClientState.REVOKED
    (row,) = run("audit", "show", ran.json["id"], "--json").lines
    assert (row["event"], row["reason"], row["subject"], row["door"]) == ("revoked", "INC-42", API, "operator")
    assert row["source_address"].startswith("local user ")


@pytest.mark.parametrize("verb", ["revoke", "deny", "undeny", "approve"])
def test_an_unknown_id_is_exit_1_and_changes_nothing(run: Run, store: Store, verb: str) -> None:
    ran = run("clients", verb, "nobody")
    assert (ran.code, ran.out) == (1, "")
    assert "nobody" in ran.err
    assert ids(run) == []
    assert not store.audit.rows(correlation_id="nobody")


def test_deny_works_for_an_identity_never_seen_rofu_24(run: Run, store: Store) -> None:
    ran = run("clients", "deny", API, "--note", "INC-42")
    assert ran.code == 0
    assert state_of(store, API) is ClientState.DENIED
    assert store.clients.find(API, subject=API).denied
    assert ids(run, "--state", "denied", "--trust-domain", "example.org") == [API]


@pytest.mark.parametrize("wrong", ["spiffe://example.org", "spiffe://Example.org/a", "spiffe://example.org/a\n"])
def test_a_string_that_only_looks_like_a_spiffe_id_gets_no_tombstone(run: Run, store: Store, wrong: str) -> None:
    assert run("clients", "deny", "spiffe://example.org/a").code == 0
    assert run("clients", "deny", wrong).code == 2
    assert ids(run) == ["spiffe://example.org/a"]


def test_a_denial_of_somebody_never_seen_says_so_and_a_known_one_when_it_bites(run: Run, records: Records) -> None:
    records.add("/ns/web/sa/api")
    before = now()
    known = run("clients", "deny", API)
    assert "introspection refuses its tokens from now on" in known.err
    assert "never seen" not in known.err
    assert "is configured here" not in known.err
    until = re.search(r"takes them until (\S+) at the latest", known.err)
    assert until is not None
    assert timestamp(before + 3600) <= until[1] <= timestamp(now() + 3600)  # type: ignore[operator]
    slip = run("clients", "deny", "spiffe://exmaple.org/typo")
    assert (slip.code, slip.out) == (0, "denied spiffe://exmaple.org/typo\n")
    assert "no trust domain exmaple.org is configured here" in slip.err
    assert "never seen until now; denied all the same" in slip.err
    assert "introspection" not in slip.err


@pytest.mark.parametrize(
    ("path", "trust_domain", "seen", "configured"),
    [
        ("/ns/web/sa/api", "example.org", True, True),
        ("/ns/web/sa/new", "example.org", False, True),
        ("/ns/web/sa/api", "exmaple.org", False, False),
    ],
)
def test_programs_learn_of_a_denial_whom_it_met(
    run: Run, records: Records, path: str, trust_domain: str, seen: bool, configured: bool
) -> None:
    records.add("/ns/web/sa/api")
    answer = run("clients", "deny", f"spiffe://{trust_domain}{path}", "--json").json
    assert (answer["seen"], answer["configured"]) == (seen, configured)
    assert (answer["tokens_end_at"] is not None) is seen
    again = run("clients", "deny", f"spiffe://{trust_domain}{path}", "--json").json
    assert (again["seen"], again["configured"]) == (seen, configured)


def test_a_denied_member_and_a_denied_shared_client_were_seen(run: Run, records: Records) -> None:
    records.add("/job/a", shared="batch")
    for name in ("spiffe://example.org/job/a", "batch"):
        answer = run("clients", "deny", name, "--json").json
        assert (answer["seen"], answer["configured"]) == (True, True)


def test_a_record_denied_before_it_was_seen_has_no_identities_no_use_and_no_rule(run: Run, records: Records) -> None:
    records.add("/ns/web/sa/api")
    assert run("clients", "deny", API).code == 0
    assert run("clients", "deny", "spiffe://example.org/ns/web/sa/new").code == 0
    seen, new = run("clients", "list", "--json").json
    assert (seen["identities"], seen["rule"], seen["last_used_at"]) == (1, "r", "2027-01-15T08:00:00Z")
    assert (new["identities"], new["rule"], new["last_used_at"]) == (0, None, None)
    assert new["created_at"] is not None


def test_a_second_revocation_says_that_it_is_one(run: Run, records: Records) -> None:
    records.add("/ns/web/sa/api")
    assert "already" not in run("clients", "revoke", API).err
    again = run("clients", "revoke", API)
    assert again.code == 0
    assert "revoked already" in again.err
    assert run("clients", "revoke", API, "--json").json["already_revoked"] is True


def test_undeny_takes_a_denial_back(run: Run, records: Records, store: Store) -> None:
    records.add("/ns/web/sa/api")
    assert run("clients", "deny", API).code == 0
    assert run("clients", "undeny", API).code == 0
    assert state_of(store, API) is ClientState.REVOKED
    assert not store.clients.find(API, subject=API).denied
    assert run("clients", "undeny", API).code == 1


def test_a_member_is_revoked_alone(run: Run, records: Records, store: Store) -> None:
    records.add("/job/a", shared="batch")
    records.add("/job/b", shared="batch")
    answer = run("clients", "revoke", "spiffe://example.org/job/a", "--json").json
    assert answer["client_ids"] == []
    assert answer["members"] == [{"client_id": "batch", "spiffe_id": "spiffe://example.org/job/a"}]
    assert state_of(store, "batch") is ClientState.ACTIVE
    states = {m["spiffe_id"]: m["state"] for m in run("clients", "show", "batch", "--json").json["members"]}
    assert states == {"spiffe://example.org/job/a": "revoked", "spiffe://example.org/job/b": "active"}


def test_approve_approves_what_waits_rofu_12(run: Run, records: Records, store: Store) -> None:
    at = now()
    records.add("/ns/web/sa/api", state=ClientState.PENDING, now=at)
    store.clients.await_approval(API, rule="r", digest="d1", now=at)
    assert run("clients", "approve", API, "--note", "SEC-7").code == 0
    assert state_of(store, API) is ClientState.ACTIVE
    assert store.clients.find(API, subject=API, terms=("r", "d1")).approved
    assert not store.clients.find(API, subject=API, terms=("r", "d2")).approved


def test_times_are_rfc_3339_in_utc(run: Run, records: Records) -> None:
    records.add("/ns/web/sa/api", now=NOW)
    assert run("clients", "show", API, "--json").json["created_at"] == "2027-01-15T08:00:00Z"
