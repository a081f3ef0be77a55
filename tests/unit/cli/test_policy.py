"""`bridge policy check | test | explain`: answers, exit codes and the JSON of the contract (interface section 3)."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.store.ports import Store
from tests.unit.cli.conftest import ROOT, Run

SHIPPED = ROOT / "policies"
SHOP = ("--subject", "spiffe://example.org/ns/web/sa/api", "--evidence", "jwt-svid")


@pytest.fixture
def policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped policies in a folder without a configuration."""
    monkeypatch.chdir(tmp_path)
    copy = tmp_path / "policies"
    shutil.copytree(SHIPPED, copy)
    return copy


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


# --- check ----------------------------------------------------------------------------------------


def test_check_says_yes_to_sound_policies(run: Run, policies: Path) -> None:
    ran = run("policy", "check", "--policies", policies)
    assert (ran.code, ran.out.startswith("ok")) == (0, True)
    ran = run("policy", "check", "--policies", policies, "--json")
    assert (ran.code, ran.json) == (0, [])


def test_check_names_file_line_rule_code_and_message(run: Run, policies: Path) -> None:
    change(policies / "example.org.toml", 'scopes = ["ledger.read"], token', 'scopes = ["ledger.reed"], token')
    ran = run("policy", "check", "--policies", policies, "--json")
    lines = (policies / "example.org.toml").read_text(encoding="utf-8").splitlines()
    (finding,) = ran.json
    assert ran.code == 1
    assert "ledger.reed" in lines[finding.pop("line") - 1]
    assert finding == {
        "file": "example.org.toml",
        "rule": "web-reads-ledger",
        "code": "unknown-scope",
        "message": "the scope 'ledger.reed' is not in the catalogue: did you mean 'ledger.read'?",
        "severity": "error",
        "case": "",
    }
    ran = run("policy", "check", "--policies", policies)
    assert (ran.code, ran.out.startswith("example.org.toml:")) == (1, True)


def test_a_fault_of_a_case_is_told_as_one(run: Run, policies: Path) -> None:
    change(policies / "tests" / "others.cases.toml", 'name = "a runner is an instance"', 'name = "runner"\nexpct = "x"')
    ran = run("policy", "check", "--policies", policies)
    assert "case 'runner': unknown key 'expct': did you mean 'expect'?" in ran.out
    (finding,) = run("policy", "check", "--policies", policies, "--json").json
    assert (finding["rule"], finding["case"]) == ("", "runner")
    (failure,) = run("policy", "test", "--policies", policies, "--json").json["failures"]
    assert (failure["rule"], failure["case"]) == ("", "runner")


def test_check_says_no_to_a_file_that_is_not_read(run: Run, policies: Path) -> None:
    (policies / "extra.tml").write_text("", encoding="utf-8")
    ran = run("policy", "check", "--policies", policies)
    assert (ran.code, ran.out.startswith("extra.tml: warning: the file is not read")) == (1, True)
    assert run("policy", "test", "--policies", policies).code == 0


def test_check_says_no_to_warnings_and_to_faulty_case_files_too(run: Run, policies: Path) -> None:
    change(policies / "tests" / "others.cases.toml", 'expect = "allow"', 'expects = "allow"')
    files = {finding["file"] for finding in run("policy", "check", "--policies", policies, "--json").json}
    assert files == {"tests/others.cases.toml"}
    shutil.copytree(SHIPPED, policies, dirs_exist_ok=True)
    change(policies / "example.org.toml", "no-default-service-account", "z")
    change(policies / "example.org.toml", "/ns/*/sa/default", "/ns/web/**")
    ran = run("policy", "check", "--policies", policies, "--json")
    assert (ran.code, [finding["code"] for finding in ran.json]) == (1, ["fully-denied"])


def test_check_takes_bounds_and_trust_domains_from_the_configuration(run: Run, folder: Path) -> None:
    assert run("policy", "check").code == 0
    shutil.copy(SHIPPED / "pushed.toml", folder / "policies" / "pushed.toml")
    shutil.copy(SHIPPED / "catalogue.toml", folder / "policies" / "catalogue.toml")
    rules = 'version = 1\nsource = "spiffe"\ntrust_domain = "example.net"\n'
    (folder / "policies" / "example.net.toml").write_text(rules, encoding="utf-8")
    codes = {(finding["file"], finding["code"]) for finding in run("policy", "check", "--json").json}
    assert ("example.net.toml", "unreachable") in codes


@pytest.mark.parametrize("words", [("check",), ("test",), ("explain", *SHOP)])
def test_a_folder_or_configuration_that_is_not_there_is_wrong_usage(
    run: Run, policies: Path, words: tuple[str, ...]
) -> None:
    assert run("policy", *words, "--policies", policies).code == 0
    assert run("policy", *words, "--policies", policies / "nowhere").code == 2
    assert run("policy", *words).code == 2
    assert run("policy", *words, "--config", "nowhere.toml").code == 2


# --- test -----------------------------------------------------------------------------------------


def test_test_runs_the_cases(run: Run, policies: Path) -> None:
    ran = run("policy", "test", "--policies", policies)
    assert (ran.code, "35 of 35 cases passed" in ran.out) == (0, True)
    ran = run("policy", "test", "--policies", policies, "--json")
    assert (ran.code, ran.json) == (0, {"cases": 35, "passed": 35, "failures": []})


def test_test_says_which_case_came_out_otherwise(run: Run, policies: Path) -> None:
    change(policies / "example.org.toml", 'path = "/ns/payments/sa/*"', 'path = "/ns/pay/sa/*"')
    ran = run("policy", "test", "--policies", policies, "--json")
    assert ran.code == 1
    failures = {failure["case"]: failure for failure in ran.json["failures"] if failure["case"]}
    assert "payments posts to the ledger with its certificate" in failures
    assert {"file", "line", "case", "rule", "message"} == set(next(iter(failures.values())))
    assert [f["rule"] for f in ran.json["failures"] if f["rule"]] == ["payments-posts-to-ledger"]
    text = run("policy", "test", "--policies", policies)
    assert (text.code, "failed: payments posts" in text.out) == (1, True)


def test_test_says_no_to_policies_that_do_not_load(run: Run, policies: Path) -> None:
    change(policies / "pushed.toml", "why", "wy")
    ran = run("policy", "test", "--policies", policies, "--json")
    assert (ran.code, ran.json["passed"]) == (1, 0)
    assert {failure["file"] for failure in ran.json["failures"]} == {"pushed.toml"}


# --- explain --------------------------------------------------------------------------------------


def test_explain_has_the_fields_of_the_contract(run: Run, policies: Path) -> None:
    ran = run("policy", "explain", *SHOP, "--scope", "ledger.read", "--policies", policies, "--json")
    assert ran.code == 0
    told = ran.json
    others = told.pop("others")
    assert {name: told[name] for name in list(told)[:7]} == {
        "effect": "allow",
        "rule": "web-reads-ledger",
        "client_id": "spiffe://example.org/ns/web/sa/api",
        "scopes": ["ledger.read"],
        "resources": ["https://ledger.example.org"],
        "token_ttl": 300,
        "bind": "if-present",
    }
    assert {other["rule"] for other in others} == {
        "agents-call-tools",
        "batch-reads-reports",
        "crawlers-are-instances",
        "nightly-publishes-reports",
        "no-default-service-account",
        "no-writing-without-a-key",
        "payments-posts-to-ledger",
    }
    assert all(set(other) == {"rule", "because"} for other in others)


def test_explain_tells_a_refused_visitor_s_nearest_rule_first(run: Run, policies: Path) -> None:
    visitor = ("--subject", "spiffe://example.org/ns/visitors/sa/web", "--evidence", "jwt-svid")
    words = ("policy", "explain", *visitor, "--scope", "ledger.read", "--policies", policies, "--json")
    others = [other["rule"] for other in run(*words).json["others"]]
    assert others[0] == "web-reads-ledger"
    assert others[-2:] == ["no-writing-without-a-key", "no-default-service-account"]


@pytest.mark.parametrize(
    ("words", "code", "effect", "rule"),
    [
        ((*SHOP,), 0, "allow", "web-reads-ledger"),
        ((*SHOP, "--scope", "ledger.write"), 1, "deny", "no-writing-without-a-key"),
        ((*SHOP, "--door", "authorize"), 1, "deny", None),
        ((*SHOP, "--grant-type", "authorization_code"), 1, "deny", None),
        ((*SHOP, "--resource", "https://reports.example.org"), 1, "deny", None),
        (("--subject", "spiffe://example.org/x", "--evidence", "x509-svid"), 1, "deny", None),
        (("--subject", "spiffe://example.org/ns/agents/sa/a", "--evidence", "jwt-svid"), 1, "ask", "agents-call-tools"),
        (("--subject", "https://a.apps.example.org/oauth/c", "--door", "par"), 0, "allow", "our-apps-list-tools"),
        (("--subject", "pipelines/release", "--issuer", "https://ci.example.org"), 0, "allow", "ci-reads-reports"),
        (("--evidence", "pushed"), 0, "allow", "anyone-may-list-tools"),
    ],
)
def test_explain_s_exit_code_is_its_answer(
    run: Run, policies: Path, words: tuple[str, ...], code: int, effect: str, rule: str | None
) -> None:
    ran = run("policy", "explain", *words, "--policies", policies, "--json")
    assert (ran.code, ran.json["effect"], ran.json["rule"]) == (code, effect, rule)


def test_a_missing_key_for_bind_is_still_an_allow_and_is_shown(run: Run, policies: Path) -> None:
    ran = run("policy", "explain", "--evidence", "pushed", "--policies", policies)
    assert ran.code == 0
    assert "bind       any" in ran.out
    assert "client_id  urn:ietf:oauth:parameters:dynamic" in ran.out
    assert "send a DPoP proof" in ran.out
    proved = run("policy", "explain", "--evidence", "pushed", "--proved", "jkt", "--policies", policies)
    assert (proved.code, "send a DPoP proof" in proved.out) == (0, False)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--subject", "ns/web"),
        ("--subject", "spiffe://example.org/ns/web/sa/api"),
        ("--subject", "spiffe://example.org/NS/%61", "--evidence", "jwt-svid"),
        ("--subject", "spiffe://example.org/a", "--evidence", "pushed"),
        ("--audit", "x", *SHOP),
    ],
)
def test_what_is_no_request_is_wrong_usage(run: Run, policies: Path, words: tuple[str, ...]) -> None:
    ran = run("policy", "explain", *words, "--policies", policies)
    assert (ran.code, "Traceback" in ran.err, ran.out) == (2, False, "")


DOCUMENT = ("--subject", "https://mail.apps.example.org/oauth/x")
AGENT = (
    "--subject", "https://agents.example.org/x", "--spiffe-id", "spiffe://example.org/ns/agents/sa/x",
    "--evidence", "jwt-svid", "--proved", "jkt", "--grant-type", "client_credentials",
)  # fmt: skip
STATEMENT = ("--issuer", "https://ci.example.org", "--subject", "pipelines/release")
PUSHED = ("--evidence", "pushed", "--proved", "jkt")


@pytest.mark.parametrize(
    ("words", "scope", "rule", "denied"),
    [
        (DOCUMENT, "tools.list", "our-apps-list-tools", "tools.call"),
        (AGENT, "tools.call", "agent-documents-call-tools", "ledger.read"),
        (STATEMENT, "reports.read", "ci-reads-reports", "reports.publish"),
        (PUSHED, "tools.list", "anyone-may-list-tools", "tools.call"),
    ],
    ids=["document", "an agent's document", "statement", "pushed"],
)
def test_explain_answers_for_each_source_without_being_told_the_door(
    run: Run, policies: Path, words: tuple[str, ...], scope: str, rule: str, denied: str
) -> None:
    told = run("policy", "explain", *words, "--scope", scope, "--policies", policies, "--json")
    assert (told.code, told.json["effect"], told.json["rule"]) == (0, "allow", rule)
    refused = run("policy", "explain", *words, "--scope", denied, "--policies", policies, "--json")
    assert (refused.code, refused.json["effect"]) == (1, "deny")


def test_explain_and_reach_say_which_doors_the_configuration_keeps_shut(run: Run, folder: Path) -> None:
    document = ("--subject", "https://mail.apps.example.org/client.json", "--scope", "ledger.read")
    assert "the configuration has no [users]" in run("policy", "explain", *document).err
    assert "pushed clients are off" in run("policy", "explain", "--evidence", "pushed").err
    whole = run("policy", "reach").err
    assert "the configuration has no [users]" in whole
    assert "pushed clients are off" in whole
    config = folder / "bridge.toml"
    more = 'pushed_client_registration = "00"\n[users]\nsource = "development"\n'
    config.write_text(config.read_text().replace("[drafts]\n", "[drafts]\n" + more, 1))
    assert run("policy", "reach").err == ""
    assert run("policy", "explain", *document).err == ""


def test_policies_that_do_not_load_explain_nothing(run: Run, policies: Path) -> None:
    """Exit 2, for 1 would mean that the request is denied."""
    change(policies / "pushed.toml", "why", "wy")
    ran = run("policy", "explain", *SHOP, "--policies", policies)
    assert (ran.code, "pushed.toml:" in ran.err) == (2, True)


def test_many_other_rules_are_cut_for_people_and_not_for_programs(run: Run, policies: Path) -> None:
    path = policies / "example.org.toml"
    rule = '\n[[rule]]\nid = "d{n}"\nwhy = "x"\neffect = "deny"\nwhen = {{ path = "/x/{n}" }}\n'
    path.write_text(path.read_text(encoding="utf-8") + "".join(rule.format(n=n) for n in range(20)), encoding="utf-8")
    assert "and 17 more (--all)" in run("policy", "explain", *SHOP, "--policies", policies).out
    assert "more (--all)" not in run("policy", "explain", *SHOP, "--all", "--policies", policies).out
    assert len(run("policy", "explain", *SHOP, "--policies", policies, "--json").json["others"]) == 27


def test_a_recorded_request_is_explained_by_its_correlation_id(run: Run, store: Store, folder: Path) -> None:
    subject = "spiffe://example.org/ns/nobody/sa/knows"
    store.audit.append(
        AuditEvent(
            id="id-1",
            time=1_800_000_000,
            event=AuditEventKind.REFUSED,
            door="token",
            subject=subject,
            evidence="jwt-svid",
            ask={"grant_type": "client_credentials", "scopes": [], "resources": []},
            outcome="deny",
            reason="policy_no_rule",
        )
    )
    ran = run("policy", "explain", "--audit", "id-1", "--json")
    assert (ran.code, ran.json["effect"], ran.json["denial"]) == (1, "deny", "identity")
    assert subject in run("policy", "explain", "--audit", "id-1").out
    unknown = run("policy", "explain", "--audit", "id-2")
    assert (unknown.code, "the service's log" in unknown.err) == (1, True)


def test_output_from_files_cannot_move_a_terminal(run: Run, policies: Path) -> None:
    change(policies / "pushed.toml", 'source = "pushed"', 'source = "pu\\u001b[31mshed"')
    out = run("policy", "check", "--policies", policies).out
    assert "\x1b" not in out
    json.loads(run("policy", "check", "--policies", policies, "--json").out)


# --- for pull requests ----------------------------------------------------------------------------

# What a reader of SARIF 2.1.0 may rely on (sections 3.14, 3.19, 3.27, 3.28 to 3.30), for the parts that are written.
_LEVELS = {"none", "note", "warning", "error"}


def sarif_results(document: dict[str, object]) -> list[tuple[str, int | None, str, str]]:
    """Path, line, level and rule of each result; fails where the document is no SARIF."""
    assert document["version"] == "2.1.0"
    assert str(document["$schema"]).endswith("sarif-schema-2.1.0.json")
    (one_run,) = document["runs"]  # type: ignore[misc, attr-defined]
    driver = one_run["tool"]["driver"]
    assert driver["name"]
    rules = [rule["id"] for rule in driver["rules"]]
    assert len(set(rules)) == len(rules)
    found = []
    for result in one_run["results"]:
        assert result["level"] in _LEVELS
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["message"]["text"]
        (location,) = result["locations"]
        place = location["physicalLocation"]
        line = place["region"]["startLine"] if "region" in place else None
        assert line is None or line >= 1
        found.append((place["artifactLocation"]["uri"], line, result["level"], result["ruleId"]))
    return found


def test_check_speaks_sarif_with_places_from_the_current_folder(run: Run, policies: Path) -> None:
    """The folder is `policies` below the current one, as in a repository."""
    sound = run("policy", "check", "--policies", "policies", "--format", "sarif")
    assert (sound.code, sarif_results(sound.json)) == (0, [])
    change(policies / "example.org.toml", 'scopes = ["ledger.read"], token', 'scopes = ["ledger.reed"], token')
    (policies / "extra file.tml").write_text("", encoding="utf-8")
    ran = run("policy", "check", "--policies", "policies", "--format", "sarif")
    assert ran.code == 1
    (line,) = {finding["line"] for finding in run("policy", "check", "--policies", policies, "--json").json} - {0}
    assert sarif_results(ran.json) == [
        ("policies/example.org.toml", line, "error", "unknown-scope"),
        ("policies/extra%20file.tml", None, "warning", "not-read"),
    ]


def test_a_file_whose_name_is_no_text_has_a_place_too(run: Run, policies: Path) -> None:
    Path(os.fsdecode(b"policies/\xff\x1b.toml")).write_text("", encoding="utf-8")
    ran = run("policy", "check", "--policies", "policies", "--format", "sarif")
    assert ran.code == 1
    assert {result[0] for result in sarif_results(ran.json)} == {"policies/%FF%1B.toml"}


def test_check_writes_commands_that_a_pull_request_shows_beside_the_line(run: Run, policies: Path) -> None:
    assert run("policy", "check", "--policies", "policies", "--format", "github").out.startswith("ok")
    change(policies / "pushed.toml", 'source = "pushed"', 'source = "50%,::x\\n::error::y"')
    ran = run("policy", "check", "--policies", "policies", "--format", "github")
    assert ran.code == 1
    (line,) = ran.out.splitlines()
    assert line.startswith("::error file=policies/pushed.toml,line=")
    assert line.count("title=bridge policy%3A source::") == 1
    assert "50%25,::x" in line


def test_test_shows_its_failures_beside_their_cases(run: Run, policies: Path) -> None:
    change(policies / "tests" / "others.cases.toml", 'name = "a runner is an instance"', 'name = "odd"\nttl = "59s"')
    case, rule, verdict = run("policy", "test", "--policies", "policies", "--format", "github").out.splitlines()
    assert case.startswith("::error file=policies/tests/others.cases.toml,line=")
    assert rule.startswith("::error file=policies/software-statements.toml,title=bridge policy%3A unreached::")
    assert verdict.startswith("fault")
    ran = run("policy", "test", "--policies", "policies", "--format", "sarif")
    assert (ran.code, [result[3] for result in sarif_results(ran.json)]) == (1, ["case", "unreached"])


def test_two_forms_at_once_are_wrong_usage(run: Run, policies: Path) -> None:
    words = ("policy", "check", "--policies", policies, "--json")
    assert run(*words, "--format", "json").code == 0
    assert run(*words, "--format", "sarif").code == 2


def test_json_on_a_terminal_is_not_obeyed_either(run: Run, policies: Path) -> None:
    """U+009B is an escape sequence by itself, U+202E turns what follows around; JSON asks for neither to be escaped."""
    path = policies / "example.org.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"ledger.read"], token', '"l\x9b31m\u202eé\U0001f600"], token'), encoding="utf-8")
    ran = run("policy", "check", "--policies", policies, "--json")
    assert not {"\x9b", "\u202e"} & set(ran.out)
    assert "l\x9b31m\u202eé\U0001f600" in ran.json[0]["message"]
    refused = run("policy", "explain", *SHOP, "--policies", policies)
    assert (refused.code, {"\x9b", "\u202e"} & set(refused.err)) == (2, set())
