"""The start page: is anything wrong, and where to look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.console.section import Desk, Glance, Route, Section, Standing
from bridge.console.visits import Visit
from bridge.model.errors import BridgeError
from bridge.observe.readiness import Readiness
from bridge.web.lean import Response


@dataclass(frozen=True, slots=True)
class Line:
    """One section on the page."""

    title: str
    path: str
    glance: Glance


class Overview:
    """The page."""

    def __init__(self, desk: Desk, sections: Sequence[Section]) -> None:
        self._desk, self._sections = desk, sections

    def show(self, visit: Visit) -> Response:
        """GET: every section in one line, and the parts that readiness looks at."""
        services = self._desk.services
        lines = [line for section in self._sections if (line := self._line(section, visit.now)) is not None]
        readiness = services.readiness()
        worst = (
            [Standing.WRONG, *(line.glance.standing for line in lines)]
            if not readiness.ready
            else [line.glance.standing for line in lines]
        )
        return self._desk.show(
            visit,
            "overview.html",
            lines=lines,
            parts=_parts(readiness),
            is_ready=readiness.ready,
            wrong=worst.count(Standing.WRONG),
            looks=worst.count(Standing.LOOK),
        )

    def _line(self, section: Section, now: int) -> Line | None:
        if section.glance is None:
            return None
        try:
            glance = section.glance(self._desk.services, now)
        except BridgeError as error:
            # One part that cannot be looked at must not hide the others.
            glance = Glance(Standing.WRONG, f"cannot be looked at: {error}")
        return Line(section.title, section.path, glance)


def _parts(readiness: Readiness) -> list[tuple[str, bool, str]]:
    """Each part with whether it is ready, and its reason where it has one."""
    return [(name, bool(part.get("ready")), str(part.get("reason", ""))) for name, part in readiness.parts.items()]


def _routes(desk: Desk) -> Sequence[Route]:
    # All sections, this one too, stand in the list that names this module.
    from bridge.console.contents import SECTIONS

    return (Route("/", "console_overview", {"GET": Overview(desk, SECTIONS).show}),)


SECTION = Section("Overview", "/", _routes)
