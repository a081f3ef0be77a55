"""Clients that wait for an operator: who asks for what, and the yes or no to it, with a note for the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from bridge.console.clients import link_to_client
from bridge.console.decisions import link_to
from bridge.console.section import Desk, Glance, Route, Section, Standing
from bridge.console.services import ConsoleServices
from bridge.console.visits import Visit
from bridge.console.waiting import WaitingClient, read_terms, terms_text, waiting_client, waiting_page
from bridge.grants.form import Form
from bridge.model.audit import AuditEventKind
from bridge.model.errors import EvidenceRejected, InvalidRequest, Unavailable
from bridge.model.evidence import names_document
from bridge.model.reasons import Reason
from bridge.registration.seen_documents import SeenDocument
from bridge.registration.verdicts import MAX_NOTE_LENGTH, UnfitVerdict, Verdict, Verdicts, read_note
from bridge.web.lean import Response
from bridge.web.pages.rendering import see_other

PATH, DECIDE, LOOK, DONE = "/approvals", "/approvals/client", "/approvals/document", "/approvals/done"
PAGE = 50
_COUNTED = 100
_NAMED = 3


def glance(services: ConsoleServices, now: int) -> Glance:
    """Who waits, in one line."""
    found = services.store.clients.waiting(limit=_COUNTED + 1)
    if not found:
        return Glance(Standing.FINE, "nobody waits")
    number = f"more than {_COUNTED}" if len(found) > _COUNTED else str(len(found))
    return Glance(
        Standing.LOOK,
        f"{number} {'waits' if len(found) == 1 else 'wait'} for a yes or no",
        [f"{one.client_id} ({one.rule})" for one in found[:_NAMED]],
    )


class Approvals:
    """The pages of them."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._services = desk, desk.services
        self._verdicts = Verdicts(desk.services.store.clients)

    def list(self, visit: Visit) -> Response:
        """GET: all who wait, by client."""
        query = visit.query()
        after = (query.get("client") or "", query.get("rule") or "")
        lines, following = waiting_page(self._services.store.clients, after=after, limit=PAGE)
        onward = None if following is None else urlencode({"client": following[0], "rule": following[1]})
        return self._desk.show(
            visit,
            "approvals.html",
            lines=[(line, f"{DECIDE}?{urlencode({'client': line.client_id})}") for line in lines],
            onward=None if onward is None else f"{PATH}?{onward}",
            begun=bool(after[0]),
            gone=query.get("gone"),
        )

    def show(self, visit: Visit) -> Response:
        """GET: one client, all that it waits for, and the form."""
        client = self._client(visit, visit.query().require("client"))
        return self._asked(visit, client)

    def look(self, visit: Visit) -> Response:
        """POST: fetch the document of a client that waits and show it above the form. Whoever only sends people here
        makes nobody fetch anything."""
        form = self._desk.forms.posted(visit)
        client_id = form.require("client")
        self._desk.forms.check(visit, form, LOOK, client_id)
        client = self._client(visit, client_id)
        if not client.waits:
            return self._gone(client_id)
        try:
            return self._asked(visit, client, seen=self._services.look_at(client_id))
        except (EvidenceRejected, Unavailable) as error:
            return self._asked(visit, client, fault=error.detail or str(error))

    def decide(self, visit: Visit) -> Response:
        """POST: the yes or the no, to what was shown and to nothing else. Done once, however often it is sent."""
        form = self._desk.forms.posted(visit)
        client_id, terms, document = form.require("client"), form.get("terms") or "", form.get("document") or ""
        self._desk.forms.check(visit, form, DECIDE, client_id, terms, document)
        approves, denies = form.get("approve") is not None, form.get("deny") is not None
        if approves == denies:
            raise InvalidRequest(Reason.MALFORMED_REQUEST, "neither or both", public="press one of the two buttons")
        verdict = self._verdict(visit, form, document)
        try:
            if denies:
                changed = self._verdicts.deny(client_id, verdict, once=True)
            elif names_document(client_id) and not document:
                raise InvalidRequest(Reason.MALFORMED_REQUEST, "unseen", public="look at the document first")
            else:
                changed = self._verdicts.approve(client_id, verdict, terms=read_terms(terms))
        except UnfitVerdict as error:
            raise InvalidRequest(Reason.MALFORMED_REQUEST, str(error), public=str(error)) from error
        return see_other(f"{DONE}?{urlencode({'id': verdict.id})}") if changed else self._gone(client_id)

    def done(self, visit: Visit) -> Response:
        """GET: what a decision was, as the audit log has it."""
        wanted = visit.query().require("id")
        kinds = (AuditEventKind.APPROVED, AuditEventKind.DENIED)
        rows = self._services.store.audit.rows(correlation_id=wanted, events=kinds, limit=1)
        event = rows[0].event if rows else None
        return self._desk.show(visit, "approval_done.html", event=event, wanted=wanted, row_link=link_to(wanted))

    def _client(self, visit: Visit, client_id: str) -> WaitingClient:
        return waiting_client(
            self._services.store.clients,
            self._services.policies.current,
            client_id,
            now=visit.now,
            pending_expiry=self._services.periods["pending_expiry"],
        )

    def _asked(
        self,
        visit: Visit,
        client: WaitingClient,
        *,
        seen: SeenDocument | None = None,
        fault: str = "",
    ) -> Response:
        terms, document = terms_text(client.waits), "" if seen is None else seen.digest
        forms, is_document = self._desk.forms, names_document(client.client_id)
        return self._desk.show(
            visit,
            "approval.html",
            client=client,
            record_link=link_to_client(client.client_id),
            is_document=is_document,
            # Former terms let nobody in, and a document has to be seen.
            can_approve=any(one.is_current for one in client.waits) and (seen is not None or not is_document),
            seen=None if seen is None else seen.fields(),
            fault=fault,
            terms=terms,
            document=document,
            decide_token=forms.token(visit, DECIDE, client.client_id, terms, document),
            look_token=forms.token(visit, LOOK, client.client_id),
            longest_note=MAX_NOTE_LENGTH,
        )

    def _verdict(self, visit: Visit, form: Form, document: str) -> Verdict:
        try:
            note = read_note(form.get("note") or "")
        except UnfitVerdict as error:
            raise InvalidRequest(Reason.MALFORMED_REQUEST, str(error), public=str(error)) from error
        return Verdict(visit.operator.name, note, visit.id, visit.now, {"document": document} if document else {})

    def _gone(self, client_id: str) -> Response:
        return see_other(f"{PATH}?{urlencode({'gone': client_id})}")


def _routes(desk: Desk) -> Sequence[Route]:
    own = Approvals(desk)
    return (
        Route(PATH, "console_approvals", {"GET": own.list}),
        Route(DECIDE, "console_approval", {"GET": own.show, "POST": own.decide}),
        Route(LOOK, "console_document", {"POST": own.look}),
        Route(DONE, "console_decided", {"GET": own.done}),
    )


SECTION = Section("Approvals", PATH, _routes, glance)
