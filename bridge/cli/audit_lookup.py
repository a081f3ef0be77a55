"""From an audit row back to what was asked, so that it can be decided and explained again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bridge.cli.options import Failure
from bridge.cli.output import printable
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.evidence import Door, EvidenceKind
from bridge.model.identity import BindingMethod, PolicySubject, Source
from bridge.model.spiffe_id import InvalidSpiffeId, SpiffeId
from bridge.model.terms import Ask

if TYPE_CHECKING:
    from bridge.store.ports import Store

# The row that says most about a request comes first: a token issued also had a registration.
_DECIDED = (AuditEventKind.REFUSED, AuditEventKind.TOKEN_ISSUED, AuditEventKind.REGISTERED)


def ask_of(store: Store, audit_id: str) -> tuple[PolicySubject, Ask, frozenset[BindingMethod]]:
    """The subject, the ask and the proved keys of the request with this correlation id.

    Raises: Failure when no row has the id, or none of its rows is a decision of policy; Unavailable.
    """
    rows = store.audit.rows(correlation_id=audit_id)
    if not rows:
        raise Failure(f"no audit row has the id {printable(audit_id)}; see `bridge audit tail`")
    for kind in _DECIDED:
        for row in rows:
            if row.event.event is kind and "grant_type" in row.event.ask:
                return _read(row.event)
    raise Failure(
        f"{printable(audit_id)} is no request that policy decided; see `bridge audit show {printable(audit_id)}`"
    )


def _read(event: AuditEvent) -> tuple[PolicySubject, Ask, frozenset[BindingMethod]]:
    try:
        evidence = EvidenceKind(event.evidence)
        ask = Ask(
            door=Door(event.door),
            grant_type=str(event.ask["grant_type"]),
            scopes=_strings(event.ask, "scopes"),
            resources=_strings(event.ask, "resources"),
        )
        return _subject(event.subject, evidence), ask, _proved(event.ask, evidence)
    except (ValueError, InvalidSpiffeId) as error:
        raise Failure(f"the row of {printable(event.id)} cannot be decided again: {printable(error)}") from error


def _subject(name: str, evidence: EvidenceKind) -> PolicySubject:
    """The inverse of `PolicySubject.name`."""
    match evidence:
        case EvidenceKind.X509_SVID | EvidenceKind.JWT_SVID | EvidenceKind.WIT_SVID:
            return PolicySubject(Source.SPIFFE, evidence, spiffe_id=SpiffeId.parse_workload(name))
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


def _strings(ask: Mapping[str, object], name: str) -> tuple[str, ...]:
    values = ask.get(name, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{name} is no list of strings")
    return tuple(values)
