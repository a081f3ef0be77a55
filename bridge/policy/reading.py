"""From the bytes of a file to a document: TOML, then shape. What is wrong becomes findings with lines."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Generic, TypeVar

import tomli
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from bridge.policy.document import (
    CatalogueFile,
    Document,
    DocumentFile,
    PolicyFile,
    PushedFile,
    SpiffeFile,
    StatementFile,
)
from bridge.policy.findings import Report
from bridge.policy.salvage import Place, sound_part
from bridge.policy.slips import double_brackets, keys_at, single_bracket_header

MAX_FILE_BYTES = 16 * 1024 * 1024

_FILES: dict[str, type[PolicyFile]] = {
    "spiffe": SpiffeFile,
    "metadata-document": DocumentFile,
    "software-statement": StatementFile,
    "pushed": PushedFile,
}
# What the reader says of a second `[rule]`, and of a `[rule]` beside a `[[rule]]`.
_HEADER_TWICE = re.compile(r"Cannot (?:declare|overwrite|mutate)")
_AT_LINE = re.compile(r"\(at line (\d+), column \d+\)")

D = TypeVar("D", bound=Document)
D_co = TypeVar("D_co", bound=Document, covariant=True)


@dataclass(frozen=True, slots=True)
class Readable(Generic[D_co]):
    """A file's document, without the entries (rules, cases) whose shape is wrong: of these the report has said what
    there is to say, and about the others there may be more. `numbers`: where each entry stands in the file."""

    document: D_co
    numbers: tuple[int, ...]


def toml(content: bytes, report: Report) -> dict[str, object] | None:
    """The file as TOML; None, and a finding with its line, when it is none."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        report.error_at(line, "syntax", "the file is not UTF-8")
        return None
    try:
        return tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        _report_syntax(text, str(error), report)
    except ValueError as error:
        # Python's own refusal of an integer with thousands of digits; it names no line.
        report.error_at(0, "syntax", f"not TOML that can be read: {error}")
    except RecursionError:
        report.error_at(0, "syntax", "not TOML that anybody wrote: it is nested too deeply")
    return None


def _report_syntax(text: str, message: str, report: Report) -> None:
    place = _AT_LINE.search(message)
    line = int(place[1]) if place else text.count("\n") + 1
    words = f"not TOML: {_AT_LINE.sub('', message).strip()}"
    slip = single_bracket_header(text) if _HEADER_TWICE.search(message) else None
    if slip is not None:
        line, words = slip[0], f"{words}: {double_brackets(slip[1])}"
    report.error_at(line, "syntax", words)


def shaped(raw: dict[str, object], kind: type[D], report: Report) -> D | None:
    """The document of that kind; None, and a finding for each fault, when the shape is wrong."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        _report_shape(error, raw, kind, report)
    return None


def readable(raw: dict[str, object], kind: type[D], entries: str, report: Report) -> Readable[D] | None:
    """What can be read of a document of that kind, and a finding for each fault of shape. `entries` is the key of its
    list of entries. None when nothing of it can be looked into before the faults are mended."""
    try:
        document = kind.model_validate(raw)
    except ValidationError as error:
        _report_shape(error, raw, kind, report)
        places: list[Place] = [fault["loc"] for fault in error.errors(include_url=False, include_context=False)]
        part = sound_part(raw, places, entries, known=kind.model_fields)
        if part is None:
            return None
        try:
            return Readable(kind.model_validate(part.raw), part.numbers)
        except ValidationError:
            return None
    written = raw.get(entries)
    return Readable(document, tuple(range(len(written) if isinstance(written, list) else 0)))


def _report_shape(error: ValidationError, raw: dict[str, object], kind: type[Document], report: Report) -> None:
    seen: set[Place] = set()
    for fault in error.errors(include_url=False, include_context=True):
        place = _place(fault["loc"])
        if place not in seen:
            seen.add(place)
            code, message = _words(fault, place)
            if code == "unknown-key":
                message += report.hint(str(place[-1]), keys_at(kind, place))
            rule, case = _named(raw, place)
            report.error(code, message, *place, rule=rule, case=case)


def policy_file(content: bytes, report: Report) -> Readable[PolicyFile] | None:
    """What can be read of a file with rules, of whichever source it names."""
    raw = toml(content, report)
    if raw is None:
        return None
    source = raw.get("source")
    kind = _FILES.get(source) if isinstance(source, str) else None
    if kind is None:
        known = ", ".join(f'"{name}"' for name in _FILES)
        said = "has no source" if source is None else f"has the unknown source {source!r}"
        hint = report.hint(source, _FILES) if isinstance(source, str) else ""
        report.error("source", f"the file {said}; it is one of {known}{hint}", "source")
        return None
    return readable(raw, kind, "rule", report)


def catalogue_file(content: bytes, report: Report) -> CatalogueFile | None:
    """`catalogue.toml`."""
    raw = toml(content, report)
    return None if raw is None else shaped(raw, CatalogueFile, report)


def _place(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The location without pydantic's names for the branches of a union."""
    if "client" in loc:
        end = loc.index("client") + 1
        rest = loc[end:]
        return loc[:end] + (("shared",) if rest[-1:] == ("shared",) and len(rest) > 1 else ())
    return loc


def _named(raw: dict[str, object], place: tuple[int | str, ...]) -> tuple[str, str]:
    """The id of the rule and the name of the case that a fault is in; one of them, if it can be told."""
    if len(place) < 2 or place[0] not in ("rule", "case") or not isinstance(place[1], int):
        return "", ""
    is_rule = place[0] == "rule"
    entries = raw.get(str(place[0]))
    entry = entries[place[1]] if isinstance(entries, list) and place[1] < len(entries) else None
    name = entry.get("id" if is_rule else "name") if isinstance(entry, dict) else None
    if not isinstance(name, str):
        return "", ""
    return (name, "") if is_rule else ("", name)


def _words(fault: ErrorDetails, place: tuple[int | str, ...]) -> tuple[str, str]:
    """A stable code, and a sentence for people, for one fault of shape."""
    kind = fault["type"]
    names = [str(part) for part in place if not isinstance(part, int)]
    key = names[-1] if names else "the file"
    told: dict[str, tuple[str, str]] = {
        "extra_forbidden": ("unknown-key", f"unknown key '{key}'"),
        "missing": (f"missing-{key.replace('_', '-')}", f"'{key}' is missing"),
        "too_short": ("empty-list", f"'{key}' is empty: an empty list is never what was meant; leave the key out"),
        "string_too_short": ("empty", f"'{key}' is empty"),
        "literal_error": ("unknown-value", f"'{key}' is {fault['input']!r}; it may be {_expected(fault)}"),
        "string_type": ("wrong-type", f"'{key}' must be a string"),
        "bool_type": ("wrong-type", f"'{key}' must be true or false"),
        "list_type": ("wrong-type", f"'{key}' must be a string or a list of strings"),
        "dict_type": ("wrong-type", f"'{key}' must be a table"),
        "model_type": ("wrong-type", f"'{key}' must be a table"),
        "value_error": ("wrong-value", f"'{key}': {_reason(fault)}"),
    }
    if names[-1:] == ["client"]:
        return "client", '\'client\' is "identity", "instance" or { shared = "a-client-id" }'
    if kind == "list_type" and key in ("rule", "case"):
        return "wrong-type", double_brackets(key)
    if kind in ("dict_type", "model_type", "model_attributes_type") and isinstance(fault["input"], list):
        return "wrong-type", f"'{key}' is one table: write its header with single brackets"
    if kind == "string_pattern_mismatch":
        return "wrong-value", _pattern_words(key, fault["input"])
    return told.get(kind, ("wrong-value", f"'{key}': {fault['msg']}"))


def _pattern_words(key: str, given: object) -> str:
    if key == "shared":
        return f"'{given}' cannot be a shared client_id: letters, digits and . _ ~ @ + -, no ':' or '/', at most 200"
    return f"'{key}' is {given!r}; it has letters, digits and . _ -, starts with one of the first two, at most 100"


def _expected(fault: ErrorDetails) -> str:
    return str(fault.get("ctx", {}).get("expected", "something else"))


def _reason(fault: ErrorDetails) -> str:
    return str(fault.get("ctx", {}).get("error", fault["msg"]))
