"""From the columns of an audit row back to the request that policy decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bridge.model.audit import AuditEventKind
from bridge.model.evidence import Door, EvidenceKind, names_document
from bridge.model.identity import BindingMethod, PolicySubject, Source
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import SpiffeId
from bridge.model.terms import Ask

_AUTHORIZATION_CODE = "authorization_code"


@dataclass(frozen=True, slots=True)
class AskColumns:
    """The columns of a row that say what was asked, and of whom. `ask` is as `AuditEvent` has it."""

    event: AuditEventKind
    door: str
    subject: str
    evidence: str
    client_id: str
    reason: str
    ask: Mapping[str, object]


def request_of_row(columns: AskColumns) -> tuple[PolicySubject, Ask, frozenset[BindingMethod]]:
    """Who asked what, and with which keys proved. Raises: ValueError for a row that nobody here writes so."""
    evidence = EvidenceKind(columns.evidence)
    ask = Ask(
        door=Door(columns.door),
        grant_type=str(columns.ask["grant_type"]),
        scopes=_strings(columns.ask, "scopes"),
        resources=_strings(columns.ask, "resources"),
    )
    return _subject(columns, evidence), ask, _proved(columns, ask, evidence)


def _subject(columns: AskColumns, evidence: EvidenceKind) -> PolicySubject:
    """The inverse of `PolicySubject.actor`: where an SVID acts for a document, the row's client is its URL."""
    name = columns.subject
    match evidence:
        case EvidenceKind.X509_SVID | EvidenceKind.JWT_SVID | EvidenceKind.WIT_SVID:
            spiffe_id = SpiffeId.parse_workload(name)
            if names_document(columns.client_id):
                return PolicySubject(Source.METADATA_DOCUMENT, evidence, spiffe_id=spiffe_id, url=columns.client_id)
            return PolicySubject(Source.SPIFFE, evidence, spiffe_id=spiffe_id)
        case EvidenceKind.METADATA_DOCUMENT:
            return PolicySubject(Source.METADATA_DOCUMENT, evidence, url=name)
        case EvidenceKind.SOFTWARE_STATEMENT:
            issuer, _, subject = name.partition(" ")
            return PolicySubject(Source.SOFTWARE_STATEMENT, evidence, issuer=issuer, subject=subject)
        case EvidenceKind.PUSHED:
            return PolicySubject(Source.PUSHED, evidence)


def _proved(columns: AskColumns, ask: Ask, evidence: EvidenceKind) -> frozenset[BindingMethod]:
    """The keys that counted as proved.

    Where a user is asked no token is given yet, and whoever can come back with a key may: every key counts, whatever
    the row says. A pushed client names the key of its transaction at once. Rows that say nothing are read as the
    evidence alone: a certificate proves its key in the handshake, an assertion proves none.
    """
    if _is_before_a_token(columns, ask, evidence):
        return frozenset(BindingMethod)
    if "proved" in columns.ask:
        return frozenset(BindingMethod(method) for method in _strings(columns.ask, "proved"))
    return frozenset({BindingMethod.X5T_S256}) if evidence is EvidenceKind.X509_SVID else frozenset()


def _is_before_a_token(columns: AskColumns, ask: Ask, evidence: EvidenceKind) -> bool:
    if columns.event is AuditEventKind.APPROVED:
        return True
    if columns.event is not AuditEventKind.REFUSED or columns.reason == Reason.POLICY_PROOF:
        return False
    pushes = ask.door is Door.PAR and ask.grant_type == _AUTHORIZATION_CODE and evidence is not EvidenceKind.PUSHED
    return pushes or ask.door is Door.AUTHORIZE


def _strings(ask: Mapping[str, object], name: str) -> tuple[str, ...]:
    values = ask.get(name, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{name} is no list of strings")
    return tuple(values)
