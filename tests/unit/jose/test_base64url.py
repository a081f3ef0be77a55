"""One value, one spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.jose.base64url import InvalidBase64Url, decode, encode


@given(st.binary(max_size=64))
def test_bytes_come_back(value: bytes) -> None:
    assert decode(encode(value)) == value


@pytest.mark.parametrize(
    "text",
    ["Zg==", "Zg=", "Zh", "Zm9=", "Z", "Zm9v.", "Zm 9v", "Zm9v\n", "+A", "/A", "Zm9vYg\0", "Zäg", "====", "Zm=v"],
)
def test_another_spelling_is_refused(text: str) -> None:
    assert decode("Zg") == b"f"
    with pytest.raises(InvalidBase64Url):
        decode(text)


@given(st.text(alphabet="AZaz09-_=+/ \nä", max_size=12))
def test_text_is_the_spelling_of_its_bytes_or_refused(text: str) -> None:
    try:
        value = decode(text)
    except InvalidBase64Url:
        return
    assert encode(value) == text
