"""`docs/errors.md`: the error reference, generated from the table.

`python -m bridge.advice.reference > docs/errors.md` writes it; a test compares.
"""

from __future__ import annotations

import sys

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


def reference_text() -> str:
    """The page as it stands in the file."""
    return "\n".join([_HEAD, *map(_section, SECTIONS)])


def _section(section: Section) -> str:
    rows = "".join(_row(reason, advice) for reason, advice in section.entries.items())
    return f"## {section.title}\n{_COLUMNS}{rows}"


def _row(reason: Reason, advice: Advice) -> str:
    setting = f"`{advice.setting}`" if advice.setting else ""
    cells = (f"`{reason.value}`", advice.meaning, advice.fix, advice.who.value, setting)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


if __name__ == "__main__":
    sys.stdout.write(reference_text())
