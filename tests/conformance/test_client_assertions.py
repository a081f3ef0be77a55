"""`private_key_jwt` against the checklist: KBC-30 to 34 (T-21, T-22, T-25 to T-28).

Every refusal is one change away from `assertion()`, which is accepted.
"""

from __future__ import annotations

import hashlib
import json

import pytest
from joserfc.jwk import OctKey

from bridge.jose.algorithms import ALGORITHMS
from bridge.model.errors import Claimed, EvidenceRejected
from bridge.model.reasons import Reason
from bridge.verify.assertion_verifier import VerifiedAssertion, verify_client_assertion
from bridge.verify.client_assertions import MAX_JTI_LENGTH, MAX_LIFE, keys_of_jwks, unverified_subject
from bridge.verify.key_sets import MAX_JWKS_KEYS
from bridge.verify.signed_jwt import LEEWAY, MAX_ASSERTION_BYTES
from tests.svid_factory import NOW, JwtAuthoritySigner, compact, sign_compact
from tests.trust import ISSUER

CLIENT = "instance-0123456789abcdef"
KEY = JwtAuthoritySigner.make("k1")
OTHER = JwtAuthoritySigner.make("k2")
SOUND: dict[str, object] = {"iss": CLIENT, "sub": CLIENT, "aud": ISSUER, "exp": NOW + 60, "jti": "a-1"}


def assertion(signer: JwtAuthoritySigner = KEY, header: dict[str, object] | None = None, **claims: object) -> str:
    return signer.svid(header=header, **{**SOUND, **claims})


def jwks(*signers: JwtAuthoritySigner) -> dict[str, object]:
    return {"keys": [signer.jwk(use="sig") for signer in signers]}


def verify(text: str, *signers: JwtAuthoritySigner, client_id: str = CLIENT, now: int = NOW) -> VerifiedAssertion:
    keys = keys_of_jwks(jwks(*(signers or (KEY,))))
    return verify_client_assertion(text, client_id=client_id, keys=keys, audience=ISSUER, now=now)


def refusal(text: str, *signers: JwtAuthoritySigner, client_id: str = CLIENT, now: int = NOW) -> EvidenceRejected:
    with pytest.raises(EvidenceRejected) as refused:
        verify(text, *signers, client_id=client_id, now=now)
    assert not text or text not in str(refused.value)
    return refused.value


def refused(text: str, *signers: JwtAuthoritySigner, client_id: str = CLIENT, now: int = NOW) -> Reason:
    return refusal(text, *signers, client_id=client_id, now=now).reason


def test_a_sound_assertion_proves_its_client() -> None:
    text = assertion()
    verified = verify(text)
    assert (verified.client_id, verified.key_id, verified.expires_at) == (CLIENT, "k1", NOW + 60)
    assert verified.credential_hash == hashlib.sha256(text.encode()).hexdigest()
    assert verified.marker.kind == "private_key_jwt"


@pytest.mark.parametrize("alg", sorted(ALGORITHMS))
def test_the_nine_algorithms_are_taken(alg: str) -> None:
    kind = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}.get(alg, "RSA-2048")
    signer = JwtAuthoritySigner.make("k1", kind, alg)
    assert verify(assertion(signer), signer).client_id == CLIENT


@pytest.mark.parametrize("alg", ["none", "HS256", "EdDSA", "es256", ""], ids=lambda alg: f"T-26 {alg!r}")
def test_any_other_algorithm_is_refused(alg: str) -> None:
    text = sign_compact({"alg": alg, "kid": "k1"}, json.dumps(SOUND).encode(), KEY.key, "ES256")
    assert refused(text) is Reason.JWT_ALGORITHM


def test_a_public_key_is_no_mac_secret_T_26() -> None:
    secret = OctKey.import_key(json.dumps(KEY.jwk(use="sig")).encode())
    text = sign_compact({"alg": "HS256", "kid": "k1"}, json.dumps(SOUND).encode(), secret, "HS256")
    assert refused(text) is Reason.JWT_ALGORITHM


@pytest.mark.parametrize("typ", [None, "JWT", "client-authentication+jwt"], ids=lambda typ: f"KBC-32 {typ}")
def test_a_type_is_absent_or_one_of_two(typ: str | None) -> None:
    assert verify(assertion(header={"typ": typ}))


@pytest.mark.parametrize(
    "typ",
    ["at+jwt", "dpop+jwt", "wit+jwt", "oauth-authz-req+jwt", "JOSE", "jwt", "application/jwt", "", 7, ["JWT"], {}],
    ids=lambda typ: f"KBC-32 T-25 {typ!r}",
)
def test_another_kind_of_token_is_no_assertion(typ: object) -> None:
    assert refused(assertion(header={"typ": typ})) is Reason.JWT_TYPE


@pytest.mark.parametrize(
    "member",
    [{"jwk": KEY.jwk(use="sig")}, {"jku": "https://127.0.0.1/keys"}, {"x5c": []}, {"cty": "JWT"}],
    ids=lambda member: f"T-26 {next(iter(member))}",
)
def test_the_header_has_no_other_member(member: dict[str, object]) -> None:
    assert refused(assertion(header=member)) is Reason.JWT_HEADER


@pytest.mark.parametrize("claim", ["iss", "sub"], ids=lambda claim: f"KBC-30 {claim}")
@pytest.mark.parametrize("value", [None, CLIENT + "0", CLIENT.upper(), "", [CLIENT], 7, ISSUER], ids=repr)
def test_iss_and_sub_are_both_the_client(claim: str, value: object) -> None:
    assert refused(assertion(**{claim: value})) is Reason.ASSERTION_CLAIMS


def test_an_assertion_is_of_the_client_whose_record_was_found_KBC_30_T_13() -> None:
    theirs = "instance-fedcba9876543210"
    assert verify(assertion(iss=theirs, sub=theirs), client_id=theirs).client_id == theirs
    assert refused(assertion(), client_id=theirs) is Reason.ASSERTION_CLAIMS


@pytest.mark.parametrize(
    "aud",
    [
        None,
        [ISSUER],
        [ISSUER, ISSUER],
        [ISSUER, "https://elsewhere.example"],
        ISSUER + "/token",
        ISSUER + "/par",
        ISSUER + "/register",
        ISSUER + "/",
        ISSUER.upper(),
        "https://elsewhere.example",
        "",
        7,
        {},
    ],
    ids=lambda aud: f"KBC-31 T-22 {aud}",
)
def test_the_audience_is_the_issuer_string_and_nothing_else(aud: object) -> None:
    assert verify(assertion(aud=ISSUER))
    assert refused(assertion(aud=aud)) is Reason.JWT_AUDIENCE


def test_an_assertion_is_good_until_30_s_after_exp_and_no_longer() -> None:
    assert verify(assertion(), now=NOW + 60 + LEEWAY - 1)
    assert refused(assertion(), now=NOW + 60 + LEEWAY) is Reason.JWT_EXPIRED


def test_exp_is_at_most_10_minutes_ahead_KBC_34() -> None:
    assert verify(assertion(exp=NOW + MAX_LIFE))
    assert refused(assertion(exp=NOW + MAX_LIFE + 1)) is Reason.JWT_LIFETIME
    assert refused(assertion(exp=1e300)) is Reason.JWT_LIFETIME


@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", [str(NOW), True, [NOW], {}], ids=lambda v: f"T-28 {v!r}")
def test_a_time_is_a_number(claim: str, value: object) -> None:
    assert refused(assertion(**{claim: value})) is Reason.JWT_CLAIMS


def test_exp_is_needed_and_iat_and_nbf_are_judged_where_they_are_there() -> None:
    assert refused(assertion(exp=None)) is Reason.JWT_CLAIMS
    for claim in ("iat", "nbf"):
        assert verify(assertion(**{claim: NOW + LEEWAY}))
        assert refused(assertion(**{claim: NOW + LEEWAY + 1})) is Reason.JWT_NOT_YET_VALID
        assert verify(assertion(**{claim: NOW - 10_000}))
    assert refused(assertion(iat=NOW + 10, exp=NOW + 10)) is Reason.JWT_CLAIMS


@pytest.mark.parametrize(
    "jti", [None, "", 7, True, ["a"], "j" * (MAX_JTI_LENGTH + 1)], ids=lambda v: f"KBC-33 {v!r:.9}"
)
def test_each_assertion_has_a_name_of_bounded_length(jti: object) -> None:
    assert verify(assertion(jti="j" * MAX_JTI_LENGTH))
    assert refused(assertion(jti=jti)) is Reason.ASSERTION_CLAIMS


def test_the_marker_is_the_client_s_jti_and_outlives_the_assertion_KBC_33_T_34() -> None:
    marker = verify(assertion()).marker
    # The same name in another token, by another key, at another time: used before.
    again = verify(assertion(OTHER, exp=NOW + 90), KEY, OTHER).marker
    assert again.digest == marker.digest
    assert verify(assertion(jti="a-2")).marker.digest != marker.digest
    assert verify(assertion(iss="b", sub="b"), client_id="b").marker.digest != marker.digest
    for exp in (NOW + 60, NOW + 59.5):
        text = assertion(exp=exp)
        end = verify(text).marker.expires_at
        assert refused(text, now=end) is Reason.JWT_EXPIRED


def test_parts_of_a_marker_are_kept_apart() -> None:
    one = verify(assertion(iss='a", "b', sub='a", "b', jti="c"), client_id='a", "b').marker
    other = verify(assertion(iss="a", sub="a", jti='b", "c'), client_id="a").marker
    assert one.digest != other.digest


def test_a_key_of_another_client_proves_nothing() -> None:
    assert verify(assertion(OTHER), KEY, OTHER)
    assert refused(assertion(OTHER), KEY) is Reason.ASSERTION_KEY
    assert refused(assertion(OTHER, header={"kid": "k1"}), KEY) is Reason.JWT_SIGNATURE


def test_without_kid_the_only_key_that_fits_is_taken_and_of_several_none() -> None:
    nameless = assertion(header={"kid": None})
    assert verify(nameless, KEY).key_id == "k1"
    assert verify(nameless, KEY, JwtAuthoritySigner.make("rsa", "RSA-2048")).key_id == "k1"
    assert refused(nameless, KEY, OTHER) is Reason.ASSERTION_KEY


def test_a_record_without_a_usable_key_lets_nobody_in() -> None:
    for key_set in ({"keys": []}, {"keys": [KEY.jwk(use="enc")]}, {"keys": [KEY.jwk(use="sig", d="AAAA")]}):
        with pytest.raises(EvidenceRejected) as found:
            verify_client_assertion(assertion(), client_id=CLIENT, keys=keys_of_jwks(key_set), audience=ISSUER, now=NOW)
        assert found.value.reason is Reason.ASSERTION_KEY


@pytest.mark.parametrize(
    "key_set", [{}, {"keys": "a"}, {"keys": [7]}, {"keys": [{"kid": "a"}] * 2}, {"keys": [{}] * (MAX_JWKS_KEYS + 1)}]
)
def test_what_is_no_key_set_is_refused(key_set: dict[str, object]) -> None:
    with pytest.raises(EvidenceRejected) as found:
        keys_of_jwks(key_set)
    assert found.value.reason is Reason.ASSERTION_KEY


def test_a_changed_assertion_does_not_hold() -> None:
    header, _, signature = assertion().split(".")
    assert refused(f"{header}.{assertion(jti='a-2').split('.')[1]}.{signature}") is Reason.JWT_SIGNATURE


def test_a_refusal_says_what_the_assertion_claimed() -> None:
    found = refusal(assertion(aud=ISSUER + "/token"))
    assert found.claimed == Claimed(CLIENT, (ISSUER + "/token",))


UNREADABLE = {
    "empty": "",
    "dots": "." * 16_000,
    "no JSON": compact({"alg": "ES256"}, b"hello"),
    "no object": compact({"alg": "ES256"}, [CLIENT]),
    "deep": compact({"alg": "ES256"}, b"[" * 5000),
    "a claim twice": compact({"alg": "ES256"}, b'{"sub":"a","sub":"b"}'),
    "surrogates": "\ud800.\ud800.\ud800",
}


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=[f"T-27 T-28 {name}" for name in UNREADABLE])
def test_only_a_strict_compact_jws_is_looked_at(text: str) -> None:
    assert refused(text) is (Reason.CREDENTIAL_MALFORMED if text else Reason.CREDENTIAL_MISSING)
    assert unverified_subject(text) is None


def test_an_assertion_of_more_than_16_KiB_is_not_looked_at_T_27() -> None:
    longest = "x" * ((MAX_ASSERTION_BYTES - len(assertion(filler=""))) * 3 // 4)
    assert verify(assertion(filler=longest))
    too_long = assertion(filler=longest + "x" * 8)
    assert refusal(too_long).claimed is None
    assert refused(too_long) is Reason.CREDENTIAL_TOO_LARGE
    assert unverified_subject(too_long) is None


@pytest.mark.parametrize("sub", [CLIENT, "https://app.example/client.json", "spiffe://example.org/a"])
def test_the_unverified_subject_is_found_whoever_signed(sub: str) -> None:
    assert unverified_subject(assertion(OTHER, sub=sub)) == sub


@pytest.mark.parametrize(
    "sub",
    [None, "", " ", "a b", "a\x00", "a\n", "\u00e4", "x" * 2049, 7, [CLIENT], {"a": 1}],
    ids=lambda v: ascii(v)[:9],
)
def test_what_can_be_no_client_id_is_no_subject(sub: object) -> None:
    assert unverified_subject(assertion(sub="x" * 2048)) == "x" * 2048
    assert unverified_subject(assertion(sub=sub)) is None
