"""What was verified is remembered, and never longer than it is true (design: caches; T-19, T-20)."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bridge.model.bundle import JwtAuthority, TrustBundle
from bridge.model.errors import EvidenceRejected, IssuerUntrusted, Unavailable
from bridge.model.evidence import JwtEvidence, X509Evidence
from bridge.model.identity import VerifiedIdentity
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import TrustDomain
from bridge.verify.jwt_svid import TrustDomainRules
from bridge.verify.signed_jwt import LEEWAY
from bridge.verify.verifier import SvidVerifier
from tests.svid_factory import (
    DAY,
    HOUR,
    NOW,
    CertificateAuthority,
    JwtAuthoritySigner,
    b64url,
    ca_spec,
    key_pair,
    leaf_spec,
)
from tests.trust import ISSUER, WORKLOAD, FixedBundles, svid_verifier, trust_bundle

ROOT = CertificateAuthority.root("example.org")
SIGNER = JwtAuthoritySigner.make("key-1")
CHAIN = ROOT.intermediate("example.org").issue(leaf_spec(WORKLOAD)).chain
TOKEN = SIGNER.svid(sub=WORKLOAD, aud=ISSUER, exp=NOW + 300)


def bundles() -> FixedBundles:
    return FixedBundles(trust_bundle("example.org", [ROOT], [SIGNER]))


def present(verifier: SvidVerifier, kind: str, now: int = NOW) -> VerifiedIdentity:
    if kind == "jwt":
        return verifier.verify_jwt(JwtEvidence(TOKEN), now=now)
    return verifier.verify_x509(X509Evidence(CHAIN, WORKLOAD), now=now)


KINDS = pytest.mark.parametrize("kind", ["jwt", "x509"])


@KINDS
def test_the_second_answer_is_the_first_at_a_later_time(kind: str) -> None:
    verifier = svid_verifier(bundles())
    first = present(verifier, kind)
    assert present(verifier, kind) is first
    later = present(verifier, kind, NOW + 5)
    assert later == replace(first, verified_at=NOW + 5)
    assert present(verifier, kind, NOW + 5) is later
    assert present(verifier, kind, NOW) == first


@KINDS
def test_a_remembered_answer_asks_for_the_bundle_each_time(kind: str) -> None:
    trusted = bundles()
    verifier = svid_verifier(trusted)
    present(verifier, kind)
    present(verifier, kind)
    assert trusted.asked == ["example.org", "example.org"]


@KINDS
def test_a_stale_bundle_makes_a_remembered_answer_unavailable(kind: str) -> None:
    trusted = bundles()
    verifier = svid_verifier(trusted)
    present(verifier, kind)
    trusted.stale.add("example.org")
    with pytest.raises(Unavailable):
        present(verifier, kind)
    trusted.stale.clear()
    assert present(verifier, kind).name == WORKLOAD


@KINDS
def test_a_removed_key_is_refused_at_once_T_20(kind: str) -> None:
    trusted = bundles()
    verifier = svid_verifier(trusted)
    present(verifier, kind)
    successor = CertificateAuthority.root("example.org", ca_spec("example.org", key=key_pair("P-256", "successor")))
    trusted.replace(trust_bundle("example.org", [successor], [JwtAuthoritySigner.make("key-2")]))
    with pytest.raises(EvidenceRejected) as refusal:
        present(verifier, kind)
    assert refusal.value.reason is (Reason.JWT_KEY_UNKNOWN if kind == "jwt" else Reason.X509_PATH)


@KINDS
def test_an_emptied_bundle_trusts_nothing_at_once_SPIFFE_23(kind: str) -> None:
    trusted = bundles()
    verifier = svid_verifier(trusted)
    present(verifier, kind)
    trusted.replace(trust_bundle("example.org"))
    with pytest.raises(EvidenceRejected) as refusal:
        present(verifier, kind)
    assert refusal.value.reason is Reason.BUNDLE_EMPTY


@KINDS
def test_a_key_that_arrives_later_is_taken_then_since_failures_are_not_remembered(kind: str) -> None:
    trusted = FixedBundles(trust_bundle("example.org"))
    verifier = svid_verifier(trusted)
    with pytest.raises(EvidenceRejected):
        present(verifier, kind)
    trusted.replace(trust_bundle("example.org", [ROOT], [SIGNER]))
    assert present(verifier, kind).name == WORKLOAD


@KINDS
def test_a_remembered_answer_ends_with_the_credential(kind: str) -> None:
    verifier = svid_verifier(bundles())
    last = NOW + 300 + LEEWAY - 1 if kind == "jwt" else NOW + HOUR
    present(verifier, kind)
    assert present(verifier, kind, last).name == WORKLOAD
    with pytest.raises(EvidenceRejected) as refusal:
        present(verifier, kind, last + 1)
    assert refusal.value.reason is (Reason.JWT_EXPIRED if kind == "jwt" else Reason.X509_EXPIRED)


@KINDS
def test_a_clock_that_goes_back_finds_no_more_than_a_fresh_look_would_F_5(kind: str) -> None:
    verifier = svid_verifier(bundles())
    present(verifier, kind)
    for now in (NOW - 2 * HOUR, NOW - 2 * DAY):
        with pytest.raises(EvidenceRejected) as refusal:
            present(verifier, kind, now)
        assert refusal.value.reason is (Reason.JWT_LIFETIME if kind == "jwt" else Reason.X509_NOT_YET_VALID)


def test_a_remembered_chain_ends_with_the_first_certificate_of_its_path() -> None:
    brief = ca_spec("example.org", common_name="brief", key=key_pair("P-256", "brief"), not_after=NOW + 10)
    leaf = ROOT.intermediate("example.org", brief).issue(leaf_spec(WORKLOAD))
    verifier, evidence = svid_verifier(bundles()), X509Evidence(leaf.chain, WORKLOAD)
    assert verifier.verify_x509(evidence, now=NOW).not_after == NOW + HOUR
    assert verifier.verify_x509(evidence, now=NOW + 10)
    with pytest.raises(EvidenceRejected) as refusal:
        verifier.verify_x509(evidence, now=NOW + 11)
    assert refusal.value.reason is Reason.X509_EXPIRED


def test_a_token_remembered_for_one_audience_is_not_known_for_another_T_22() -> None:
    verifier = svid_verifier(bundles())
    verifier.verify_jwt(JwtEvidence(TOKEN), now=NOW, audience=ISSUER)
    with pytest.raises(EvidenceRejected) as refusal:
        verifier.verify_jwt(JwtEvidence(TOKEN), now=NOW, audience=ISSUER + "/register")
    assert refusal.value.reason is Reason.JWT_AUDIENCE


def test_a_chain_that_differs_in_an_intermediate_is_looked_at_anew() -> None:
    verifier = svid_verifier(bundles())
    verifier.verify_x509(X509Evidence(CHAIN, WORKLOAD), now=NOW)
    with pytest.raises(EvidenceRejected):
        verifier.verify_x509(X509Evidence(CHAIN[:1], WORKLOAD), now=NOW)


def test_a_remembered_chain_still_needs_a_client_id_SCA_15() -> None:
    verifier = svid_verifier(bundles())
    verifier.verify_x509(X509Evidence(CHAIN, WORKLOAD), now=NOW)
    with pytest.raises(EvidenceRejected) as refusal:
        verifier.verify_x509(X509Evidence(CHAIN), now=NOW)
    assert refusal.value.reason is Reason.CLIENT_ID_MISSING


def test_memory_is_bounded_and_what_was_forgotten_is_verified_again() -> None:
    verifier = svid_verifier(bundles(), capacity=1)
    tokens = [SIGNER.svid(sub=WORKLOAD, aud=ISSUER, exp=NOW + 300 + number) for number in range(3)]
    for token in (*tokens, *tokens):
        assert verifier.verify_jwt(JwtEvidence(token), now=NOW).name == WORKLOAD


def test_the_audience_is_the_issuer_unless_one_is_named() -> None:
    verifier = svid_verifier(bundles())
    assert verifier.verify_jwt(JwtEvidence(TOKEN), now=NOW).name == WORKLOAD
    assert verifier.verify_jwt(JwtEvidence(TOKEN), now=NOW, audience=ISSUER).name == WORKLOAD


def test_each_trust_domain_has_its_own_rules() -> None:
    trusted = FixedBundles(
        trust_bundle("example.org", jwt_authorities=[SIGNER]), trust_bundle("other.example", jwt_authorities=[SIGNER])
    )
    rules = {"example.org": TrustDomainRules(HOUR), "other.example": TrustDomainRules(60)}
    verifier = SvidVerifier(trusted, issuer=ISSUER, trust_domains=rules)
    assert verifier.verify_jwt(JwtEvidence(TOKEN), now=NOW).name == WORKLOAD
    theirs = SIGNER.svid(sub="spiffe://other.example/a", aud=ISSUER, exp=NOW + 300)
    with pytest.raises(EvidenceRejected) as refusal:
        verifier.verify_jwt(JwtEvidence(theirs), now=NOW)
    assert refusal.value.reason is Reason.JWT_LIFETIME


def test_two_signatures_over_the_same_claims_are_two_tokens_of_one_workload() -> None:
    verifier = svid_verifier(bundles())
    other = SIGNER.svid(sub=WORKLOAD, aud=ISSUER, exp=NOW + 300)
    assert other != TOKEN
    one, two = (verifier.verify_jwt(JwtEvidence(token), now=NOW) for token in (TOKEN, other))
    assert one.name == two.name
    assert one.credential_hash != two.credential_hash
    assert one.replay_digest != two.replay_digest


WEAK = JwtAuthority("weak", json.dumps({"kty": "RSA", "n": b64url(b"\xc5" * 128), "e": "AQAB", "kid": "weak"}))
EXAMPLE = TrustDomain.parse("example.org")


@pytest.mark.parametrize(
    "bundle",
    [trust_bundle("example.org", [ROOT]), trust_bundle("example.org", jwt_authorities=[SIGNER])],
    ids=["a CA alone", "a JWT authority alone"],
)
def test_a_trust_domain_with_a_usable_key_could_vouch_for_somebody(bundle: TrustBundle) -> None:
    svid_verifier(FixedBundles(bundle)).require_live(EXAMPLE, now=NOW)


@pytest.mark.parametrize(
    "bundle",
    [trust_bundle("example.org"), TrustBundle(EXAMPLE, (b"no certificate",), (WEAK,))],
    ids=["empty", "unfit keys alone"],
)
def test_a_trust_domain_without_one_could_vouch_for_nobody_SPIFFE_23(bundle: TrustBundle) -> None:
    with pytest.raises(EvidenceRejected) as refusal:
        svid_verifier(FixedBundles(bundle)).require_live(EXAMPLE, now=NOW)
    assert refusal.value.reason is Reason.BUNDLE_EMPTY


def test_a_trust_domain_that_nobody_configured_or_whose_bundle_is_stale_vouches_for_nobody_now() -> None:
    trusted = bundles()
    verifier = svid_verifier(trusted)
    with pytest.raises(IssuerUntrusted):
        verifier.require_live(TrustDomain.parse("unknown.example"), now=NOW)
    trusted.stale.add("example.org")
    with pytest.raises(Unavailable):
        verifier.require_live(EXAMPLE, now=NOW)
