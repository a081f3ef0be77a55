"""What RFC 8259 leaves to taste is settled here: one reading of each text, or none (T-27, T-28)."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.jose.strict_json import MAX_DEPTH, InvalidJson, dumps, loads, loads_object

ACCEPTED = [
    ('{"a": 1, "b": [true, null, "x"]}', {"a": 1, "b": [True, None, "x"]}),
    ("[]", []),
    ('"x"', "x"),
    ("1e10", 1e10),
    ('"\\u00e4\\ud83d\\ude00"', "ä\N{GRINNING FACE}"),
    (b'{"a":"\xc3\xa4"}', {"a": "ä"}),
    ('{"a":{"a":1}}', {"a": {"a": 1}}),
    ("9" * 4000, 10**4000 - 1),
]
REFUSED = {
    "duplicate name": '{"a": 1, "a": 1}',
    "duplicate name by escape": '{"a": 1, "\\u0061": 2}',
    "duplicate name inside": '[{"x": {"a": 1, "a": 2}}]',
    "NaN": '{"exp": NaN}',
    "Infinity": '{"exp": Infinity}',
    "minus Infinity": '{"exp": -Infinity}',
    "beyond a double": '{"exp": 1e400}',
    "far below a double": '{"exp": -1e400}',
    "5,000 digits": '{"exp": ' + "9" * 5000 + "}",
    "4,001 digits": "9" * 4001,
    "half a pair": '"\\ud800"',
    "half a pair as name": '{"\\udc00": 1}',
    "not UTF-8": b'"\xff"',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "byte order mark": '\ufeff{"a": 1}',
    "a surrogate in the text": '"\ud800"',
    "nothing": "",
    "two values": "{} {}",
    "trailing comma": '{"a": 1,}',
    "single quotes": "{'a': 1}",
    "comment": '{"a": 1} // x',
    "control character": '"\x01"',
    "leading zero": "01",
    "cut short": '{"a": ',
    "cut in a string": '{"a": "x',
}


@pytest.mark.parametrize(("raw", "value"), ACCEPTED, ids=lambda value: repr(value)[:30])
def test_json_is_read(raw: str | bytes, value: object) -> None:
    assert loads(raw, max_bytes=10_000) == value


@pytest.mark.parametrize("raw", REFUSED.values(), ids=list(REFUSED))
def test_what_has_two_readings_or_none_is_refused(raw: str | bytes) -> None:
    with pytest.raises(InvalidJson):
        loads(raw, max_bytes=10_000)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_depth_16_is_read_and_17_is_not(opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    deepest = opening * MAX_DEPTH + "1" + closing * MAX_DEPTH
    assert loads(deepest, max_bytes=1000) is not None
    with pytest.raises(InvalidJson):
        loads(opening + deepest + closing, max_bytes=1000)


def test_brackets_in_strings_and_brackets_side_by_side_are_no_depth() -> None:
    text = json.dumps([{"x": '[[{{"\\' * 20}] * 40)
    assert loads(text, max_bytes=len(text)) == json.loads(text)


@pytest.mark.parametrize(
    "bomb", ["[" * 200_000, '{"a":' * 50_000, '"' + '\\"' * 100_000, '["' * 100_000, "9" * 400_000]
)
def test_a_bomb_is_refused_and_not_run(bomb: str) -> None:
    for limit in (16_384, len(bomb)):
        with pytest.raises(InvalidJson):
            loads(bomb, max_bytes=limit)


@pytest.mark.parametrize("raw", ["[1,2]", b"[1,2]", '["ä"]'])
def test_the_size_is_counted_in_bytes(raw: str | bytes) -> None:
    size = len(raw if isinstance(raw, bytes) else raw.encode())
    assert loads(raw, max_bytes=size) is not None
    with pytest.raises(InvalidJson):
        loads(raw, max_bytes=size - 1)


@pytest.mark.parametrize("raw", ["[]", '"x"', "1", "null", "true"])
def test_an_object_is_an_object(raw: str) -> None:
    assert loads_object("{}", max_bytes=10) == {}
    with pytest.raises(InvalidJson):
        loads_object(raw, max_bytes=10)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def _depth(value: object) -> int:
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return 0


@given(JSON_VALUES, st.booleans())
def test_what_the_standard_library_writes_is_read_back(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    if _depth(value) <= MAX_DEPTH:
        assert loads(text, max_bytes=100_000) == value


@given(st.text(alphabet='{}[]",:\\u0189aedEN. tfn-+\n', max_size=80))
def test_any_text_is_read_as_the_standard_library_reads_it_or_refused(text: str) -> None:
    try:
        value = loads(text, max_bytes=1000)
    except InvalidJson:
        return
    assert value == json.loads(text)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        loads(raw, max_bytes=100)
    except InvalidJson as error:
        assert len(str(error)) < 100  # noqa: PT017


def test_no_token_of_ours_can_hold_a_number_that_is_none() -> None:
    assert dumps({"a": "ä", "b": 1}) == b'{"a":"\\u00e4","b":1}'
    with pytest.raises(ValueError):
        dumps({"a": math.nan})
