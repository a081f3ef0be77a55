"""Recent decisions: what the audit log has, the newest first, and one request with all that can be said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from bridge.console.asked import asked_words, authorities_of, further_of, request_words
from bridge.console.explained import explain_rows
from bridge.console.section import Desk, Route, Section
from bridge.console.visits import Visit
from bridge.grants.form import Form
from bridge.model.audit import AuditEvent, AuditEventKind, AuditRow
from bridge.store.ports import AuditFilter
from bridge.web.lean import Response

PATH, ONE = "/decisions", "/decisions/request"
PAGE = 50
# Rows of the log that one page looks at where no index leads to what is asked for.
SCAN = 10_000
# One request has a handful of rows; this is for ids that somebody made up for many.
_MOST = 200
_TEXTS = ("subject", "client", "rule", "outcome", "reason", "door")
_MARKS: Mapping[AuditEventKind, str] = {
    AuditEventKind.REFUSED: "wrong",
    AuditEventKind.DENIED: "wrong",
    AuditEventKind.REVOKED: "look",
    AuditEventKind.TOKEN_ISSUED: "fine",
    AuditEventKind.REGISTERED: "fine",
    AuditEventKind.APPROVED: "fine",
}


def mark_of(event: AuditEventKind) -> str:
    """How an event stands out."""
    return _MARKS.get(event, "quiet")


def link_to(correlation_id: str) -> str:
    """The page of one request."""
    return f"{ONE}?{urlencode({'id': correlation_id})}"


class Decisions:
    """The pages of them."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._services = desk, desk.services

    def list(self, visit: Visit) -> Response:
        """GET: the newest rows that meet the filter; a correlation id leads to its request at once."""
        query = visit.query()
        wanted = query.get("id") or ""
        if wanted:
            return self._one(visit, wanted)
        given = {name: text for name in ("event", *_TEXTS) if (text := query.get(name))}
        where = _filter_of(given)
        if where is None:
            rows, further = list[AuditRow](), None
        else:
            page = self._services.store.audit.page(where, before=_number(query, "before"), limit=PAGE, scan=SCAN)
            rows, further = page.rows, page.before
        return self._desk.show(
            visit,
            "decisions.html",
            rows=[(row, mark_of(row.event.event), asked_words(row.event.ask), link_to(row.event.id)) for row in rows],
            given=given,
            kinds=[kind.value for kind in AuditEventKind],
            older=None if further is None else f"{PATH}?{urlencode({**given, 'before': further})}",
            newest=f"{PATH}?{urlencode(given)}" if query.get("before") else None,
            scan=SCAN,
        )

    def show(self, visit: Visit) -> Response:
        """GET: one request by its correlation id."""
        return self._one(visit, visit.query().require("id"))

    def _one(self, visit: Visit, wanted: str) -> Response:
        rows = self._services.store.audit.rows(correlation_id=wanted, limit=_MOST)
        return self._desk.show(
            visit,
            "decision.html",
            status=200 if rows else 404,
            wanted=wanted,
            rows=[(row, mark_of(row.event.event), _shown(row.event)) for row in rows],
            explained=explain_rows([row.event for row in rows], self._services.policies.current),
            current=self._services.policies.current.version,
            most=_MOST,
        )


def _shown(event: AuditEvent) -> Mapping[str, object]:
    """What a row keeps beside its columns."""
    return {
        "authorities": authorities_of(event),
        "request": request_words(event.ask),
        "further": further_of(event.ask),
    }


def _filter_of(given: Mapping[str, str]) -> AuditFilter | None:
    """The filter that a query names; None where it names an event that there is not, and so can find nothing."""
    named = given.get("event")
    try:
        event = None if named is None else AuditEventKind(named)
    except ValueError:
        return None
    return AuditFilter(
        event,
        subject=given.get("subject", ""),
        client=given.get("client", ""),
        rule=given.get("rule", ""),
        outcome=given.get("outcome", ""),
        reason=given.get("reason", ""),
        door=given.get("door", ""),
    )


def _number(query: Form, name: str) -> int | None:
    """A row's number as a link of ours has it; None for what is none."""
    text = query.get(name) or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _routes(desk: Desk) -> Sequence[Route]:
    own = Decisions(desk)
    return (
        Route(PATH, "console_decisions", {"GET": own.list}),
        Route(ONE, "console_decision", {"GET": own.show}),
    )


SECTION = Section("Decisions", PATH, _routes)
