"""A client's own keys (RFC 7591 `jwks`): public, strong, few, and each with a name of its own."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.metadata.keys import public_jwks, read_jwks
from bridge.model.errors import InvalidClientMetadata
from tests.svid_factory import jose_key


def jwk(kid: str | None, kind: str = "P-256", name: str = "", **changes: object) -> dict[str, Any]:
    members = {**jose_key(kind, name).as_dict(private=False), "kid": kid, **changes}
    return {name: value for name, value in members.items() if value is not None}


FIRST = jwk("k1", use="sig", alg="ES256")
OTHER = jwk("k2", "P-384")
RSA = jwk("k3", "RSA-2048", alg="PS256")


def test_the_keys_and_their_public_form_are_the_same() -> None:
    value = {"keys": [FIRST, OTHER, RSA]}
    assert [(key.kid, key.kty) for key in read_jwks(value)] == [("k1", "EC"), ("k2", "EC"), ("k3", "RSA")]
    assert [sorted(key.algorithms) for key in read_jwks(value)] == [["ES256"], ["ES384"], ["PS256"]]
    assert public_jwks(value) == value
    assert read_jwks(public_jwks(value)) == read_jwks(value)


def test_what_is_no_number_of_the_key_is_not_kept() -> None:
    noisy = {
        **FIRST,
        "x5u": "http://127.0.0.1:1/",
        "x5c": [],
        "x5t#S256": "x",
        "key_ops": ["verify"],
        "oth\u00e9": 1,
        "n": "AQAB",
    }
    assert public_jwks({"keys": [noisy], "more": 1}) == {"keys": [FIRST]}


def test_a_single_key_needs_no_name() -> None:
    assert [key.kid for key in read_jwks({"keys": [jwk(None)]})] == [""]


def test_eight_keys_are_enough() -> None:
    keys = [jwk(f"k{n}", name=f"{n}") for n in range(9)]
    assert len(read_jwks({"keys": keys[:8]})) == 8
    with pytest.raises(InvalidClientMetadata, match="more than 8"):
        read_jwks({"keys": keys})


private = jose_key("P-256").as_dict(private=True)
REFUSED: dict[str, object] = {
    "no object": [FIRST],
    "a text": "https://a.example/jwks",
    "null": None,
    "a key without its set": FIRST,
    "no list": {"keys": FIRST},
    "no key": {"keys": []},
    "a key that is no object": {"keys": [FIRST, "k"]},
    "CIMD-10 private EC": {"keys": [{**private, "kid": "k1"}]},
    "CIMD-10 private RSA beside a public one": {
        "keys": [FIRST, {**jose_key("RSA-2048").as_dict(private=True), "kid": "k"}]
    },
    "CIMD-10 symmetric": {"keys": [{"kty": "oct", "kid": "k1", "k": "AAAA"}]},
    "CIMD-10 symmetric without its secret": {"keys": [{"kty": "oct", "kid": "k1"}]},
    **{f"CIMD-10 member {name}": {"keys": [{**FIRST, name: "AA"}]} for name in ("d", "p", "q", "dp", "dq", "qi", "k")},
    "for encryption": {"keys": [{**FIRST, "use": "enc"}]},
    "Ed25519": {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "A" * 43, "kid": "k1"}]},
    "T-16 a weak key": {"keys": [{**RSA, "n": RSA["n"][:100]}]},
    "an algorithm of another type": {"keys": [{**FIRST, "alg": "RS256"}]},
    "T-26 a MAC": {"keys": [{**FIRST, "alg": "HS256"}]},
    "one kid twice": {"keys": [FIRST, {**OTHER, "kid": "k1"}]},
    "one key twice": {"keys": [FIRST, {**FIRST, "kid": "k2"}]},
    "one of two without kid": {"keys": [FIRST, jwk(None, "P-384")]},
    "an empty kid of two": {"keys": [FIRST, {**OTHER, "kid": ""}]},
    "kid no string": {"keys": [{**FIRST, "kid": 7}]},
    "kid too long": {"keys": [{**FIRST, "kid": "k" * 257}]},
    "kid with a line break": {"keys": [{**FIRST, "kid": "k\n1"}]},
    "kid turned round": {"keys": [{**FIRST, "kid": "k\u202e1"}]},
    "no kty": {"keys": [{"kid": "k1"}]},
}


@pytest.mark.parametrize("value", REFUSED.values(), ids=list(REFUSED))
@pytest.mark.parametrize("reading", [read_jwks, public_jwks])
def test_a_set_with_one_unfit_key_is_refused_whole(reading: Any, value: object) -> None:
    with pytest.raises(InvalidClientMetadata) as refusal:
        reading(value)
    assert refusal.value.public.startswith("jwks: ")
    assert len(refusal.value.public) < 150
