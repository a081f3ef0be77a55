"""Redirect URIs are compared as strings; the port of a loopback one alone may differ (OAS-30, CIMD-17, T-30)."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.metadata.redirect_matching import host_of, is_listed, is_loopback, is_remembered, narrowed
from tests.vectors import load

WEB = "https://app.example.org/cb"
LOOPBACKS = ("http://127.0.0.1/cb", "http://[::1]/cb", "http://localhost/cb")


@pytest.mark.parametrize("listed", LOOPBACKS)
@pytest.mark.parametrize("port", ["", ":1", ":80", ":49152", ":65535"])
def test_a_loopback_port_may_be_any_OAS_30(listed: str, port: str) -> None:
    asked = listed.replace("/cb", f"{port}/cb")
    assert is_listed(asked, [listed])
    assert is_listed(listed, [asked]), "also where the list names a port"


@pytest.mark.parametrize(
    "asked",
    [
        "http://127.0.0.1:0/cb", "http://127.0.0.1:65536/cb", "http://127.0.0.1:080/cb", "http://127.0.0.1:/cb",
        "http://127.0.0.1:8080/", "http://127.0.0.1:8080/cb/", "http://127.0.0.1:8080/CB", "http://127.0.0.1/cb?a=b",
        "https://127.0.0.1/cb", "http://127.0.0.2/cb", "http://127.1/cb", "http://0x7f.1/cb", "http://2130706433/cb",
        "http://127.0.0.1.evil.example/cb", "http://127.0.0.1@evil.example/cb", "http://evil.example:80@127.0.0.1/cb",
        "http://[::ffff:127.0.0.1]/cb", "http://[0:0:0:0:0:0:0:1]/cb", "http://LOCALHOST/cb", "http://localhost./cb",
        "http://127.0.0.1:8080\\@evil.example/cb", "HTTP://127.0.0.1/cb", "http://127.0.0.1:8080/cb#f",
    ],
)  # fmt: skip
def test_everything_else_of_a_loopback_uri_is_held_to(asked: str) -> None:
    assert not is_listed(asked, ["http://127.0.0.1/cb"])


def test_the_three_loopback_hosts_do_not_stand_for_each_other() -> None:
    for one in LOOPBACKS:
        assert [other for other in LOOPBACKS if is_listed(other, [one])] == [one]


@given(st.text(max_size=12), st.integers(0, len(WEB)))
def test_a_web_uri_with_anything_in_it_is_another(inserted: str, place: int) -> None:
    changed = WEB[:place] + inserted + WEB[place:]
    assert is_listed(changed, [WEB]) is (changed == WEB)


@pytest.mark.parametrize("port", [":443", ":8443", ":0"])
def test_the_port_of_a_web_uri_is_fixed(port: str) -> None:
    assert not is_listed(WEB.replace("org/", f"org{port}/"), [WEB])


def test_no_url_of_the_web_platform_s_tests_is_taken_for_another() -> None:
    """Whatever a browser makes of it, what is taken is the very string that was listed, or differs in a port."""
    vectors = load("wpt-urltestdata.json")
    urls = [vector["input"] for vector in vectors if isinstance(vector, dict)]
    assert len(urls) > 300
    listed = [*LOOPBACKS, WEB, "https://example.com/", "http://localhost/", "com.example.app:/cb"]
    for url in urls:
        if is_listed(url, listed) and url not in listed:
            assert urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost"), url


def test_a_rule_s_list_narrows_and_an_empty_one_does_not() -> None:
    listed = (WEB, "http://127.0.0.1/cb", "https://other.example.org/cb")
    assert narrowed(listed, ()) == listed
    assert narrowed(listed, (WEB,)) == (WEB,)
    assert narrowed(listed, ("http://127.0.0.1:99/cb",)) == ("http://127.0.0.1/cb",)
    assert narrowed((), (WEB,)) == ()


@pytest.mark.parametrize(
    ("uri", "remembered", "loopback", "host"),
    [
        (WEB, True, False, "app.example.org"),
        ("https://app.example.org:8443/cb", True, False, "app.example.org:8443"),
        ("http://127.0.0.1:49152/cb", False, True, "127.0.0.1:49152"),
        ("http://[::1]/cb", False, True, "[::1]"),
        ("https://localhost/cb", False, True, "localhost"),
        ("com.example.app:/cb", False, False, "com.example.app:"),
    ],
)
def test_what_a_user_is_told_of_the_place_T_10(uri: str, remembered: bool, loopback: bool, host: str) -> None:
    assert (is_remembered(uri), is_loopback(uri), host_of(uri)) == (remembered, loopback, host)
