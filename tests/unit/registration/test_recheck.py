"""What changed rules make of the records that there are: a pure question, and every answer it has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bridge.model.client import ClientKind, ClientRecord, ClientState, Member, Provenance
from bridge.model.evidence import EvidenceKind
from bridge.model.identity import PolicySubject, Source
from bridge.model.spiffe_id import SpiffeId
from bridge.model.terms import ClientChoice, ClientMode
from bridge.policy.evaluate import PolicySet
from bridge.policy.folder import PolicyDefaults, check_folder
from bridge.registration.naming import name_of
from bridge.registration.recheck import Outcome, Verdict, recheck, recheck_member

API = "spiffe://example.org/ns/web/sa/api"
THUMBPRINT = "A" * 43
CATALOGUE = """version = 1
[resources."https://ledger.example.org"]
description = "The ledger"
scopes = { "ledger.read" = "Read", "ledger.write" = "Write" }
[resources."https://mail.example.org"]
description = "Mail"
scopes = { "mail.send" = "Send" }
"""
SPIFFE = 'version = 1\nsource = "spiffe"\ntrust_domain = "example.org"\n'
STATEMENTS = 'version = 1\nsource = "software-statement"\n'
LEDGER = 'resources = ["https://ledger.example.org"], scopes = ["ledger.read"]'
BOTH = 'resources = ["https://ledger.example.org", "https://mail.example.org"], scopes = ["ledger.read", "mail.send"]'
WEB = 'path = "/ns/web/sa/*"'
SUBJECT = PolicySubject(Source.SPIFFE, EvidenceKind.JWT_SVID, spiffe_id=SpiffeId.parse(API))
STATEMENT = PolicySubject(
    Source.SOFTWARE_STATEMENT, EvidenceKind.SOFTWARE_STATEMENT, issuer="https://ci.example.org", subject="a b"
)


def rule(id: str = "web", effect: str = "allow", when: str = WEB, grant: str = LEDGER, more: str = "") -> str:
    text = f'[[rule]]\nid = "{id}"\nwhy = "x"\neffect = "{effect}"\nwhen = {{ {when} }}\n'
    return text if effect == "deny" else f'{text}grant = {{ {grant}, bind = "if-present"{more} }}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "catalogue.toml").write_text(CATALOGUE)
    return tmp_path


def rules(folder: Path, text: str, file: str = "example.org.toml", header: str = SPIFFE) -> PolicySet:
    (folder / file).write_text(header + text)
    checked = check_folder(folder, PolicyDefaults())
    assert checked.policy_set is not None, checked.findings
    return checked.policy_set


def record(
    subject: PolicySubject = SUBJECT, choice: ClientChoice | None = None, thumbprint: str | None = None
) -> ClientRecord:
    name = name_of(subject, choice or ClientChoice(), thumbprint)
    return ClientRecord(
        client_id=name.client_id,
        kind=name.kind,
        subject=name.subject,
        trust_domain=name.trust_domain,
        state=ClientState.ACTIVE,
        rule="web",
        epoch=1,
        created_at=1,
        last_used_at=1,
        expires_at=None,
        parent=name.parent,
        provenance=Provenance(subject.evidence),
    )


def instance(subject: PolicySubject = SUBJECT) -> ClientRecord:
    return record(subject, ClientChoice(ClientMode.INSTANCE), THUMBPRINT)


def verdict(policy: PolicySet, of: ClientRecord, *, approved: bool = False) -> Verdict:
    return recheck(of, policy, approved=lambda client_id, rule, digest: approved and client_id == of.client_id)


def test_a_record_whose_rule_stands_is_admitted_by_it(folder: Path) -> None:
    assert verdict(rules(folder, rule()), record()) == Verdict(Outcome.ADMITTED, "web", API)
    assert not verdict(rules(folder, rule()), record()).changes


@pytest.mark.parametrize(
    ("grant", "more", "when"),
    [
        pytest.param(BOTH, "", WEB, id="needs a resource to be named"),
        pytest.param(LEDGER, ', grant_types = ["authorization_code"]', WEB, id="of another grant type"),
        pytest.param(LEDGER, "", f'{WEB}, door = "par"', id="at another door"),
        pytest.param(LEDGER, "", f'{WEB}, evidence = "x509-svid"', id="with the other SVID"),
    ],
)
def test_it_is_admitted_where_any_request_could_be(folder: Path, grant: str, more: str, when: str) -> None:
    assert verdict(rules(folder, rule(grant=grant, more=more, when=when)), record()).outcome is Outcome.ADMITTED


def test_a_record_that_another_rule_admits_stands(folder: Path) -> None:
    found = verdict(rules(folder, rule("general")), record())
    assert (found.outcome, found.rule, found.changes) == (Outcome.OTHER_RULE, "general", False)


def test_the_rule_on_the_record_goes_before_a_heavier_one_at_another_door(folder: Path) -> None:
    heavier = rule("heavy", when='path = "/ns/web/sa/api", door = "token"')
    assert verdict(rules(folder, rule() + heavier), record()).rule == "web"


def test_a_record_that_no_rule_names_any_more_ends(folder: Path) -> None:
    found = verdict(rules(folder, rule(when='path = "/ns/pay/sa/*"')), record())
    assert (found.outcome, found.rule, found.ends) == (Outcome.NO_RULE, None, True)


@pytest.mark.parametrize("what", ["", ', scope = "ledger.read"', ', resource = "https://ledger.example.org"'])
def test_a_record_that_a_deny_leaves_nothing_ends_by_its_name(folder: Path, what: str) -> None:
    found = verdict(rules(folder, rule() + rule("no", "deny", WEB + what)), record())
    assert (found.outcome, found.rule, found.ends) == (Outcome.DENIED, "no", True)


@pytest.mark.parametrize("what", [', evidence = "jwt-svid"', ', scope = "ledger.write"', ', door = "token"'])
def test_a_deny_of_something_else_leaves_it_admitted(folder: Path, what: str) -> None:
    assert verdict(rules(folder, rule() + rule("no", "deny", WEB + what)), record()).outcome is Outcome.ADMITTED


def test_a_record_whose_rule_asks_now_waits_unless_it_is_approved_rofu_12(folder: Path) -> None:
    policy = rules(folder, rule(effect="ask"))
    found = verdict(policy, record())
    assert (found.outcome, found.rule, found.changes, found.ends) == (Outcome.WAITS, "web", True, False)
    assert verdict(policy, record(), approved=True).outcome is Outcome.ADMITTED


def test_another_rule_does_not_hide_that_its_own_asks_now(folder: Path) -> None:
    other = rule("mail", grant='resources = ["https://mail.example.org"], scopes = ["mail.send"]')
    found = verdict(rules(folder, rule(effect="ask", more=', token_ttl = "1m"') + other), record())
    assert (found.outcome, found.rule) == (Outcome.WAITS, "web")


def test_a_record_that_waits_already_does_not_change(folder: Path) -> None:
    waiting = replace(record(), state=ClientState.PENDING)
    assert not verdict(rules(folder, rule(effect="ask")), waiting).changes
    assert not verdict(rules(folder, rule("other", effect="ask")), waiting).changes


@pytest.mark.parametrize(
    ("client", "of", "client_id"),
    [
        pytest.param('{ shared = "fleet" }', record(), "fleet", id="identity to shared"),
        pytest.param('"instance"', record(), "", id="identity to instance"),
        pytest.param('"identity"', instance(), API, id="instance to identity"),
        pytest.param('{ shared = "fleet" }', instance(), "fleet", id="instance to shared"),
    ],
)
def test_a_record_of_an_identity_that_is_another_client_now_ends(
    folder: Path, client: str, of: ClientRecord, client_id: str
) -> None:
    found = verdict(rules(folder, rule(more=f", client = {client}")), of)
    assert (found.outcome, found.client_id, found.ends) == (Outcome.OTHER_CLIENT, client_id, True)


def test_an_instance_stands_as_long_as_its_identity_has_instances(folder: Path) -> None:
    policy = rules(folder, rule(more=', client = "instance"'))
    assert verdict(policy, instance()) == Verdict(Outcome.ADMITTED, "web", instance().client_id)


@pytest.mark.parametrize("make", [record, instance], ids=["identity", "instance"])
def test_a_statement_s_client_is_judged_by_issuer_and_subject(folder: Path, make: object) -> None:
    of = make(STATEMENT)  # type: ignore[operator]
    client = '"instance"' if of.kind is ClientKind.INSTANCE else '"identity"'
    when = 'issuer = "https://ci.example.org", subject = "a b"'
    file, more = "software-statements.toml", f", client = {client}"
    good = rules(folder, rule(when=when, more=more), file, STATEMENTS)
    assert verdict(good, of).outcome is Outcome.ADMITTED
    bad = rules(folder, rule(when=when.replace("a b", "a"), more=more), file, STATEMENTS)
    assert verdict(bad, of).outcome is Outcome.NO_RULE


def test_without_provenance_both_svids_are_tried(folder: Path) -> None:
    unknown = replace(record(), provenance=Provenance())
    for evidence in ("jwt-svid", "x509-svid"):
        policy = rules(folder, rule(when=f'{WEB}, evidence = "{evidence}"'))
        assert verdict(policy, unknown).outcome is Outcome.ADMITTED


def test_a_shared_client_ends_when_no_rule_gives_it_and_its_members_when_none_gives_it_to_them(folder: Path) -> None:
    shared = record(SUBJECT, ClientChoice(ClientMode.SHARED, "fleet"))
    member = Member("fleet", API, ClientState.ACTIVE, 1, 1, 1)

    def of_member(policy: PolicySet) -> Verdict:
        return recheck_member(shared, member, policy, approved=lambda *terms: False)

    given = rules(folder, rule(more=', client = { shared = "fleet" }'))
    assert verdict(given, shared).outcome is Outcome.ADMITTED
    assert of_member(given).outcome is Outcome.ADMITTED
    elsewhere = rules(folder, rule("pay", when='path = "/ns/pay/sa/*"', more=', client = { shared = "fleet" }'))
    assert verdict(elsewhere, shared).outcome is Outcome.OTHER_RULE
    assert of_member(elsewhere).outcome is Outcome.NO_RULE
    own = rules(folder, rule())
    assert (verdict(own, shared).outcome, verdict(own, shared).ends) == (Outcome.NO_RULE, True)
    assert (of_member(own).outcome, of_member(own).client_id) == (Outcome.OTHER_CLIENT, API)


def test_kinds_without_a_door_are_left_alone(folder: Path) -> None:
    pushed = replace(record(), kind=ClientKind.PUSHED)
    assert not verdict(rules(folder, rule("none-of-its-own")), pushed).changes
