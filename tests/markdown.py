"""The fenced blocks of a Markdown page: what readers will copy, so what tests run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_FENCE = "```"


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: its language ("" for none), its text with a line end at the end, and where it stands."""

    language: str
    text: str
    line: int
    heading: str


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a `console` block, and what the page says that it prints on standard output."""

    text: str
    shown: str
    line: int


def blocks(page: Path) -> tuple[Block, ...]:
    """All blocks of the page, in its order. Raises: ValueError for one that nobody closes."""
    return tuple(_blocks(page))


def _blocks(page: Path) -> Iterator[Block]:
    heading, language, opened, inside = "", "", 0, list[str]()
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if opened and line == _FENCE:
            yield Block(language, "".join(f"{each}\n" for each in inside), opened + 1, heading)
            opened = 0
        elif opened:
            inside.append(line)
        elif line.startswith(_FENCE):
            language, opened, inside = line.removeprefix(_FENCE), number, []
        elif line.startswith("#"):
            heading = line.lstrip("#").strip()
    if opened:
        raise ValueError(f"{page.name}: the block of line {opened} is never closed")


def commands(block: Block) -> Iterator[Command]:
    """The commands of a `console` block: each begins with `$ `, goes on over lines that begin with `> `, and then comes
    what it prints."""
    text, shown, line = "", list[str](), 0
    for number, each in enumerate(block.text.splitlines(), block.line):
        if each.startswith("$ "):
            if text:
                yield Command(text, "".join(shown), line)
            text, shown, line = each.removeprefix("$ "), [], number
        elif each.startswith("> ") and not shown:
            text += f"\n{each.removeprefix('> ')}"
        else:
            shown.append(f"{each}\n")
    if text:
        yield Command(text, "".join(shown), line)
