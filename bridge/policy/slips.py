"""Common slips of the pen: a name that is nearly one that exists, and brackets that mean something else in TOML."""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches
from typing import get_args

from pydantic import BaseModel

Place = tuple[int | str, ...]

# Comparing costs the square of the lengths, for each name that is known: a mistake in a generated file
# must not hold up the load of all others.
_MOST_KNOWN = 2000
_LONGEST = 120

_SINGLE = re.compile(r"""^[ \t]*\[[ \t]*(?:(["']?)(rule|case)\1)[ \t]*\][ \t]*(?:#.*)?$""", re.MULTILINE)


def nearest(word: str, known: Collection[str]) -> str | None:
    """The name that was probably meant; None when there is no near one (or too much to compare)."""
    if len(word) > _LONGEST or len(known) > _MOST_KNOWN:
        return None
    found = get_close_matches(word, [name for name in known if len(name) <= _LONGEST], n=1)
    return found[0] if found else None


def double_brackets(key: str) -> str:
    """What to write instead of `[rule]` or `[case]`."""
    return f"write [[{key}]], with double brackets, once per {key}"


def single_bracket_header(text: str) -> tuple[int, str] | None:
    """The line, from 1, and the key of the first `[rule]` or `[case]` of a file that TOML refused."""
    found = _SINGLE.search(text)
    return (text.count("\n", 0, found.start()) + 1, found[2]) if found else None


def keys_at(kind: type[BaseModel], place: Place) -> tuple[str, ...]:
    """The keys that may stand at a place of a document, beside the one the place ends in."""
    current = kind
    for part in place[:-1]:
        field = current.model_fields.get(part) if isinstance(part, str) else None
        if field is None:
            continue  # An index of a list, or a key that people choose.
        following = _model_in(field.annotation)
        if following is None:
            return ()
        current = following
    return tuple(current.model_fields)


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The one model in a type such as `list[X]`, `dict[str, X]` or `X | None`."""
    if isinstance(annotation, type):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((model for part in get_args(annotation) if (model := _model_in(part)) is not None), None)
