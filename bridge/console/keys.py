"""Keys that sign tokens: which signs, waits or goes, and when the next change is due. Never a private part."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.console.section import Desk, Glance, Route, Section, Standing
from bridge.console.services import ConsoleServices
from bridge.console.visits import Visit
from bridge.console.words import length
from bridge.model.signing_key import SigningKeyRow
from bridge.tokens.key_ring import signing_row, state_of
from bridge.web.lean import Response

# The chore that rotates looks every minute; a key that is so much older than it should be, in seconds, was forgotten.
OVERDUE = 86400


def due_at(signing: SigningKeyRow, rotate_every: int) -> int:
    """When the next key takes over, epoch seconds."""
    return (signing.created_at if signing.signs_from is None else signing.signs_from) + rotate_every


def glance(services: ConsoleServices, now: int) -> Glance:
    """The signing keys in one line."""
    rows = services.store.keys.keys()
    signing = signing_row(rows, now)
    if signing is None:
        return Glance(Standing.WRONG, "no key signs: no token can be issued")
    due = due_at(signing, services.periods["rotate_every"])
    if now > due + OVERDUE:
        words = f"the key was to be changed {length(now - due)} ago; does the service see its store and clock?"
        return Glance(Standing.LOOK, words)
    if all(state_of(row, signing, now) != "waiting" for row in rows):
        return Glance(Standing.LOOK, "no next key is published: run `bridge keys rotate`")
    change = f"the next in {length(due - now)}" if due > now else "the next now"
    return Glance(Standing.FINE, f"{signing.alg}, {change}")


def _routes(desk: Desk) -> Sequence[Route]:
    def show(visit: Visit) -> Response:
        services = desk.services
        rows = services.store.keys.keys()
        signing = signing_row(rows, visit.now)
        rotate_every = services.periods["rotate_every"]
        return desk.show(
            visit,
            "keys.html",
            rows=[(row, state_of(row, signing, visit.now)) for row in reversed(rows)],
            due_at=None if signing is None else due_at(signing, rotate_every),
            rotate_every=rotate_every,
        )

    return (Route("/keys", "console_keys", {"GET": show}),)


SECTION = Section("Signing keys", "/keys", _routes, glance)
