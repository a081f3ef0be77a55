"""From an audit row back to what was asked, so that it can be decided and explained again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.cli.options import Failure
from bridge.cli.output import printable
from bridge.cli.recorded_request import asked_of_row, subject_of_row
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.identity import BindingMethod, PolicySubject
from bridge.model.terms import Ask

if TYPE_CHECKING:
    from bridge.store.ports import Store

# The row that says most about a request comes first: a token issued also had a registration. What an operator
# approved is no request, and names no grant type; what a user approved is one.
_DECIDED = (AuditEventKind.REFUSED, AuditEventKind.TOKEN_ISSUED, AuditEventKind.REGISTERED, AuditEventKind.APPROVED)


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


def nothing_under(audit_id: str) -> Failure:
    """What to say when no row has the id."""
    return Failure(
        f"no audit row has the id {printable(audit_id)}. Callers who were not authenticated leave none, and a "
        "refusal repeated within a minute is counted under a later id: look for the id in the service's log"
    )


def ask_of(store: Store, audit_id: str) -> Recorded:
    """The request with this correlation id. Raises: as `decided_row` and `recorded_of`."""
    return recorded_of(decided_row(store, audit_id))


def decided_row(store: Store, audit_id: str) -> AuditEvent:
    """The row that says most about the request with this correlation id.

    Raises: Failure when no row has the id, or none of its rows is a decision of policy; Unavailable.
    """
    rows = store.audit.rows(correlation_id=audit_id)
    if not rows:
        raise nothing_under(audit_id)
    for kind in _DECIDED:
        for row in rows:
            if row.event.event is kind and "grant_type" in row.event.ask:
                return row.event
    raise Failure(
        f"{printable(audit_id)} is no request that policy decided; see `bridge audit show {printable(audit_id)}`"
    )


def recorded_of(event: AuditEvent) -> Recorded:
    """The request that a row is about. Raises: Failure for a row that cannot be read back."""
    try:
        asked = asked_of_row(event.event, event.door, event.evidence, event.ask, event.reason)
        subject = subject_of_row(event.subject, asked.evidence, event.client_id)
    except ValueError as error:
        raise Failure(f"the row of {printable(event.id)} cannot be decided again: {printable(error)}") from error
    refused = event.reason if event.event is AuditEventKind.REFUSED else None
    return Recorded(subject, asked.ask, asked.proved, refused, event.policy_version)
