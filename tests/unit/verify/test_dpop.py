"""DPoP proofs (RFC 9449 section 4.3, T-25, T-26, T-28, T-29). Every refusal is one change away from `proof()`."""

from __future__ import annotations

import hashlib
import json

import pytest

from bridge.jose.algorithms import ALGORITHMS
from bridge.model.errors import NonceRequired, ProofRejected
from bridge.model.evidence import DpopEvidence
from bridge.model.identity import BindingMethod, VerifiedProof
from bridge.model.reasons import Reason
from bridge.verify.dpop import MAX_AGE, MAX_AHEAD, normalise_url
from bridge.verify.dpop_verifier import DpopNonces, DpopVerifier
from tests.svid_factory import NOW, b64url, jose_key, sign_compact

URL = "https://as.example.org/token"
KEY = jose_key("P-256", "dpop")
SOUND: dict[str, object] = {"jti": "a-1", "htm": "POST", "htu": URL, "iat": NOW}


def public(kind: str = "P-256", name: str = "dpop", **members: object) -> dict[str, object]:
    return {**jose_key(kind, name).as_dict(private=False), **members}


def proof(header: dict[str, object] | None = None, alg: str = "ES256", kind: str = "P-256", **claims: object) -> str:
    full: dict[str, object] = {"typ": "dpop+jwt", "alg": alg, "jwk": public(kind), **(header or {})}
    full = {name: value for name, value in full.items() if value is not None}
    said = {name: value for name, value in {**SOUND, **claims}.items() if value is not None}
    return sign_compact(full, json.dumps(said).encode(), jose_key(kind, "dpop"), alg)


def verify(
    text: str, *, method: str = "POST", url: str = URL, now: int = NOW, nonces: DpopNonces | None = None
) -> VerifiedProof:
    return DpopVerifier(nonces=nonces).verify(DpopEvidence(text, method, url), now=now)


def refused(text: str, *, method: str = "POST", url: str = URL, now: int = NOW) -> Reason:
    with pytest.raises(ProofRejected) as refusal:
        verify(text, method=method, url=url, now=now)
    assert not isinstance(refusal.value, NonceRequired)
    assert text not in str(refusal.value)
    return refusal.value.reason


def test_a_sound_proof_proves_its_key() -> None:
    proved = verify(proof())
    assert proved.key.method is BindingMethod.JKT
    assert proved.key.thumbprint == KEY.thumbprint()
    assert proved.key.not_after is None
    assert (proved.marker.kind, proved.marker.expires_at) == ("dpop", NOW + MAX_AGE)


@pytest.mark.parametrize("kind", ["P-256", "P-384", "P-521", "RSA-2048"])
def test_a_proof_brings_the_key_itself_and_nothing_it_says_of_it(kind: str) -> None:
    alg = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}.get(kind, "RS256")
    said = public(kind, alg=alg, kid="k", use="sig", key_ops=["verify"], x5u="https://127.0.0.1/", anything=[1])
    key = verify(proof({"jwk": said, "kid": "k"}, alg=alg, kind=kind)).key
    members = ("kty", "n", "e") if kind == "RSA-2048" else ("kty", "crv", "x", "y")
    assert key.jwk == {name: said[name] for name in members}
    canonical = json.dumps(key.jwk, sort_keys=True, separators=(",", ":")).encode()
    assert key.thumbprint == b64url(hashlib.sha256(canonical).digest())


@pytest.mark.parametrize("alg", sorted(ALGORITHMS))
def test_the_nine_algorithms_are_taken(alg: str) -> None:
    kind = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}.get(alg, "RSA-2048")
    assert verify(proof(alg=alg, kind=kind)).key.thumbprint == jose_key(kind, "dpop").thumbprint()


@pytest.mark.parametrize(
    "header",
    [
        {"typ": None},
        {"typ": "JWT"},
        {"typ": "DPOP+JWT"},
        {"typ": 7},
        {"alg": None},
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "EdDSA"},
        {"jwk": None},
        {"jwk": "key"},
        {"jwk": {}},
        {"jwk": {**KEY.as_dict(private=True)}},
        {"jwk": public(use="enc")},
        {"jwk": public(alg="ES384")},
        {"jwk": {"kty": "oct", "k": "AAAA"}},
        {"jwk": {"kty": "RSA", "n": b64url(b"\xc5" * 128), "e": "AQAB"}},
        {"jwk": public(name="somebody else")},
        {"jwk": public("P-384")},
        {"jku": "https://127.0.0.1/keys"},
        {"x5c": []},
        {"crit": ["jwk"]},
    ],
    ids=lambda header: f"T-26 {next(iter(header))}",
)
def test_a_proof_s_header_is_closed(header: dict[str, object]) -> None:
    assert refused(proof(header)) is Reason.DPOP_MALFORMED


def test_a_header_may_name_its_key_and_nothing_is_looked_up_by_it() -> None:
    accepted = verify(proof({"kid": "anything"}))
    assert accepted.key == verify(proof()).key


@pytest.mark.parametrize("claim", ["jti", "htm", "htu", "iat"])
def test_four_claims_are_needed_and_of_their_types_T_28(claim: str) -> None:
    for value in (None, True, [], {}, "" if claim == "jti" else []):
        assert refused(proof(**{claim: value})) is Reason.DPOP_MALFORMED
    wrong: object = str(NOW) if claim == "iat" else 7
    assert refused(proof(**{claim: wrong})) is Reason.DPOP_MALFORMED


def test_a_jti_has_at_most_256_characters() -> None:
    assert verify(proof(jti="j" * 256))
    assert refused(proof(jti="j" * 257)) is Reason.DPOP_MALFORMED


def test_other_claims_are_not_looked_at() -> None:
    assert verify(proof(ath="x", nonce="any", exp=0, extra={"a": 1}))


def test_a_changed_proof_does_not_hold() -> None:
    header, _, signature = proof().split(".")
    payload = b64url(json.dumps({**SOUND, "jti": "a-2"}).encode())
    assert refused(f"{header}.{payload}.{signature}") is Reason.DPOP_MALFORMED


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "." * 100_000])
def test_what_is_no_token_is_no_proof(text: str) -> None:
    with pytest.raises(ProofRejected) as refusal:
        verify(text)
    assert refusal.value.reason is Reason.DPOP_MALFORMED


@pytest.mark.parametrize("method", ["GET", "post", "Post", ""], ids=lambda method: f"T-29 {method!r}")
def test_a_proof_is_for_one_method(method: str) -> None:
    assert refused(proof(htm=method)) is Reason.DPOP_MISMATCH
    assert refused(proof(), method=method or "PUT") is Reason.DPOP_MISMATCH


SAME_URL = [
    URL,
    "HTTPS://AS.EXAMPLE.ORG/token",
    "https://as.example.org:443/token",
    "https://as.example.org:/token",
    URL + "?a=b",
    URL + "#f",
    URL + "?a#b",
]
OTHER_URL = [
    "http://as.example.org/token",
    "https://as.example.org:8443/token",
    "https://as.example.org/token/",
    "https://as.example.org/Token",
    "https://as.example.org/%74oken",
    "https://as.example.org/x/../token",
    "https://as.example.org//token",
    "https://as.example.org",
    "https://as.example.org./token",
    "https://as.example.org.evil.example/token",
    "https://as.example.org@evil.example/token",
    "https://user@as.example.org/token",
    "https://as.example.org\\@evil.example/token",
    " https://as.example.org/token",
    "https://as.example.org/token\n",
    "https://as.example.org:https/token",
    "//as.example.org/token",
    "/token",
    "",
]


@pytest.mark.parametrize("url", SAME_URL)
def test_spellings_of_one_url_are_one(url: str) -> None:
    assert verify(proof(htu=url)).marker == verify(proof()).marker
    assert verify(proof(), url=url)


@pytest.mark.parametrize("url", OTHER_URL, ids=lambda url: f"T-29 {url!r}")
def test_a_proof_is_for_one_url(url: str) -> None:
    assert refused(proof(htu=url)) is Reason.DPOP_MISMATCH


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://A.example", "https://a.example/"),
        ("http://127.0.0.1:80/x?y", "http://127.0.0.1/x"),
        ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x"),
        ("https://[2001:DB8::1]:443/x", "https://[2001:db8::1]/x"),
        ("https://a.example:80/", "https://a.example:80/"),
        ("ftp://a.example/", None),
        ("https:///x", None),
        ("https://a b/", None),
    ],
)
def test_a_url_is_normalised_in_scheme_host_and_port(url: str, normal: str | None) -> None:
    assert normalise_url(url) == normal


def test_a_proof_is_good_for_a_minute_and_a_little_early() -> None:
    assert verify(proof(iat=NOW - MAX_AGE + 1))
    assert refused(proof(iat=NOW - MAX_AGE)) is Reason.DPOP_STALE
    assert verify(proof(iat=NOW + MAX_AHEAD))
    assert refused(proof(iat=NOW + MAX_AHEAD + 1)) is Reason.DPOP_STALE
    assert refused(proof(iat=1e300)) is Reason.DPOP_STALE
    assert refused(proof(iat=-1e300)) is Reason.DPOP_STALE


def test_the_marker_outlives_the_proof_T_29() -> None:
    for iat in (NOW, NOW - 30, NOW + MAX_AHEAD, NOW + 0.5):
        text = proof(iat=iat)
        end = verify(text).marker.expires_at
        assert refused(text, now=end) is Reason.DPOP_STALE


def test_a_marker_is_of_the_key_the_jti_and_the_url() -> None:
    marker = verify(proof()).marker
    assert verify(proof(iat=NOW)).marker == marker
    assert verify(proof(jti="a-2")).marker != marker
    elsewhere = "https://as.example.org/par"
    assert verify(proof(htu=elsewhere), url=elsewhere).marker != marker
    assert verify(proof(alg="ES384", kind="P-384")).marker.digest != marker.digest


NONCES = DpopNonces(b"n" * 32, period=300)


def test_without_nonces_a_nonce_is_not_looked_at() -> None:
    assert verify(proof(nonce=7))


def test_where_nonces_are_asked_for_a_current_one_is_needed_and_is_said() -> None:
    fresh = NONCES.fresh(NOW)
    assert verify(proof(nonce=fresh), nonces=NONCES)
    for nonce in (None, "", "x", 7, [fresh], fresh + "A", NONCES.fresh(NOW - 601), DpopNonces(b"m" * 32).fresh(NOW)):
        with pytest.raises(NonceRequired) as refusal:
            verify(proof(nonce=nonce), nonces=NONCES)
        assert refusal.value.nonce == fresh


def test_a_caller_with_a_wrong_clock_is_told_the_nonce_first() -> None:
    with pytest.raises(NonceRequired):
        verify(proof(iat=NOW - 10_000), nonces=NONCES)


def test_a_nonce_does_not_stand_for_a_signature() -> None:
    with pytest.raises(ProofRejected) as refusal:
        verify(proof({"jwk": public(name="somebody else")}), nonces=NONCES)
    assert refusal.value.reason is Reason.DPOP_MALFORMED


def test_a_nonce_lives_for_its_period_and_the_next() -> None:
    nonces = DpopNonces(b"n" * 32, period=100)
    start = NOW - NOW % 100
    nonce = nonces.fresh(start)
    assert nonces.fresh(start + 99) == nonce
    assert nonces.fresh(start + 100) != nonce
    assert nonces.accepts(nonce, start + 199)
    assert not nonces.accepts(nonce, start + 200)
    # Another node's clock may be a little behind the one that gave the nonce.
    assert nonces.accepts(nonce, start - 1)
    assert not nonces.accepts(nonce, start - 101)


def test_nodes_that_share_the_key_take_each_other_s_nonces() -> None:
    assert DpopNonces(b"n" * 32).accepts(DpopNonces(b"n" * 32).fresh(NOW), NOW)


@pytest.mark.parametrize("nonce", ["", "ä", "\ud800", "A" * 100_000, "\0"])
def test_any_text_may_be_presented_as_nonce(nonce: str) -> None:
    assert not NONCES.accepts(nonce, NOW)


def test_a_short_key_or_no_period_is_refused() -> None:
    assert DpopNonces(b"k" * 32, period=1)
    with pytest.raises(ValueError):
        DpopNonces(b"k" * 31)
    with pytest.raises(ValueError):
        DpopNonces(b"k" * 32, period=0)
