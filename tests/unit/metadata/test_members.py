"""One table of members: what each may be, what is ignored, and that a refusal names the member and quotes nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.jose import strict_json
from bridge.metadata.members import MAX_METADATA_BYTES, MEMBERS, TAGGABLE, base_name, read
from bridge.model.errors import InvalidClientMetadata, InvalidRedirectUri
from bridge.policy.vocabulary import METADATA_MEMBERS
from tests.svid_factory import jose_key

JWKS = {"keys": [{**jose_key("P-256").as_dict(private=False), "kid": "k1", "use": "sig"}]}

FULL: dict[str, object] = {
    "redirect_uris": ["https://app.example.com/cb", "http://localhost:3334/cb"],
    "token_endpoint_auth_method": "spiffe_jwt",
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
    "client_name": "Ledger \u2764\ufe0f",
    "client_name#fr": "Grand livre",
    "client_name#zh-Hant-TW": "\u7e3d\u5e33",
    "client_uri": "https://app.example.com/",
    "client_uri#de": "https://app.example.com/de",
    "logo_uri": "https://app.example.com/logo.png",
    "tos_uri": "http://localhost:8080/tos",
    "policy_uri": "https://app.example.com/privacy?x=*",
    "scope": "ledger.read ledger.write",
    "contacts": ["ops@example.com", "+1 555 0100"],
    "jwks": JWKS,
    "software_id": "6d8e2b0a-4b06-4a3e-8a55-4f3f7f0a6f29",
    "software_version": "2.1.0-rc.1",
    "spiffe_id": "spiffe://example.org/ns/web/sa/api",
    "application_type": "web",
    "token_endpoint_auth_signing_alg": "ES256",
    "dpop_bound_access_tokens": True,
    "tls_client_certificate_bound_access_tokens": False,
    "require_pushed_authorization_requests": True,
}


def test_every_member_is_read_as_it_was_stated() -> None:
    metadata = read(FULL)
    assert metadata.members == FULL
    assert metadata.members is not FULL
    by_reference = {**FULL, "jwks_uri": "https://app.example.com/jwks"}
    del by_reference["jwks"]
    assert read(by_reference).members == by_reference
    assert {base_name(name) for name in (*FULL, "jwks_uri")} == MEMBERS


def test_nothing_stated_is_nothing_read() -> None:
    assert read({}).members == {}


def test_a_rule_may_let_a_source_state_exactly_these_members() -> None:
    assert MEMBERS == METADATA_MEMBERS


UNKNOWN = ["x_unknown", "Client_Name", "", "redirect_uris#fr", "#fr", "client_attestation_alg", "jwks_url"]
PROTOCOL_CLAIMS = ["iss", "sub", "aud", "exp", "iat", "nbf", "jti"]
OF_THE_SERVER = ["client_id", "client_secret", "client_id_issued_at", "client_secret_expires_at"]
OF_THE_SERVER += ["registration_access_token", "registration_client_uri", "software_statement"]
ANYTHING: list[object] = [None, 7, "https://u@x#\0", ["\u202e"], {"d": "private"}]


@pytest.mark.parametrize("name", UNKNOWN + OF_THE_SERVER)
def test_an_unknown_member_is_ignored_whatever_it_holds_DCR_3(name: str) -> None:
    for value in ANYTHING:
        assert read({"client_name": "x", name: value}).members == {"client_name": "x"}


@pytest.mark.parametrize("name", PROTOCOL_CLAIMS)
def test_the_claims_of_a_statement_about_itself_are_no_metadata_DCR_18(name: str) -> None:
    for value in ANYTHING:
        assert read({"client_name": "x", name: value}).members == {"client_name": "x"}


def test_equal_entries_are_kept_once_and_in_order() -> None:
    raw = {"scope": "b a b", "contacts": ["y", "x", "y"], "redirect_uris": ["https://b.example", "https://b.example"]}
    kept = {"scope": "b a", "contacts": ["y", "x"], "redirect_uris": ["https://b.example"]}
    assert read(raw).members == kept


def test_lists_may_be_empty_where_that_says_something() -> None:
    raw: dict[str, object] = {"redirect_uris": [], "response_types": [], "contacts": []}
    assert read(raw).members == raw


def test_of_the_keys_only_public_numbers_are_kept() -> None:
    key = {**JWKS["keys"][0], "x5u": "http://127.0.0.1/", "x5c": ["x"], "key_ops": ["verify"], "ext": True}
    assert read({"jwks": {"keys": [key], "x": 1}}).members == {"jwks": JWKS}


# Per member: what it may not be. Each twin is the same member in `FULL`, or the string before it.
_TEXTS = ("client_name", "software_id", "software_version")
_URIS = ("client_uri", "logo_uri", "tos_uri", "policy_uri", "jwks_uri")
_FLAGS = (
    "dpop_bound_access_tokens",
    "tls_client_certificate_bound_access_tokens",
    "require_pushed_authorization_requests",
)
_WRONG: list[object] = [None, 7, {"x": "y"}, 1.5]
WRONG: dict[str, list[object]] = {
    **{name: [*_WRONG, True, ["x"], "", "x" * 256, "a\nb", "a\x1b[2Jb", "a\u202eb", "\ud800"] for name in _TEXTS},
    **{
        name: [
            *_WRONG,
            True,
            [],
            "",
            "app",
            "ftp://a.example/",
            "javascript:alert(1)",
            "data:image/png,x",
            "http://a.example/",
            "https://u:p@a.example/",
            "https://a.example/\\",
            "https://a.example/\n",
            "https://A.example",
            f"https://a.example/{'a' * 2031}",
            "https://a.example/#x",
            "https://0x7f.1/",
        ]
        for name in _URIS
    },
    **{name: [*_WRONG[:2], "true", [], 0, 1] for name in _FLAGS},
    "redirect_uris": [
        *_WRONG,
        True,
        "https://a.example",
        [7],
        ["https://a.example", None],
        ["x" * 2049],
        [f"https://a.example/{n}" for n in range(21)],
    ],
    "token_endpoint_auth_method": [*_WRONG, True, ["none"], "", "x" * 129, "no ne ", "\u00e9"],
    "grant_types": [*_WRONG, True, "authorization_code", [], [7], [["x"]], [""], ["x"] * 17, ["a\n"]],
    "response_types": [*_WRONG, True, "code", [7], [""], ["code  token"], ["x"] * 17],
    "scope": [*_WRONG, True, ["a"], "", " a", "a ", "a  b", 'a"b', "a\\b", "a\tb", "\u00e9", "a" * 4097],
    "contacts": [*_WRONG, True, "ops@example.com", [7], [""], ["a\0"], ["x" * 255], [f"{n}" for n in range(11)]],
    "jwks": [*_WRONG, True, [], {}, {"keys": []}],
    "spiffe_id": [
        *_WRONG,
        True,
        "",
        "spiffe://",
        "spiffe://Example.org/x",
        "spiffe://example.org/",
        "https://example.org/x",
        "spiffe://example.org/x*",
        "spiffe://example.org/*/y",
        "spiffe://example.org/x/**",
        "spiffe://example.org/x/*/*",
        "/*",
    ],
    "application_type": [*_WRONG, True, "", "Web", "browser", ["web"]],
    "token_endpoint_auth_signing_alg": [*_WRONG, True, "", "none", "HS256", "EdDSA", "es256", ["ES256"]],
}


def test_no_member_is_without_its_refusals() -> None:
    assert set(WRONG) == MEMBERS


@pytest.mark.parametrize("name", sorted(WRONG))
def test_a_member_of_a_wrong_form_is_refused_by_its_name_T_28(name: str) -> None:
    for value in WRONG[name]:
        with pytest.raises(InvalidClientMetadata) as refusal:
            read({name: value})
        assert refusal.value.public.startswith(f"{name}: "), (value, refusal.value.public)
        assert refusal.value.public.isascii()
        assert len(refusal.value.public) < 200
        if isinstance(value, str) and len(value) > 4:
            assert value not in str(refusal.value)


@pytest.mark.parametrize("tail", ["", "/x", "/x/*", "/*"])
def test_a_spiffe_id_is_exact_or_ends_in_a_wildcard_SCA_14(tail: str) -> None:
    assert read({"spiffe_id": "spiffe://example.org" + tail}).text("spiffe_id") == "spiffe://example.org" + tail


def test_keys_are_fetched_by_https_only_and_pages_may_be_on_this_machine_T_4() -> None:
    assert "jwks_uri" in read({"jwks_uri": "https://localhost/jwks"})
    assert "client_uri" in read({"client_uri": "http://localhost/jwks"})
    with pytest.raises(InvalidClientMetadata, match="jwks_uri"):
        read({"jwks_uri": "http://localhost/jwks"})


def test_keys_come_by_value_or_by_reference_DCR_4() -> None:
    for one in ({"jwks": JWKS}, {"jwks_uri": "https://a.example/jwks"}):
        assert read(one).members == one
    with pytest.raises(InvalidClientMetadata, match="not beside jwks_uri"):
        read({"jwks": JWKS, "jwks_uri": "https://a.example/jwks"})


def test_a_redirect_uri_is_judged_for_the_stated_type_of_application() -> None:
    uris = {"redirect_uris": ["com.example.app:/cb"]}
    assert read({**uris, "application_type": "native"}).texts("redirect_uris") == ("com.example.app:/cb",)
    with pytest.raises(InvalidRedirectUri):
        read({**uris, "application_type": "web"})
    with pytest.raises(InvalidRedirectUri):
        read({"redirect_uris": ["https://a.example/cb", "https://*.example/cb"]})


# --- names that show what they are not (T-43) -----------------------------------------------------------

INVISIBLE = {
    "right-to-left override": "\u202e",
    "isolate": "\u2066",
    "right-to-left mark": "\u200f",
    "zero width space": "\u200b",
    "zero width joiner": "\u200d",
    "soft hyphen": "\u00ad",
    "byte order mark": "\ufeff",
    "word joiner": "\u2060",
    "language tag character": "\U000e0041",
    "Hangul filler": "\u3164",
    "braille blank": "\u2800",
    "grapheme joiner": "\u034f",
    "escape": "\x1b",
    "C1 control": "\x9b",
    "NUL": "\0",
    "line separator": "\u2028",
    "private use": "\ue000",
    "not assigned": "\u0378",
    "half a pair": "\udc00",
}


@pytest.mark.parametrize("sign", INVISIBLE.values(), ids=[f"T-43 {name}" for name in INVISIBLE])
@pytest.mark.parametrize("name", ["client_name", "client_name#fr", "software_id", "software_version", "contacts"])
def test_a_sign_that_nobody_sees_is_refused_wherever_it_stands(name: str, sign: str) -> None:
    for said in (f"{sign}Bank", f"Ba{sign}nk", f"Bank{sign}", sign):
        with pytest.raises(InvalidClientMetadata, match="invisible"):
            read({name: [said] if name == "contacts" else said})
    assert name in read({name: ["Bank"] if name == "contacts" else "Bank"})


@pytest.mark.parametrize(
    "said", ["\u5e33\u7c3f", "Zo\u00eb", "Zoe\u0308", "\u0915\u094d\u0937", "A & B <c>", "\u2764\ufe0f", "\U0001f680"]
)
def test_names_of_all_scripts_are_taken(said: str) -> None:
    assert read({"client_name": said}).text("client_name") == said


@pytest.mark.parametrize("said", [" Bank", "Bank ", "\u00a0Bank", "Bank\u3000", " "])
def test_a_name_has_no_space_at_its_ends(said: str) -> None:
    assert "client_name" in read({"client_name": "My Bank"})
    with pytest.raises(InvalidClientMetadata, match="space"):
        read({"client_name": said})


# --- languages (RFC 7591 section 2.2) -------------------------------------------------------------------

TAGS = ["fr", "FR", "en-GB", "zh-Hant-TW", "es-419", "sl-rozaj-biske", "de-1996", "zh-yue-HK", "x-klingon"]
TAGS += ["de-a-value", "en-u-islamcal", "en-x-us", "cel-gaulish", "abcd", "abcde-Latn"]
BAD_TAGS = [
    "",
    "f",
    "f1",
    "fr-",
    "-fr",
    "fr--FR",
    "fr_FR",
    "fr FR",
    "fr\n",
    "abcdefghi",
    "en-x",
    "en-a",
    "en-toolongtag",
]
BAD_TAGS += ["i-klingon", "fr#de", "\u0131t", "en-GB-GB", "fr;q=1", "de-" + "-".join(["1996"] * 20)]


@pytest.mark.parametrize("tag", TAGS)
def test_a_well_formed_language_is_kept(tag: str) -> None:
    raw: dict[str, object] = {f"{name}#{tag}": f"https://a.example/{name}" for name in TAGGABLE}
    assert read(raw).members == raw


@pytest.mark.parametrize("tag", BAD_TAGS)
def test_a_malformed_language_is_refused_and_not_quoted(tag: str) -> None:
    with pytest.raises(InvalidClientMetadata) as refusal:
        read({f"client_name#{tag}": "x"})
    assert refusal.value.public == "client_name: a language tag is malformed"


def test_a_value_in_a_language_follows_the_rule_of_its_member() -> None:
    for name, value in {"logo_uri#fr": "http://a.example/", "client_name#fr": ["x"], "client_name#de": ""}.items():
        with pytest.raises(InvalidClientMetadata) as refusal:
            read({name: value})
        assert refusal.value.public.startswith(f"{base_name(name)}: ")


def test_one_language_in_two_spellings_is_refused() -> None:
    assert (
        len(read({"client_name#fr": "a", "client_name#fr-CA": "b", "client_uri#fr": "https://a.example"}).members) == 3
    )
    with pytest.raises(InvalidClientMetadata, match="twice"):
        read({"client_name#fr": "a", "client_name#FR": "b"})


def test_there_is_a_number_of_languages_that_is_enough() -> None:
    tags = [f"x-{n}" for n in range(33)]
    assert len(read({f"client_name#{tag}": "x" for tag in tags[:32]}).members) == 32
    with pytest.raises(InvalidClientMetadata, match="more than 32"):
        read({f"client_name#{tag}": "x" for tag in tags})


def test_all_metadata_together_is_bounded() -> None:
    fitting = [f"https://a.example/{n}/{'a' * 1500}" for n in range(10)]
    assert len(json.dumps(read({"redirect_uris": fitting}).members)) <= MAX_METADATA_BYTES
    with pytest.raises(InvalidClientMetadata, match="together"):
        read({"redirect_uris": [*fitting, fitting[0] + "b"]})


# --- whatever comes -------------------------------------------------------------------------------------

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
_near = st.sampled_from(list(FULL.values())) | st.sampled_from([v for vs in WRONG.values() for v in vs])
_names = st.sampled_from(sorted(MEMBERS)) | st.builds(
    "{}#{}".format, st.sampled_from(sorted(TAGGABLE)), st.text(max_size=5)
)
OBJECTS = st.dictionaries(_names | st.text(max_size=8), _near | _json, max_size=6)


@given(OBJECTS)
@example({"jwks": {"keys": [{"kty": "EC", "crv": "P-256", "x": [], "y": {}}]}})
@example({"jwks": {"keys": [{"kty": [], "kid": "\ud800"}]}})
@example({"redirect_uris": ["https://[::1", "\ud800"]})
@example({"client_name#\ud800": "x"})
@settings(max_examples=300)
def test_whatever_comes_is_read_or_refused_and_reading_again_changes_nothing(raw: dict[str, object]) -> None:
    try:
        metadata = read(raw)
    except InvalidClientMetadata:
        return
    assert {base_name(name) for name in metadata.members} <= MEMBERS
    again = strict_json.loads_object(strict_json.dumps(metadata.members), max_bytes=MAX_METADATA_BYTES)
    assert read(again).members == metadata.members == again
