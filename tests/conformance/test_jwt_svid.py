"""JWT-SVIDs against the checklists: SPIFFE-12 to 18, SCA-3 to 10, SCA-29, SCA-35 (T-12, T-22, T-25, T-26, T-28).

Every refusal is one change away from the token of `svid()`, which is accepted.
"""

from __future__ import annotations

import json

import pytest
from joserfc.jwk import OctKey

from bridge.jose.algorithms import ALGORITHMS
from bridge.model.bundle import JwtAuthority, TrustBundle
from bridge.model.errors import EvidenceRejected, Unavailable
from bridge.model.evidence import EvidenceKind, JwtEvidence
from bridge.model.identity import Source, VerifiedIdentity
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import TrustDomain
from bridge.verify.jwt_svid import TrustDomainRules
from bridge.verify.signed_jwt import LEEWAY, MAX_ASSERTION_BYTES
from tests.svid_factory import HOUR, NOW, JwtAuthoritySigner, b64url, compact, jose_key, sign_compact
from tests.trust import ISSUER, WORKLOAD, FixedBundles, svid_verifier, trust_bundle

SIGNER = JwtAuthoritySigner.make("key-1")
OTHER_DOMAIN = JwtAuthoritySigner.make("other-key")
BUNDLES = FixedBundles(
    trust_bundle("example.org", jwt_authorities=[SIGNER], sequence=7),
    trust_bundle("other.example", jwt_authorities=[OTHER_DOMAIN]),
)
SOUND: dict[str, object] = {"sub": WORKLOAD, "aud": ISSUER, "exp": NOW + 300}


def svid(signer: JwtAuthoritySigner = SIGNER, header: dict[str, object] | None = None, **claims: object) -> str:
    return signer.svid(header=header, **{**SOUND, **claims})


def verify(
    token: str, *, bundles: FixedBundles = BUNDLES, rules: TrustDomainRules | None = None, now: int = NOW
) -> VerifiedIdentity:
    return svid_verifier(bundles, rules=rules).verify_jwt(JwtEvidence(token), audience=ISSUER, now=now)


def refused(token: str, *, bundles: FixedBundles = BUNDLES, rules: TrustDomainRules | None = None) -> Reason:
    with pytest.raises(EvidenceRejected) as refusal:
        verify(token, bundles=bundles, rules=rules)
    assert token not in str(refusal.value)
    assert refusal.value.public == "client authentication failed"
    return refusal.value.reason


def one_domain(*signers: JwtAuthoritySigner) -> FixedBundles:
    return FixedBundles(trust_bundle("example.org", jwt_authorities=signers))


def test_a_sound_svid_says_who_presented_it() -> None:
    identity = verify(svid())
    assert identity.name == WORKLOAD
    assert identity.subject.source is Source.SPIFFE
    assert identity.subject.evidence is EvidenceKind.JWT_SVID
    assert (identity.key_id, identity.bundle_sequence) == ("key-1", 7)
    assert (identity.verified_at, identity.not_after) == (NOW, NOW + 300)
    assert identity.keys == ()


@pytest.mark.parametrize("alg", sorted(ALGORITHMS), ids=lambda alg: f"SPIFFE-12 {alg}")
def test_the_nine_algorithms_are_taken(alg: str) -> None:
    kind = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}.get(alg, "RSA-2048")
    signer = JwtAuthoritySigner.make("key-1", kind, alg)
    assert verify(svid(signer), bundles=one_domain(signer)).name == WORKLOAD


@pytest.mark.parametrize(
    "alg", ["none", "None", "HS256", "HS512", "EdDSA", "ES256K", "Ed25519", "es256", ""],
    ids=lambda alg: f"SPIFFE-12 SCA-8 {alg!r}",
)  # fmt: skip
def test_any_other_algorithm_is_refused_before_a_key_is_looked_for(alg: str) -> None:
    bundles = one_domain(SIGNER)
    token = sign_compact({"alg": alg, "kid": "key-1"}, json.dumps(SOUND).encode(), SIGNER.key, "ES256")
    assert refused(token, bundles=bundles) is Reason.JWT_ALGORITHM
    assert bundles.asked == []


def test_a_public_key_is_no_hmac_secret_T_26() -> None:
    public = json.dumps(SIGNER.jwk()).encode()
    token = sign_compact(
        {"alg": "HS256", "kid": "key-1"}, json.dumps(SOUND).encode(), OctKey.import_key(public), "HS256"
    )
    assert refused(token) is Reason.JWT_ALGORITHM


@pytest.mark.parametrize("typ", [None, "JWT", "JOSE"], ids=lambda typ: f"SPIFFE-13 SCA-9 {typ}")
def test_a_type_is_absent_or_one_of_two(typ: str | None) -> None:
    assert verify(svid(header={"typ": typ})).name == WORKLOAD


@pytest.mark.parametrize(
    "typ",
    ["jwt", "wit+jwt", "at+jwt", "dpop+jwt", "client-authentication+jwt", "application/jwt", "", 7, ["JWT"], {}],
    ids=lambda typ: f"SPIFFE-13 SCA-22 T-25 {typ!r}",
)
def test_another_kind_of_token_is_no_svid(typ: object) -> None:
    assert refused(svid(header={"typ": typ})) is Reason.JWT_TYPE


@pytest.mark.parametrize(
    "member",
    [
        {"jwk": SIGNER.jwk(use="sig")},
        {"jku": "https://127.0.0.1/keys"},
        {"x5c": ["AAAA"]},
        {"x5u": "https://127.0.0.1/chain"},
        {"x5t#S256": "x"},
        {"cty": "JWT"},
        {"zip": "DEF"},
        {"anything": 1},
    ],
    ids=lambda member: f"SPIFFE-14 SCA-29 {next(iter(member))}",
)
def test_the_header_has_no_other_member(member: dict[str, object]) -> None:
    assert refused(svid(header=member)) is Reason.JWT_HEADER


@pytest.mark.parametrize(
    "member", [{"crit": ["exp"]}, {"b64": False}, {"b64": True}, {"crit": []}], ids=lambda m: f"SPIFFE-14 {m}"
)
def test_extensions_of_jws_are_refused(member: dict[str, object]) -> None:
    assert refused(svid(header=member)) is Reason.CREDENTIAL_MALFORMED


def _segments() -> list[str]:
    return svid().split(".")


MALFORMED = {
    "flattened JSON": json.dumps(dict(zip(("protected", "payload", "signature"), _segments(), strict=True))),
    "general JSON": json.dumps(
        {"payload": _segments()[1], "signatures": [{"protected": _segments()[0], "signature": _segments()[2]}]}
    ),
    "a JWE's five segments": ".".join([*_segments(), "AAAA", "AAAA"]),
    "no signature": ".".join([*_segments()[:2], ""]),
    "padded": svid() + "=",
    "with a newline": svid() + "\n",
    "payload no JSON": compact({"alg": "ES256", "kid": "key-1"}, b"hello"),
    "payload no object": compact({"alg": "ES256", "kid": "key-1"}, [WORKLOAD]),
    "a claim twice T-28": compact({"alg": "ES256"}, b'{"sub":"spiffe://example.org/a","sub":"spiffe://example.org/b"}'),
    "exp beyond a double T-28": compact({"alg": "ES256"}, b'{"exp":1e400}'),
    "exp NaN T-28": compact({"alg": "ES256"}, b'{"exp":NaN}'),
    "exp of 5,000 digits T-27": compact({"alg": "ES256"}, b'{"exp":' + b"9" * 5000 + b"}"),
    "deep T-27": compact({"alg": "ES256"}, b"[" * 5000),
}


@pytest.mark.parametrize("token", MALFORMED.values(), ids=[f"SPIFFE-14 {name}" for name in MALFORMED])
def test_only_a_strict_compact_jws_is_looked_at(token: str) -> None:
    assert refused(token) is Reason.CREDENTIAL_MALFORMED


def test_an_assertion_of_16_KiB_is_looked_at_and_a_longer_one_is_not_T_27() -> None:
    largest = svid(filler="x" * 11_850)
    while len(largest) < MAX_ASSERTION_BYTES - 4:
        largest = svid(filler="x" * (11_850 + (MAX_ASSERTION_BYTES - len(largest)) * 3 // 4))
    assert MAX_ASSERTION_BYTES - 4 <= len(largest) <= MAX_ASSERTION_BYTES
    assert verify(largest).name == WORKLOAD
    assert refused(svid(filler="x" * 12_500)) is Reason.CREDENTIAL_TOO_LARGE
    assert refused("." * 5_000_000) is Reason.CREDENTIAL_TOO_LARGE


def test_an_empty_assertion_is_missing() -> None:
    with pytest.raises(EvidenceRejected) as refusal:
        svid_verifier(BUNDLES).verify_jwt(JwtEvidence(""), now=NOW)
    assert refusal.value.reason is Reason.CREDENTIAL_MISSING


@pytest.mark.parametrize("claim", ["sub", "aud", "exp"], ids=lambda claim: f"SPIFFE-15 SCA-3 {claim}")
def test_three_claims_are_needed(claim: str) -> None:
    assert refused(svid(**{claim: None})) is Reason.JWT_CLAIMS


@pytest.mark.parametrize("claim", ["iss", "jti", "iat", "nbf"], ids=lambda claim: f"SCA-9 {claim}")
def test_no_other_claim_is_needed_or_minded(claim: str) -> None:
    assert claim not in SOUND
    value: object = NOW if claim in ("iat", "nbf") else "anything"
    assert verify(svid(**{claim: value})).name == WORKLOAD


@pytest.mark.parametrize("value", [NOW + 9_999, "soon", -1, [1]], ids=repr)
def test_iat_is_not_looked_at(value: object) -> None:
    assert verify(svid(iat=value, jti=value)).name == WORKLOAD


@pytest.mark.parametrize("value", [NOW + 300, NOW + 299.5, float(NOW + 60), (NOW + 60) * 1.0], ids=repr)
def test_a_numeric_date_is_a_number(value: object) -> None:
    assert verify(svid(exp=value)).name == WORKLOAD


@pytest.mark.parametrize("claim", ["exp", "nbf"])
@pytest.mark.parametrize(
    "value", [str(NOW + 300), True, [NOW + 300], {"x": 1}, "1e12", ""], ids=lambda v: f"T-28 {v!r}"
)
def test_a_numeric_date_is_nothing_else(claim: str, value: object) -> None:
    assert refused(svid(**{claim: value})) is Reason.JWT_CLAIMS


def test_a_claim_that_is_null_is_no_claim() -> None:
    for claim in ("sub", "aud", "exp", "nbf"):
        payload = json.dumps({**SOUND, claim: None}).encode()
        token = sign_compact({"alg": "ES256", "kid": "key-1"}, payload, SIGNER.key, "ES256")
        expected = Reason.SPIFFE_ID_INVALID if claim == "sub" else Reason.JWT_CLAIMS
        assert refused(token) is expected


@pytest.mark.parametrize(
    "sub",
    [
        "spiffe://example.org",
        "spiffe://example.org/",
        "spiffe://Example.org/a",
        "spiffe://example.org/a\n",
        "https://example.org/a",
        "example.org/a",
        "",
        7,
        [WORKLOAD],
    ],
    ids=lambda sub: f"SPIFFE-15 T-11 {sub!r}",
)
def test_sub_is_a_workload_s_id(sub: object) -> None:
    assert refused(svid(sub=sub)) is Reason.SPIFFE_ID_INVALID


@pytest.mark.parametrize("aud", [ISSUER, [ISSUER]], ids=lambda aud: f"SCA-5 SPIFFE-16 {type(aud).__name__}")
def test_the_audience_is_the_issuer_alone(aud: object) -> None:
    assert verify(svid(aud=aud)).name == WORKLOAD


@pytest.mark.parametrize(
    "aud",
    [
        [ISSUER, ISSUER],
        [ISSUER, "https://elsewhere.example"],
        "https://elsewhere.example",
        ["https://elsewhere.example"],
        ISSUER + "/",
        ISSUER + "/token",
        ISSUER + "/par",
        ISSUER.upper(),
        ISSUER + ":443",
        "",
        "spiffe://example.org",
    ],
    ids=lambda aud: f"SCA-5 SCA-6 SPIFFE-16 T-22 {aud}",
)
def test_no_other_audience_is_taken(aud: object) -> None:
    assert refused(svid(aud=aud)) is Reason.JWT_AUDIENCE


@pytest.mark.parametrize("aud", [[], [7], {"x": ISSUER}, 7, [[ISSUER]], [ISSUER, None]], ids=lambda aud: f"T-28 {aud}")
def test_an_audience_is_a_string_or_strings(aud: object) -> None:
    assert refused(svid(aud=aud)) is Reason.JWT_CLAIMS


def test_another_door_has_another_audience_T_22() -> None:
    door = ISSUER + "/register"
    verifier = svid_verifier(BUNDLES)
    assert verifier.verify_jwt(JwtEvidence(svid(aud=door)), audience=door, now=NOW).name == WORKLOAD
    for token, audience in ((svid(aud=door), ISSUER), (svid(), door)):
        with pytest.raises(EvidenceRejected) as refusal:
            verifier.verify_jwt(JwtEvidence(token), audience=audience, now=NOW)
        assert refusal.value.reason is Reason.JWT_AUDIENCE


def test_an_svid_is_good_until_30_s_after_exp_and_no_longer_SCA_4() -> None:
    token = svid(exp=NOW)
    assert verify(token, now=NOW + LEEWAY - 1).not_after == NOW
    with pytest.raises(EvidenceRejected) as refusal:
        verify(token, now=NOW + LEEWAY)
    assert refusal.value.reason is Reason.JWT_EXPIRED
    assert LEEWAY <= 60


def test_an_svid_is_good_from_30_s_before_nbf() -> None:
    assert verify(svid(nbf=NOW + LEEWAY)).name == WORKLOAD
    assert refused(svid(nbf=NOW + LEEWAY + 1)) is Reason.JWT_NOT_YET_VALID


def test_an_svid_lives_no_longer_than_configured_SCA_35() -> None:
    rules = TrustDomainRules(max_assertion_life=HOUR)
    assert verify(svid(exp=NOW + HOUR), rules=rules).name == WORKLOAD
    assert refused(svid(exp=NOW + HOUR + 1), rules=rules) is Reason.JWT_LIFETIME
    assert refused(svid(exp=10**300), rules=rules) is Reason.JWT_LIFETIME
    assert refused(svid(exp=1e300), rules=rules) is Reason.JWT_LIFETIME
    assert refused(svid(exp=-1e300), rules=rules) is Reason.JWT_EXPIRED


def test_iss_is_looked_at_where_issuers_are_configured() -> None:
    rules = TrustDomainRules(HOUR, frozenset({"https://spire.example.org"}))
    assert verify(svid(iss="https://spire.example.org"), rules=rules).name == WORKLOAD
    for iss in (None, "https://spire.example.org/", "https://other.example", 7, ["https://spire.example.org"]):
        assert refused(svid(iss=iss), rules=rules) is Reason.JWT_ISSUER
        assert verify(svid(iss=iss)).name == WORKLOAD


def test_the_same_svid_is_accepted_twice_SCA_10() -> None:
    verifier, evidence = svid_verifier(BUNDLES), JwtEvidence(svid())
    first = verifier.verify_jwt(evidence, now=NOW)
    assert verifier.verify_jwt(evidence, now=NOW) == first


@pytest.mark.parametrize(
    ("sub", "signer", "accepted"),
    [
        (WORKLOAD, SIGNER, True),
        ("spiffe://other.example/a", OTHER_DOMAIN, True),
        ("spiffe://other.example/a", SIGNER, False),
        (WORKLOAD, OTHER_DOMAIN, False),
    ],
    ids=lambda value: f"SCA-7 T-12 {value.kid if isinstance(value, JwtAuthoritySigner) else value}",
)
def test_only_the_keys_of_the_id_s_own_trust_domain_count(sub: str, signer: JwtAuthoritySigner, accepted: bool) -> None:
    if accepted:
        assert verify(svid(signer, sub=sub)).name == sub
    else:
        assert refused(svid(signer, sub=sub)) is Reason.JWT_KEY_UNKNOWN


def test_a_key_of_the_same_name_in_another_trust_domain_is_another_key_SCA_7() -> None:
    impostor = JwtAuthoritySigner("key-1", jose_key("P-256", "impostor"), "ES256")
    bundles = FixedBundles(
        trust_bundle("example.org", jwt_authorities=[SIGNER]),
        trust_bundle("other.example", jwt_authorities=[impostor]),
    )
    assert verify(svid(impostor, sub="spiffe://other.example/a"), bundles=bundles)
    assert refused(svid(impostor), bundles=bundles) is Reason.JWT_SIGNATURE


def test_an_unknown_trust_domain_is_refused_before_any_bundle_is_asked_for() -> None:
    bundles = one_domain(SIGNER)
    assert refused(svid(sub="spiffe://unknown.example/a"), bundles=bundles) is Reason.TRUST_DOMAIN_UNKNOWN
    assert bundles.asked == []


def test_a_stale_bundle_is_unavailable_and_no_fault_of_the_client() -> None:
    bundles = one_domain(SIGNER)
    bundles.stale.add("example.org")
    with pytest.raises(Unavailable):
        verify(svid(), bundles=bundles)


@pytest.mark.parametrize(
    "authorities",
    [
        (),
        (JwtAuthority("key-1", "no JSON"),),
        (JwtAuthority("key-1", json.dumps({**SIGNER.jwk(), "use": "x509-svid"})),),
        (JwtAuthority("key-1", json.dumps({**SIGNER.jwk(), "use": "wit-svid"})),),
        (JwtAuthority("key-1", json.dumps({"kty": "RSA", "n": b64url(b"\xc5" * 128), "e": "AQAB"})),),
    ],
    ids=["SCA-34 none", "no JSON", "SPIFFE-17 x509-svid", "SPIFFE-17 SCA-23 wit-svid", "SPIFFE-18 RSA-1024"],
)
def test_a_bundle_without_a_usable_key_trusts_nothing(authorities: tuple[JwtAuthority, ...]) -> None:
    bundle = TrustBundle(TrustDomain.parse("example.org"), jwt_authorities=authorities)
    assert refused(svid(), bundles=FixedBundles(bundle)) is Reason.BUNDLE_EMPTY


def test_an_unfit_key_is_ignored_and_the_others_stay_SPIFFE_18() -> None:
    weak = JwtAuthority("weak", json.dumps({"kty": "RSA", "n": b64url(b"\xc5" * 128), "e": "AQAB"}))
    sound = JwtAuthority("key-1", json.dumps(SIGNER.jwk()))
    bundles = FixedBundles(TrustBundle(TrustDomain.parse("example.org"), jwt_authorities=(weak, sound)))
    assert verify(svid(), bundles=bundles).name == WORKLOAD
    assert refused(svid(header={"kid": "weak"}), bundles=bundles) is Reason.JWT_KEY_UNFIT


def test_a_key_must_fit_the_algorithm_that_the_header_names_SPIFFE_18() -> None:
    rsa = JwtAuthoritySigner.make("key-1", "RSA-2048")
    assert verify(svid(rsa), bundles=one_domain(rsa)).name == WORKLOAD
    assert refused(svid(), bundles=one_domain(rsa)) is Reason.JWT_KEY_UNFIT


@pytest.mark.parametrize("kid", ["key-2", "KEY-1", "key-1 ", "x" * 5000], ids=lambda kid: kid[:8])
def test_an_unknown_kid_is_refused_and_says_for_whom(kid: str) -> None:
    with pytest.raises(EvidenceRejected) as refusal:
        verify(svid(header={"kid": kid}))
    assert refusal.value.reason is Reason.JWT_KEY_UNKNOWN
    assert WORKLOAD in refusal.value.detail


@pytest.mark.parametrize("kid", ["", 7, ["key-1"], {"x": 1}, True])
def test_a_kid_is_a_name(kid: object) -> None:
    assert refused(svid(header={"kid": kid})) is Reason.JWT_HEADER


def test_without_kid_the_only_key_that_fits_is_taken_and_of_several_none() -> None:
    rsa, second = JwtAuthoritySigner.make("rsa", "RSA-2048"), JwtAuthoritySigner.make("key-2")
    nameless = svid(header={"kid": None})
    assert verify(nameless, bundles=one_domain(SIGNER)).key_id == "key-1"
    assert verify(nameless, bundles=one_domain(SIGNER, rsa)).key_id == "key-1"
    assert refused(nameless, bundles=one_domain(SIGNER, second)) is Reason.JWT_KEY_AMBIGUOUS
    assert refused(nameless, bundles=one_domain(rsa)) is Reason.JWT_KEY_UNKNOWN
    assert refused(nameless, bundles=one_domain(second)) is Reason.JWT_SIGNATURE


def test_a_key_without_a_name_is_only_taken_when_the_token_names_none() -> None:
    key = JwtAuthority("", json.dumps(SIGNER.jwk(kid=None)))
    bundles = FixedBundles(TrustBundle(TrustDomain.parse("example.org"), jwt_authorities=(key,)))
    assert verify(svid(header={"kid": None}), bundles=bundles).key_id != ""
    assert refused(svid(), bundles=bundles) is Reason.JWT_KEY_UNKNOWN


def test_a_changed_token_does_not_hold() -> None:
    header, payload, signature = svid().split(".")
    other = svid(sub="spiffe://example.org/ns/web/sa/admin").split(".")[1]
    assert refused(f"{header}.{other}.{signature}") is Reason.JWT_SIGNATURE
    assert refused(f"{header}.{payload}.{b64url(b'x' * 64)}") is Reason.JWT_SIGNATURE
    assert refused(f"{header}.{payload}.{b64url(b'x' * 63)}") is Reason.JWT_SIGNATURE


def test_a_key_in_the_header_that_really_signed_is_still_refused_SCA_7() -> None:
    attacker = JwtAuthoritySigner.make("key-1", "P-384")
    token = svid(attacker, header={"jwk": attacker.jwk(use="sig")})
    assert refused(token) is Reason.JWT_HEADER
