"""From an audit row back to what was asked, so that it can be decided and explained again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.cli.options import Failure
from bridge.cli.output import printable
from bridge.model.audit import AuditEvent
from bridge.policy.recorded_request import Recorded, decided_event, recorded_request

if TYPE_CHECKING:
    from bridge.store.ports import Store


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
    decided = decided_event([row.event for row in rows])
    if decided is not None:
        return decided
    raise Failure(
        f"{printable(audit_id)} is no request that policy decided; see `bridge audit show {printable(audit_id)}`"
    )


def recorded_of(event: AuditEvent) -> Recorded:
    """The request that a row is about. Raises: Failure for a row that cannot be read back."""
    try:
        return recorded_request(event)
    except ValueError as error:
        raise Failure(f"the row of {printable(event.id)} cannot be decided again: {printable(error)}") from error
