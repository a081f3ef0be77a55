"""The plain part of TOML that policy files are written in, read fast.

A file of ten thousand rules keeps `tomllib` busy for half a second in every worker, while the worker's
requests wait. Nearly all such files use a small part of TOML: bare keys, one-line strings without
escapes, lists of those, inline tables, `[[rule]]` and `[rule.grant]`. One regular expression reads that
part, a statement at a time. Whatever it does not know, and whatever is wrong, makes the whole file
`tomllib`'s, so nothing is accepted, refused or meant here that is not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

Table = dict[str, object]

_WS = r"[ \t]*+"
_KEY = r"[A-Za-z0-9_-]++"
# What follows a string tells it from the beginning of one of many lines.
_STRING = r'"[^"\\\x00-\x1f\x7f]*+"(?!")'
_GAP = r"[ \t\n]*+"
_LIST = rf"\[{_GAP}(?:{_STRING}{_GAP}(?:,{_GAP}{_STRING}{_GAP})*+(?:,{_GAP})?+)?+\]"
_FLAT = rf"{_STRING}|{_LIST}|true|false|0|[1-9][0-9]{{0,8}}+"
_LINE_END = r"[ \t]*+(?:#[^\x00-\x08\x0a-\x1f\x7f]*+)?+\n"


def _table(value: str) -> str:
    pair = rf"{_KEY}{_WS}={_WS}(?:{value}){_WS}"
    return rf"\{{{_WS}(?:{pair}(?:,{_WS}{pair})*+)?+\}}"


_INNER = rf"{_FLAT}|{_table(_FLAT)}"
_OUTER = rf"{_FLAT}|{_table(_INNER)}"
# The groups: the list that a header adds to; the list and the name of a table in its last entry; a key and
# its value. With the last alternative every match begins where the one before it ended.
_STATEMENT = re.compile(
    rf"{_WS}(?:\[\[{_WS}({_KEY}){_WS}\]\]|\[{_WS}({_KEY}){_WS}\.{_WS}({_KEY}){_WS}\]|({_KEY}){_WS}={_WS}({_OUTER}))"
    rf"(?:{_LINE_END})++|(?s:.++)"
)
_BEGINNING = re.compile(rf"(?:{_LINE_END})*+")
# Only for text that has matched: inside a table and inside a list.
_PAIR = re.compile(rf"({_KEY}){_WS}={_WS}({_INNER})")
_ITEM = re.compile(r'"([^"]*+)"')


class _NotPlain(Exception):
    """Something that is left to `tomllib`."""


def read_plain(text: str) -> Table | None:
    """The document, equal to what `tomllib.loads` makes of the text; None when it is not of the plain part.

    None does not say that the text is wrong: it may be TOML.
    """
    text += "\n"
    beginning = _BEGINNING.match(text)
    assert beginning is not None, "it matches nothing, too"
    try:
        # One at a time: a single call for all would keep the interpreter from requests until it is done.
        return _document(_STATEMENT.finditer(text, beginning.end()))
    except _NotPlain:
        return None


def _document(statements: Iterable[re.Match[str]]) -> Table:
    whole: Table = {}
    lists: dict[str, list[Table]] = {}
    table = whole
    for statement in statements:
        entries, owner, below, key, value = statement.groups("")
        if key:
            if key in table:
                raise _NotPlain
            table[key] = _value(value)
        elif entries:
            if entries not in lists:
                if entries in whole:
                    raise _NotPlain
                whole[entries] = lists[entries] = []
            table = {}
            lists[entries].append(table)
        elif owner in lists and below not in lists[owner][-1]:
            table = lists[owner][-1][below] = {}
        else:
            raise _NotPlain
    return whole


def _value(text: str) -> object:
    first = text[0]
    if first == '"':
        return text[1:-1]
    if first == "[":
        return _ITEM.findall(text)
    if first == "{":
        pairs = _PAIR.findall(text)
        table = {key: _value(value) for key, value in pairs}
        if len(table) != len(pairs):
            raise _NotPlain
        return table
    return int(text) if first.isdigit() else text == "true"
