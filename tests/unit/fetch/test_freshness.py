"""How long a document holds, by what its server says (CIMD-15; RFC 9111 sections 4.2, 5.2.2, 5.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.fetch.freshness import MAX_SECONDS, MIN_SECONDS, Freshness, freshness

NOW = 1_800_000_000  # Fri, 15 Jan 2027 08:00:00 GMT
DATE = "Fri, 15 Jan 2027 08:00:00 GMT"
HOUR_LATER = "Fri, 15 Jan 2027 09:00:00 GMT"


def life(**headers: str) -> int:
    return freshness({name.replace("_", "-"): value for name, value in headers.items()}, now=NOW).fresh_until - NOW


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 60),
        ({"cache_control": "max-age=3600"}, 3600),
        ({"cache_control": "MAX-AGE=3600"}, 3600),
        ({"cache_control": 'public, max-age="3600" , immutable'}, 3600),
        ({"cache_control": "max-age=3600, private"}, 3600),
        ({"cache_control": "s-maxage=9, max-age=3600"}, 3600),
        ({"cache_control": "max-age=3600", "age": "600"}, 3000),
        ({"cache_control": "max-age=3600", "expires": "0"}, 3600),
        ({"expires": HOUR_LATER, "date": DATE}, 3600),
        ({"expires": HOUR_LATER}, 3600),
        ({"expires": HOUR_LATER, "date": DATE, "age": "600"}, 3000),
        ({"cache_control": "public", "expires": HOUR_LATER}, 3600),
    ],
)
def test_a_document_holds_as_long_as_its_server_says_CIMD_15(headers: dict[str, str], seconds: int) -> None:
    assert life(**headers) == seconds


@pytest.mark.parametrize(
    "headers",
    [
        {"cache_control": "max-age=0"},
        {"cache_control": "no-cache"},
        {"cache_control": "no-cache, max-age=3600"},
        {"cache_control": "max-age=3600", "age": "99999"},
        {"cache_control": "max-age=-1"},
        {"cache_control": "max-age=1e9"},
        {"cache_control": "max-age=3600, max-age=7200"},
        {"cache_control": "max-age=\u0663600"},
        {"cache_control": "; max-age=3600"},
        {"expires": "0"},
        {"expires": DATE, "date": HOUR_LATER},
        {"expires": "tomorrow"},
        {"expires": HOUR_LATER + " " * 99},
    ],
    ids=str,
)
def test_what_wants_no_life_or_says_nothing_sound_gets_the_shortest_CIMD_15(headers: dict[str, str]) -> None:
    assert life(**headers) == MIN_SECONDS


@pytest.mark.parametrize("seconds", ["86401", "31536000", "9999999999", "99999999999999999999999"])
def test_nothing_holds_longer_than_a_day_CIMD_15(seconds: str) -> None:
    assert life(cache_control=f"max-age={seconds}") == MAX_SECONDS


@pytest.mark.parametrize(
    ("directive", "must_revalidate"),
    [("max-age=60", False), ("must-revalidate, max-age=60", True), ("no-cache", True), ("proxy-revalidate", False)],
)
def test_a_server_can_forbid_that_a_copy_stands_in_for_it(directive: str, must_revalidate: bool) -> None:
    assert freshness({"cache-control": directive}, now=NOW).must_revalidate is must_revalidate


@pytest.mark.parametrize(
    "text", ["no-store", "NO-STORE", "max-age=60, no-store", 'private="a, no-store', "????, no-store", "no-store=1"]
)
def test_what_must_not_be_stored_is_not_however_it_is_said_CIMD_15(text: str) -> None:
    assert freshness({"cache-control": text}, now=NOW) == Freshness(NOW, False, False)
    assert freshness({"cache-control": text.lower().replace("no-store", "nostore")}, now=NOW).may_store


NAMES = st.sampled_from(["cache-control", "age", "expires", "date", "etag"])
VALUES = st.one_of(
    st.text(max_size=80),
    st.lists(st.sampled_from(["max-age", "=", "9" * 30, ",", '"', " ", "no-cache", "must-revalidate", "\\"])).map(
        "".join
    ),
)


@given(st.dictionaries(NAMES, VALUES))
def test_no_header_is_an_error_and_every_life_is_within_its_bounds_T_27(headers: dict[str, str]) -> None:
    found = freshness(headers, now=NOW)
    if found.may_store:
        assert MIN_SECONDS <= found.fresh_until - NOW <= MAX_SECONDS
    else:
        assert found.fresh_until == NOW
        assert "no-store" in headers["cache-control"].lower()
