"""SPIFFE IDs are taken as they are or not at all (SPIFFE-1 to 3, T-11)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.spiffe_id import InvalidSpiffeId, SpiffeId, TrustDomain

# The grammar once more, as one expression: a second opinion on the hand-written parser.
GRAMMAR = re.compile(r"spiffe://[a-z0-9._-]{1,255}(/(?!\.{1,2}(/|\Z))[A-Za-z0-9._-]+)*\Z")
OF_THE_GRAMMAR = "ABZabz09.-_/"

VALID = [
    "spiffe://example.org/ns/a/sa/b",
    "spiffe://10.0.0.1/x",
    "spiffe://a_b.c-d/X.Y_z-1",
    "spiffe://example.org",
    "spiffe://example.org/...",
    "spiffe://example.org/..a/.b/a..",
    "spiffe://-/-",
    "spiffe://example.org/spiffe",
]
INVALID = [
    "",
    "spiffe:",
    "spiffe://",
    "spiffe:/example.org/a",
    "//example.org/a",
    "SPIFFE://example.org/a",
    "Spiffe://example.org/a",
    "spiffe://Example.org/a",
    "spiffe://example.ORG/a",
    "spiffe://example.org/",
    "spiffe://example.org//a",
    "spiffe://example.org/a//b",
    "spiffe://example.org/a/",
    "spiffe://example.org/a/../b",
    "spiffe://example.org/a/./b",
    "spiffe://example.org/..",
    "spiffe://example.org/.",
    "spiffe://example.org:443/a",
    "spiffe://example.org:/a",
    "spiffe://u@example.org/a",
    "spiffe://u:p@example.org/a",
    "spiffe://example.org/a?q",
    "spiffe://example.org/a?",
    "spiffe://example.org?q",
    "spiffe://example.org/a#f",
    "spiffe://example.org/a#",
    "spiffe://example.org/a%2fb",
    "spiffe://example.org/%61",
    "spiffe://ex%61mple.org/a",
    "spiffe://example.org/ä",
    "spiffe://exämple.org/a",
    "spiffe://example.org/\N{CYRILLIC SMALL LETTER A}",
    "spiffe://example.org/\N{FULLWIDTH LATIN SMALL LETTER A}",
    "spiffe://example.org/\N{ARABIC-INDIC DIGIT ONE}",
    "spiffe://\N{ARABIC-INDIC DIGIT ONE}/a",
    "spiffe:///a",
    "spiffe://[::1]/a",
    "https://example.org/a",
    "spiffe://example.org/a\n",
    "spiffe://example.org\n",
    "\nspiffe://example.org/a",
    " spiffe://example.org/a",
    "spiffe://example.org/a ",
    "spiffe://example.org/a\0",
    "spiffe://example.org/a\\b",
    "spiffe://example.org\\a",
    "spiffe://example.org/*",
    "spiffe://example.org/a+b",
    "spiffe://example.org/a~",
    "spiffe://example.org/a\ud800",
]


@pytest.mark.parametrize("raw", VALID, ids=lambda raw: f"SPIFFE-1 {raw}")
def test_a_valid_id_is_taken_and_comes_out_as_it_went_in(raw: str) -> None:
    assert str(SpiffeId.parse(raw)) == raw


@pytest.mark.parametrize("raw", INVALID, ids=lambda raw: f"SPIFFE-1 {raw!a}")
def test_anything_else_is_refused_and_never_normalised(raw: str) -> None:
    with pytest.raises(InvalidSpiffeId):
        SpiffeId.parse(raw)


@pytest.mark.parametrize("raw", [None, b"spiffe://example.org/a", 7, ["spiffe://example.org/a"], True])
def test_only_a_string_is_an_id(raw: object) -> None:
    with pytest.raises(InvalidSpiffeId):
        SpiffeId.parse(raw)


def test_an_id_of_2048_bytes_is_taken_and_one_of_2049_is_not_SPIFFE_2() -> None:
    longest = "spiffe://example.org/" + "a" * (2048 - len("spiffe://example.org/"))
    assert len(longest) == 2048
    assert str(SpiffeId.parse(longest)) == longest
    with pytest.raises(InvalidSpiffeId):
        SpiffeId.parse(longest + "a")


def test_a_trust_domain_of_255_bytes_is_taken_and_one_of_256_is_not_SPIFFE_2() -> None:
    assert SpiffeId.parse(f"spiffe://{'a' * 255}/x").trust_domain.name == "a" * 255
    with pytest.raises(InvalidSpiffeId):
        SpiffeId.parse(f"spiffe://{'a' * 256}/x")


def test_a_trust_domain_s_own_id_is_valid_but_no_workload_SPIFFE_7() -> None:
    assert str(SpiffeId.parse_workload("spiffe://example.org/a")) == "spiffe://example.org/a"
    assert not SpiffeId.parse("spiffe://example.org").is_workload
    with pytest.raises(InvalidSpiffeId):
        SpiffeId.parse_workload("spiffe://example.org")


@pytest.mark.parametrize("byte", range(256))
def test_each_byte_stands_in_a_segment_and_in_a_trust_domain_exactly_if_the_grammar_says_so(byte: int) -> None:
    character = chr(byte)
    for raw in (
        f"spiffe://example.org/a{character}b",
        f"spiffe://example.org/{character}",
        f"spiffe://example.org/a/{character}",
        f"spiffe://exa{character}mple/a",
        f"spiffe://{character}/a",
        f"spiffe://example.org/a{character}",
        f"spiffe://example.org{character}",
        f"{character}spiffe://example.org/a",
        f"spiffe:{character}/example.org/a",
    ):
        assert _parses(raw) is (GRAMMAR.match(raw) is not None), repr(raw)


def _parses(raw: str) -> bool:
    try:
        parsed = SpiffeId.parse(raw)
    except InvalidSpiffeId:
        return False
    assert str(parsed) == raw
    return True


@given(st.text(alphabet=OF_THE_GRAMMAR + ":?#%@\n\0ä ", max_size=40))
def test_the_parser_agrees_with_the_grammar_SPIFFE_3(rest: str) -> None:
    raw = "spiffe://" + rest
    assert _parses(raw) is (GRAMMAR.match(raw) is not None)


@given(st.text(max_size=60))
def test_any_text_is_taken_unchanged_or_refused(raw: str) -> None:
    assert _parses(raw) is (GRAMMAR.match(raw) is not None)


@given(st.lists(st.text(alphabet="ABab01.-_", min_size=1, max_size=12), max_size=6))
def test_segments_are_what_stands_between_slashes(segments: list[str]) -> None:
    raw = "spiffe://example.org" + "".join("/" + segment for segment in segments)
    if any(segment in (".", "..") for segment in segments):
        assert not _parses(raw)
    else:
        assert SpiffeId.parse(raw).segments == tuple(segments)


@pytest.mark.parametrize("name", ["example.org", "10.0.0.1", "a", "_"])
def test_a_trust_domain_name_is_taken_as_it_is(name: str) -> None:
    assert TrustDomain.parse(name).id == f"spiffe://{name}"


@pytest.mark.parametrize("name", ["", "Example.org", "example.org/", "spiffe://example.org", "a b", "a\n", "a" * 256])
def test_a_trust_domain_name_has_no_scheme_no_path_and_no_upper_case(name: str) -> None:
    with pytest.raises(InvalidSpiffeId):
        TrustDomain.parse(name)
