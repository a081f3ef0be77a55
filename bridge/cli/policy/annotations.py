"""What is wrong with policy files in the forms in which machines show it beside the changed lines of a pull request.

SARIF 2.1.0 (OASIS) is what most code hosts take in; GitHub's workflow commands are lines of a job's own output.
Places are named from the current folder, for that is the root of the repository where such a job runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from bridge import __version__
from bridge.cli.output import command, emit_json, printable

if TYPE_CHECKING:
    from bridge.policy.cases import Failure
    from bridge.policy.findings import Finding

FORMATS = ("text", "json", "sarif", "github")
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


@dataclass(frozen=True, slots=True)
class Annotation:
    """One thing to show beside a line. `line` counts from 1 and is 0 where it is about the whole file; `level` is
    `error` or `warning`; `code` a stable name of the kind; `path` from the current folder, or absolute outside it."""

    path: str
    line: int
    level: str
    code: str
    message: str

    @classmethod
    def of_finding(cls, finding: Finding, folder: Path) -> Annotation:
        """For `policy check`."""
        about = f"{finding.about}: " if finding.about else ""
        path = _path(folder, finding.file)
        return cls(path, finding.line, finding.severity.value, finding.code, f"{about}{finding.message}")

    @classmethod
    def of_failure(cls, failure: Failure, folder: Path) -> Annotation:
        """For `policy test`."""
        about = f"case '{failure.case}': " if failure.case else ""
        code = "case" if failure.case else "unreached" if failure.rule else "load"
        return cls(_path(folder, failure.file), failure.line, "error", code, f"{about}{failure.message}")


def _path(folder: Path, name: str) -> str:
    """A finding names its file from the policy folder, or the folder itself where that cannot be read."""
    place = folder if name == str(folder) else folder / name
    whole = Path(os.path.abspath(place))
    here = Path.cwd()
    return whole.relative_to(here).as_posix() if whole.is_relative_to(here) else whole.as_posix()


def emit_github(annotations: Iterable[Annotation]) -> None:
    """One workflow command a line. What they hold is escaped, so that no text of a file becomes a command."""
    for one in annotations:
        line = f",line={one.line}" if one.line else ""
        title = _property(f"bridge policy: {one.code}")
        message = printable(one.message).replace("%", "%25")
        command(f"::{one.level} file={_property(one.path)}{line},title={title}::{message}")


def _property(text: str) -> str:
    return printable(text).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")


def emit_sarif(annotations: Iterable[Annotation]) -> None:
    """One SARIF document with one run; without results where nothing is wrong."""
    shown = list(annotations)
    codes = sorted({one.code for one in shown})
    driver = {
        "name": "bridge policy",
        "version": __version__,
        "rules": [{"id": code, "shortDescription": {"text": code.replace("-", " ")}} for code in codes],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(one, codes.index(one.code)) for one in shown],
    }
    emit_json({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]})


def _result(one: Annotation, rule: int) -> dict[str, object]:
    absolute = one.path.startswith("/")
    # The very bytes of the name, which need be no UTF-8.
    path = quote(os.fsencode(one.path))
    uri = f"file://{path}" if absolute else path
    artifact = {"uri": uri} if absolute else {"uri": uri, "uriBaseId": "%SRCROOT%"}
    place: dict[str, object] = {"artifactLocation": artifact}
    if one.line:
        place["region"] = {"startLine": one.line}
    return {
        "ruleId": one.code,
        "ruleIndex": rule,
        "level": one.level,
        "message": {"text": one.message},
        "locations": [{"physicalLocation": place}],
    }
