"""`bridge policy`: check the files, run their cases, and explain single decisions."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.options import config_option, json_option, settings_of
from bridge.cli.output import emit_json, note, paint, printable, say
from bridge.cli.policy_folder import checked_policies, note_what_is_off, policies_option, usable_policies
from bridge.cli.policy_reach import reach
from bridge.cli.policy_words import (
    explanation_as_json,
    finding_as_json,
    say_explanation,
    say_failure,
    say_finding,
)

if TYPE_CHECKING:
    from bridge.cli.audit_lookup import Recorded


@click.group()
def policy() -> None:
    """Check, test and explain trust-domain policies.

    \b
    Example:
      bridge policy check --policies policies
    """


policy.add_command(reach)


@policy.command()
@policies_option
@config_option
@json_option
def check(policies: Path | None, config: Path, as_json: bool) -> int:
    """Say everything that is wrong with the policy files, with file, rule and line.

    Exit 1 when there is anything, a warning too. Case files are read but not run (`bridge policy test`).

    \b
    Example:
      bridge policy check --policies policies --json
    """
    from bridge.policy.cases import load_cases
    from bridge.policy.findings import ordered

    folder, checked = checked_policies(policies, config)
    _, case_findings = load_cases(folder)
    findings = ordered([*checked.findings, *case_findings])
    if as_json:
        emit_json([finding_as_json(finding) for finding in findings])
        return 1 if findings else 0
    for finding in findings:
        say_finding(finding)
    if findings:
        return 1
    rules = len(checked.policy_set.rules) if checked.policy_set is not None else 0
    say(f"{paint('ok')}  {rules} rules in {printable(folder)}, nothing wrong")
    return 0


@policy.command()
@policies_option
@config_option
@json_option
def test(policies: Path | None, config: Path, as_json: bool) -> int:
    """Run the cases in tests/*.cases.toml of the policy folder.

    Fails when a case comes out otherwise than expected, when no case reaches some rule, and when a
    refusal has no twin that is accepted and differs in one field.

    \b
    Example:
      bridge policy test --policies policies
    """
    from bridge.policy.cases import Failure, load_cases, run
    from bridge.policy.findings import Severity

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
    if as_json:
        emit_json({"cases": len(cases), "passed": passed, "failures": [asdict(failure) for failure in failures]})
        return 1 if failures else 0
    for failure in failures:
        say_failure(failure)
    verdict = paint("fault" if failures else "ok")
    say(f"{verdict}  {passed} of {len(cases)} cases passed, {len(failures)} failures")
    return 1 if failures else 0


@policy.command()
@click.option("--subject", metavar="SUBJECT", help="SPIFFE ID, document URL, or the subject beside --issuer.")
@click.option("--issuer", metavar="URL", help="Who made the software statement.")
@click.option("--spiffe-id", metavar="ID", help="The SPIFFE ID that acts for a metadata document.")
@click.option(
    "--evidence",
    type=click.Choice(["x509-svid", "jwt-svid", "software-statement", "metadata-document", "pushed"]),
    help="Kind of evidence; a SPIFFE ID needs one.",
)
@click.option(
    "--door", type=click.Choice(["token", "par", "register", "authorize"]), help="[default: token; par for codes]"
)
@click.option("--grant-type", metavar="TYPE", help="[default: the first one of the source]")
@click.option("--scope", "scopes", multiple=True, metavar="SCOPE", help="May be given several times.")
@click.option("--resource", "resources", multiple=True, metavar="URI", help="May be given several times.")
@click.option(
    "--proved",
    multiple=True,
    type=click.Choice(["x5t#S256", "jkt"]),
    help="A key the request proves.  [default: the certificate's, for x509-svid]",
)
@click.option("--audit", "audit_id", metavar="ID", help="Explain the request with this correlation id instead.")
@click.option("--all", "everything", is_flag=True, help="Show every other rule, not only the nearest.")
@policies_option
@config_option
@json_option
def explain(
    subject: str | None,
    issuer: str | None,
    spiffe_id: str | None,
    evidence: str | None,
    door: str | None,
    grant_type: str | None,
    scopes: tuple[str, ...],
    resources: tuple[str, ...],
    proved: tuple[str, ...],
    audit_id: str | None,
    everything: bool,
    policies: Path | None,
    config: Path,
    as_json: bool,
) -> int:
    """Decide a request that nobody made, and say why: the rule, and what each other rule lacked.

    Exit 0: allow (also when only a proof for `bind` is missing). Exit 1: deny or ask.

    \b
    Example:
      bridge policy explain --subject spiffe://example.org/ns/web/sa/api --evidence jwt-svid --scope ledger.read
      bridge policy explain --audit 5f0c1d0a9b7e4c22
    """
    from bridge.model.terms import Effect
    from bridge.policy.cases import BadRequest, Request, request_of

    if audit_id is not None:
        if any((subject, issuer, spiffe_id, evidence, door, grant_type, scopes, resources, proved)):
            raise click.UsageError("--audit takes the whole request from the audit log: leave the other options out")
        recorded = _recorded(audit_id, config)
        request = Request(recorded.subject, recorded.ask, recorded.proved)
    else:
        recorded = None
        # A certificate proves its key in the handshake; everything else needs a DPoP proof on top.
        keys = proved or (("x5t#S256",) if evidence == "x509-svid" else ())
        try:
            request = request_of(
                subject=subject,
                issuer=issuer,
                spiffe_id=spiffe_id,
                evidence=evidence,
                door=door,
                grant_type=grant_type,
                scopes=scopes,
                resources=resources,
                proved=keys,
            )
        except BadRequest as error:
            raise click.UsageError(str(error)) from error
        if subject is None and issuer is None and evidence is None:
            raise click.UsageError("say --subject, --audit, or --evidence pushed")
    explanation = usable_policies(policies, config).explain(request.subject, request.ask, proved=request.proved)
    if policies is None:
        note_what_is_off(
            config, pushed=request.subject.source == "pushed", codes=request.ask.door in ("par", "authorize")
        )
    if as_json:
        emit_json(explanation_as_json(request, explanation))
    else:
        say_explanation(request, explanation, everything=everything)
    allowed = explanation.effect is Effect.ALLOW
    granted = allowed and not explanation.lacks_proof
    then = recorded and recorded.then(allowed=granted, policy_version=explanation.decision.policy_version)
    if then:
        note(then)
    return 0 if allowed else 1


def _recorded(audit_id: str, config: Path) -> Recorded:
    """The request of an audit row, from the store of the configuration."""
    from bridge.app import open_store
    from bridge.cli.audit_lookup import ask_of

    with closing(open_store(settings_of(config))) as store:
        return ask_of(store, audit_id)
