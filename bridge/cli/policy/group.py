"""`bridge policy`: check the files, and run their cases."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from bridge.cli.options import config_option, json_option
from bridge.cli.output import emit_json, paint, printable, say
from bridge.cli.policy.annotations import FORMATS, Annotation, emit_github, emit_sarif
from bridge.cli.policy.diff import diff
from bridge.cli.policy.explain import explain
from bridge.cli.policy.fmt import fmt
from bridge.cli.policy.folder import checked_policies, policies_option
from bridge.cli.policy.reach import reach
from bridge.cli.policy.replay import replay
from bridge.cli.policy.suggest import suggest
from bridge.cli.policy.unused import unused
from bridge.cli.policy.words import finding_as_json, say_failure, say_finding


@click.group()
def policy() -> None:
    """Check, test, explain and compare trust-domain policies.

    \b
    Example:
      bridge policy check --policies policies
    """


policy.add_command(diff)
policy.add_command(explain)
policy.add_command(fmt)
policy.add_command(reach)
policy.add_command(replay)
policy.add_command(suggest)
policy.add_command(unused)

_format = click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="sarif and github are for pull requests: places are named from the current folder.  [default: text]",
)


def _form(form: str | None, as_json: bool) -> str:
    if as_json and form not in (None, "json"):
        raise click.UsageError("--json is --format json: leave one of them out")
    return "json" if as_json else form or "text"


@policy.command()
@_format
@policies_option
@config_option
@json_option
def check(form: str | None, policies: Path | None, config: Path, as_json: bool) -> int:
    """Say everything that is wrong with the policy files, with file, rule and line.

    Exit 1 when there is anything, a warning too. Case files are read but not run (`bridge policy test`).

    \b
    Example:
      bridge policy check --policies policies --json
      bridge policy check --policies policies --format sarif > policy.sarif
    """
    from bridge.policy.cases import load_cases
    from bridge.policy.findings import ordered

    form = _form(form, as_json)
    folder, checked = checked_policies(policies, config)
    _, case_findings = load_cases(folder)
    findings = ordered([*checked.findings, *case_findings])
    if form == "json":
        emit_json([finding_as_json(finding) for finding in findings])
    elif form == "sarif":
        emit_sarif(Annotation.of_finding(finding, folder) for finding in findings)
    elif form == "github":
        emit_github(Annotation.of_finding(finding, folder) for finding in findings)
    else:
        for finding in findings:
            say_finding(finding)
    if findings:
        return 1
    if form in ("text", "github"):
        rules = len(checked.policy_set.rules) if checked.policy_set is not None else 0
        say(f"{paint('ok')}  {rules} rules in {printable(folder)}, nothing wrong")
    return 0


@policy.command()
@_format
@policies_option
@config_option
@json_option
def test(form: str | None, policies: Path | None, config: Path, as_json: bool) -> int:
    """Run the cases in tests/*.cases.toml of the policy folder.

    Fails when a case comes out otherwise than expected, when no case reaches some rule, and when a
    refusal has no twin that is accepted and differs in one field.

    \b
    Example:
      bridge policy test --policies policies
    """
    from bridge.policy.cases import Failure, load_cases, run
    from bridge.policy.findings import Severity

    form = _form(form, as_json)
    folder, checked = checked_policies(policies, config)
    cases, case_findings = load_cases(folder)
    findings = (*checked.findings, *case_findings)
    faults = [finding for finding in findings if finding.severity is Severity.ERROR]
    failures = [Failure(f.file, f.line, f.case, f.rule, f.message) for f in faults]
    passed = 0
    if checked.policy_set is not None and not faults:
        outcome = run(checked.policy_set, cases)
        failures += outcome.failures
        passed = outcome.passed
    if form == "json":
        emit_json({"cases": len(cases), "passed": passed, "failures": [asdict(failure) for failure in failures]})
    elif form == "sarif":
        emit_sarif(Annotation.of_failure(failure, folder) for failure in failures)
    elif form == "github":
        emit_github(Annotation.of_failure(failure, folder) for failure in failures)
    else:
        for failure in failures:
            say_failure(failure)
    if form in ("text", "github"):
        verdict = paint("fault" if failures else "ok")
        say(f"{verdict}  {passed} of {len(cases)} cases passed, {len(failures)} failures")
    return 1 if failures else 0
