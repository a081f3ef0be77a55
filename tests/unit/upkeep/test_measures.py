"""What `/metrics` says of limits: by trust domain and by rule, and never whose the other buckets are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from bridge.config.settings import Limits
from bridge.measures import SHOWN_WITHOUT_RECORDS, Measures
from bridge.model.audit import AuditEventKind
from bridge.model.client import ClientKind, ClientState, ProposedClient, Provenance
from bridge.model.errors import LimitReached
from bridge.observe import metrics
from bridge.observe.observer import RequestObserver
from bridge.store import admission
from bridge.store.ports import RegistrationLimits, Store
from bridge.store.requests import REQUEST_LIMIT
from tests.contract.flows import give, push, session
from tests.contract.places import ADAPTERS
from tests.contract.records import API, NOW, WIDE, ensure, event, instance, spiffe

DOMAIN, OTHER_DOMAIN = "example.org", "other.example"
CI = "https://ci.example.org"
ANONYMOUS = "anonymous_per_minute"
TIGHT = replace(
    WIDE, records=10, pending=4, per_second=1, burst=8, rule_per_second=1, rule_burst=5, identity_per_minute=60
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    place = ADAPTERS["sqlite"](tmp_path)
    place.create()
    yield place.open()
    place.close()


@pytest.fixture
def measures(store: Store) -> Measures:
    def limits(trust_domain: str | None) -> RegistrationLimits:
        return TIGHT if trust_domain == DOMAIN else replace(TIGHT, records=100)

    return Measures(store, limits=limits, trust_domains=frozenset({DOMAIN, OTHER_DOMAIN}))


def used(limit: str, *, trust_domain: str = "", rule: str = "") -> float | None:
    labels = {"limit": limit, "trust_domain": trust_domain, "rule": rule}
    return REGISTRY.get_sample_value("bridge_limit_used_ratio", labels)


def held(trust_domain: str, state: str) -> float | None:
    labels = {"trust_domain": trust_domain, "state": state}
    return REGISTRY.get_sample_value("bridge_trust_domain_records", labels)


def empty(limit: str) -> float | None:
    return REGISTRY.get_sample_value("bridge_limit_empty_buckets", {"limit": limit})


def stated(number: int) -> ProposedClient:
    return ProposedClient(
        client_id=f"statement-{number}",
        kind=ClientKind.STATEMENT,
        subject=f"{CI} job-{number}",
        trust_domain=None,
        state=ClientState.ACTIVE,
        rule="ci",
        provenance=Provenance(statement_issuer=CI),
    )


def test_records_stand_against_the_limits_of_their_trust_domain(store: Store, measures: Measures) -> None:
    """ROFU-28: those that wait are records, too; what ended is none."""
    for number in range(3):
        ensure(store.clients, spiffe(f"{API}-{number}"), limits=TIGHT)
    ensure(store.clients, spiffe(f"{API}-waits", state=ClientState.PENDING), limits=TIGHT)
    ensure(store.clients, spiffe("spiffe://other.example/a", trust_domain=OTHER_DOMAIN), limits=TIGHT)
    measures.take(NOW)
    assert (held(DOMAIN, "active"), held(DOMAIN, "pending")) == (3, 1)
    assert used("records_per_trust_domain", trust_domain=DOMAIN) == 0.4
    assert used("pending_per_trust_domain", trust_domain=DOMAIN) == 0.25
    assert used("records_per_trust_domain", trust_domain=OTHER_DOMAIN) == 0.01, "its limit is another one"
    store.clients.revoke(f"{API}-0", event=event(AuditEventKind.REVOKED), now=NOW)
    measures.take(NOW)
    assert used("records_per_trust_domain", trust_domain=DOMAIN) == 0.3


@pytest.mark.parametrize(("others", "shown"), [(2, 0), (SHOWN_WITHOUT_RECORDS, None)], ids=["few", "many"])
def test_of_many_trust_domains_those_are_shown_that_had_a_record(store: Store, others: int, shown: int | None) -> None:
    """However many are configured, a scrape holds those that are used."""
    name, void = f"inhabited-{others}.example", f"void-{others}.example"
    names = frozenset({name, void, *(f"other-{number}.example" for number in range(others - 1))})
    measures = Measures(store, limits=lambda trust_domain: TIGHT, trust_domains=names)
    ensure(store.clients, spiffe(f"spiffe://{name}/a", trust_domain=name), limits=TIGHT)
    measures.take(NOW)
    assert (held(name, "active"), held(void, "active")) == (1, shown)
    assert used("records_per_trust_domain", trust_domain=void) == shown
    store.clients.revoke(f"spiffe://{name}/a", event=event(AuditEventKind.REVOKED), now=NOW)
    measures.take(NOW)
    assert (held(name, "active"), used("records_per_trust_domain", trust_domain=name)) == (0, 0)


def test_buckets_of_trust_domains_and_rules_are_shown_by_name_until_they_are_full(
    store: Store, measures: Measures
) -> None:
    """DCR-22."""
    for number in range(4):
        ensure(store.clients, spiffe(f"{API}-{number}", rule="shop" if number else "till"), limits=TIGHT)
    measures.take(NOW)
    assert used("registrations_per_second", trust_domain=DOMAIN) == 0.5
    assert used("registrations_per_second", trust_domain=OTHER_DOMAIN) == 0
    assert used("rule_registrations_per_second", rule="shop") == 0.6
    assert used("rule_registrations_per_second", rule="till") == 0.2
    measures.take(NOW + 1)
    assert used("registrations_per_second", trust_domain=DOMAIN) == 0.375
    assert used("rule_registrations_per_second", rule="till") == 0
    measures.take(NOW + 10)
    assert used("registrations_per_second", trust_domain=DOMAIN) == 0
    assert used("rule_registrations_per_second", rule="shop") == 0


def test_of_all_other_buckets_no_key_is_shown_but_the_fullest_use_and_how_many_are_empty(
    store: Store, measures: Measures
) -> None:
    """T-41: labels that callers choose would be a flood of their own, and say who is who."""
    for address, times in (("192.0.2.1", 3), ("192.0.2.2", 3), ("2001:db8:1::/48", 1)):
        for _ in range(times):
            store.buckets.spend(ANONYMOUS, address, per_minute=60, burst=3, now=NOW)
    ensure(store.clients, instance(parent=API), limits=replace(TIGHT, instances=4))
    for number in range(2):
        ensure(store.clients, stated(number), limits=TIGHT)
    measures.take(NOW)
    assert (used(ANONYMOUS), empty(ANONYMOUS)) == (1, 2)
    assert (used("identity_registrations_per_minute"), empty("identity_registrations_per_minute")) == (0.25, 0)
    assert used("registrations_per_second") == 0.25, "of the issuer of statements"
    assert used("records_per_trust_domain") == 0.02
    shown = metrics.exposition().decode()
    for key in ("192.0.2", "2001:db8", API, CI, "job-"):
        assert key not in shown
    measures.take(NOW + 60)
    assert (used(ANONYMOUS), empty(ANONYMOUS)) == (0, 0)


def test_the_code_flow_is_counted_and_requests_stand_against_their_limit(store: Store, measures: Measures) -> None:
    """T-42: by what it is alone, never by client or user."""

    def counted(what: str) -> float | None:
        return REGISTRY.get_sample_value("bridge_code_flow", {"what": what})

    give(store)
    for _ in range(2):
        push(store, f"{_}")
    store.sessions.begin(session())
    measures.take(NOW)
    assert [counted(what) for what in ("requests", "grants", "sessions")] == [2, 1, 1]
    assert used("waiting_requests") == 2 / REQUEST_LIMIT
    store.grants.end("grant-1", event=None, now=NOW)
    measures.take(NOW)
    assert counted("grants") == 0


def test_a_refusal_counts_under_the_name_of_its_limit() -> None:
    """ROFU-28."""
    labels = {"limit": admission.INSTANCES}
    before = REGISTRY.get_sample_value("bridge_limit_refusals_total", labels) or 0
    RequestObserver().refused("register", LimitReached(admission.INSTANCES, 3), "an-id", "192.0.2.1")
    assert REGISTRY.get_sample_value("bridge_limit_refusals_total", labels) == before + 1


@pytest.mark.parametrize(
    "limit",
    [
        admission.RECORDS,
        admission.PENDING,
        admission.INSTANCES,
        admission.REGISTRATIONS,
        admission.OF_RULE,
        admission.OF_IDENTITY,
        ANONYMOUS,
    ],
)
def test_the_names_of_limits_are_those_of_the_configuration(limit: str) -> None:
    assert limit in Limits.model_fields
