"""Clients: a tree of names, a list by what they are, and one client with all that there is to say of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from bridge.console.asked import asked_words
from bridge.console.client_life import client_life
from bridge.console.client_search import SCAN, Head, listed, tree, unused
from bridge.console.decisions import link_to, mark_of
from bridge.console.section import Desk, Glance, Route, Section, Standing
from bridge.console.services import ConsoleServices
from bridge.console.visits import Visit
from bridge.model.client import ClientRecord, ClientState
from bridge.store.ports import ClientFilter
from bridge.web.lean import Response
from bridge.web.pages.rendering import see_other

PATH, ONE = "/clients", "/clients/client"
PAGE = 50
# What makes the page a list: a tree has instances below their identity, whatever these are.
_FILTERS = ("state", "rule", "trust_domain")
EXACT = "is"
# For how many days nobody used a client, by what the query says.
UNUSED: Mapping[str, int] = {"7d": 7, "30d": 30, "90d": 90, "365d": 365}
_MARKS: Mapping[ClientState, str] = {
    ClientState.ACTIVE: "fine",
    ClientState.PENDING: "look",
    ClientState.DENIED: "wrong",
    ClientState.REVOKED: "wrong",
    ClientState.EXPIRED: "quiet",
}


def link_to_client(name: str) -> str:
    """The page of one client."""
    return f"{ONE}?{urlencode({'id': name})}"


def glance(services: ConsoleServices, now: int) -> Glance:
    """All clients in one line."""
    states: Counter[ClientState] = Counter()
    for (_, state), number in services.store.clients.count_by_state().items():
        states[state] += number
    if not states:
        return Glance(Standing.FINE, "none yet: the first request of a workload makes one")
    words = ", ".join(f"{states[state]:,} {state.value}" for state in ClientState if states[state])
    return Glance(Standing.FINE, words)


class Clients:
    """The pages of them."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._services = desk, desk.services

    def list(self, visit: Visit) -> Response:
        """GET: the tree of names that begin with `q`; with a state, a rule or a trust domain the list of records."""
        query = visit.query()
        given = {name: text for name in ("q", "how", "unused", *_FILTERS) if (text := query.get(name))}
        wanted, after = given.get("q", ""), query.get("after") or ""
        if wanted and given.get("how") == EXACT:
            return see_other(link_to_client(wanted))
        clients = self._services.store.clients
        where = _filter_of(given)
        days = UNUSED.get(given.get("unused", ""))
        heads: Sequence[Head] = ()
        records: Sequence[ClientRecord] = ()
        further: str | None = None
        if where is not None and days is not None:
            records, further = unused(clients, where, wanted, days=days, after=after, now=visit.now, limit=PAGE)
        elif where is not None and where == ClientFilter():
            heads, further = tree(clients, wanted, after=after, limit=PAGE)
        elif where is not None:
            records, further = listed(clients, where, wanted, after=after, limit=PAGE)
        return self._desk.show(
            visit,
            "clients.html",
            heads=heads,
            records=records,
            given=given,
            is_tree=where == ClientFilter() and days is None,
            unused=UNUSED,
            by_use=days is not None,
            states=[state.value for state in ClientState],
            marks=_MARKS,
            link=link_to_client,
            onward=None if further is None else f"{PATH}?{urlencode({**given, 'after': further})}",
            begun=bool(after),
            beginning=f"{PATH}?{urlencode(given)}",
            scan=SCAN,
        )

    def show(self, visit: Visit) -> Response:
        """GET: one client, by `client_id`, or an identity that has instances or is a member of others."""
        query = visit.query()
        name = query.require("id")
        after = {key: text for key in ("instance", "member", "under", "grant", "consent") if (text := query.get(key))}
        life = client_life(
            self._services.store,
            self._services.policies.current,
            name,
            after=after,
            now=visit.now,
            pending_expiry=self._services.periods["pending_expiry"],
        )
        return self._desk.show(
            visit,
            "client.html",
            status=200 if life.is_known else 404,
            life=life,
            marks=_MARKS,
            link=link_to_client,
            onward={key: f"{ONE}?{urlencode({'id': name, key: text})}" for key, text in life.onward.items()},
            events=[
                (row.event, mark_of(row.event.event), asked_words(row.event.ask), link_to(row.event.id))
                for row in life.events
            ],
            approvals=f"/approvals/client?{urlencode({'client': name})}",
            decisions=f"/decisions?{urlencode({'client': name})}",
            search=f"{PATH}?{urlencode({'q': name})}",
        )


def _filter_of(given: Mapping[str, str]) -> ClientFilter | None:
    """The filter that a query names; None where it names a state that there is not, and so can find nobody."""
    try:
        state = ClientState(given["state"]) if "state" in given else None
    except ValueError:
        return None
    return ClientFilter(state=state, trust_domain=given.get("trust_domain"), rule=given.get("rule"))


def _routes(desk: Desk) -> Sequence[Route]:
    own = Clients(desk)
    return (
        Route(PATH, "console_clients", {"GET": own.list}),
        Route(ONE, "console_client", {"GET": own.show}),
    )


SECTION = Section("Clients", PATH, _routes, glance)
