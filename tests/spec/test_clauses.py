"""`clauses.toml` is whole and true: each clause has a test that exists, or says why there is none yet."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.spec import catalogue
from tests.spec.catalogue import CLAUSES, DIGESTS, Clause, digest_items, faults_of, overloaded, read

CATALOGUE, FORM_FAULTS = read(CLAUSES.read_text(encoding="utf-8"))
HERE = "tests/spec/test_clauses.py"


def test_the_file_has_no_unknown_words() -> None:
    assert FORM_FAULTS == []
    assert len(CATALOGUE) > 300


@pytest.mark.parametrize("clause", CATALOGUE.values(), ids=list(CATALOGUE))
def test_a_clause_has_tests_that_exist_or_a_reason(clause: Clause) -> None:
    assert list(faults_of(clause, catalogue.test_exists)) == []


def test_no_test_is_said_to_hold_half_of_the_catalogue() -> None:
    assert list(overloaded(CATALOGUE)) == []


def test_every_clause_of_the_digests_is_here_with_its_level() -> None:
    if not (DIGESTS / "specs").is_dir():
        pytest.skip("the digests are not beside the checkout")
    assert {name: clause.level for name, clause in CATALOGUE.items()} == digest_items(DIGESTS)


def test_an_id_that_a_test_names_is_a_clause() -> None:
    unknown = {name: files for name, files in catalogue.mentioned_ids().items() if name not in CATALOGUE}
    assert unknown == {}


def test_numbers_have_no_gaps() -> None:
    """Where the digests are not there, a lost entry still shows."""
    numbers: dict[str, list[int]] = {}
    for name in CATALOGUE:
        family, _, number = name.partition("-")
        numbers.setdefault(family, []).append(int(number))
    missing = {f"{family}-{n}" for family, all_ in numbers.items() for n in range(1, max(all_) + 1) if n not in all_}
    assert missing == {"F-11"}  # The catalogue of faults has none of that number.
    assert set(numbers) == {"SCA", "ROFU", "SPIFFE", "OAS", "DCR", "CIMD", "PCR", "KBC", "T", "L", "F"}


# --- the checker itself can say no ------------------------------------------------------------------

SOUND = Clause("SCA-1", "MUST", (f"{HERE}::test_numbers_have_no_gaps",))
UNSOUND = {
    "no test and no reason": Clause("SCA-1", "MUST"),
    "no such level": Clause("SCA-1", "must", SOUND.tests),
    "no such file": Clause("SCA-1", "MUST", ("tests/spec/test_nothing.py::test_numbers_have_no_gaps",)),
    "no such test": Clause("SCA-1", "MUST", (f"{HERE}::test_numbers_have_no_gap",)),
    "a function that is no test": Clause("SCA-1", "MUST", ("tests/spec/catalogue.py::read",)),
    "a parameter that is nowhere": Clause("SCA-1", "MUST", (f"{HERE}::test_numbers_have_no_gaps[" + "none]",)),
    "a parameter without its end": Clause("SCA-1", "MUST", (f"{HERE}::test_what_is_unsound_is_told[no such level",)),
    "one test twice": Clause("SCA-1", "MUST", SOUND.tests * 2),
    "a reason without a place": Clause("SCA-1", "MUST", not_built="later"),
    "a reason without words": Clause("SCA-1", "MUST", not_built="issue 5: "),
    "built and not built": Clause("SCA-1", "MUST", SOUND.tests, not_built="issue 5: documents"),
    "a figure for a rule": Clause("SCA-1", "MUST", bench="known client"),
}
TWINS = {
    "a test": SOUND,
    "a parameter of a test": Clause("SCA-1", "MUST", (f"{HERE}::test_what_is_unsound_is_told[no such level]",)),
    "a reason": Clause("SCA-1", "MUST", not_built="issue 5: documents"),
    "a test and what comes later": Clause("SCA-1", "SHOULD", SOUND.tests, later="issues 4 and 5: other doors"),
    "a figure for a load": Clause("L-1", "MUST", bench="known client"),
}


@pytest.mark.parametrize("clause", UNSOUND.values(), ids=list(UNSOUND))
def test_what_is_unsound_is_told(clause: Clause) -> None:
    assert len(list(faults_of(clause, catalogue.test_exists))) == 1


@pytest.mark.parametrize("clause", TWINS.values(), ids=list(TWINS))
def test_what_is_sound_is_not_told(clause: Clause) -> None:
    assert list(faults_of(clause, catalogue.test_exists)) == []


def test_a_test_that_too_many_lean_on_and_an_unknown_word_are_told() -> None:
    many = {f"SCA-{n}": Clause(f"SCA-{n}", "MUST", SOUND.tests) for n in range(catalogue.MOST_CLAUSES_A_TEST + 1)}
    assert len(list(overloaded(many))) == 1
    many.popitem()
    assert list(overloaded(many)) == []
    assert read('[SCA-1]\nlevel = "MUST"\ntest = []')[1] == ["SCA-1: unknown ['test']"]


def test_every_locked_dependency_is_one_version_with_its_hashes_T_55() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        lines = (catalogue.ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
        pins = [line for line in lines if re.match(r"[A-Za-z0-9]", line)]
        assert pins
        for pin in pins:
            assert re.match(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==\S+ +--hash=sha256:[0-9a-f]{64}", pin), pin.split()[0]
        assert max(Counter(pin.split("==")[0] for pin in pins).values()) == 1
