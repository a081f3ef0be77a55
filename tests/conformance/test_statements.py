"""Software statements against the checklist, what they must be: DCR-9, 16 to 19, 35 (T-11, T-22, T-25 to T-28).

Every refusal is one change away from `statement()` or `svid()`, which are accepted.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from joserfc.jwk import OctKey

from bridge.jose.algorithms import ALGORITHMS
from bridge.jose.jws import parse_compact
from bridge.model.errors import Claimed
from bridge.model.evidence import EvidenceKind
from bridge.model.identity import Source
from bridge.model.reasons import Reason
from bridge.verify.signed_jwt import LEEWAY, MAX_ASSERTION_BYTES
from bridge.verify.statement_claims import MAX_LIFE
from tests.statements import AUDIENCE, CI, KINDS, PINNED, SIGNER, SVID, World, of, signer_of, statement, svid
from tests.svid_factory import HOUR, NOW, JwtAuthoritySigner, b64url, compact, sign_compact
from tests.trust import ISSUER, WORKLOAD


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# --- what is accepted -------------------------------------------------------------------------------


def test_an_svid_says_whom_it_registers_and_what_is_stated_of_them(world: World) -> None:
    text = svid(scope="ledger.read", jti="1", nbf=NOW)
    verified = world.verify(text)
    identity = verified.identity
    assert identity.name == WORKLOAD
    assert (identity.subject.source, identity.subject.evidence) == (Source.SPIFFE, EvidenceKind.JWT_SVID)
    assert (identity.key_id, identity.bundle_sequence, identity.verified_at) == ("spire-1", 7, NOW)
    assert (verified.issuer, verified.expires_at, identity.not_after) == (None, NOW + 300, NOW + 300)
    assert verified.stated == {"client_name": "Api", "scope": "ledger.read"}


def test_a_pinned_issuer_s_statement_says_whom_it_registers_and_what_is_stated_of_them(world: World) -> None:
    verified = world.verify(statement(redirect_uris=["https://a.example/cb"], jti="1", nbf=NOW))
    identity = verified.identity
    assert (identity.subject.issuer, identity.subject.subject) == (CI, "repo:payments/api")
    assert identity.subject.spiffe_id is None
    assert identity.subject.source is Source.SOFTWARE_STATEMENT
    assert identity.subject.evidence is EvidenceKind.SOFTWARE_STATEMENT
    assert identity.name == f"{CI} repo:payments/api"
    assert (identity.key_id, identity.bundle_sequence, identity.keys) == ("ci-1", None, ())
    assert (verified.issuer, verified.expires_at, identity.not_after) == (CI, NOW + 300, NOW + 300)
    assert verified.stated == {"client_name": "Api", "redirect_uris": ["https://a.example/cb"]}


@KINDS
def test_a_statement_is_known_by_its_hash_and_its_end_DCR_35(world: World, kind: str) -> None:
    text = of(kind, exp=NOW + 299.5)
    verified = world.verify(text)
    assert verified.digest == verified.identity.credential_hash == hashlib.sha256(text.encode()).hexdigest()
    assert verified.expires_at == NOW + 300


@KINDS
@pytest.mark.parametrize(
    "claim", ["iss", "sub", "aud", "exp", "iat", "nbf", "jti"], ids=lambda claim: f"DCR-18 {claim}"
)
def test_protocol_claims_are_no_metadata(world: World, kind: str, claim: str) -> None:
    extra = {"nbf": NOW, "jti": "1", "iss": CI}
    stated = world.verify(of(kind, **extra)).stated
    assert claim not in stated
    assert "client_name" in stated


@KINDS
def test_the_twin_of_a_signature_has_the_same_replay_digest(world: World, kind: str) -> None:
    text = of(kind)
    token = parse_compact(text, max_bytes=MAX_ASSERTION_BYTES)
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    r, s = token.signature[:32], int.from_bytes(token.signature[32:], "big")
    twin = f"{token.signing_input.decode()}.{b64url(r + (order - s).to_bytes(32, 'big'))}"
    one, other = world.verify(text).identity, world.verify(twin).identity
    assert one.credential_hash != other.credential_hash
    assert one.replay_digest == other.replay_digest != ""
    assert world.verify(of(kind, jti="2")).identity.replay_digest != one.replay_digest


@pytest.mark.parametrize("alg", sorted(ALGORITHMS), ids=lambda alg: f"DCR-19 {alg}")
def test_the_nine_algorithms_are_taken(world: World, alg: str) -> None:
    kind = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}.get(alg, "RSA-2048")
    signer = JwtAuthoritySigner.make("ci-1", kind, alg)
    world.pin(signer)
    assert world.verify(statement(signer)).issuer == CI


# --- the header -------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("typ", [None, "JWT", "JOSE"])
def test_a_type_is_absent_or_one_of_two(world: World, kind: str, typ: str | None) -> None:
    assert world.verify(of(kind, header={"typ": typ}))


@KINDS
@pytest.mark.parametrize(
    "typ",
    ["jwt", "at+jwt", "dpop+jwt", "client-authentication+jwt", "software-statement+jwt", "", 7, ["JWT"]],
    ids=lambda typ: f"T-25 {typ!r}",
)
def test_another_kind_of_token_is_no_statement(world: World, kind: str, typ: object) -> None:
    assert world.refused(of(kind, header={"typ": typ})) is Reason.JWT_TYPE


@KINDS
@pytest.mark.parametrize(
    "alg", ["none", "HS256", "HS512", "EdDSA", "es256", ""], ids=lambda alg: f"DCR-19 T-26 {alg!r}"
)
def test_any_other_algorithm_is_refused(world: World, kind: str, alg: str) -> None:
    signer, claims = signer_of(kind), SVID if kind == "svid" else PINNED
    text = sign_compact({"alg": alg, "kid": signer.kid}, json.dumps(claims).encode(), signer.key, "ES256")
    assert world.refused(text) is Reason.JWT_ALGORITHM


@KINDS
def test_a_public_key_is_no_mac_secret_DCR_19(world: World, kind: str) -> None:
    signer, claims = signer_of(kind), SVID if kind == "svid" else PINNED
    secret = OctKey.import_key(json.dumps(signer.jwk(use="sig")).encode())
    text = sign_compact({"alg": "HS256", "kid": signer.kid}, json.dumps(claims).encode(), secret, "HS256")
    assert world.refused(text) is Reason.JWT_ALGORITHM


@KINDS
@pytest.mark.parametrize(
    "member",
    [{"jwk": SIGNER.jwk(use="sig")}, {"jku": "https://127.0.0.1/keys"}, {"x5c": ["AAAA"]}, {"cty": "JWT"}],
    ids=lambda member: f"T-26 {next(iter(member))}",
)
def test_the_header_has_no_other_member(world: World, kind: str, member: dict[str, object]) -> None:
    assert world.refused(of(kind, header=member)) is Reason.JWT_HEADER


# --- the claims -------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("claim", ["sub", "aud", "exp", "iat"], ids=lambda claim: f"DCR-9 {claim}")
def test_four_claims_are_needed_of_both_kinds(world: World, kind: str, claim: str) -> None:
    assert world.refused(of(kind, **{claim: None})) is Reason.JWT_CLAIMS


@pytest.mark.parametrize("iss", [None, "", 7, [CI]], ids=lambda iss: f"DCR-9 {iss!r}")
def test_a_statement_that_is_no_svid_names_its_issuer(world: World, iss: object) -> None:
    assert world.refused(statement(iss=iss)) is Reason.JWT_CLAIMS


@KINDS
@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", [str(NOW + 1), True, [NOW], {}, ""], ids=lambda v: f"T-28 {v!r}")
def test_a_time_is_a_number(world: World, kind: str, claim: str, value: object) -> None:
    # An SVID's `nbf` may be anything that the SVID standard lets it be, which is the same.
    assert world.refused(of(kind, **{claim: value})) is Reason.JWT_CLAIMS


@pytest.mark.parametrize(
    "sub", ["a", "repo:org/name:ref:refs/heads/main", "*", '"', "x" * 1024, "https://a.example/b"], ids=lambda s: s[:9]
)
def test_a_pinned_issuer_names_its_subjects_as_it_likes(world: World, sub: str) -> None:
    assert world.verify(statement(sub=sub)).identity.subject.subject == sub


@pytest.mark.parametrize(
    "sub",
    ["", " ", "a b", "a\n", "\x00", "\u00e4", "a\u202eb", "x" * 1025, 7, True, ["a"], {"a": 1}],
    ids=lambda sub: f"DCR-9 {ascii(sub)[:12]}",
)
def test_a_subject_is_a_bounded_name_of_visible_characters(world: World, sub: object) -> None:
    assert world.refused(statement(sub=sub)) is Reason.JWT_CLAIMS


@pytest.mark.parametrize(
    "sub",
    [WORKLOAD, "spiffe://", "SPIFFE://example.org/a", "Spiffe:example.org/a", "spiffe:x", "spiffe://other.example/a"],
    ids=lambda sub: f"T-46 {sub}",
)
def test_a_pinned_issuer_states_no_spiffe_id_in_any_spelling(world: World, sub: str) -> None:
    assert world.verify(statement(sub="spiff://example.org/a"))
    assert world.refused(statement(sub=sub)) in (Reason.JWT_KEY_UNKNOWN, Reason.SPIFFE_ID_INVALID)


@pytest.mark.parametrize(
    "sub", ["spiffe://example.org", "spiffe://Example.org/a", "spiffe://example.org/../a", "spiffe://example.org/a\n"]
)
def test_an_svid_s_subject_is_a_workload_s_id_DCR_9_T_11(world: World, sub: str) -> None:
    assert world.refused(svid(sub=sub)) is Reason.SPIFFE_ID_INVALID


# --- the audience -----------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("aud", [AUDIENCE, [AUDIENCE]], ids=lambda aud: f"DCR-16 {type(aud).__name__}")
def test_the_audience_is_the_registration_endpoint_alone(world: World, kind: str, aud: object) -> None:
    assert world.verify(of(kind, aud=aud))


@KINDS
@pytest.mark.parametrize(
    "aud",
    [
        ISSUER,
        [AUDIENCE, ISSUER],
        [AUDIENCE, AUDIENCE],
        AUDIENCE + "/",
        AUDIENCE + "?",
        AUDIENCE.upper(),
        ISSUER + ":443/register",
        ISSUER + "/token",
        "",
    ],
    ids=lambda aud: f"DCR-16 DCR-17 T-22 {aud}",
)
def test_no_other_audience_is_taken(world: World, kind: str, aud: object) -> None:
    assert world.refused(of(kind, aud=aud)) is Reason.JWT_AUDIENCE


@KINDS
@pytest.mark.parametrize("aud", [[], [7], {"a": 1}, 7, [AUDIENCE, 7]], ids=lambda aud: f"T-28 {aud}")
def test_an_audience_is_a_string_or_an_array_of_strings(world: World, kind: str, aud: object) -> None:
    assert world.refused(of(kind, aud=aud)) is Reason.JWT_CLAIMS


# --- the times --------------------------------------------------------------------------------------


@KINDS
def test_a_statement_is_good_until_30_s_after_exp_and_no_longer_DCR_9(world: World, kind: str) -> None:
    text = of(kind)
    assert world.verify(text, NOW + 300 + LEEWAY - 1)
    assert world.refused(text, NOW + 300 + LEEWAY) is Reason.JWT_EXPIRED


@KINDS
def test_a_statement_lives_at_most_600_s_from_now_T_46(world: World, kind: str) -> None:
    assert world.verify(of(kind, exp=NOW + MAX_LIFE))
    longer = of(kind, exp=NOW + MAX_LIFE + 1, iat=NOW + 1)
    assert world.refused(longer) is Reason.STATEMENT_LIFETIME
    assert world.verify(longer, NOW + 1)


def test_a_pinned_issuer_makes_no_statement_for_more_than_600_s_and_spire_may(world: World) -> None:
    """A statement lives at most 10 minutes; how long an SVID lives is the SPIFFE side's affair."""
    assert world.verify(statement(iat=NOW - 300, exp=NOW + 300))
    assert world.refused(statement(iat=NOW - 301, exp=NOW + 300)) is Reason.STATEMENT_LIFETIME
    assert world.verify(svid(iat=NOW - HOUR, exp=NOW + 300))


@KINDS
def test_iat_is_not_in_the_future_and_before_exp(world: World, kind: str) -> None:
    assert world.verify(of(kind, iat=NOW + LEEWAY))
    assert world.refused(of(kind, iat=NOW + LEEWAY + 1)) is Reason.JWT_NOT_YET_VALID
    assert world.verify(of(kind, iat=NOW - 1, exp=NOW))
    assert world.refused(of(kind, iat=NOW, exp=NOW)) is Reason.JWT_CLAIMS


@KINDS
def test_nbf_is_respected_with_leeway_where_it_is_there(world: World, kind: str) -> None:
    assert world.verify(of(kind, nbf=NOW + LEEWAY))
    assert world.refused(of(kind, nbf=NOW + LEEWAY + 1)) is Reason.JWT_NOT_YET_VALID


@KINDS
@pytest.mark.parametrize("value", [1e300, -1e300, 10**3990, -(10**3990)], ids=lambda v: f"T-28 {str(v)[:6]}")
@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
def test_numbers_of_any_size_are_judged(world: World, kind: str, claim: str, value: float) -> None:
    for exp in (NOW + 300, NOW + 299.5):
        text = of(kind, **{"exp": exp, claim: value})
        if value < 0 and (claim == "nbf" or (claim, kind) == ("iat", "svid")):
            assert world.verify(text)
        else:
            world.refused(text)


# --- what cannot be read ----------------------------------------------------------------------------


@KINDS
def test_a_refusal_says_what_the_statement_claimed(world: World, kind: str) -> None:
    refusal = world.refusal(of(kind, aud=ISSUER))
    assert refusal.claimed == Claimed(WORKLOAD if kind == "svid" else "repo:payments/api", (ISSUER,))


@KINDS
def test_a_statement_of_16_KiB_is_looked_at_and_a_longer_one_is_not_T_27(world: World, kind: str) -> None:
    filler = "x" * ((MAX_ASSERTION_BYTES - len(of(kind, filler=""))) * 3 // 4)
    largest = of(kind, filler=filler)
    assert MAX_ASSERTION_BYTES - 4 <= len(largest) <= MAX_ASSERTION_BYTES
    assert world.verify(largest).stated["filler"] == filler
    refusal = world.refusal(of(kind, filler=filler + "x" * 8))
    assert refusal.reason is Reason.CREDENTIAL_TOO_LARGE
    assert refusal.claimed is None
    assert world.refused("." * 3_000_000) is Reason.CREDENTIAL_TOO_LARGE


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.CREDENTIAL_MISSING),
        ("a.b.c", Reason.CREDENTIAL_MALFORMED),
        ("." * 16_384, Reason.CREDENTIAL_MALFORMED),
        (compact({"alg": "ES256"}, b"hello"), Reason.CREDENTIAL_MALFORMED),
        (compact({"alg": "ES256"}, [CI]), Reason.CREDENTIAL_MALFORMED),
        (compact({"alg": "ES256"}, b'{"iss":"a","iss":"b"}'), Reason.CREDENTIAL_MALFORMED),
        (compact({"alg": "ES256"}, b"[" * 5000), Reason.CREDENTIAL_MALFORMED),
        (compact({"alg": "ES256", "crit": ["exp"]}, PINNED), Reason.CREDENTIAL_MALFORMED),
        ("\ud800.\ud800.\ud800", Reason.CREDENTIAL_MALFORMED),
    ],
    ids=lambda value: f"DCR-9 T-27 T-28 {ascii(value)[:24]}",
)
def test_only_a_strict_compact_jws_is_looked_at(world: World, text: str, reason: Reason) -> None:
    assert world.refused(text) is reason
