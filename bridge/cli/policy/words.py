"""How findings, failed cases and explanations of policy look: for people, and as JSON (interface section 3)."""

from __future__ import annotations

from bridge.advice.table import ADVICE
from bridge.cli.output import emit_fields, paint, printable, say
from bridge.policy.cases import Failure, Request
from bridge.policy.durations import spelled
from bridge.policy.explain import Explanation, client_id_of
from bridge.policy.findings import Finding, Severity

_NEAREST = 10


def finding_as_json(finding: Finding) -> dict[str, object]:
    """One element of `policy check --json`."""
    return {
        "file": finding.file,
        "line": finding.line,
        "rule": finding.rule,
        "code": finding.code,
        "message": finding.message,
        "severity": finding.severity.value,
        "case": finding.case,
    }


def say_finding(finding: Finding) -> None:
    """One finding on one line, in the form that editors can jump to."""
    colour = "red" if finding.severity is Severity.ERROR else "yellow"
    about = f" {printable(finding.about)}:" if finding.about else ""
    say(
        f"{_place(finding.file, finding.line)}: {paint(finding.severity.value, colour)}:{about} "
        f"{printable(finding.message)} [{finding.code}]"
    )


def _who(request: Request) -> str:
    subject = request.subject
    if not subject.name:
        return "a pushed client"
    actor = f", for which {subject.spiffe_id} acts" if subject.url and subject.spiffe_id else ""
    return f"{subject.name} with {subject.evidence}{actor}"


def say_failure(failure: Failure) -> None:
    """One failure of `policy test` on one line."""
    name = f" {printable(failure.case)}:" if failure.case else ""
    say(f"{_place(failure.file, failure.line)}: {paint('failed', 'red')}:{name} {printable(failure.message)}")


def _place(file: str, line: int) -> str:
    return f"{printable(file)}:{line}" if line else printable(file)


def explanation_as_json(request: Request, explanation: Explanation) -> dict[str, object]:
    """`policy explain --json`."""
    decision = explanation.decision
    return {
        "effect": explanation.effect.value,
        "rule": decision.rule,
        "client_id": client_id_of(request.subject, decision.client),
        "scopes": list(decision.scopes),
        "resources": list(decision.resources),
        "token_ttl": explanation.token_ttl,
        "bind": explanation.bind.value if explanation.bind is not None else None,
        "others": [{"rule": other.rule, "because": other.because} for other in explanation.others],
        "client": decision.client.mode.value,
        "denial": decision.denial.value if decision.denial is not None else None,
        "because": decision.because,
        "reason": decision.reason.value if decision.reason is not None else None,
        "advice": ADVICE[decision.reason].fix if decision.reason is not None else "",
        "policy_version": decision.policy_version,
    }


def say_explanation(request: Request, explanation: Explanation, *, everything: bool) -> None:
    """The same for people: the answer first, then the nearest other rules."""
    decision, ask = explanation.decision, request.ask
    fields: dict[str, object] = {
        "request": _who(request),
        "asks": f"{ask.grant_type} at {ask.door}, scope {' '.join(ask.scopes) or '(none named)'}, "
        f"resource {' '.join(ask.resources) or '(none named)'}",
        "effect": explanation.effect.value,
        "rule": decision.rule or "(none)",
    }
    if decision.terms is not None:
        fields |= {
            "client_id": client_id_of(request.subject, decision.client) or f"(derived: {decision.client.mode})",
            "scopes": " ".join(decision.scopes),
            "resources": " ".join(decision.resources),
            "token_ttl": spelled(decision.terms.token_ttl),
            "bind": decision.terms.bind.value,
        }
    if decision.because:
        fields["missing" if explanation.lacks_proof else "because"] = decision.because
    if decision.reason is not None:
        fields |= {"reason": decision.reason.value, "to do": ADVICE[decision.reason].fix}
    emit_fields(fields)
    shown = explanation.others if everything else explanation.others[:_NEAREST]
    if shown:
        say("\nother rules of this source, the nearest first:")
    for other in shown:
        say(f"  {printable(other.rule)}: {printable(other.because)}")
    if len(shown) < len(explanation.others):
        say(f"  and {len(explanation.others) - len(shown)} more (--all)")
