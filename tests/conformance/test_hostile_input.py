"""Whatever bytes come in, the verifiers answer with an identity or one of two refusals (T-27, F-12)."""

from __future__ import annotations

import json
import warnings

import pytest
from cryptography.utils import CryptographyDeprecationWarning
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.model.errors import EvidenceRejected, ProofRejected
from bridge.model.evidence import DpopEvidence, JwtEvidence, X509Evidence
from bridge.verify.dpop import normalise_url
from bridge.verify.dpop_verifier import DpopVerifier
from tests.svid_factory import (
    NOW,
    CertificateAuthority,
    JwtAuthoritySigner,
    compact,
    leaf_spec,
    sign_compact,
)
from tests.trust import ISSUER, WORKLOAD, FixedBundles, svid_verifier, trust_bundle

ROOT = CertificateAuthority.root("example.org")
CHAIN = ROOT.intermediate("example.org").issue(leaf_spec(WORKLOAD)).chain
SIGNER = JwtAuthoritySigner.make("key-1")
VERIFIER = svid_verifier(FixedBundles(trust_bundle("example.org", [ROOT], [SIGNER])))
DPOP = DpopVerifier()
TOKEN = SIGNER.svid(sub=WORKLOAD, aud=ISSUER, exp=NOW + 60)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def present_jwt(token: str) -> bool:
    try:
        VERIFIER.verify_jwt(JwtEvidence(token), audience=ISSUER, now=NOW)
    except EvidenceRejected:
        return False
    return True


def present_chain(chain: tuple[bytes, ...]) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            VERIFIER.verify_x509(X509Evidence(chain, WORKLOAD), now=NOW)
    except EvidenceRejected:
        return False
    return True


def present_proof(proof: str) -> bool:
    try:
        DPOP.verify(DpopEvidence(proof, "POST", ISSUER + "/token"), now=NOW)
    except ProofRejected:
        return False
    return True


BOMBS = {
    "millions of dots": "." * 3_000_000,
    "two dots and a flood": "a.b." + "c" * 3_000_000,
    "16 KiB of dots": "." * 16_384,
    "deep header": compact(b'{"alg":' + b"[" * 6000 + b"]" * 6000 + b"}", {}),
    "deep payload": compact({"alg": "ES256", "kid": "key-1"}, b'{"sub":' * 1500 + b"1" + b"}" * 1500),
    "5,000 digits in the payload": compact({"alg": "ES256", "kid": "key-1"}, b'{"exp":' + b"9" * 5000 + b"}"),
    "5,000 digits in the header": compact(b'{"alg":"ES256","kid":' + b"9" * 5000 + b"}", {}),
    "quotes": compact(b'{"alg":"' + b'\\"' * 5000, {}),
    "a surrogate": "\ud800.\ud800.\ud800",
    "NUL": "\0.\0.\0",
    "a key of 12,000 bytes": compact({"alg": "RS256", "typ": "dpop+jwt", "jwk": {"kty": "RSA", "n": "x" * 11_000}}, {}),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=[f"T-27 {name}" for name in BOMBS])
def test_a_bomb_is_refused(bomb: str) -> None:
    assert present_jwt(TOKEN)
    assert not present_jwt(bomb)
    assert not present_proof(bomb)


@given(st.text(max_size=60) | st.text(alphabet="eyJhbGciOiJFUzI1NiJ9._-", max_size=80))
def test_any_text_is_refused(text: str) -> None:
    assert not present_jwt(text)
    assert not present_proof(text)


@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(min_size=1, max_size=70))
def test_any_three_segments_are_refused(header: bytes, payload: bytes, signature: bytes) -> None:
    token = compact(header, payload, signature)
    assert not present_jwt(token)
    assert not present_proof(token)


@given(st.integers(0, len(TOKEN) - 1), st.sampled_from("AZaz09-_.=+/ \n"))
def test_a_token_with_one_character_changed_is_refused(position: int, character: str) -> None:
    changed = TOKEN[:position] + character + TOKEN[position + 1 :]
    assert present_jwt(changed) is (changed == TOKEN)


CLAIMS = st.fixed_dictionaries(
    {},
    optional={
        "sub": st.just(WORKLOAD) | JSON_VALUES,
        "aud": st.just(ISSUER) | JSON_VALUES,
        "exp": st.just(NOW + 60) | JSON_VALUES,
        "nbf": JSON_VALUES,
        "iss": JSON_VALUES,
        "iat": JSON_VALUES,
        "jti": JSON_VALUES,
        "htm": st.just("POST") | JSON_VALUES,
        "htu": st.just(ISSUER + "/token") | JSON_VALUES,
        "nonce": JSON_VALUES,
    },
)


@given(CLAIMS)
def test_any_signed_claims_are_judged(claims: dict[str, object]) -> None:
    payload = json.dumps(claims).encode()
    accepted = present_jwt(sign_compact({"alg": "ES256", "kid": "key-1"}, payload, SIGNER.key, "ES256"))
    if accepted:
        assert claims["sub"] == WORKLOAD
        assert claims["aud"] in (ISSUER, [ISSUER])
    header = {"alg": "ES256", "typ": "dpop+jwt", "jwk": SIGNER.jwk(use="sig")}
    present_proof(sign_compact(header, payload, SIGNER.key, "ES256"))


@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "jwk", "jku", "crit", "x5c", "b64"]), JSON_VALUES))
def test_any_header_is_judged(header: dict[str, object]) -> None:
    payload = json.dumps({"sub": WORKLOAD, "aud": ISSUER, "exp": NOW + 60}).encode()
    full = {"alg": "ES256", **header}
    assert present_jwt(sign_compact(full, payload, SIGNER.key, "ES256")) is (
        full.keys() <= {"alg", "kid", "typ"}
        and full["alg"] == "ES256"
        and full.get("kid", "key-1") == "key-1"
        and full.get("typ", "JWT") in ("JWT", "JOSE")
    )
    present_proof(sign_compact({"typ": "dpop+jwt", **full}, payload, SIGNER.key, "ES256"))


@given(
    st.dictionaries(
        st.sampled_from(["kty", "crv", "x", "y", "n", "e", "d", "use", "alg", "kid", "key_ops"]), JSON_VALUES
    )
)
def test_any_key_in_a_proof_is_judged(members: dict[str, object]) -> None:
    jwk = {**SIGNER.jwk(use="sig"), **members}
    token = sign_compact({"alg": "ES256", "typ": "dpop+jwt", "jwk": jwk}, b"{}", SIGNER.key, "ES256")
    assert not present_proof(token)


@given(st.lists(st.binary(max_size=300), max_size=6))
def test_any_bytes_are_no_chain(chain: list[bytes]) -> None:
    assert not present_chain(tuple(chain))


@given(st.integers(0, 1), st.integers(0, 4000), st.integers(0, 255))
@settings(max_examples=400, deadline=None)
def test_a_chain_with_one_byte_changed_is_judged(which: int, position: int, value: int) -> None:
    der = bytearray(CHAIN[which])
    der[position % len(der)] = value
    changed = (bytes(der), CHAIN[1]) if which == 0 else (CHAIN[0], bytes(der))
    assert present_chain(changed) is (changed == CHAIN)


@given(st.integers(0, 1), st.integers(0, 4000))
@settings(deadline=None)
def test_a_chain_that_was_cut_is_refused(which: int, length: int) -> None:
    cut = CHAIN[which][: length % len(CHAIN[which])]
    assert not present_chain((cut, CHAIN[1]) if which == 0 else (CHAIN[0], cut))


@given(st.text(max_size=60) | st.from_regex(r"https?://[a-z\[\]:@./?#%\\ -]{0,30}", fullmatch=True))
def test_any_url_has_one_normal_form_or_none(url: str) -> None:
    normal = normalise_url(url)
    if normal is not None:
        assert normalise_url(normal) == normal
        assert "?" not in normal
        assert "#" not in normal
