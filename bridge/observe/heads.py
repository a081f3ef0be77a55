"""The heads of the audit chains for the log, where a database that was put back to an earlier state does
not reach: those that moved since the last line, and now and then all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

LINE_SECONDS = 600
WHOLE_SECONDS = 86_400

# The sequence number and the MAC (hex) of a writer's last row.
Head = tuple[int, str]


class MovedHeads:
    """Remembers what the last lines said. One process at a time should write them."""

    def __init__(self) -> None:
        self._said: dict[str, Head] = {}
        self._line_at: int | None = None
        self._whole_at: int | None = None

    def is_due(self, at: int) -> bool:
        """Whether the last line is ten minutes old, or lies in the future of a clock that was set back."""
        return _is_due(self._line_at, at, LINE_SECONDS)

    def moved(self, heads: Iterable[tuple[str, int, str]], at: int) -> Mapping[str, Head]:
        """What a line at this time (epoch seconds) should say, by writer: once a day everything, otherwise what
        moved. Empty: nothing did."""
        present = {writer: (sequence, mac) for writer, sequence, mac in heads}
        whole = _is_due(self._whole_at, at, WHOLE_SECONDS)
        said = {} if whole else self._said
        self._said, self._line_at = present, at
        if whole:
            self._whole_at = at
        return {writer: head for writer, head in present.items() if said.get(writer) != head}

    def forget(self) -> None:
        """Somebody else writes the lines now: the next one from here is whole."""
        self._said, self._line_at, self._whole_at = {}, None, None


def _is_due(last: int | None, at: int, every: int) -> bool:
    return last is None or not last <= at < last + every
