"""The canonical layout of a policy file: another layout of the same text, which means the same by construction and is
checked to.

Spaces, blank lines and line ends are layout. Keys, their order and quotes, comments, the lines over which a value
reaches and everything inside a string are not: they stay as somebody wrote them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

import tomli

_STRING = re.compile(
    r'''"""(?:\\.|[^\\])*?"{3,5}|"(?:\\.|[^"\\\n])*"''' + "|" + r"""'''.*?'{3,5}|'[^'\n]*'""", re.DOTALL
)
_SPACE = re.compile(r"[ \t]+")
_COMMENT = re.compile(r"#[^\n]*")
_BARE = re.compile(r"[^\s\"'#=,\[\]{}]+")
_COMMENT_GAP = "  "


class NotToml(ValueError):
    """The text is no TOML, so that nobody can tell what of it is layout. The message says where."""


class LayoutLost(ValueError):
    """A defect of ours: the laid-out text would mean something else."""


class _Kind(Enum):
    STRING = auto()
    BARE = auto()
    COMMENT = auto()
    SIGN = auto()
    NEWLINE = auto()


_SIGN = _Kind.SIGN


@dataclass(frozen=True, slots=True)
class _Token:
    kind: _Kind
    text: str


def formatted(text: str) -> str:
    """The text in its canonical layout. Formatting that again changes nothing.

    Raises: NotToml.
    """
    before = _parsed(text)
    done = "\n".join(_spaced(_statements(text.replace("\r\n", "\n"))))
    done = done + "\n" if done else ""
    # `repr` tells 1 from 1.0 and true, and sees the order of keys.
    if repr(_parsed(done)) != repr(before):
        raise LayoutLost("the laid-out text would mean something else: the file is left as it is")
    return done


def _parsed(text: str) -> dict[str, object]:
    try:
        return tomli.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotToml(f"not TOML: {error}" if str(error) else "not TOML that anybody wrote") from error


def _tokens(text: str) -> Iterator[_Token]:
    """All of the text but its spaces. It is TOML, so what looks like a string is one."""
    at = 0
    kinds = ((_STRING, _Kind.STRING), (_COMMENT, _Kind.COMMENT), (_BARE, _Kind.BARE))
    while at < len(text):
        space = _SPACE.match(text, at)
        if space is not None:
            at = space.end()
            continue
        if text[at] in "=,[]{}\n":
            yield _Token(_Kind.NEWLINE if text[at] == "\n" else _Kind.SIGN, text[at])
            at += 1
            continue
        found = next(((m, kind) for pattern, kind in kinds if (m := pattern.match(text, at)) is not None), None)
        if found is None:
            raise LayoutLost(f"character {at} is of no kind that is known: the file is left as it is")
        yield _Token(found[1], found[0][0])
        at = found[0].end()


@dataclass(slots=True)
class _Statement:
    """A comment of its own line, a header, an assignment, or a blank line (no lines)."""

    lines: list[list[_Token]] = field(default_factory=list)

    @property
    def is_blank(self) -> bool:
        return not self.lines

    @property
    def is_comment(self) -> bool:
        return bool(self.lines) and self.lines[0][0].kind is _Kind.COMMENT

    @property
    def is_header(self) -> bool:
        return bool(self.lines) and self.lines[0][0] == _Token(_Kind.SIGN, "[")


def _statements(text: str) -> Iterator[_Statement]:
    """The statements in order; one reaches over several lines while a bracket is open."""
    lines: list[list[_Token]] = [[]]
    depth = 0
    for token in [*_tokens(text), _Token(_Kind.NEWLINE, "\n")]:
        if token.kind is not _Kind.NEWLINE:
            lines[-1].append(token)
            depth += (token.kind is _Kind.SIGN) * ((token.text in "[{") - (token.text in "]}"))
        elif depth:
            lines.append([])
        else:
            yield _Statement(lines if lines != [[]] else [])
            lines = [[]]


def _spaced(statements: Iterable[_Statement]) -> list[str]:
    """The statements as they are written, with the blank lines that belong between them: one before each header, or
    before the comment that stands right above it, none behind it, and never two."""
    kept: list[_Statement] = []
    for statement in statements:
        if statement.is_blank and (not kept or kept[-1].is_blank or kept[-1].is_header):
            continue
        kept.append(statement)
    if kept and kept[-1].is_blank:
        kept.pop()
    apart: set[int] = set()
    for place, statement in enumerate(kept):
        if statement.is_header:
            above = place
            while above and kept[above - 1].is_comment:
                above -= 1
            if above and not kept[above - 1].is_blank:
                apart.add(above)
    return [line for place, one in enumerate(kept) for line in (*([""] if place in apart else []), _written(one))]


def _written(statement: _Statement) -> str:
    """The lines of a statement. Inside brackets each line stands four columns further in."""
    written: list[str] = []
    depth = 0
    for line in statement.lines:
        closing = next((n for n, token in enumerate(line) if token.text not in ("]", "}")), len(line))
        indent = " " * (4 * (depth - closing)) if line else ""
        written.append(indent + _line(line, is_header=statement.is_header))
        depth += sum((token.text in ("[", "{")) - (token.text in ("]", "}")) for token in line if token.kind is _SIGN)
    return "\n".join(_without_needless(written))


def _without_needless(lines: list[str]) -> list[str]:
    """The lines of one statement without blank ones that separate nothing: behind a bracket that opens, before one
    that closes, and beside another."""
    kept: list[str] = []
    for line in lines:
        if not line and (not kept[-1] or kept[-1].endswith(("[", "{"))):
            continue
        if line.lstrip().startswith(("]", "}")) and not kept[-1]:
            kept.pop()
        kept.append(line)
    return kept


def _line(tokens: Sequence[_Token], *, is_header: bool) -> str:
    """One line, its spaces as they should be."""
    text = ""
    before: _Token | None = None
    for token in tokens:
        text += _gap(before, token, is_header=is_header) + token.text
        before = token
    return text.rstrip(" \t") if before is not None and before.kind is _Kind.COMMENT else text


def _gap(before: _Token | None, token: _Token, *, is_header: bool) -> str:
    """What stands between two tokens of a line."""
    if before is None:
        return ""
    if token.kind is _Kind.COMMENT:
        return _COMMENT_GAP
    if is_header or token.text == "," or (before.text, token.text) in (("{", "}"), ("[", "]")):
        return ""
    if before.text == ",":
        return "" if token.text == "]" else " "
    if before.text == "[" or token.text == "]":
        return ""
    if before.kind is _SIGN or token.kind is _SIGN:
        return " "
    # Parts of a dotted key belong together; a date and its time do not.
    return "" if before.text.endswith(".") or token.text.startswith(".") else " "
