"""`bridge policy suggest`: the narrowest rule that would have admitted a request, or what refused it instead."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.ambient import now
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.policy.cases import request_of
from bridge.policy.fmt import formatted
from bridge.policy.folder import PolicyDefaults, check_folder
from bridge.store.ports import Store
from tests.unit.cli.conftest import ROOT, Run

API = "spiffe://example.org/ns/web/sa/api"
LEDGER = "https://ledger.example.org"
Refuse = Callable[..., None]


@pytest.fixture
def refuse(store: Store, folder: Path) -> Refuse:
    """Write down that a request was refused, under the shipped policies. Its id is `id-1`."""
    shutil.rmtree(folder / "policies")
    shutil.copytree(ROOT / "policies", folder / "policies")

    def write(reason: str = "policy_no_rule", **words: Any) -> None:
        request = request_of(**{"subject": API, "evidence": "jwt-svid", "proved": (), **words})
        ask = {**request.ask.to_audit(), "proved": sorted(method.value for method in request.proved)}
        store.audit.append(
            AuditEvent(
                id="id-1",
                time=now(),
                event=AuditEventKind.REFUSED,
                door=request.ask.door.value,
                subject=request.subject.actor,
                evidence=request.subject.evidence.value,
                ask=ask,
                outcome="deny",
                reason=reason,
                client_id=request.subject.url or "",
            )
        )

    return write


SUGGEST = ("policy", "suggest", "id-1")


def put_down(folder: Path, told: dict[str, Any]) -> None:
    """Paste a suggestion where it says that it belongs."""
    policies = folder / "policies"
    path = policies / told["file"]
    if told["line"]:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        end = next((n for n in range(told["line"], len(lines)) if lines[n].startswith("[[rule]]")), len(lines))
        path.write_text("".join([*lines[: told["line"] - 1], told["text"], "\n", *lines[end:]]), encoding="utf-8")
    else:
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        path.write_text(f"{before}\n{told['text']}", encoding="utf-8")
    cases = policies / told["case_file"]
    before = cases.read_text(encoding="utf-8") if cases.exists() else ""
    cases.write_text(f"{before}\n{told['cases']}", encoding="utf-8")


VISITOR = {"subject": "spiffe://example.org/ns/visitors/sa/web"}
TILL = {"subject": "spiffe://example.org/ns/web/sa/till"}
EVIL = 'a "b" \x1b[31m'
# Who would have been admitted by what: `when` and `grant` of the rule.
ADMITTED = {
    "a workload without a key": (
        {**VISITOR, "scopes": ["ledger.read"]},
        {"path": "/ns/visitors/sa/web", "evidence": "jwt-svid", "door": "token"},
        {"resources": [LEDGER], "scopes": ["ledger.read"], "grant_types": ["client_credentials"], "bind": "if-present"},
    ),
    "a workload with a DPoP key": (
        {**VISITOR, "scopes": ["ledger.read"], "proved": ["jkt"]},
        {"path": "/ns/visitors/sa/web", "evidence": "jwt-svid", "door": "token"},
        {"resources": [LEDGER], "scopes": ["ledger.read"], "grant_types": ["client_credentials"], "bind": "jkt"},
    ),
    "a workload with its certificate": (
        {**VISITOR, "scopes": ["ledger.write"], "evidence": "x509-svid", "proved": ["x5t#S256"]},
        {"path": "/ns/visitors/sa/web", "evidence": "x509-svid", "door": "token"},
        {"resources": [LEDGER], "scopes": ["ledger.write"], "grant_types": ["client_credentials"], "bind": "x5t#S256"},
    ),
    "one that gets a part of it: the terms stay": (
        {**TILL, "scopes": ["ledger.read", "reports.read"], "resources": [LEDGER, "https://reports.example.org"]},
        {"path": "/ns/web/sa/till", "evidence": "jwt-svid", "door": "token"},
        {
            "resources": [LEDGER, "https://reports.example.org"],
            "scopes": ["ledger.read", "reports.read"],
            "grant_types": ["client_credentials"],
            "bind": "if-present",
            "token_ttl": "5m",
        },
    ),
    "one that asks for more: a request that names nothing gets what it got": (
        {**TILL, "scopes": ["ledger.write"], "evidence": "x509-svid", "proved": ["x5t#S256"]},
        {"path": "/ns/web/sa/till", "evidence": "x509-svid", "door": "token"},
        {
            "resources": [LEDGER],
            "scopes": ["ledger.read", "ledger.write"],
            "grant_types": ["client_credentials"],
            "bind": "if-present",
            "token_ttl": "5m",
        },
    ),
    "one that asks another resource": (
        {**TILL, "scopes": ["reports.read"]},
        {"path": "/ns/web/sa/till", "evidence": "jwt-svid", "door": "token"},
        {
            "resources": ["https://reports.example.org", LEDGER],
            "scopes": ["ledger.read", "reports.read"],
            "grant_types": ["client_credentials"],
            "bind": "if-present",
            "token_ttl": "5m",
        },
    ),
    "another trust domain, in a file of its own": (
        {"subject": "spiffe://other.example/a", "scopes": ["ledger.read"]},
        {"path": "/a", "evidence": "jwt-svid", "door": "token"},
        {"resources": [LEDGER], "scopes": ["ledger.read"], "grant_types": ["client_credentials"], "bind": "if-present"},
    ),
    "a document": (
        {"subject": "https://a.other.example/oauth/x", "evidence": None, "door": "par", "scopes": ["tools.list"]},
        {"url": "https://a.other.example/oauth/x", "evidence": "metadata-document", "door": "par"},
        {
            "resources": ["https://tools.example.org/mcp"],
            "scopes": ["tools.list"],
            "grant_types": ["authorization_code"],
            "bind": "jkt",
        },
    ),
    "a workload that acts for a document": (
        {
            "subject": "https://agents.example.org/x",
            "spiffe_id": "spiffe://example.org/ns/web/sa/x",
            "grant_type": "client_credentials",
            "scopes": ["tools.list"],
        },
        {
            "url": "https://agents.example.org/x",
            "spiffe_id": "spiffe://example.org/ns/web/sa/x",
            "evidence": "jwt-svid",
            "door": "token",
        },
        {
            "resources": ["https://tools.example.org/mcp"],
            "scopes": ["tools.list"],
            "grant_types": ["client_credentials"],
            "bind": "if-present",
        },
    ),
    "a statement": (
        {"subject": EVIL, "issuer": "https://ci.example.org", "evidence": None, "scopes": ["reports.read"]},
        {"issuer": "https://ci.example.org", "subject": EVIL, "evidence": "software-statement", "door": "token"},
        {
            "resources": ["https://reports.example.org"],
            "scopes": ["reports.read"],
            "grant_types": ["client_credentials"],
            "bind": "if-present",
        },
    ),
    "a registration that names no resource": (
        {**VISITOR, "scopes": ["ledger.read", "reports.read"], "door": "register"},
        {"path": "/ns/visitors/sa/web", "evidence": "jwt-svid", "door": "register"},
        {
            "resources": [LEDGER, "https://reports.example.org"],
            "scopes": ["ledger.read", "reports.read"],
            "grant_types": ["client_credentials"],
            "bind": "if-present",
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize(("words", "when", "grant"), ADMITTED.values(), ids=ADMITTED)
def test_the_rule_names_this_identity_its_way_and_what_it_asked_for(
    run: Run, refuse: Refuse, folder: Path, words: dict[str, Any], when: dict[str, Any], grant: dict[str, Any]
) -> None:
    """Pasted, it loads, admits the request, and its cases pass: the case and its refused twin."""
    refuse(**words)
    ran = run(*SUGGEST, "--json")
    assert (ran.code, ran.json["also"], "\x1b" in ran.out) == (0, [], False)
    assert (formatted(ran.json["text"]), formatted(ran.json["cases"])) == (ran.json["text"], ran.json["cases"])
    (rule,) = tomllib.loads(ran.json["text"])["rule"]
    assert (rule["when"], rule["grant"], rule["effect"]) == (when, grant, "allow")
    accepted, refused = tomllib.loads(ran.json["cases"])["case"]
    assert (accepted["expect"], refused["expect"]) == ("allow", "deny")
    before = run("policy", "test", "--json").json
    put_down(folder, ran.json)
    assert check_folder(folder / "policies", PolicyDefaults()).findings == ()
    after = run("policy", "test", "--json").json
    assert (after["failures"], after["passed"]) == (before["failures"], before["passed"] + 2)
    # The way of one refused is open now: there is nothing left to suggest.
    again = run(*SUGGEST)
    assert (again.code, "the policies of now allow it" in again.err) == (1, True)


def test_a_rule_is_named_after_what_was_refused_and_not_after_what_it_gives_beside(run: Run, refuse: Refuse) -> None:
    refuse(**{**TILL, "scopes": ["ledger.write"], "evidence": "x509-svid", "proved": ["x5t#S256"]})
    (rule,) = tomllib.loads(run(*SUGGEST, "--json").json["text"])["rule"]
    assert rule["grant"]["scopes"] == ["ledger.read", "ledger.write"]
    assert rule["id"].endswith("-ledger.write")


def test_people_see_what_to_paste_where(run: Run, refuse: Refuse) -> None:
    refuse(**VISITOR, scopes=["ledger.read"])
    ran = run(*SUGGEST)
    assert ran.code == 0
    assert ran.out.startswith('# add to example.org.toml\n[[rule]]\nid = "visitors-sa-web-ledger.read"\nwhy = "admits')
    assert (
        '\n# add to tests/example.org.cases.toml\n[[case]]\nname = "spiffe://example.org/ns/visitors/sa/web gets'
        in ran.out
    )
    assert "and nothing else changes" in ran.err


def test_a_request_that_names_no_scope_needs_to_be_told_which(run: Run, refuse: Refuse) -> None:
    refuse(**VISITOR)
    ran = run(*SUGGEST)
    assert (ran.code, "say with --scope which the rule shall give it" in ran.err) == (1, True)
    (rule,) = tomllib.loads(run(*SUGGEST, "--scope", "reports.read", "--json").json["text"])["rule"]
    assert rule["grant"]["scopes"] == ["reports.read"]
    unknown = run(*SUGGEST, "--scope", "reports.raed")
    assert (unknown.code, "not in the catalogue" in unknown.err) == (1, True)


def test_a_rule_that_names_the_identity_alone_is_widened_where_a_second_would_be_a_tie(
    run: Run, refuse: Refuse, folder: Path
) -> None:
    nightly = {"subject": "spiffe://example.org/ns/batch/sa/nightly", "evidence": "x509-svid", "proved": ["x5t#S256"]}
    refuse(**nightly, scopes=["ledger.read", "reports.read"], resources=[LEDGER, "https://reports.example.org"])
    ran = run(*SUGGEST, "--json")
    assert (ran.code, ran.json["rule"]) == (0, "nightly-publishes-reports")
    (rule,) = tomllib.loads(ran.json["text"])["rule"]
    assert rule["grant"]["scopes"] == ["ledger.read", "reports.publish", "reports.read"]
    text = run(*SUGGEST)
    assert f"# in the place of the rule at line {ran.json['line']} of example.org.toml" in text.out
    assert "# for the same identity it also means:" in text.out
    put_down(folder, ran.json)
    assert run("policy", "explain", "--audit", "id-1").code == 0


def test_a_rule_that_names_others_too_is_not_widened(run: Run, refuse: Refuse, folder: Path) -> None:
    path = folder / "policies" / "example.org.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"/ns/batch/sa/nightly"', '["/ns/batch/sa/nightly", "/ns/batch/sa/weekly"]'))
    nightly = {"subject": "spiffe://example.org/ns/batch/sa/nightly", "evidence": "x509-svid", "proved": ["x5t#S256"]}
    refuse(**nightly, scopes=["ledger.read", "reports.read"], resources=[LEDGER, "https://reports.example.org"])
    ran = run(*SUGGEST)
    assert (ran.code, ran.out) == (1, "")
    assert "the rule 'nightly-publishes-reports' (example.org.toml:" in ran.err
    assert "names others too" in ran.err


PUSHED = {"subject": None, "evidence": "pushed"}
# What no rule can mend, and the words that say what would.
NO_RULE = {
    "a deny": ({"subject": "spiffe://example.org/ns/web/sa/default"}, "the deny 'no-default-service-account' refuses"),
    "a deny behind a rule": ({**VISITOR, "scopes": ["ledger.write"]}, "the deny 'no-writing-without-a-key' refuses"),
    "a proof": ({**PUSHED, "scopes": ["tools.list"]}, "only a proof is missing: the token must be bound"),
    "everybody": ({**PUSHED, "proved": ["jkt"], "scopes": ["ledger.read"]}, "a pushed client has no name"),
    "an approval": ({"subject": "spiffe://example.org/ns/agents/sa/x", "proved": ["jkt"]}, "bridge clients approve"),
    "a scope that is not": ({**VISITOR, "scopes": ["ledger.raed"]}, "not in the catalogue, 'ledger.read' was meant"),
    "a resource that is not": ({**VISITOR, "resources": ["https://x"]}, "the resource 'https://x' is not in the"),
    "a scope of another": ({**VISITOR, "scopes": ["tools.call"], "resources": [LEDGER]}, "belongs to"),
    "what is allowed by now": ({}, "the policies of now allow it, by the rule 'web-reads-ledger'"),
}  # fmt: skip


@pytest.mark.parametrize(("words", "said"), NO_RULE.values(), ids=NO_RULE)
def test_where_no_rule_would_help_it_says_what_would(
    run: Run, refuse: Refuse, words: dict[str, Any], said: str
) -> None:
    refuse(**words)
    ran = run(*SUGGEST)
    assert (ran.code, ran.out) == (1, "")
    assert said in ran.err
    told = run(*SUGGEST, "--json")
    assert (told.code, told.json["rule"], said in told.json["because"]) == (1, None, True)


def test_a_deny_is_named_with_its_place(run: Run, refuse: Refuse, folder: Path) -> None:
    refuse(subject="spiffe://example.org/ns/web/sa/default")
    lines = (folder / "policies" / "example.org.toml").read_text(encoding="utf-8").splitlines()
    line = lines.index('id = "no-default-service-account"')
    assert f"(example.org.toml:{line})" in run(*SUGGEST).err


@pytest.mark.parametrize("reason", ["limit_reached", "identity_denied", "credential_replayed"])
def test_what_no_rule_refused_is_named(run: Run, refuse: Refuse, reason: str) -> None:
    refuse(reason, **VISITOR, scopes=["ledger.read"])
    ran = run(*SUGGEST)
    assert (ran.code, f"no rule refused it, so none can admit it: {reason}" in ran.err) == (1, True)


def test_ids_of_nothing_and_of_what_was_not_refused_have_no_suggestion(run: Run, refuse: Refuse, store: Store) -> None:
    assert "no audit row has the id" in run(*SUGGEST).err
    ask = {"grant_type": "client_credentials", "scopes": [], "resources": []}
    issued = AuditEvent("id-1", now(), AuditEventKind.TOKEN_ISSUED, "token", "", API, "jwt-svid", ask=ask, rule="r")
    store.audit.append(issued)
    ran = run(*SUGGEST)
    assert (ran.code, "id-1 was not refused: it was allowed, by the rule r" in ran.err) == (1, True)
