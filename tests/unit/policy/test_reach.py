"""Who could get what: the table says neither more nor less than decisions do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.model.evidence import Door, EvidenceKind
from bridge.model.identity import PolicySubject, Source
from bridge.model.spiffe_id import SpiffeId
from bridge.model.terms import Effect
from bridge.policy.cases import subject_of
from bridge.policy.evaluate import PolicySet
from bridge.policy.folder import PolicyDefaults, check_folder
from bridge.policy.pattern import spiffe_address as address
from bridge.policy.pattern import spiffe_id_pattern, url_pattern
from bridge.policy.reach import Reach, Survey
from bridge.policy.vocabulary import GRANTS_AT
from bridge.spire.entries import MalformedEntries, parse_entries
from tests.unit.policy.test_properties import ALL, Spec, _asks, _rules, _subjects, policy_of

SHIPPED = Path(__file__).resolve().parents[3] / "policies"


def shipped() -> PolicySet:
    found = check_folder(SHIPPED, PolicyDefaults()).policy_set
    assert found is not None
    return found


def key(row: Reach) -> tuple[str, str, Door, EvidenceKind]:
    return row.resource, row.scope, row.door, row.evidence


# --- laws ---------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(_rules, _subjects, _asks)
def test_whatever_is_decided_in_favour_stands_in_the_table_and_in_the_identity_s_own(
    specs: Sequence[Spec], subject: PolicySubject, ask: object
) -> None:
    policy = policy_of(list(specs))
    decision = policy.decide(subject, ask, proved=ALL)  # type: ignore[arg-type]
    if decision.effect is Effect.DENY or ask.grant_type not in GRANTS_AT[ask.door]:  # type: ignore[attr-defined]
        return
    survey = Survey(policy)
    table, own = list(survey.whole()), list(survey.of_subject(subject))
    assert subject.spiffe_id is not None
    homes = policy.catalogue.home
    for scope in decision.scopes:
        wanted = (homes[scope], scope, ask.door, subject.evidence)  # type: ignore[attr-defined]
        here = [row for row in table if key(row) == wanted and row.rule == decision.rule]
        named = [row for row in here if spiffe_id_pattern(row.pattern).matches(address(subject.spiffe_id))]
        assert [row for row in named if ask.grant_type in row.grant_types and row.effect is decision.effect]  # type: ignore[attr-defined]
        assert [row for row in own if key(row) == wanted and ask.grant_type in row.grant_types]  # type: ignore[attr-defined]


@settings(max_examples=150, deadline=None)
@given(_rules)
def test_whatever_stands_in_the_table_without_a_deny_beside_it_is_got_by_all_it_stands_for(
    specs: Sequence[Spec],
) -> None:
    """By one whose segments no rule names, in the place of each wildcard; a `**` stands for one to three of them."""
    policy = policy_of(list(specs))
    survey = Survey(policy)
    for row in survey.whole():
        if row.unless:
            continue
        for length in (1, 2, 3):
            path = row.pattern.replace("**", "/".join(["any"] * length)).replace("*", "any")
            subject = subject_of(path, evidence=row.evidence)
            got = {key(own): own.grant_types for own in survey.of_subject(subject)}
            assert key(row) in got
            assert set(row.grant_types) <= {
                grant for own in survey.of_subject(subject) if key(own) == key(row) for grant in own.grant_types
            }


@settings(max_examples=100, deadline=None)
@given(_rules, st.lists(_subjects, max_size=4))
def test_an_entry_is_without_a_rule_exactly_when_it_gets_nothing(
    specs: Sequence[Spec], subjects: list[PolicySubject]
) -> None:
    survey = Survey(policy_of(list(specs)))
    identities = {subject.spiffe_id for subject in subjects if subject.spiffe_id is not None}
    unmatched = survey.unmatched(identities)
    assert set(unmatched.identities) == {
        subject.spiffe_id for subject in subjects if not list(survey.of_subject(subject))
    }
    for pattern, rule in unmatched.rules:
        assert not any(spiffe_id_pattern(pattern).matches(address(one)) for one in identities)
        assert rule in {spec.id for spec in specs if spec.effect != "deny"}


# --- the four sources ---------------------------------------------------------------------------------------------


def test_the_shipped_table_has_all_four_sources_in_order() -> None:
    rows = list(Survey(shipped()).whole())
    assert list(dict.fromkeys(row.source for row in rows)) == list(Source)
    assert {row.rule for row in rows} == {rule.id for rule in shipped().rules if rule.terms is not None}


def test_a_deny_that_meets_some_is_named_and_one_that_meets_all_takes_the_row_away() -> None:
    rows = list(Survey(shipped()).whole())
    web = [row for row in rows if row.rule == "web-reads-ledger"]
    assert {row.unless for row in web} == {("no-default-service-account",)}
    # The deny of writing without a key covers everybody who comes with a JWT-SVID, so it needs no exception.
    assert {row.evidence for row in rows if row.scope == "ledger.write" and row.source is Source.SPIFFE} == {
        "x509-svid"
    }


def test_documents_show_who_may_act_for_them_and_the_trust_domain_s_denies_beside_it() -> None:
    rows = [row for row in Survey(shipped()).whole() if row.rule == "agent-documents-call-tools"]
    acted = {row.actor: row.unless for row in rows if row.evidence != "metadata-document"}
    assert acted == {"spiffe://example.org/ns/agents/sa/*": ("no-default-service-account",)}
    assert {row.actor for row in rows if row.evidence == "metadata-document"} <= {None}


def test_an_identity_sees_the_documents_it_may_act_for_unless_its_trust_domain_denies_it() -> None:
    survey = Survey(shipped())
    agent = list(survey.of_subject(subject_of("spiffe://example.org/ns/agents/sa/mail")))
    assert {row.source for row in agent} == {Source.SPIFFE, Source.METADATA_DOCUMENT}
    assert {row.actor for row in agent} == {None, "spiffe://example.org/ns/agents/sa/mail"}
    assert list(survey.of_subject(subject_of("spiffe://example.org/ns/agents/sa/default"))) == []


def test_a_document_is_asked_about_alone_or_with_who_acts_for_it() -> None:
    survey = Survey(shipped())
    url, agent = "https://agents.example.org/mail", "spiffe://example.org/ns/agents/sa/mail"
    acted = {row.evidence for row in survey.of_subject(subject_of(url, spiffe_id=agent))}
    assert "jwt-svid" in acted
    assert "x509-svid" not in acted, "a certificate comes in its own SPIFFE ID's name alone (SCA-15)"
    assert "jwt-svid" not in {row.evidence for row in survey.of_subject(subject_of(url))}
    denied = subject_of(url, spiffe_id="spiffe://example.org/ns/agents/sa/default")
    assert "jwt-svid" not in {row.evidence for row in survey.of_subject(denied)}


def test_a_statement_s_subject_and_a_pushed_client_have_answers_too() -> None:
    survey = Survey(shipped())
    release = list(survey.of_subject(subject_of("pipelines/release", issuer="https://ci.example.org")))
    assert {(row.pattern, row.scope) for row in release} == {
        ("https://ci.example.org pipelines/release", "reports.read")
    }
    pushed = list(survey.of_subject(subject_of(None)))
    assert {(row.pattern, row.scope, row.door, row.grant_types) for row in pushed} == {
        ("pushed", "tools.list", Door.PAR, ("authorization_code",))
    }


def test_what_no_request_can_be_is_no_way_in() -> None:
    """A code is decided where it began, so the token endpoint alone gives nobody one."""
    for row in Survey(shipped()).whole():
        assert row.door is not Door.TOKEN or row.grant_types == ("client_credentials",)
        assert row.door not in (Door.PAR, Door.AUTHORIZE) or "client_credentials" not in row.grant_types


def test_a_document_s_pattern_is_matched_by_what_the_table_says() -> None:
    rows = [row for row in Survey(shipped()).whole() if row.source is Source.METADATA_DOCUMENT]
    assert all(url_pattern(row.pattern) for row in rows)


# --- SPIRE's entries ----------------------------------------------------------------------------------------------


def entries(*names: tuple[str, str]) -> bytes:
    listed = [{"id": "x", "spiffe_id": {"trust_domain": td, "path": path}, "selectors": []} for td, path in names]
    return json.dumps({"entries": listed, "next_page_token": ""}).encode()


def test_entries_and_rules_that_do_not_fit_are_both_told() -> None:
    found = parse_entries(
        entries(("example.org", "/ns/web/sa/shop"), ("example.org", "/ns/web/sa/default"), ("example.org", "/x"))
    )
    unmatched = Survey(shipped()).unmatched(found)
    assert [str(one) for one in unmatched.identities] == [
        "spiffe://example.org/ns/web/sa/default", "spiffe://example.org/x",
    ]  # fmt: skip
    assert "web-reads-ledger" not in {rule for _, rule in unmatched.rules}
    assert ("spiffe://example.org/vm/batch/*", "batch-reads-reports") in unmatched.rules


def test_rules_of_a_trust_domain_that_the_server_does_not_issue_are_not_its_affair() -> None:
    assert Survey(shipped()).unmatched([SpiffeId.parse("spiffe://other.example/x")]).rules == ()


def test_spire_s_own_identities_are_no_workloads() -> None:
    assert parse_entries(entries(("example.org", "/spire/agent/x"), ("example.org", "/spired"))) == (
        SpiffeId.parse("spiffe://example.org/spired"),
    )


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"[]", b"{}", b'{"entries": {}}', b'{"entries": [1]}', b'{"entries": [{"spiffe_id": "spiffe://a/b"}]}',
        entries(("EXAMPLE", "/x")), entries(("example.org", "")), b"Found 3 entries",
    ],
)  # fmt: skip
def test_what_is_not_spire_s_output_is_refused(raw: bytes) -> None:
    assert parse_entries(b'{"entries": []}') == ()
    with pytest.raises(MalformedEntries):
        parse_entries(raw)


def test_a_subject_without_evidence_is_asked_for_each() -> None:
    survey = Survey(shipped())
    shop = subject_of("spiffe://example.org/ns/web/sa/shop")
    assert list(survey.of_subject(shop)) == list(survey.of_subject(replace(shop, evidence=EvidenceKind.JWT_SVID)))
    assert {row.evidence for row in survey.of_subject(shop)} == {"jwt-svid", "x509-svid"}
