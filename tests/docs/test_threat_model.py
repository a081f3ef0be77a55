"""The threat model names every attack of the catalogue, each with files whose tests hold its defence."""

from __future__ import annotations

import re

import pytest

from tests.markdown import ROOT
from tests.spec.catalogue import CLAUSES, Clause, read

PAGE = (ROOT / "docs/threat-model.md").read_text(encoding="utf-8")
ATTACKS = {name: clause for name, clause in read(CLAUSES.read_text(encoding="utf-8"))[0].items() if name[:2] == "T-"}
ROWS = re.findall(r"^\| (T-\d+) \| (.+) \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)


def test_every_attack_has_one_row_and_every_row_is_an_attack() -> None:
    assert sorted(name for name, *_ in ROWS) == sorted(ATTACKS)


@pytest.mark.parametrize("clause", ATTACKS.values(), ids=list(ATTACKS))
def test_the_files_that_are_said_to_hold_a_defence_do(clause: Clause) -> None:
    named = {
        f"tests/{file}"
        for name, _, _, held in ROWS
        if name == clause.id
        for file in re.findall(r"\(\.\./tests/(\S+)\)", held)
    }
    assert named
    assert named <= {test.partition("::")[0] for test in clause.tests}
