"""Whatever stands in an SVID, what is shown of it is bounded, on one line, and moves no cursor."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.doctor.jwt_words import JWT_WORDS
from bridge.doctor.words import MAX_CHARACTERS, listed, named_setting, relative, shown, span, when
from bridge.doctor.x509_words import X509_WORDS
from bridge.verify.jwt_steps import JWT_STEPS
from bridge.verify.statement_steps import STATEMENT_STEPS
from bridge.verify.x509_steps import X509_STEPS

NOW = 1_800_000_000
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(VALUES)
def test_any_value_is_shown_on_one_line_of_printable_characters(value: object) -> None:
    for text in (shown(value), listed([value, value]), when(value, NOW)):
        assert text.isprintable()
        assert len(text) < 20 * MAX_CHARACTERS


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b2J", "\\x9b2J"),
        ("a\r\nb", "a\\r\\nb"),
        ("‮gnp", "\\u202egnp"),
        ("plain", "plain"),
        ("<b>", "<b>"),
    ],
    ids=["T-49 escape", "T-49 C1", "T-49 line", "T-49 direction", "plain", "markup"],
)
def test_what_a_terminal_would_obey_is_spelled_out(text: str, seen: str) -> None:
    assert shown(text) == seen


def test_what_is_too_long_is_cut_and_counted() -> None:
    assert shown("x" * 300) == f"{'x' * 256}... (300 characters)"
    assert shown(10**5000) == "a number of more than 256 bits"
    assert listed(range(10)).endswith("and 2 more")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0s"), (59, "59s"), (61, "1m 1s"), (90_061, "1d 1h"), (-60, "1m"), (1e300, "thousands of years")],
)
def test_a_span_has_its_two_largest_units(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_times_stand_beside_now() -> None:
    assert relative(NOW + 60, NOW) == "in 1m"
    assert relative(NOW - 60, NOW) == "1m ago"
    assert when(NOW, NOW) == "2027-01-15T08:00:00Z (0s ago)"
    assert when(True, NOW) == "true"


def test_the_first_setting_that_a_remedy_names_is_found() -> None:
    assert named_setting("raise -jwtSVIDTTL of the entry or default_jwt_svid_ttl") == "-jwtSVIDTTL"
    assert named_setting('no key says "use": "jwt-svid"') == "use"
    assert named_setting("take the blanks out") == ""


def test_every_step_of_the_verification_has_words_and_no_other_has() -> None:
    assert set(JWT_WORDS) == {step.name for step in (*JWT_STEPS, *STATEMENT_STEPS)}
    assert set(X509_WORDS) == {step.name for step in X509_STEPS}
