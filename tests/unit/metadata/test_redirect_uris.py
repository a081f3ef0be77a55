"""Which redirect URIs a client may have (DCR-21, PCR-26, T-30): each refusal beside what is taken instead."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.metadata.redirect_uris import NATIVE, WEB, check, same
from bridge.model.errors import InvalidClientMetadata, InvalidRedirectUri

TAKEN = [
    "https://app.example.com/cb",
    "https://app.example.com",
    "https://app.example.com/",
    "https://app.example.com:8443/a/b/?tenant=7&x=%20",
    "https://app.example.com:443/cb",
    "https://app.example.com/a//b/.../c.d/~e",
    "https://intranet/cb",
    "https://localhost/cb",
    "https://203.0.113.7/cb",
    "https://[2001:db8::7]:8443/cb",
    "https://xn--bcher-kva.example/cb",
    "https://xn--strae-oqa.example/cb",
    "https://xn--nxasmm1c.example/cb",
    "https://r3---sn-ab.example/cb",
    "https://1e100.example/cb",
    "http://127.0.0.1/cb",
    "http://127.0.0.1:51004/cb",
    "http://[::1]:1/cb",
    "http://localhost:3334/oauth/callback",
    "http://localhost?x=1",
]
PRIVATE = ["com.example.app:/cb", "com.example.app:/", "com.example.app://callback", "com.example.app://callback/x?y=1"]


@pytest.mark.parametrize("application_type", [None, WEB, NATIVE])
@pytest.mark.parametrize("uri", TAKEN)
def test_https_and_loopback_http_are_taken_DCR_21(uri: str, application_type: str | None) -> None:
    check(uri, application_type=application_type)


@pytest.mark.parametrize("uri", PRIVATE)
def test_a_private_scheme_with_a_dot_is_taken_but_not_of_a_web_application(uri: str) -> None:
    check(uri, application_type=None)
    check(uri, application_type=NATIVE)
    with pytest.raises(InvalidRedirectUri, match="web application"):
        check(uri, application_type=WEB)


# What is refused, and the string that differs in the one thing.
REFUSED = {
    "DCR-21 http": ("http://app.example.com/cb", "https://app.example.com/cb"),
    "http to another loopback address": ("http://127.0.0.2/cb", "http://127.0.0.1/cb"),
    "http to a name below localhost": ("http://a.localhost/cb", "http://localhost/cb"),
    "http to a name that starts like localhost": ("http://localhost.example/cb", "http://localhost/cb"),
    "http to every address": ("http://0.0.0.0/cb", "http://127.0.0.1/cb"),
    "DCR-21 fragment": ("https://a.example/cb#x", "https://a.example/cb"),
    "DCR-21 empty fragment": ("https://a.example/cb#", "https://a.example/cb"),
    "DCR-21 wildcard in the host": ("https://*.a.example/cb", "https://b.a.example/cb"),
    "DCR-21 wildcard in the path": ("https://a.example/*", "https://a.example/x"),
    "DCR-21 wildcard in the query": ("https://a.example/cb?*", "https://a.example/cb?x"),
    "DCR-21 private scheme without a dot": ("myapp:/cb", "my.app:/cb"),
    "T-7 user": ("https://u@a.example/cb", "https://a.example/cb"),
    "T-7 user and password": ("https://a.example:pw@b.example/cb", "https://b.example/cb"),
    "T-7 empty user": ("https://@a.example/cb", "https://a.example/cb"),
    "T-7 backslash for a slash": ("https://a.example\\@b.example/cb", "https://a.example/b.example/cb"),
    "backslash in the path": ("https://a.example/c\\b", "https://a.example/cb"),
    "T-7 NUL": ("https://a.example/\0", "https://a.example/0"),
    "tab": ("https://a.exam\tple/cb", "https://a.example/cb"),
    "newline at the end": ("https://a.example/cb\n", "https://a.example/cb"),
    "line break before a header": ("https://a.example/cb\r\nX: y", "https://a.example/cbX:y"),
    "space": ("https://a.example/c b", "https://a.example/c%20b"),
    "space before": (" https://a.example/cb", "https://a.example/cb"),
    "DEL": ("https://a.example/\x7f", "https://a.example/7f"),
    "T-7 IDN as letters": ("https://b\u00fccher.example/cb", "https://xn--bcher-kva.example/cb"),
    "fullwidth full stop": ("https://a\uff0eexample/cb", "https://a.example/cb"),
    "letters in the path": ("https://a.example/\u00e9", "https://a.example/%C3%A9"),
    "T-7 upper case host": ("https://A.example/cb", "https://a.example/cb"),
    "upper case scheme": ("HTTPS://a.example/cb", "https://a.example/cb"),
    "upper case private scheme": ("com.Example.app:/cb", "com.example.app:/cb"),
    "no host": ("https:///cb", "https://a/cb"),
    "no slashes": ("https:a.example/cb", "https://a.example/cb"),
    "one slash": ("https:/a.example/cb", "https://a.example/cb"),
    "three slashes": ("https:///a.example/cb", "https://a.example/cb"),
    "relative": ("/cb", "https://a.example/cb"),
    "without a scheme": ("//a.example/cb", "https://a.example/cb"),
    "empty": ("", "https://a.example"),
    "dot at the end of the host": ("https://a.example./cb", "https://a.example/cb"),
    "two dots in the host": ("https://a..example/cb", "https://a.example/cb"),
    "hyphen at the end of a label": ("https://a-.example/cb", "https://a-b.example/cb"),
    "underscore in the host": ("https://a_b.example/cb", "https://a-b.example/cb"),
    "encoded host": ("https://%61.example/cb", "https://a.example/cb"),
    "label of 64": (f"https://{'a' * 64}.example/cb", f"https://{'a' * 63}.example/cb"),
    "host of 254": (f"https://{'a.' * 123}abcdefgh/cb", f"https://{'a.' * 123}abcdefg/cb"),
    "T-7 IPv4 in octal": ("http://0177.0.0.1/cb", "http://127.0.0.1/cb"),
    "T-7 IPv4 in hex": ("http://0x7f.0.0.1/cb", "http://127.0.0.1/cb"),
    "T-7 IPv4 as one number": ("https://2130706433/cb", "https://127.0.0.1/cb"),
    "T-7 IPv4 short": ("http://127.1/cb", "http://127.0.0.1/cb"),
    "IPv4 of five": ("https://127.0.0.0.1/cb", "https://127.0.0.1/cb"),
    "IPv4 above 255": ("https://127.0.0.256/cb", "https://127.0.0.255/cb"),
    "name that ends in a number": ("https://a.1/cb", "https://1.a/cb"),
    "name that ends in 0x": ("https://a.0x/cb", "https://0x.a/cb"),
    "IPv6 long": ("http://[0:0:0:0:0:0:0:1]/cb", "http://[::1]/cb"),
    "IPv6 upper case": ("https://[2001:DB8::7]/cb", "https://[2001:db8::7]/cb"),
    "IPv6 mapped": ("http://[::ffff:127.0.0.1]/cb", "http://127.0.0.1/cb"),
    "IPv6 mapped in hex": ("https://[::ffff:7f00:1]/cb", "https://127.0.0.1/cb"),
    "IPv6 with a zone": ("https://[fe80::1%25eth0]/cb", "https://[fe80::1]/cb"),
    "IPv6 without end": ("https://[::1/cb", "https://[::1]/cb"),
    "IPv6 and more": ("https://[::1]a/cb", "https://[::1]:1/cb"),
    "IPv6 without brackets": ("https://::1/cb", "https://[::1]/cb"),
    "port empty": ("https://a.example:/cb", "https://a.example:1/cb"),
    "port 0": ("https://a.example:0/cb", "https://a.example:1/cb"),
    "port 65536": ("https://a.example:65536/cb", "https://a.example:65535/cb"),
    "port with a zero before it": ("https://a.example:0443/cb", "https://a.example:443/cb"),
    "port no number": ("https://a.example:x/cb", "https://a.example:1/cb"),
    "port twice": ("https://a.example:1:2/cb", "https://a.example:1/cb"),
    "T-7 dot segment": ("https://a.example/x/../cb", "https://a.example/x/..cb"),
    "T-7 dot segment at the end": ("https://a.example/cb/.", "https://a.example/cb/"),
    "T-7 encoded dot segment": ("https://a.example/x/%2E%2e/cb", "https://a.example/x/%2E%2ecb"),
    "T-7 half encoded dot segment": ("https://a.example/x/.%2e/cb", "https://a.example/x/.%2e-/cb"),
    "dot segment of a private scheme": ("com.example.app:/x/../cb", "com.example.app:/x/cb"),
    "encoded line break": ("https://a.example/%0d%0aX", "https://a.example/%2d%2aX"),
    "encoded NUL": ("https://a.example/%00", "https://a.example/%20"),
    "half an encoding": ("https://a.example/%4", "https://a.example/%41"),
    "quote": ('https://a.example/"', "https://a.example/'"),
    "angle bracket": ("https://a.example/<b>", "https://a.example/%3Cb%3E"),
    "bracket in the path": ("https://a.example/[x]", "https://a.example/%5Bx%5D"),
    "bracket in the query": ("https://a.example/?a[]=1", "https://a.example/?a%5B%5D=1"),
    "brace": ("https://a.example/{1}", "https://a.example/1"),
    "xn-- of nothing": ("https://xn--/cb", "https://xn--bcher-kva/cb"),
    "xn-- of ASCII": ("https://xn--a-.example/cb", "https://xn--bcher-kva.example/cb"),
    "xn-- of no code": ("https://xn--0000000000.example/cb", "https://xn--bcher-kva.example/cb"),
    "xn-- that folds into another name": ("https://xn--zn7c.com/cb", "https://xn--bcher-kva.com/cb"),
    "xn-- of a sign that is no letter": ("https://xn--n3h.example/cb", "https://xn--bcher-kva.example/cb"),
    "xn-- of an upper case letter": ("https://xn--bcher-2pa.example/cb", "https://xn--bcher-kva.example/cb"),
    "script": ("javascript:alert(1)", "com.javascript:/alert(1)"),
    "script that looks like a host": ("javascript://a.example/%0aalert(1)", "com.javascript://a.example/alert(1)"),
    "data": ("data:text/html,x", "com.data:/text/html,x"),
    "file": ("file:///etc/passwd", "com.file:/etc/passwd"),
    "out of band": ("urn:ietf:wg:oauth:2.0:oob", "com.example:/oob"),
    "private scheme without a slash": ("com.example.app:cb", "com.example.app:/cb"),
    "private scheme alone": ("org.example:", "org.example:/"),
    "private scheme with an empty host": ("com.example.app:///cb", "com.example.app:/cb"),
    "private scheme with an empty label": ("com..app:/cb", "com.example.app:/cb"),
    "private scheme with a user": ("com.example.app://u@h/cb", "com.example.app://h/cb"),
    "private scheme with a wildcard": ("com.example.app:/*", "com.example.app:/cb"),
    "private scheme with a fragment": ("com.example.app:/cb#", "com.example.app:/cb"),
    "a code in the query": ("https://a.example/cb?code=x", "https://a.example/cb?coda=x"),
    "an encoded state in the query": ("https://a.example/cb?a=b&st%61te=x", "https://a.example/cb?a=state"),
    "an issuer without a value": ("com.example.app:/cb?iss", "com.example.app:/cb?isss"),
    "too long": (f"https://a.example/{'a' * 2031}", f"https://a.example/{'a' * 2030}"),
}


@pytest.mark.parametrize(("bad", "good"), REFUSED.values(), ids=list(REFUSED))
def test_what_could_be_read_in_two_ways_or_run_is_refused(bad: str, good: str) -> None:
    check(good, application_type=None)
    with pytest.raises(InvalidRedirectUri) as refusal:
        check(bad, application_type=None)
    assert isinstance(refusal.value, InvalidClientMetadata)
    assert refusal.value.public.startswith("a redirect URI ")
    assert not bad or bad not in str(refusal.value)


# --- laws ----------------------------------------------------------------------------------------------

_hosts = st.sampled_from(
    ["a.example", "xn--bcher-kva.example", "127.0.0.1", "[::1]", "[2001:db8::7]", "localhost", "a-b.c1.example"]
)
_ports = st.one_of(st.just(""), st.integers(1, 65535).map(lambda port: f":{port}"))
_segment = st.text("abcXYZ019-._~!$&'()+,;=:@", min_size=1, max_size=8).filter(lambda part: part not in (".", ".."))
_paths = st.lists(st.one_of(_segment, st.just("%2F"), st.just("")), max_size=4).map(lambda parts: "/" + "/".join(parts))
_queries = st.one_of(st.just(""), st.text("xyz019-._~/?:@", max_size=12).map(lambda query: "?" + query))
ACCEPTED = st.builds(lambda *parts: "https://" + "".join(parts), _hosts, _ports, _paths, _queries)

_APPENDIX_B = re.compile(r"(?:([^:/?#]+):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)


def accepted(uri: str) -> bool:
    try:
        check(uri, application_type=NATIVE)
    except InvalidRedirectUri:
        return False
    return True


@given(ACCEPTED)
def test_what_is_built_of_plain_parts_is_accepted(uri: str) -> None:
    assert accepted(uri)


_RAW = st.text("htps:/\\@#?.*%[]-_ 0x127aA\t\n\u00e9&=", max_size=24)


@given(st.one_of(_RAW, _RAW.map("https://".__add__), _RAW.map("http://localhost".__add__), _RAW.map("a.b:".__add__)))
@example("https://a.example:1/cb?x=1")
def test_what_is_accepted_is_the_same_place_for_every_reader_T_7(uri: str) -> None:
    if not accepted(uri):
        return
    ours = _APPENDIX_B.fullmatch(uri)
    assert ours is not None
    theirs = urlsplit(uri)
    assert (ours[1], ours[2] or "", ours[3], ours[4] or "") == (theirs.scheme, theirs.netloc, theirs.path, theirs.query)
    assert ours[5] is None
    assert (theirs.username, theirs.password) == (None, None)
    assert re.fullmatch(r"[a-z0-9.-]*|\[[0-9a-f:]+\]", re.sub(r":[0-9]+$", "", theirs.netloc))
    assert theirs.scheme == "https" or "." in theirs.scheme or theirs.hostname in ("localhost", "127.0.0.1", "::1")
    assert theirs.geturl() in (uri, uri.removesuffix("?"))


@given(ACCEPTED, st.sampled_from('#\\*\0\t\n\r <>"{}|^`\x7f\u00e9\u202e\uff0f'), st.data())
def test_one_forbidden_character_anywhere_refuses_it(uri: str, sign: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(uri)))
    assert not accepted(uri[:place] + sign + uri[place:])


@given(ACCEPTED, st.sampled_from(["u@", "u:p@", "@", "a.example@", "/", "%61", "."]))
def test_one_forbidden_thing_before_the_host_refuses_it(uri: str, thing: str) -> None:
    assert not accepted(uri.replace("://", "://" + thing, 1))


# --- comparing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
def test_only_the_port_of_a_loopback_uri_may_vary_CIMD_17_OAS_30(host: str) -> None:
    registered = f"http://{host}:1234/cb?x=1"
    for asked in (registered, f"http://{host}:9/cb?x=1", f"http://{host}/cb?x=1"):
        assert same(registered, asked)
    assert same(f"http://{host}/cb", f"http://{host}:9/cb")
    assert same(f"http://{host}", f"http://{host}:9")
    for asked in (
        f"http://{host}:9/cb",
        f"http://{host}:9/cb?x=2",
        f"http://{host}:9/CB?x=1",
        f"https://{host}:9/cb?x=1",
        f"http://{host}:9@evil.example/cb?x=1",
        f"http://{host}.evil.example:9/cb?x=1",
        f"http://{host}:9/cb?x=1#",
        f"http://{host}:x/cb?x=1",
    ):
        assert not same(registered, asked)


def test_one_loopback_host_is_not_another() -> None:
    assert not same("http://127.0.0.1:1/cb", "http://localhost:1/cb")
    assert not same("http://127.0.0.1:1/cb", "http://[::1]:1/cb")


def test_everything_else_is_one_string_or_another_URI_T_30() -> None:
    assert same("https://a.example/cb", "https://a.example/cb")
    for asked in ("https://a.example:443/cb", "https://a.example/cb/", "https://a.example/cb?", "https://a.example/c"):
        assert not same("https://a.example/cb", asked)
    assert not same("https://127.0.0.1:1/cb", "https://127.0.0.1:2/cb")
    assert not same("com.example.app://h:1/cb", "com.example.app://h:2/cb")
