"""Case files: what makes a suite pass, and what it must notice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.policy.cases import BadRequest, Outcome, load_cases, request_of, run
from bridge.policy.findings import Severity
from tests.unit.policy.policy_folders import Policies, rule

ALLOWED = {
    "name": "allowed",
    "subject": "spiffe://example.org/ns/web/sa/api",
    "evidence": "jwt-svid",
    "scope": "ledger.read",
    "expect": "allow",
    "rule": "r",
}
REFUSED = {**ALLOWED, "name": "refused", "scope": "ledger.write", "expect": "deny", "rule": None}


def case(**fields: object) -> str:
    lines = [f"{key} = {value!r}" for key, value in fields.items() if value is not None]
    return "\n[[case]]\n" + "\n".join(lines) + "\n"


def outcome(policies: Policies, *cases: dict[str, object], rules: str | None = None) -> Outcome:
    (policies.path / "tests").mkdir(exist_ok=True)
    policies.write("tests/x.cases.toml", "".join(case(**fields) for fields in cases))
    found, findings = load_cases(policies.path)
    assert findings == ()
    return run(policies.load(rules or rule()), found)


def messages(result: Outcome) -> list[str]:
    return [failure.message for failure in result.failures]


def test_expectations_that_hold_pass(policies: Policies) -> None:
    result = outcome(policies, ALLOWED, REFUSED)
    assert (result.cases, result.passed, result.failures, result.reached) == (2, 2, (), {"r"})


def test_without_a_single_case_no_rule_is_reached(policies: Policies) -> None:
    policies.rules(rule())
    found, _ = load_cases(policies.path)
    assert messages(run(policies.load(), found)) == ["no case that passes reaches the rule 'r'"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rule": "other"}, "expected the rule 'other', got r"),
        ({"scopes": ["ledger.write"]}, "expected the scopes ledger.write, got ledger.read"),
        ({"ttl": "1m"}, "expected the ttl 1m, got 5m"),
        ({"client_id": "x"}, "expected the client_id x, got spiffe://example.org/ns/web/sa/api"),
        ({"scope": "ledger.write"}, "expected allow, got deny"),
        ({"expect": "ask"}, "expected ask, got allow by 'r'"),
    ],
)
def test_each_expectation_is_compared(policies: Policies, change: dict[str, object], says: str) -> None:
    whole = {**ALLOWED, "scopes": ["ledger.read"], "ttl": "5m", "client_id": ALLOWED["subject"]}
    assert outcome(policies, whole).failures == ()
    failures = outcome(policies, whole, {**whole, "name": "changed", **change}).failures
    assert [(f.file, f.case, says in f.message) for f in failures] == [("tests/x.cases.toml", "changed", True)]


def test_a_failure_names_the_line_of_its_case(policies: Policies) -> None:
    (failure,) = outcome(policies, ALLOWED, {**ALLOWED, "name": "second", "ttl": "1m"}).failures
    assert failure.line == 11
    assert (policies.path / failure.file).read_text(encoding="utf-8").splitlines()[10] == "name = 'second'"


def test_a_rule_that_no_case_reaches_fails(policies: Policies) -> None:
    more = rule() + rule("s", when='path = "/x"') + rule("d", effect="deny", when='path = "/y"')
    failures = outcome(policies, ALLOWED, REFUSED, rules=more).failures
    assert [(f.file, f.rule) for f in failures] == [("example.org.toml", "d"), ("example.org.toml", "s")]


def test_a_case_that_fails_reaches_nothing(policies: Policies) -> None:
    assert len(outcome(policies, {**ALLOWED, "ttl": "1m"}).failures) == 2


@pytest.mark.parametrize(
    ("twin", "found"),
    [
        ({}, True),
        ({"subject": "spiffe://example.org/ns/web/sa/other"}, False),
        ({"evidence": "x509-svid"}, False),
        ({"resource": "https://ledger.example.org"}, False),
    ],
)
def test_a_refusal_needs_an_accepted_twin_that_differs_in_one_field(
    policies: Policies, twin: dict[str, object], found: bool
) -> None:
    result = outcome(policies, {**ALLOWED, **twin}, REFUSED)
    assert result.passed == 2
    expected = [] if found else ["the refusal has no twin: add a case that is accepted and differs in one field"]
    assert messages(result) == expected


def test_one_that_is_asked_for_is_an_accepted_twin(policies: Policies) -> None:
    result = outcome(policies, {**ALLOWED, "expect": "ask"}, REFUSED, rules=rule(effect="ask"))
    assert result.failures == ()


def test_the_order_and_spelling_of_scopes_is_no_difference(policies: Policies) -> None:
    twin = {**ALLOWED, "scope": ["ledger.read"]}
    refused = {**REFUSED, "scope": "ledger.read", "door": "register"}
    assert outcome(policies, twin, refused, rules=rule(when='path = "/ns/**", door = "token"')).failures == ()


def test_a_case_proves_every_key_that_its_evidence_can_unless_it_says_otherwise(policies: Policies) -> None:
    result = outcome(
        policies, ALLOWED, {**REFUSED, "scope": "ledger.read", "proved": [], "denial": "proof"}, rules=rule(bind="jkt")
    )
    assert result.failures == ()
    assert result.reached == {"r"}


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("unknown-key", {"subjct": "x"}),
        ("missing-expect", {"expect": None}),
        ("unknown-value", {"expect": "permit"}),
        ("missing-rule", {"rule": None}),
        ("case", {"subject": "ns/web"}),
        ("case", {"subject": "spiffe://example.org/NS/%61"}),
        ("case", {"evidence": None}),
        ("case", {"evidence": "pushed"}),
        ("case", {"subject": None, "issuer": "https://ci.example", "evidence": "software-statement"}),
    ],
)
def test_what_is_no_case_is_a_finding(policies: Policies, code: str, change: dict[str, object]) -> None:
    (policies.path / "tests").mkdir()
    policies.write("tests/x.cases.toml", case(**ALLOWED))
    assert load_cases(policies.path)[1] == ()
    policies.write("tests/x.cases.toml", case(**{**ALLOWED, **change}))
    assert {finding.code for finding in load_cases(policies.path)[1]} == {code}


def test_a_fault_of_a_case_is_not_called_one_of_a_rule(policies: Policies) -> None:
    (policies.path / "tests").mkdir()
    for change in ({"expct": "x"}, {"subject": "ns/web"}, {"rule": None}):
        policies.write("tests/x.cases.toml", case(**{**ALLOWED, **change}))
        (finding,) = load_cases(policies.path)[1]
        assert (finding.rule, finding.case) == ("", "allowed")
        assert ": case 'allowed': " in str(finding)


@pytest.mark.parametrize("cases", ["[case]\nname = 'x'\n", "[case]\nname = 'x'\n[case]\nname = 'y'\n"])
def test_single_brackets_of_a_case_are_told_what_to_be(policies: Policies, cases: str) -> None:
    (policies.path / "tests").mkdir()
    policies.write("tests/x.cases.toml", cases)
    (finding,) = load_cases(policies.path)[1]
    assert (finding.line, "write [[case]], with double brackets, once per case" in finding.message) == (1, True)


@pytest.mark.parametrize(
    ("stray", "found"),
    [
        ("tests/x.case.toml", True),
        ("tests/x.toml", True),
        ("tests/team/x.cases.toml", True),
        ("tests/x.cases.toml", False),
        ("tests/README.md", False),
        ("tests/.x.toml", False),
    ],
)
def test_a_case_file_that_is_not_read_is_a_warning(policies: Policies, stray: str, found: bool) -> None:
    (policies.path / stray).parent.mkdir(parents=True)
    policies.write(stray, case(**ALLOWED))
    told = [(finding.file, finding.code, finding.severity) for finding in load_cases(policies.path)[1]]
    assert told == ([(stray, "not-read", Severity.WARNING)] if found else [])


def test_bytes_that_are_no_case_file_are_a_finding(policies: Policies) -> None:
    (policies.path / "tests").mkdir()
    (policies.path / "tests" / "x.cases.toml").write_bytes(b"case = [")
    (policies.path / "tests" / "y.cases.toml").mkdir()
    assert [(f.file, f.code) for f in load_cases(policies.path)[1]] == [
        ("tests/x.cases.toml", "syntax"),
        ("tests/y.cases.toml", "unreadable"),
    ]


def test_a_request_s_source_follows_from_its_subject() -> None:
    def source(**words: str) -> str:
        return request_of(subject=words.pop("subject", None), **words).subject.source  # type: ignore[arg-type]

    assert source(subject="spiffe://example.org/a", evidence="jwt-svid") == "spiffe"
    assert source(subject="https://a.example/c") == "metadata-document"
    assert source(subject="x", issuer="https://ci.example") == "software-statement"
    assert source() == "pushed"
    with pytest.raises(BadRequest):
        source(subject="http://a.example/c")


def test_a_request_is_the_same_when_written_otherwise() -> None:
    one = request_of(subject="https://a.example/c", scopes=["b a"])
    other = request_of(subject="https://a.example/c", scopes=["a", "b"])
    assert one.fields == other.fields
    assert one.fields != replace(other, proved=frozenset()).fields
