"""How a diagnosis looks: for people, the failed steps with what to change; and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.cli.output import note, paint, printable, say

if TYPE_CHECKING:
    from bridge.doctor.report import Diagnosis, Finding

_COLOURS = {"ok": "green", "failed": "red", "not reached": "yellow"}


def diagnosis_as_json(diagnosis: Diagnosis) -> dict[str, object]:
    """`bridge doctor --json`."""
    decisive = diagnosis.decisive
    return {
        "accepted": diagnosis.accepted,
        "reason": None if diagnosis.reason is None else diagnosis.reason.value,
        "advice": "" if decisive is None else decisive.advice,
        "evidence": diagnosis.evidence,
        "door": diagnosis.door,
        "subject": diagnosis.subject or None,
        "verified": diagnosis.is_verified,
        "credential": diagnosis.credential,
        "steps": [_step(finding) for finding in diagnosis.findings],
        "notes": list(diagnosis.notes),
    }


def _step(finding: Finding) -> dict[str, object]:
    return {
        "name": finding.name,
        "outcome": finding.outcome.value,
        "expected": finding.expected,
        "found": finding.found,
        "reason": None if finding.reason is None else finding.reason.value,
        "advice": finding.advice,
        "setting": finding.setting,
    }


def say_diagnosis(diagnosis: Diagnosis) -> None:
    """The same for people: whose it is, every step, and the verdict last, where a terminal ends."""
    whose = diagnosis.subject or "(names nobody)"
    verified = "verified" if diagnosis.is_verified else "not verified"
    digest = f", sha256 {diagnosis.credential}" if diagnosis.credential else ""
    say(f"{diagnosis.evidence} {printable(whose)} ({verified}){digest}")
    for finding in diagnosis.findings:
        _say_finding(finding)
    for sentence in diagnosis.notes:
        note(sentence)
    decisive = diagnosis.decisive
    if diagnosis.accepted:
        say(f"{paint('ok')}: the service would accept this at {diagnosis.door}")
    elif decisive is not None:
        say(f"{paint('refused')}: {decisive.reason}, at the step {decisive.name}")
        say(f"to do: {printable(decisive.advice)}")


def _say_finding(finding: Finding) -> None:
    outcome = paint(f"{finding.outcome.value:<11}", _COLOURS[finding.outcome.value])
    say(f"{outcome} {finding.name:<24} {printable(finding.found)}")
    if finding.reason is not None:
        say(f"{'':<11}   expected  {printable(finding.expected)}")
        say(f"{'':<11}   reason    {finding.reason.value}")
        say(f"{'':<11}   to do     {printable(finding.advice)}")
        if finding.setting:
            say(f"{'':<11}   setting   {printable(finding.setting)}")
