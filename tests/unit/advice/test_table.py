"""The error reference is whole, and is what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.advice.reference import reference_text
from bridge.advice.table import ADVICE, SECTIONS, advice_on
from bridge.model.reasons import Reason

PAGE = Path(__file__).resolve().parents[3] / "docs" / "errors.md"


def test_every_reason_has_its_advice_and_stands_once() -> None:
    """A new reason needs an entry in `bridge/advice`, and `make docs`."""
    listed = [reason for section in SECTIONS for reason in section.entries]
    assert set(listed) == set(Reason)
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("reason", list(Reason))
def test_advice_says_what_it_means_and_what_to_do_in_sentences(reason: Reason) -> None:
    advice = ADVICE[reason]
    for text in (advice.meaning, advice.fix):
        assert text.isascii()
        assert text.endswith((".", "?"))
        assert text[0].isupper() or text[0] == "`"
    assert advice.meaning != advice.fix


def test_a_word_that_is_no_reason_has_no_advice() -> None:
    assert advice_on("jwt_audience") is ADVICE[Reason.JWT_AUDIENCE]
    assert advice_on("jwt_audiance") is None


def test_the_page_is_the_one_the_code_generates() -> None:
    """`make docs` writes it."""
    assert PAGE.read_text(encoding="utf-8") == reference_text()
