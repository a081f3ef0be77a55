"""Compact JWS, taken apart strictly and verified with a key that the caller chose."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.jose.algorithms import ALGORITHMS, CURVE_ORDER
from bridge.jose.jws import MalformedToken, UnverifiedToken, parse_compact, signature_holds
from bridge.jose.keys import import_public
from tests.svid_factory import JwtAuthoritySigner, b64url, compact, jose_key, sign_compact

KINDS = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
SOUND = compact({"alg": "ES256"}, {"sub": "x"})
HEADER, PAYLOAD, SIGNATURE = SOUND.split(".")

MALFORMED = {
    "nothing": "",
    "two segments": f"{HEADER}.{PAYLOAD}",
    "four segments": f"{SOUND}.",
    "five segments, a JWE": f"{HEADER}.{PAYLOAD}.{SIGNATURE}.{PAYLOAD}.{SIGNATURE}",
    "JSON serialization": json.dumps({"payload": PAYLOAD, "protected": HEADER, "signature": SIGNATURE}),
    "no signature": f"{HEADER}.{PAYLOAD}.",
    "header padded": f"{HEADER}=.{PAYLOAD}.{SIGNATURE}",
    "payload padded": f"{HEADER}.{PAYLOAD}==.{SIGNATURE}",
    "signature padded": f"{SOUND}=",
    "a space before": f" {SOUND}",
    "a newline behind": f"{SOUND}\n",
    "standard alphabet": f"{HEADER}.{PAYLOAD}.+/+/",
    "not ASCII": f"{SOUND}ä",
    "header no JSON": compact(b"x", {}),
    "header no object": compact([], {}),
    "header with a name twice": compact(b'{"alg":"ES256","alg":"none"}', {}),
    "header too deep": compact(b'{"alg":"ES256","x":' + b"[" * 20 + b"]" * 20 + b"}", {}),
    "no alg": compact({"typ": "JWT"}, {}),
    "alg no string": compact({"alg": ["ES256"]}, {}),
    "crit": compact({"alg": "ES256", "crit": ["exp"], "exp": 1}, {}),
    "b64": compact({"alg": "ES256", "b64": False}, {}),
    "a signature of 1,025 bytes": compact({"alg": "ES256"}, {}, b"x" * 1025),
}


def test_a_compact_token_is_taken_apart() -> None:
    token = parse_compact(SOUND, max_bytes=len(SOUND))
    assert token.header == {"alg": "ES256"}
    assert token.claims() == {"sub": "x"}
    assert token.raw == SOUND
    assert token.signing_input.decode() == f"{HEADER}.{PAYLOAD}"


@pytest.mark.parametrize("token", MALFORMED.values(), ids=list(MALFORMED))
def test_anything_else_is_malformed_and_not_quoted(token: str) -> None:
    with pytest.raises(MalformedToken) as refusal:
        parse_compact(token, max_bytes=16_384)
    assert PAYLOAD not in str(refusal.value)


def test_a_token_is_measured_before_it_is_read() -> None:
    assert parse_compact(SOUND, max_bytes=len(SOUND))
    with pytest.raises(MalformedToken, match="longer"):
        parse_compact(SOUND, max_bytes=len(SOUND) - 1)


@pytest.mark.parametrize("bomb", ["." * 5_000_000, "a." * 8000, "[" * 16_000], ids=["dots", "segments", "brackets"])
def test_a_bomb_is_malformed_T_27(bomb: str) -> None:
    with pytest.raises(MalformedToken):
        parse_compact(bomb, max_bytes=16_384)


@pytest.mark.parametrize("payload", [b"", b"x", b"[]", b'{"a":1,"a":1}', b'{"exp":1e400}', b"\xff"])
def test_a_payload_that_is_no_strict_object_has_no_claims(payload: bytes) -> None:
    token = parse_compact(compact({"alg": "ES256"}, payload), max_bytes=16_384)
    with pytest.raises(MalformedToken):
        token.claims()


def signer(alg: str) -> JwtAuthoritySigner:
    return JwtAuthoritySigner.make("k", KINDS.get(alg, "RSA-2048"), alg)


def parsed(alg: str) -> UnverifiedToken:
    return parse_compact(signer(alg).svid(sub="x"), max_bytes=16_384)


@pytest.mark.parametrize("alg", sorted(ALGORITHMS))
def test_a_signature_holds_for_its_key_its_algorithm_and_its_text_only(alg: str) -> None:
    token, key = parsed(alg), import_public(signer(alg).jwk(use="sig"))
    assert signature_holds(token, key, alg)
    others = ALGORITHMS - {alg}
    assert not any(signature_holds(token, key, other) for other in others)
    stranger = import_public(jose_key(KINDS.get(alg, "RSA-2048"), "stranger").as_dict(private=False))
    assert not signature_holds(token, stranger, alg)
    changed = UnverifiedToken(token.header, token.payload, token.raw, token.signing_input + b"A", token.signature)
    assert not signature_holds(changed, key, alg)


@pytest.mark.parametrize("alg", ["RS256", "PS256"])
def test_a_header_cannot_choose_another_algorithm_than_the_one_signed_with(alg: str) -> None:
    other = "PS256" if alg == "RS256" else "RS256"
    key = jose_key("RSA-2048", "k")
    token = parse_compact(sign_compact({"alg": alg}, b"{}", key, other), max_bytes=16_384)
    assert not signature_holds(token, import_public(key.as_dict(private=False)), alg)
    assert not signature_holds(token, import_public(key.as_dict(private=False)), other)


@pytest.mark.parametrize("alg", sorted(CURVE_ORDER))
def test_the_twin_of_a_signature_holds_and_has_the_same_replay_digest_T_21(alg: str) -> None:
    token, key = parsed(alg), import_public(signer(alg).jwk(use="sig"))
    half = len(token.signature) // 2
    s = int.from_bytes(token.signature[half:], "big")
    twin_signature = token.signature[:half] + (CURVE_ORDER[alg] - s).to_bytes(half, "big")
    twin = parse_compact(f"{token.signing_input.decode()}.{b64url(twin_signature)}", max_bytes=16_384)
    assert twin.raw != token.raw
    assert signature_holds(twin, key, alg)
    assert twin.replay_digest(alg) == token.replay_digest(alg)


@pytest.mark.parametrize("alg", ["ES256", "PS256"])
def test_two_tokens_have_two_replay_digests(alg: str) -> None:
    one, other = parsed(alg), parse_compact(signer(alg).svid(sub="y"), max_bytes=16_384)
    assert one.replay_digest(alg) == one.replay_digest(alg)
    assert one.replay_digest(alg) != other.replay_digest(alg)


@given(st.text(alphabet="eyJhbGciOiJFUzI1NiJ9._-=A0 \n", max_size=60) | st.text(max_size=40))
def test_any_text_is_a_token_or_malformed_F_12(text: str) -> None:
    try:
        token = parse_compact(text, max_bytes=50)
    except MalformedToken:
        return
    assert token.raw == text


@given(st.binary(max_size=40), st.binary(min_size=1, max_size=80))
def test_any_payload_and_signature_are_carried_and_hold_for_no_key(payload: bytes, signature: bytes) -> None:
    token = parse_compact(compact({"alg": "ES256"}, payload, signature), max_bytes=16_384)
    assert token.payload == payload
    assert not signature_holds(token, import_public(signer("ES256").jwk(use="sig")), "ES256")
    assert len(token.replay_digest("ES256")) == 64
