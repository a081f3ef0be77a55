"""Patterns match whole segments and nothing else (T-24)."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.identity import Source
from bridge.model.spiffe_id import SpiffeId
from bridge.policy.pattern import (
    Address,
    InvalidPattern,
    Pattern,
    is_broad,
    overlap,
    path_pattern,
    spiffe_address,
    spiffe_id_pattern,
    subsumes,
    url_address,
    url_pattern,
)

TD = "example.org"


def at(path: str) -> Address:
    return spiffe_address(SpiffeId.parse(f"spiffe://{TD}{path}"))


@pytest.mark.parametrize(
    ("pattern", "matches", "misses"),
    [
        ("/ns/web/sa/api", "/ns/web/sa/api", "/ns/web/sa/api2"),
        ("/ns/web/sa/api", "/ns/web/sa/api", "/ns/web/sa"),
        ("/ns/web/sa/*", "/ns/web/sa/api", "/ns/web/sa/api/x"),
        ("/ns/web/sa/*", "/ns/web/sa/api", "/ns/web/sa"),
        ("/ns/web/sa/*", "/ns/web/sa/api", "/ns/web-evil/sa/api"),
        ("/ns/*/sa/api", "/ns/web/sa/api", "/ns/web/x/sa/api"),
        ("/ns/*/sa/api", "/ns/web/sa/api", "/ns/web/sa/API"),
        ("/ns/**", "/ns/web/sa/api", "/ns"),
        ("/ns/**", "/ns/web", "/nsx/web"),
        ("/**", "/a", ""),
        ("/ns/*/**", "/ns/web/sa", "/ns/web"),
        ("/a.b", "/a.b", "/aXb"),
    ],
)
def test_a_pattern_matches_whole_segments_only(pattern: str, matches: str, misses: str) -> None:
    """T-24: no prefix, no glob inside a segment, no regular expression."""
    parsed = path_pattern(pattern, TD)
    assert parsed.matches(at(matches))
    assert not parsed.matches(at(misses))


def test_a_pattern_stays_in_its_trust_domain() -> None:
    pattern = path_pattern("/ns/**", TD)
    assert pattern.matches(at("/ns/a"))
    assert not pattern.matches(spiffe_address(SpiffeId.parse("spiffe://example.org.evil/ns/a")))


@pytest.mark.parametrize(
    ("good", "bad", "says"),
    [
        ("/ns/*", "/ns/a*", "whole segment"),
        ("/ns/**", "/ns/**/a", "only at the end"),
        ("/ns/a", "ns/a", "starts with"),
        ("/ns/a", "/ns//a", "no segment"),
        ("/ns/a", "/ns/../a", "no segment"),
        ("/ns/a", "/ns/a/", "no segment"),
        ("/ns/a", "/ns/a\n", "no segment"),
        ("/ns/a", "/ns/[a-z]", "no segment"),
        ("/ns/a", "/ns/%61", "no segment"),
        ("/ns/a", "/ns/" + "a" * 2048, "that long"),
    ],
)
def test_what_no_identity_can_match_is_no_pattern(good: str, bad: str, says: str) -> None:
    path_pattern(good, TD)
    with pytest.raises(InvalidPattern, match=says):
        path_pattern(bad, TD)


@pytest.mark.parametrize(
    ("pattern", "weight"),
    [("/ns/web/sa/api", 4), ("/ns/web/sa/*", 3), ("/ns/*/sa/*", 2), ("/ns/**", 1), ("/**", 0)],
)
def test_weight_counts_literal_segments(pattern: str, weight: int) -> None:
    assert path_pattern(pattern, TD).weight == weight


@pytest.mark.parametrize(
    ("pattern", "matches", "misses"),
    [
        ("https://*.apps.example.com/*", "https://a.apps.example.com/c", "https://a.b.apps.example.com/c"),
        ("https://*.apps.example.com/*", "https://a.apps.example.com/c", "https://apps.example.com/c"),
        ("https://*.apps.example.com/*", "https://a.apps.example.com/c", "https://a.apps.example.com/c/d"),
        ("https://*.apps.example.com/*", "https://a.apps.example.com/c", "https://a.apps.example.com/"),
        ("https://*.apps.example.com/*", "https://a.apps.example.com/c", "https://a.apps.example.com.evil/c"),
        ("https://*.apps.example.com/*", "https://a.apps.example.com/c", "http://a.apps.example.com/c"),
        ("https://*.apps.example.com/*", "https://a.apps.example.com/c", "https://A.apps.example.com/c"),
        ("https://*.apps.example.com/*", "https://a.apps.example.com/c", "https://a.apps.example.com/c?x=1"),
        ("https://*.apps.example.com/*", "https://a.apps.example.com/c", "https://a.apps.example.com/c#x"),
        ("https://*.apps.example.com/*", "https://a.apps.example.com/c", "https://a.apps.example.com:8443/c"),
        ("https://*.apps.example.com/*", "https://a.apps.example.com/c", "https://a.apps.example.com:443/c"),
        ("https://*.apps.example.com/*", "https://a.apps.example.com/c", "https://u@a.apps.example.com/c"),
        ("https://*.apps.example.com/*", "https://a.apps.example.com/c", "https://a.apps.example.com/%2e%2e"),
        ("https://a.example:8443/c", "https://a.example:8443/c", "https://a.example/c"),
        ("https://a.example/c/**", "https://a.example/c/d/e", "https://a.example/c/d/"),
        ("https://a.example/c/", "https://a.example/c/", "https://a.example/c"),
        ("https://127.0.0.1:9443/*", "https://127.0.0.1:9443/c", "https://127.0.0.2:9443/c"),
        ("https://[::1]/c", "https://[::1]/c", "https://[::2]/c"),
        ("https://*.example.com/:443/x", "https://a.example.com/:443/x", "https://example.com/:443/x"),
    ],
)
def test_a_url_pattern_matches_whole_labels_and_segments(pattern: str, matches: str, misses: str) -> None:
    """T-24, for the URLs of metadata documents."""
    parsed = url_pattern(pattern)
    there, elsewhere = url_address(matches), url_address(misses)
    assert there is not None
    assert parsed.matches(there)
    assert elsewhere is None or not parsed.matches(elsewhere)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("https://a.example/c", "http://a.example/c"),
        ("https://a.example/c", "https://a.example"),
        ("https://a.example/c", "https://a.example:443/c"),
        ("https://a.example:8443/c", "https://a.example:08443/c"),
        ("https://a.example:8443/c", "https://a.example:84430/c"),
        ("https://a.example:8443/c", "https://a.example:/c"),
        ("https://a.example/c", "https://A.example/c"),
        ("https://a.example/c", "https://u@a.example/c"),
        ("https://a.example/c", "https://a.example/c?d"),
        ("https://*.a.example/c", "https://x*.a.example/c"),
        ("https://*.a.example/c", "https://**.a.example/c"),
        ("https://127.0.0.1/c", "https://*.0.0.1/c"),
        ("https://127.0.0.1/c", "https://127.0.0.01/c"),
        ("https://[::1]/c", "https://[::01]/c"),
        ("https://[::1]/c", "https://[::1]x/c"),
        ("https://[::1]/c", "https://[::1/c"),
    ],
)
def test_a_url_pattern_is_https_and_plain(good: str, bad: str) -> None:
    url_pattern(good)
    with pytest.raises(InvalidPattern):
        url_pattern(bad)


def test_a_pattern_of_spiffe_ids_names_its_trust_domain() -> None:
    pattern = spiffe_id_pattern("spiffe://example.org/ns/*/sa/x")
    assert pattern.matches(at("/ns/a/sa/x"))
    for bad in ("/ns/a", "spiffe://*/ns/a", "spiffe://example.org", "spiffe://Example.org/a"):
        with pytest.raises(InvalidPattern):
            spiffe_id_pattern(bad)


@pytest.mark.parametrize(
    ("source", "narrow", "broad"),
    [
        (Source.SPIFFE, "/ns/*", "/*/ns"),
        (Source.SPIFFE, "/ns/**", "/**"),
        (Source.METADATA_DOCUMENT, "https://*.a.example/*", "https://*.example/*"),
        (Source.METADATA_DOCUMENT, "https://a.example/**", "https://*/**"),
    ],
)
def test_a_wildcard_in_the_first_place_is_broad(source: Source, narrow: str, broad: str) -> None:
    def parsed(text: str) -> Pattern:
        return path_pattern(text, TD) if source is Source.SPIFFE else url_pattern(text)

    assert not is_broad(parsed(narrow), source)
    assert is_broad(parsed(broad), source)


_patterns = st.lists(st.sampled_from(["a", "b", "*"]), min_size=0, max_size=3).flatmap(
    lambda parts: st.sampled_from([parts, [*parts, "**"]]).filter(bool)
)


def _parse(parts: list[str]) -> Pattern:
    return path_pattern("/" + "/".join(parts), TD)


# "c" stands for every segment that no pattern names; four segments are longer than any fixed pattern.
_ADDRESSES = [Address(TD, t) for n in range(1, 6) for t in itertools.product("abc", repeat=n)]


@given(_patterns, _patterns)
def test_overlap_and_subsumption_are_what_matching_says(one: list[str], other: list[str]) -> None:
    first, second = _parse(one), _parse(other)
    mine = {a for a in _ADDRESSES if first.matches(a)}
    theirs = {a for a in _ADDRESSES if second.matches(a)}
    common = overlap(first, second)
    assert (mine & theirs) == ({a for a in _ADDRESSES if common.matches(a)} if common is not None else set())
    assert subsumes(first, second) == (theirs <= mine)
