"""From the columns of an audit row back to the request that policy decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.evidence import Door, EvidenceKind, names_document
from bridge.model.identity import BindingMethod, PolicySubject, Source
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import SpiffeId
from bridge.model.terms import Ask

_AUTHORIZATION_CODE = "authorization_code"
# The row that says most about a request comes first: a token issued also had a registration. What an operator
# approved is no request, and names no grant type; what a user approved is one.
_DECIDED = (AuditEventKind.REFUSED, AuditEventKind.TOKEN_ISSUED, AuditEventKind.REGISTERED, AuditEventKind.APPROVED)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked, by whomever: the ask, the kind of evidence, and the keys that counted as proved."""

    ask: Ask
    evidence: EvidenceKind
    proved: frozenset[BindingMethod]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request as the audit log has it: who asked what, with which proved keys, and how it ended then.

    `refused` is the reason of a refusal; None when there was none. `policy_version` is the one that decided,
    empty where none did.
    """

    subject: PolicySubject
    ask: Ask
    proved: frozenset[BindingMethod]
    refused: str | None = None
    policy_version: str = ""

    def then(self, *, allowed: bool, policy_version: str) -> str | None:
        """What has to be said beside today's decision so that nobody takes it for the one of then.

        `allowed` and `policy_version` are today's, which looks at policy alone.
        """
        if self.refused is None or not allowed:
            return None
        if not is_of_policy(self.refused):
            return f"it was refused all the same, by no rule: {self.refused}; the log has the detail under this id"
        if self.policy_version != policy_version:
            return (
                f"it was refused then ({self.refused}), by policies {self.policy_version}; these are {policy_version}"
            )
        return f"it was refused then ({self.refused}): what it asked in full is in the log under this id"


def is_of_policy(reason: str) -> bool:
    """Whether a refusal with this reason is one that the rules explain."""
    return reason.startswith("policy_")


def decided_event(events: Iterable[AuditEvent]) -> AuditEvent | None:
    """Of the rows of one correlation id the one that says most about the request; None where policy decided none."""
    asked = [event for event in events if "grant_type" in event.ask and event.event in _DECIDED]
    return min(asked, key=lambda event: _DECIDED.index(event.event), default=None)


def recorded_request(event: AuditEvent) -> Recorded:
    """The request that a row is about. Raises: ValueError for a row that nobody here writes so."""
    asked = asked_of_row(event.event, event.door, event.evidence, event.ask, event.reason)
    subject = subject_of_row(event.subject, asked.evidence, event.client_id)
    refused = event.reason if event.event is AuditEventKind.REFUSED else None
    return Recorded(subject, asked.ask, asked.proved, refused, event.policy_version)


def asked_of_row(event: AuditEventKind, door: str, evidence: str, ask: Mapping[str, object], reason: str) -> Asked:
    """What the columns of these names say that was asked. Raises: ValueError for a row that nobody here writes so."""
    kind = EvidenceKind(evidence)
    asked = Ask(
        door=Door(door),
        grant_type=str(ask["grant_type"]),
        scopes=_strings(ask, "scopes"),
        resources=_strings(ask, "resources"),
    )
    # Where a user is asked no token is given yet, and whoever can come back with a key may.
    every_key = _is_before_a_token(event, asked, kind, reason)
    return Asked(asked, kind, frozenset(BindingMethod) if every_key else _proved(ask, kind))


def subject_of_row(name: str, evidence: EvidenceKind, client_id: str) -> PolicySubject:
    """Who asked: the inverse of `PolicySubject.actor`. Where an SVID acts for a document, the row's client is its URL.
    Raises: ValueError for a row that nobody here writes so."""
    match evidence:
        case EvidenceKind.X509_SVID | EvidenceKind.JWT_SVID | EvidenceKind.WIT_SVID:
            spiffe_id = SpiffeId.parse_workload(name)
            if names_document(client_id):
                return PolicySubject(Source.METADATA_DOCUMENT, evidence, spiffe_id=spiffe_id, url=client_id)
            return PolicySubject(Source.SPIFFE, evidence, spiffe_id=spiffe_id)
        case EvidenceKind.METADATA_DOCUMENT:
            return PolicySubject(Source.METADATA_DOCUMENT, evidence, url=name)
        case EvidenceKind.SOFTWARE_STATEMENT:
            issuer, _, subject = name.partition(" ")
            return PolicySubject(Source.SOFTWARE_STATEMENT, evidence, issuer=issuer, subject=subject)
        case EvidenceKind.PUSHED:
            return PolicySubject(Source.PUSHED, evidence)


def _proved(ask: Mapping[str, object], evidence: EvidenceKind) -> frozenset[BindingMethod]:
    """The keys the request proved. Rows that do not say are read as the evidence alone: a certificate
    proves its key in the handshake, an assertion proves none."""
    if "proved" in ask:
        return frozenset(BindingMethod(method) for method in _strings(ask, "proved"))
    return frozenset({BindingMethod.X5T_S256}) if evidence is EvidenceKind.X509_SVID else frozenset()


def _is_before_a_token(event: AuditEventKind, ask: Ask, evidence: EvidenceKind, reason: str) -> bool:
    """Whether every key counted as proved, whatever the row says. A pushed client names the key of its transaction at
    once, and what was refused for want of a key was held to it."""
    if event is AuditEventKind.APPROVED:
        return True
    if event is not AuditEventKind.REFUSED or reason == Reason.POLICY_PROOF:
        return False
    pushes = ask.door is Door.PAR and ask.grant_type == _AUTHORIZATION_CODE and evidence is not EvidenceKind.PUSHED
    return pushes or ask.door is Door.AUTHORIZE


def _strings(ask: Mapping[str, object], name: str) -> tuple[str, ...]:
    values = ask.get(name, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{name} is no list of strings")
    return tuple(values)
