"""Clients' metadata documents: which URL a client may have, and what its document may say."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.jose.keys import SigningKey
from bridge.model.errors import EvidenceRejected
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import SpiffeId
from bridge.verify.metadata_documents import VerifiedDocument, matches, read_document, read_keys, require_client_url
from tests.vectors import load

URL = "https://app.example.com/client.json"
KEY = SigningKey.generate("ES256", "own-1")
PUBLIC = KEY.public_jwk()
KEYS = {"keys": [PUBLIC]}
KEYED = {"token_endpoint_auth_method": "private_key_jwt", "jwks": KEYS}
PRIVATE = json.loads(KEY.private_json())


def read(url: str = URL, **members: Any) -> VerifiedDocument:
    said = {"client_id": url, **members}
    return read_document(json.dumps({k: v for k, v in said.items() if v is not ...}).encode(), url)


def refused(**members: Any) -> str:
    with pytest.raises(EvidenceRejected) as caught:
        read(**members)
    assert caught.value.reason is Reason.DOCUMENT_REFUSED
    assert str(caught.value.public) == EvidenceRejected.public
    return caught.value.detail


# --- the URL ----------------------------------------------------------------------------------------

GOOD_URLS = [
    URL,
    "https://app.example.com/",
    "https://app.example.com:8443/a/b",
    "https://192.0.2.1/client",
    "https://[2001:db8::1]/client",
    "https://xn--bcher-kva.example/client",
    "https://app.example.com/a%20b",
    "https://app.example.com/..a/b..",
]
BAD_URLS = {
    "CIMD-1 http": "http://app.example.com/client",
    "CIMD-1 upper-case scheme": "HTTPS://app.example.com/client",
    "CIMD-1 userinfo": "https://user@app.example.com/client",
    "CIMD-1 empty userinfo": "https://@app.example.com/client",
    "CIMD-1 no path": "https://app.example.com",
    "CIMD-1 no path but a port": "https://app.example.com:8443",
    "CIMD-1 fragment": "https://app.example.com/client#a",
    "CIMD-1 empty fragment": "https://app.example.com/client#",
    "CIMD-2 dot segment": "https://app.example.com/a/../client",
    "CIMD-2 single dot": "https://app.example.com/./client",
    "CIMD-2 encoded dots": "https://app.example.com/a/%2e%2E/client",
    "CIMD-2 half encoded": "https://app.example.com/a/.%2e/client",
    "CIMD-2 dots at the end": "https://app.example.com/a/..",
    "CIMD-4 query": "https://app.example.com/client?a=b",
    "CIMD-4 empty query": "https://app.example.com/client?",
    "CIMD-4 query and no path": "https://app.example.com?a=b",
    "T-7 backslash": "https://app.example.com\\@evil.example/client",
    "T-7 tab": "https://app.example.com/cli\tent",
    "T-7 newline": "https://app.example.com/client\n",
    "T-7 nul": "https://app.example.com/client\0",
    "T-7 space": "https://app.example.com/cli ent",
    "T-7 unicode": "https://app.example.com/clïent",
    "T-7 upper-case host": "https://App.example.com/client",
    "T-7 number for an address": "https://2130706433/client",
    "T-7 hexadecimal address": "https://0x7f.1/client",
    "T-7 mapped address": "https://[::ffff:127.0.0.1]/client",
    "T-7 trailing dot": "https://app.example.com./client",
    "T-7 no host": "https:///client",
    "T-7 port zero": "https://app.example.com:0/client",
    "T-7 empty port": "https://app.example.com:/client",
    "T-7 too long": "https://app.example.com/" + "a" * 2048,
}


@pytest.mark.parametrize("url", GOOD_URLS)
def test_a_client_may_have_such_a_url(url: str) -> None:
    require_client_url(url)
    assert read(url).url == url


@pytest.mark.parametrize("url", BAD_URLS.values(), ids=BAD_URLS)
def test_no_client_has_such_a_url(url: str) -> None:
    with pytest.raises(EvidenceRejected) as caught:
        require_client_url(url)
    assert caught.value.reason is Reason.DOCUMENT_REFUSED


def test_nothing_that_a_browser_reads_otherwise_is_a_clients_url_T_7() -> None:
    """Of the URLs of the Web Platform Tests those that pass are what a browser makes of them, letter by letter."""
    for case in load("wpt-urltestdata.json"):
        if not isinstance(case, dict) or case.get("base"):
            continue
        try:
            require_client_url(case["input"])
        except (EvidenceRejected, UnicodeEncodeError):
            continue
        # The default port may be said: that is another client, at the same place.
        assert case.get("href") == case["input"].replace(":443/", "/")


@given(st.text(max_size=60))
@example("https://a.example/\ud800")
def test_no_text_makes_the_judgement_of_a_url_fail_otherwise_T_27(text: str) -> None:
    for url in (text, "https://app.example.com/" + text):
        try:
            require_client_url(url)
        except EvidenceRejected:
            continue
        assert url.startswith("https://")
        assert url.isascii()


# --- whose document it is ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "client_id",
    [
        pytest.param(..., id="CIMD-5 missing"),
        pytest.param(None, id="CIMD-5 null"),
        pytest.param([URL], id="CIMD-5 a list"),
        pytest.param(URL + "/", id="CIMD-3 a slash more"),
        pytest.param("https://APP.example.com/client.json", id="CIMD-3 case"),
        pytest.param("https://app.example.com:443/client.json", id="CIMD-3 the default port"),
        pytest.param("https://app.example.com/client%2Ejson", id="CIMD-3 encoded"),
    ],
)
def test_a_document_says_its_own_url_byte_by_byte(client_id: object) -> None:
    assert read(client_id=URL).url == URL
    assert "client_id" in refused(client_id=client_id)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'"x"', b"{", b'{"client_id": "x"} x', b"\xff", b"NaN", b"null"],
    ids=["empty", "array", "string", "cut", "more", "no UTF-8", "NaN", "null"],
)
def test_what_is_no_json_object_is_no_document_CIMD_9(body: bytes) -> None:
    with pytest.raises(EvidenceRejected):
        read_document(body, URL)


def test_a_member_that_is_there_twice_makes_it_no_document_CIMD_9_T_28() -> None:
    twice = f'{{"client_id": "{URL}", "client_name": "A", "client_name": "B"}}'.encode()
    assert read_document(twice.replace(b', "client_name": "B"', b""), URL).metadata.text("client_name") == "A"
    with pytest.raises(EvidenceRejected):
        read_document(twice, URL)


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reading_fail_otherwise_T_27(body: bytes) -> None:
    for reader in (read_document, read_keys):
        # Chance may find a key set, be it the empty one; anything else that is raised ends the test.
        with suppress(EvidenceRejected):
            reader(body, URL)


# --- secrets and keys -------------------------------------------------------------------------------

SECRETS: dict[str, dict[str, Any]] = {
    "CIMD-10 client_secret": {"client_secret": "x"},
    "CIMD-10 client_secret null": {"client_secret": None},
    "CIMD-10 client_secret_expires_at": {"client_secret_expires_at": 0},
    "CIMD-10 client_secret_basic": {"token_endpoint_auth_method": "client_secret_basic"},
    "CIMD-10 client_secret_post": {"token_endpoint_auth_method": "client_secret_post"},
    "CIMD-10 client_secret_jwt": {"token_endpoint_auth_method": "client_secret_jwt"},
    "CIMD-10 a method of nobody": {"token_endpoint_auth_method": "shared_phrase"},
    "CIMD-10 oct": {**KEYED, "jwks": {"keys": [PUBLIC, {"kty": "oct", "k": "c2VjcmV0"}]}},
    "CIMD-10 oct without k": {**KEYED, "jwks": {"keys": [PUBLIC, {"kty": "oct"}]}},
    "T-9 private key": {**KEYED, "jwks": {"keys": [PRIVATE]}},
    **{
        f"CIMD-10 {name}": {**KEYED, "jwks": {"keys": [PUBLIC, {**PUBLIC, "kid": "b", name: "AQAB"}]}}
        for name in ("d", "p", "q", "dp", "dq", "qi", "k")
    },
}


@pytest.mark.parametrize("members", SECRETS.values(), ids=SECRETS)
def test_a_document_that_holds_or_wants_a_secret_is_none(members: dict[str, Any]) -> None:
    assert read(**KEYED).method == "private_key_jwt"
    refused(**members)


def test_a_private_key_spoils_a_document_that_needs_no_keys_too() -> None:
    assert read(token_endpoint_auth_method="none", jwks=KEYS).method == "none"
    assert "private" in refused(token_endpoint_auth_method="none", jwks={"keys": [PRIVATE]})


def test_keys_of_no_use_here_are_passed_over() -> None:
    encrypting = {**PUBLIC, "kid": "enc", "use": "enc"}
    edwards = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "ed"}
    found = read(**{**KEYED, "jwks": {"keys": [encrypting, edwards, PUBLIC]}})
    assert found.keys is not None
    assert [key.kid for key in found.keys.usable] == ["own-1"]
    assert "jwks" in refused(**{**KEYED, "jwks": {"keys": [encrypting, edwards]}})
    body = json.dumps({"keys": [encrypting, edwards, PUBLIC]}).encode()
    assert [key.kid for key in read_keys(body, "https://app.example.com/jwks").usable] == ["own-1"]


@pytest.mark.parametrize("entry", [PRIVATE, {"kty": "oct", "k": "c2VjcmV0"}], ids=["private", "symmetric"])
def test_a_key_set_with_a_secret_in_it_is_refused_whole_CIMD_10(entry: dict[str, Any]) -> None:
    with pytest.raises(EvidenceRejected):
        read_keys(json.dumps({"keys": [PUBLIC, entry]}).encode(), "https://app.example.com/jwks")


# --- how the client authenticates -------------------------------------------------------------------

METHODS: dict[str, tuple[dict[str, Any], str]] = {
    "CIMD-21 nothing": ({}, "none"),
    "none": ({"token_endpoint_auth_method": "none"}, "none"),
    "none beside a SPIFFE ID": ({"token_endpoint_auth_method": "none", "spiffe_id": "spiffe://a.example/x"}, "none"),
    "keys": (KEYED, "private_key_jwt"),
    "keys elsewhere": (
        {"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://keys.example/jwks"},
        "private_key_jwt",
    ),
    "SCA-11 a SPIFFE ID": ({"spiffe_id": "spiffe://a.example/x"}, "spiffe_jwt"),
    "spiffe_jwt": ({"token_endpoint_auth_method": "spiffe_jwt", "spiffe_id": "spiffe://a.example/*"}, "spiffe_jwt"),
}


@pytest.mark.parametrize(("members", "method"), METHODS.values(), ids=METHODS)
def test_a_document_says_how_its_client_authenticates(members: dict[str, Any], method: str) -> None:
    assert read(**members).method == method


UNMET: dict[str, dict[str, Any]] = {
    "CIMD-21 keys without a method": {"jwks": KEYS},
    "CIMD-21 jwks_uri without a method": {"jwks_uri": "https://keys.example/jwks"},
    "CIMD-20 private_key_jwt without keys": {"token_endpoint_auth_method": "private_key_jwt"},
    "SCA-11 spiffe_jwt without spiffe_id": {"token_endpoint_auth_method": "spiffe_jwt"},
    "SCA-15 spiffe_x509": {"token_endpoint_auth_method": "spiffe_x509", "spiffe_id": "spiffe://a.example/x"},
    "spiffe_wit": {"token_endpoint_auth_method": "spiffe_wit", "spiffe_id": "spiffe://a.example/x"},
    "both sources of keys": {**KEYED, "jwks_uri": "https://keys.example/jwks"},
    "T-4 jwks_uri without TLS": {"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "http://127.0.0.1/jwks"},
    "certificate-bound tokens": {"tls_client_certificate_bound_access_tokens": True},
    **{
        f"SCA-14 {bad}": {"spiffe_id": bad}
        for bad in (
            "spiffe://example.org/a*", "spiffe://*/a", "spiffe://example.org/*/a", "*", "spiffe://example.org/**",
            "spiffe://Example.org/a", "example.org/a", "", "spiffe://example.org/a/",
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("members", UNMET.values(), ids=UNMET)
def test_a_document_that_contradicts_itself_is_refused(members: dict[str, Any]) -> None:
    refused(**members)


# --- matching (SCA-13) ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("spiffe://example.org/client/*", "spiffe://example.org/client/123", True),
        ("spiffe://example.org/client/*", "spiffe://example.org/client/a/b", True),
        ("spiffe://example.org/client/*", "spiffe://example.org/client", False),
        ("spiffe://example.org/client/*", "spiffe://example.org/client123", False),
        ("spiffe://example.org/client/*", "spiffe://example.org/Client/1", False),
        ("spiffe://example.org/a", "spiffe://example.org/a", True),
        ("spiffe://example.org/a", "spiffe://example.org/a/b", False),
        ("spiffe://example.org/*", "spiffe://example.org/any/thing", True),
        ("spiffe://example.org/*", "spiffe://example.org.evil/x", False),
    ],
    ids=lambda value: str(value).removeprefix("spiffe://"),
)
def test_every_row_of_the_table_SCA_13(pattern: str, name: str, expected: bool) -> None:
    assert read(spiffe_id=pattern).spiffe_id == pattern
    assert matches(pattern, SpiffeId.parse_workload(name)) is expected


# --- everything else --------------------------------------------------------------------------------


@pytest.mark.parametrize(("end", "expected"), [(100, 100), (100.9, 100), (0, 0), (..., None), (2**53, 2**53)])
def test_the_end_that_a_document_gives_itself_is_a_number_of_seconds_CIMD_32(end: object, expected: int | None) -> None:
    found = read(client_id_expires_at=end)
    assert found.expires_at == expected
    assert found.has_expired(100) is (expected is not None and expected <= 100)


@pytest.mark.parametrize("end", [None, "100", True, -1, [100], 2**54, "2030-01-01"], ids=repr)
def test_an_end_of_another_type_is_none_T_28(end: object) -> None:
    refused(client_id_expires_at=end)


def test_what_is_not_read_changes_nothing_and_what_is_does() -> None:
    """CIMD-33, SCA-30: a statement and a bundle endpoint in a document are not even looked at."""
    plain = read(**KEYED)
    more = read(
        **KEYED,
        software_statement="x.y.z",
        spiffe_bundle_endpoint="https://evil.example/bundle",
        anything=[1, {"a": 2}],
    )
    assert plain.digest == more.digest
    assert dict(plain.metadata.members) == dict(more.metadata.members)
    others = [
        read(**KEYED, client_name="A"),
        read(**KEYED, client_id_expires_at=5),
        read("https://app.example.com/b", **KEYED),
        read(token_endpoint_auth_method="none", jwks=KEYS),
    ]
    assert len({plain.digest, *(other.digest for other in others)}) == 5


@pytest.mark.parametrize("uri", ["javascript:alert(1)", "http://app.example.com/cb", "https://app.example.com/cb#x"])
def test_a_redirect_uri_that_nobody_may_have_spoils_the_document(uri: str) -> None:
    assert read(redirect_uris=["http://127.0.0.1/cb"]).metadata.texts("redirect_uris") == ("http://127.0.0.1/cb",)
    assert "redirect" in refused(redirect_uris=[uri])
