"""`docs/errors.md`: the error reference, generated from the table.

`python -m bridge.advice.reference > docs/errors.md` writes it; a test compares.
"""

from __future__ import annotations

import sys

from bridge.advice.details import DETAILS, sayings_by_kind
from bridge.advice.entry import Advice, Section
from bridge.advice.table import SECTIONS
from bridge.model.reasons import Reason

_HEAD = """\
# Error reference

Each refusal has one reason out of a closed list. Clients are not told it: they get an OAuth error and an `error_id`
(also the header `X-Request-Id`). Under that id the reason stands in the service's log and, where the caller was
authenticated, in the audit log (`bridge audit show ID`); it is a label of `bridge_refusals_total`, too. `bridge doctor`
goes through the whole of it with an SVID in hand, or with the id.

This page is generated from the code (`make docs`). *Setting*: what to change, as SPIRE, `bridge.toml`, a
policy file or the request spells it.
"""
_COLUMNS = "| reason | what it means | what to do | whose | setting |\n| --- | --- | --- | --- | --- |\n"
_DETAILS = """\
## By the detail of the log line
Where a reason stands for several things, the `detail` of its line in the log tells which. *Step*: what `bridge doctor`
calls it.

| reason | detail | step | what to do | setting |
| --- | --- | --- | --- | --- |
"""
_BY_KIND = """\
## Of statements, assertions and documents
What to do where a reason that SVIDs have as well befell another kind of credential.

| reason | of a | step | what to do |
| --- | --- | --- | --- |
"""


def reference_text() -> str:
    """The page as it stands in the file."""
    return "\n".join([_HEAD, *map(_section, SECTIONS), _details(), _by_kind()])


def _section(section: Section) -> str:
    rows = "".join(_row(reason, advice) for reason, advice in section.entries.items())
    return f"## {section.title}\n{_COLUMNS}{rows}"


def _row(reason: Reason, advice: Advice) -> str:
    setting = f"`{advice.setting}`" if advice.setting else ""
    return _cells(f"`{reason.value}`", advice.meaning, advice.fix, advice.who.value, setting)


def _cells(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _details() -> str:
    rows = "".join(
        _cells(
            f"`{one.reason.value}`",
            f"*{one.words.strip()}*" if one.words else "",
            f"`{one.step}`",
            one.fix,
            f"`{one.setting}`" if one.setting else "",
        )
        for one in DETAILS
    )
    return _DETAILS + rows


def _by_kind() -> str:
    rows = "".join(
        _cells(f"`{reason.value}`", kind.value, f"`{saying.step}`", saying.fix)
        for kind, reason, saying in sayings_by_kind()
    )
    return _BY_KIND + rows


if __name__ == "__main__":
    sys.stdout.write(reference_text())
