"""The form of a request: the same reading as the standard library's, and what it refuses."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.errors import InvalidRequest
from bridge.model.reasons import Reason
from bridge.web.forms import MAX_FIELDS, parse_form

# Pieces of which forms are made, sound and broken ones: escapes, half escapes, bytes that are no UTF-8.
_PIECES = st.sampled_from(
    ["a", "b", "&", "&", "=", "=", "+", ";", "%", "%2", "%41", "%zz", "%C3%A9", "%26", "%3D", "%FF"]
)


def reason(body: bytes) -> Reason:
    with pytest.raises(InvalidRequest) as refused:
        parse_form(body)
    return refused.value.reason


@given(st.lists(_PIECES, max_size=12).map("".join))
def test_a_form_is_read_as_the_standard_library_reads_it(text: str) -> None:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        assert reason(text.encode()) is Reason.MALFORMED_REQUEST
        return
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        assert reason(text.encode()) is Reason.REPEATED_PARAMETER
    else:
        assert parse_form(text.encode()).values == {name: value for name, value in pairs if value}


def test_what_a_client_library_encodes_comes_back() -> None:
    fields = {"client_id": "spiffe://example.org/ns/web/sa/w1", "scope": "ledger.read ledger.write", "note": "é+&=%"}
    assert parse_form(urlencode(fields).encode()).values == fields


def test_as_many_fields_as_the_cap_are_read_and_one_more_is_refused() -> None:
    fields = [f"f{number}=1" for number in range(MAX_FIELDS)]
    assert len(parse_form("&".join(fields).encode()).values) == MAX_FIELDS
    assert reason("&".join([*fields, "one=more"]).encode()) is Reason.MALFORMED_REQUEST


@pytest.mark.parametrize(
    "value", [b"%C3", b"%FF", "é".encode(), b"%00", b"%0A"], ids=["half", "no-utf-8", "raw", "nul", "line"]
)
def test_a_value_that_is_no_plain_text_is_refused(value: bytes) -> None:
    assert parse_form(b"scope=%C3%A9").values == {"scope": "é"}
    assert reason(b"scope=" + value) is Reason.MALFORMED_REQUEST


def test_an_escaped_separator_is_part_of_the_value() -> None:
    assert parse_form(b"client_id=a%26scope%3Db").values == {"client_id": "a&scope=b"}


def test_a_repeated_parameter_is_refused_unless_it_may_repeat() -> None:
    assert parse_form(b"resource=https%3A%2F%2Fa&resource=https%3A%2F%2Fb").resources == ("https://a", "https://b")
    assert reason(b"scope=a&scope=b") is Reason.REPEATED_PARAMETER
