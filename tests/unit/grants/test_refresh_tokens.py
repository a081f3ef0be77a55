"""Refresh tokens: made and read again, and nobody else's text is one (OAS-38, OAS-40)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.grants.refresh_tokens import RefreshToken, RefreshTokens

TOKENS, OTHERS = RefreshTokens(b"k" * 32), RefreshTokens(b"o" * 32)
_BASE64URL = "ABCabc019-_"
drawn = st.builds(
    RefreshToken,
    grant_id=st.text(_BASE64URL, min_size=16, max_size=64),
    generation=st.integers(1, 10**10 - 1),
    jkt=st.none() | st.text(_BASE64URL, min_size=43, max_size=43),
)


@given(drawn)
def test_what_is_made_is_read_and_by_nobody_with_another_key(token: RefreshToken) -> None:
    raw = TOKENS.make(token)
    assert TOKENS.read(raw) == token
    assert OTHERS.read(raw) is None


@given(drawn, drawn)
def test_no_part_of_one_token_goes_into_another(one: RefreshToken, other: RefreshToken) -> None:
    first, second = TOKENS.make(one).split("."), TOKENS.make(other).split(".")
    for place in range(5):
        mixed = ".".join((*first[:place], second[place], *first[place + 1 :]))
        if mixed not in (TOKENS.make(one), TOKENS.make(other)):
            assert TOKENS.read(mixed) is None


@pytest.mark.parametrize("text", ["", "rt1", "rt1....", "rt1." + "a" * 22 + ".0.." + "b" * 43, "\u00e9", "x" * 100_000])
def test_anything_else_is_none(text: str) -> None:
    assert TOKENS.read(text) is None


def test_a_digit_more_or_a_space_is_another_text() -> None:
    raw = TOKENS.make(RefreshToken("a" * 22, 1, None))
    for changed in (raw + " ", " " + raw, raw.replace(".1.", ".01."), raw + "\n", raw[:-1]):
        assert TOKENS.read(changed) is None
