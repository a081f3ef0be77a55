"""What rests on an authority that is trusted no more: tokens, leases and grants, and the end of exactly those."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

import bridge.store.resting
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.authority import Authorities, Authority, AuthorityKind, to_audit
from bridge.model.client import ClientState
from bridge.store.ports import Ensured, Issue, RestingToken, Store
from tests.contract.flows import give, grant, open_request, push, redemption
from tests.contract.records import API, BATCH_CLIENT, NOW, OTHER, ensure, event, instance, issue_for, shared, spiffe

LOST: Authorities = (Authority(AuthorityKind.JWT, "lost", "print-of-lost"),)
KEPT: Authorities = (Authority(AuthorityKind.JWT, "kept", "print-of-kept"),)
HOUR = 3600


def token_issue(registered: Ensured, jti: str, authorities: Authorities | None = LOST, **said: Any) -> Issue:
    """The write of a token whose row says what it rests on; None: as an earlier release wrote it."""
    issue = issue_for(registered)
    member = registered.member
    epoch = f"{registered.record.epoch}" if member is None else f"{registered.record.epoch}.{member.epoch}"
    ask: dict[str, object] = {"expires_at": NOW + 300, "epoch": epoch, **said}
    if authorities is None:
        ask = {}
    elif authorities:
        ask["authorities"] = to_audit(authorities)
    told = replace(issue.event, jti=jti, ask=ask, evidence="jwt-svid", key_id="lost")
    return replace(issue, event=told, authorities=authorities or ())


def issued(store: Store, jti: str, authorities: Authorities | None = LOST, *, to: str = API, **said: Any) -> None:
    """A token to the client of one SPIFFE ID."""
    store.clients.record_issue(token_issue(ensure(store.clients, spiffe(to)), jti, authorities, **said), now=NOW)


def tokens(store: Store, trust_domain: str = "example.org", *, now: int = NOW, since: int = NOW) -> list[RestingToken]:
    """All parts together."""
    found: list[RestingToken] = []
    page = store.resting.tokens(trust_domain, since=since, longest=HOUR, now=now)
    while True:
        found += page.tokens
        if page.after is None:
            return found
        page = store.resting.tokens(trust_domain, since=since, longest=HOUR, now=now, after=page.after)


def alive(store: Store, *, now: int = NOW) -> list[str]:
    return [token.jti for token in store.resting.alive(tokens(store, now=now), now=now)]


def ending(found: Sequence[Any]) -> list[tuple[Any, AuditEvent]]:
    return [(one, event(AuditEventKind.REVOKED, client_id=one.client_id, subject=one.subject)) for one in found]


def revocations(store: Store) -> list[str]:
    return [row.event.client_id for row in store.audit.rows(events=[AuditEventKind.REVOKED])]


# --- tokens -------------------------------------------------------------------------------------------


def test_a_token_is_found_with_what_vouched_for_it(store: Store) -> None:
    issued(store, "one", grant="g")
    (token,) = tokens(store)
    assert (token.jti, token.client_id, token.subject, token.authorities) == ("one", API, API, LOST)
    assert (token.issued_at, token.expires_at, token.epoch, token.grant_id) == (NOW, NOW + 300, str(NOW), "g")


def test_a_row_of_an_earlier_release_says_no_authority_and_lives_as_long_as_any(store: Store) -> None:
    """And the chain of rows from before and after holds."""
    issued(store, "old", None)
    issued(store, "new")
    old, new = tokens(store)
    assert (old.authorities, old.expires_at, old.epoch, old.key_id) == (None, NOW + HOUR, None, "lost")
    assert new.authorities == LOST
    assert alive(store) == ["old", "new"]
    assert list(store.audit.verify()) == []


def test_tokens_are_those_of_the_trust_domain_and_of_no_other(store: Store) -> None:
    issued(store, "here")
    for near in ("spiffe://example.org.evil.test/a", "spiffe://example.or/a", "spiffe://example.orga/a"):
        proposed = spiffe(near, trust_domain=near.split("/")[2])
        store.clients.record_issue(token_issue(ensure(store.clients, proposed), near), now=NOW)
    assert [token.jti for token in tokens(store)] == ["here"]
    assert [token.jti for token in tokens(store, "example.orga")] == ["spiffe://example.orga/a"]


def test_expired_tokens_are_not_found(store: Store) -> None:
    issued(store, "short", expires_at=NOW + 60)
    issued(store, "long", expires_at=NOW + 600)
    assert [token.jti for token in tokens(store, now=NOW + 59)] == ["short", "long"]
    assert [token.jti for token in tokens(store, now=NOW + 60)] == ["long"]


def test_the_log_is_walked_in_parts_that_miss_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge.store.resting, "ROWS_AT_ONCE", 3)
    names = [f"token-{number}" for number in range(10)]
    for name in names:
        issued(store, name)
    assert [token.jti for token in tokens(store)] == names
    parts, after = [], None
    while True:
        page = store.resting.tokens("example.org", since=NOW, longest=HOUR, now=NOW, after=after)
        parts.append(page.looked_at)
        if page.after is None:
            break
        after = page.after
    assert (max(parts), sum(parts)) == (3, len(names) + 1), "one row is the registration's"


def test_what_was_issued_long_ago_is_not_looked_at(store: Store) -> None:
    issued(store, "one")
    assert store.resting.tokens("example.org", since=NOW + 2 * HOUR, longest=HOUR, now=NOW).looked_at == 0


@pytest.mark.parametrize("how", ["nothing", "revoked", "denied", "token", "grant", "idle", "registered anew"])
def test_alive_is_what_introspection_calls_active(store: Store, how: str) -> None:
    given = give(store)
    issued(store, "one", grant=given.grant_id)
    now = NOW
    match how:
        case "revoked" | "registered anew":
            store.clients.revoke(API, event=event(AuditEventKind.REVOKED), now=NOW)
            if how == "registered anew":
                ensure(store.clients)
        case "denied":
            store.clients.deny(API, absent=None, event=event(AuditEventKind.DENIED), now=NOW)
        case "token":
            store.tokens.revoke_token("one", expires_at=NOW + 300, event=event(AuditEventKind.REVOKED), now=NOW)
        case "grant":
            store.grants.end(given.grant_id, event=None, now=NOW)
        case "idle":
            now = NOW + 200
            ensure(store.clients, spiffe(OTHER), idle=100)
            store.clients.record_issue(replace(token_issue(ensure(store.clients), "two"), idle_expiry=100), now=NOW)
    assert (alive(store, now=now) == ["one"]) is (how == "nothing")


def test_a_member_s_token_lives_and_dies_with_the_member(store: Store) -> None:
    for member in (API, OTHER):
        store.clients.record_issue(token_issue(ensure(store.clients, shared(member)), f"of {member}"), now=NOW)
    assert [token.client_id for token in tokens(store)] == [BATCH_CLIENT] * 2
    assert len(alive(store)) == 2
    store.clients.revoke(OTHER, event=event(AuditEventKind.REVOKED), now=NOW)
    assert alive(store) == [f"of {API}"]


def test_ending_tokens_ends_these_alone_once_with_a_row_each(store: Store) -> None:
    for name in ("one", "two", "other"):
        issued(store, name)
    wanted = [token for token in tokens(store) if token.jti != "other"]
    assert store.resting.end_tokens(ending(wanted), now=NOW) == 2
    assert [store.tokens.is_revoked(name) for name in ("one", "two", "other")] == [True, True, False]
    assert alive(store) == ["other"]
    assert store.resting.end_tokens(ending(wanted), now=NOW) == 0
    assert revocations(store) == [API, API]
    issued(store, "afterwards")
    assert alive(store) == ["other", "afterwards"], "the client itself is as it was"


def test_many_revoked_tokens_are_swept_part_by_part(store: Store) -> None:
    names = [f"token-{number}" for number in range(25)]
    for name in names:
        issued(store, name)
    store.resting.end_tokens(ending(tokens(store)), now=NOW)
    left = []
    for _ in range(3):
        store.clients.sweep(
            now=NOW + 2 * 86_400, keep_ended=86_400, pending_expiry=86_400, batch=1, event=lambda record: event()
        )
        left.append(sum(map(store.tokens.is_revoked, names)))
    assert left == [15, 5, 0]


# --- leases -------------------------------------------------------------------------------------------


def leased(store: Store, number: int = 1, authorities: Authorities = LOST, *, until: int = NOW + 100) -> Ensured:
    return ensure(store.clients, instance(number, authorities=authorities), lease=until)


def renew(store: Store, registered: Ensured, authorities: Authorities, until: int, *, renews: bool = True) -> None:
    issue = replace(token_issue(registered, f"until {until}", authorities), lease_until=until, renews=renews)
    store.clients.record_issue(issue, now=NOW)


def leases(store: Store, *, now: int = NOW) -> list[tuple[str, Authorities]]:
    return [(one.client_id, one.authorities) for one in store.resting.leases("example.org", now=now, limit=10)]


def test_a_lease_rests_on_whoever_moved_its_end_to_where_it_is(store: Store) -> None:
    registered = leased(store)
    assert leases(store) == [("instance-1", LOST)]
    renew(store, registered, KEPT, NOW + 50)
    assert leases(store) == [("instance-1", LOST)], "its end is still that of the first"
    renew(store, registered, KEPT, NOW + 200)
    assert leases(store) == [("instance-1", KEPT)]
    renew(store, registered, LOST, NOW + 300, renews=False)
    assert leases(store) == [("instance-1", KEPT)], "by its own key no lease is prolonged"
    record = store.clients.get("instance-1")
    assert record is not None
    assert (record.authorities, record.expires_at) == (KEPT, NOW + 200)


def test_several_renewals_in_one_commit_leave_whoever_came_furthest(store: Store) -> None:
    registered = leased(store)
    for authorities, until in ((KEPT, NOW + 200), (LOST, NOW + 150)):
        renew(store, registered, authorities, until)
    begun = [
        store.clients.begin_issue(replace(token_issue(registered, f"{until}", authorities), lease_until=until), now=NOW)
        for authorities, until in ((LOST, NOW + 400), (KEPT, NOW + 500), (LOST, NOW + 450))
    ]
    for write in begun:
        write.result()
    assert leases(store) == [("instance-1", KEPT)]


def test_leases_are_those_of_live_instances_of_the_trust_domain(store: Store) -> None:
    ensure(store.clients)
    for number in (1, 2, 3):
        leased(store, number, until=NOW + 100 * number)
    ensure(store.clients, instance(4, authorities=LOST, trust_domain="elsewhere.test"), lease=NOW + 500)
    ensure(store.clients, instance(5, authorities=LOST, state=ClientState.PENDING), lease=NOW + 500)
    store.clients.revoke("instance-3", event=event(AuditEventKind.REVOKED), now=NOW)
    assert [name for name, _ in leases(store, now=NOW + 100)] == ["instance-2", "instance-5"]
    assert [one.client_id for one in store.resting.leases("example.org", now=NOW, limit=1, after="instance-1")] == [
        "instance-2"
    ]


def test_an_instance_that_came_back_rests_on_what_brought_it_back(store: Store) -> None:
    leased(store)
    store.clients.revoke("instance-1", event=event(AuditEventKind.REVOKED), now=NOW)
    assert leased(store, authorities=KEPT).created
    assert leases(store) == [("instance-1", KEPT)]


@pytest.mark.parametrize("meanwhile", ["nothing", "renewed by another", "came back", "ended"])
def test_a_lease_ends_as_it_was_seen_or_not_at_all(store: Store, meanwhile: str) -> None:
    registered = leased(store)
    store.clients.await_approval("instance-1", rule="web", digest="terms", now=NOW)
    store.clients.approve("instance-1", note="", event=event(AuditEventKind.APPROVED), now=NOW)
    seen = store.resting.leases("example.org", now=NOW, limit=10)
    if meanwhile == "renewed by another":
        renew(store, registered, KEPT, NOW + 500)
    elif meanwhile != "nothing":
        store.clients.revoke("instance-1", event=event(AuditEventKind.REVOKED), now=NOW)
        if meanwhile == "came back":
            leased(store)
    before = store.clients.get("instance-1")
    assert before is not None
    assert store.resting.end_leases(ending(seen), now=NOW) == (1 if meanwhile == "nothing" else 0)
    after = store.clients.get("instance-1")
    if meanwhile != "nothing":
        assert after == before
        return
    assert after is not None
    assert (after.state, after.epoch > before.epoch) == (ClientState.REVOKED, True)
    assert not store.clients.find("instance-1", subject=API, terms=("web", "terms")).approved
    assert store.clients.count_by_state() == {("instance", ClientState.REVOKED): 1}
    assert revocations(store) == ["instance-1"]
    assert store.resting.end_leases(ending(seen), now=NOW) == 0


# --- grants -------------------------------------------------------------------------------------------


def grants(store: Store, *, now: int = NOW) -> list[tuple[str, Authorities]]:
    return [(one.grant_id, one.authorities) for one in store.resting.grants("example.org", now=now, limit=10)]


def given(store: Store, number: int = 1, authorities: Authorities = LOST, **fields: Any) -> Ensured:
    registered = ensure(store.clients)
    give(store, grant(number, actor=API, authorities=authorities, epoch=str(registered.record.epoch), **fields))
    return registered


def use(store: Store, registered: Ensured, authorities: Authorities, number: int = 1, **fields: Any) -> None:
    stood = store.grants.get(f"grant-{number}")
    assert stood is not None
    issue = issue_for(registered)
    store.clients.record_issue(replace(issue, use=redemption(stood, authorities=authorities, **fields)), now=NOW)


def test_a_grant_rests_on_whoever_used_it_last(store: Store) -> None:
    registered = given(store)
    assert grants(store) == [("grant-1", LOST)]
    use(store, registered, KEPT)
    assert grants(store) == [("grant-1", KEPT)]
    refreshed = {"redeems_code": False, "generation": 1, "next_generation": 1}
    use(store, registered, LOST, **refreshed)
    assert grants(store) == [("grant-1", LOST)]


def test_a_request_hands_on_who_vouched_for_it(store: Store) -> None:
    assert push(store, authorities=LOST).authorities == LOST
    opened = open_request(store)
    assert opened is not None
    assert opened.request.authorities == LOST


@pytest.mark.parametrize("wrong", ["nothing", "ended", "code too old", "registered anew", "nobody's", "elsewhere"])
def test_grants_are_those_that_can_still_be_used(store: Store, wrong: str) -> None:
    actors = {"nobody's": None, "elsewhere": "spiffe://example.orga/x"}
    registered = ensure(store.clients)
    epoch = str(registered.record.epoch)
    give(store, grant(1, actor=actors.get(wrong, API), authorities=LOST, epoch=epoch))
    now = NOW
    match wrong:
        case "ended":
            store.grants.end("grant-1", event=None, now=NOW)
        case "code too old":
            now = NOW + 61
        case "registered anew":
            store.clients.revoke(API, event=event(AuditEventKind.REVOKED), now=NOW)
            ensure(store.clients)
    assert (grants(store, now=now) == [("grant-1", LOST)]) is (wrong == "nothing")


def test_a_grant_of_a_member_ends_with_the_member(store: Store) -> None:
    registered = ensure(store.clients, shared())
    assert registered.member is not None
    epoch = f"{registered.record.epoch}.{registered.member.epoch}"
    give(store, grant(1, client_id=BATCH_CLIENT, actor=API, authorities=LOST, epoch=epoch))
    assert grants(store) == [("grant-1", LOST)]
    store.clients.revoke(API, event=event(AuditEventKind.REVOKED), now=NOW)
    assert grants(store) == []


@pytest.mark.parametrize("is_used", [False, True], ids=["as seen", "used by another meanwhile"])
def test_a_grant_ends_unless_another_authority_vouched_for_it_since(store: Store, is_used: bool) -> None:
    registered = given(store)
    seen = store.resting.grants("example.org", now=NOW, limit=10)
    if is_used:
        use(store, registered, KEPT)
    assert store.resting.end_grants(ending(seen), now=NOW) == (0 if is_used else 1)
    assert store.grants.is_live("grant-1") is is_used
    assert store.grants.counts()["grants"] == (1 if is_used else 0)
    assert revocations(store) == ([] if is_used else [API])
    assert store.resting.end_grants(ending(seen), now=NOW) == 0
