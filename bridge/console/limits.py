"""Limits and how much of them is used: who is near the end, and what is done about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bridge.console.section import Desk, Glance, Route, Section, Standing
from bridge.console.services import ConsoleServices
from bridge.console.visits import Visit
from bridge.registration.limit_uses import LimitUse, limit_uses
from bridge.store.admission import INSTANCES, OF_IDENTITY, OF_RULE, PENDING, RECORDS, REGISTRATIONS
from bridge.store.requests import WAITING
from bridge.web.lean import Response

# From which share on somebody should look, and how many lines the page has.
NEARLY = 0.8
MOST_LINES = 200
_NAMED = 3
# What each limit is about, and what an operator does when it is reached.
WORDS: Mapping[str, str] = {
    RECORDS: "live records; raise the limit, or shorten idle_expiry",
    PENDING: "records that wait for an operator; answer them",
    REGISTRATIONS: "new identities; those who come too fast are told when to come again",
    OF_RULE: "new identities by one rule",
    OF_IDENTITY: "new instances of one identity",
    INSTANCES: "live instances of one identity",
    WAITING: "authorization requests that wait for their users; none is put out for a new one",
    "anonymous_per_minute": "new pushed clients and documents from one address",
}


def standing_of(use: LimitUse) -> Standing:
    """Whether a limit needs somebody."""
    if use.share >= 1.0:
        return Standing.WRONG
    return Standing.LOOK if use.share >= NEARLY else Standing.FINE


def uses_of(services: ConsoleServices, now: int) -> list[LimitUse]:
    """All that is used, the fullest first. Raises: Unavailable."""
    return limit_uses(services.store, services.places.keys(), services.limits, now=now)


def glance(services: ConsoleServices, now: int) -> Glance:
    """The limits in one line."""
    near = [use for use in uses_of(services, now) if use.share >= NEARLY]
    if not near:
        return Glance(Standing.FINE, f"no limit is used for more than {NEARLY:.0%}")
    full = sum(use.share >= 1.0 for use in near)
    words = f"{full} reached, {len(near) - full} nearly" if full else f"{len(near)} nearly reached"
    return Glance(
        Standing.WRONG if full else Standing.LOOK,
        words,
        [f"{use.limit} {use.key} {use.share:.0%}".replace("  ", " ") for use in near[:_NAMED]],
    )


def _routes(desk: Desk) -> Sequence[Route]:
    def show(visit: Visit) -> Response:
        uses = uses_of(desk.services, visit.now)
        lines = [(use, standing_of(use), WORDS.get(use.limit, "")) for use in uses[:MOST_LINES]]
        return desk.show(visit, "limits.html", lines=lines, more=max(0, len(uses) - MOST_LINES))

    return (Route("/limits", "console_limits", {"GET": show}),)


SECTION = Section("Limits", "/limits", _routes, glance)
