"""A refused credential's own words reach the error bounded and printable, and only when it is refused."""

from __future__ import annotations

import pytest

from bridge.model.errors import BridgeError, Claimed, EvidenceRejected, Unavailable
from bridge.model.evidence import JwtEvidence, X509Evidence
from bridge.model.reasons import Reason
from bridge.verify.claimed import claimed_by_chain, claimed_by_jwt
from tests.svid_factory import NOW, CertificateAuthority, JwtAuthoritySigner, leaf_spec
from tests.trust import ISSUER, WORKLOAD, FixedBundles, svid_verifier, trust_bundle

ROOT = CertificateAuthority.root("example.org")
SIGNER = JwtAuthoritySigner.make("key-1")
CHAIN = ROOT.issue(leaf_spec(WORKLOAD)).chain
ELSEWHERE = "https://elsewhere.example"


def bundles() -> FixedBundles:
    return FixedBundles(trust_bundle("example.org", [ROOT], [SIGNER]))


def refused(assertion: str) -> BridgeError:
    with pytest.raises(EvidenceRejected) as refusal:
        svid_verifier(bundles()).verify_jwt(JwtEvidence(assertion), now=NOW)
    return refusal.value


def test_a_token_for_somebody_else_says_whose_it_claims_to_be_and_for_whom() -> None:
    good = SIGNER.svid(sub=WORKLOAD, aud=ISSUER, exp=NOW + 300)
    assert svid_verifier(bundles()).verify_jwt(JwtEvidence(good), now=NOW).name == WORKLOAD
    error = refused(SIGNER.svid(sub=WORKLOAD, aud=[ELSEWHERE, ISSUER], exp=NOW + 300))
    assert error.reason is Reason.JWT_AUDIENCE
    assert error.claimed == Claimed(WORKLOAD, (ELSEWHERE, ISSUER))
    assert error.subject == ""


def test_a_token_of_another_key_makes_only_a_claim() -> None:
    error = refused(JwtAuthoritySigner.make("key-2").svid(sub=WORKLOAD, aud=ISSUER, exp=NOW + 300))
    assert error.claimed == Claimed(WORKLOAD, (ISSUER,))


def test_a_claimed_name_is_bounded_and_printable_T_49() -> None:
    error = refused(SIGNER.svid(sub="a\n\x1b\u202e" + "x" * 1000, aud=["y" * 300] * 20, exp=NOW + 300))
    assert error.reason is Reason.SPIFFE_ID_INVALID
    assert error.claimed == Claimed("a???" + "x" * 252, ("y" * 256,) * 8)


@pytest.mark.parametrize("assertion", ["", "a.b.c", "x" * 20_000, "." * 16_000])
def test_what_is_no_token_claims_nothing(assertion: str) -> None:
    assert claimed_by_jwt(assertion) == Claimed()


def test_claims_of_other_types_claim_nothing() -> None:
    assert claimed_by_jwt(SIGNER.svid(sub=5, aud={"x": 1}, exp=NOW)) == Claimed()
    assert claimed_by_jwt(SIGNER.svid(sub=WORKLOAD, aud=[5, ELSEWHERE], exp=NOW)).audiences == (ELSEWHERE,)


def test_a_certificate_of_another_authority_makes_only_a_claim() -> None:
    verifier = svid_verifier(bundles())
    assert verifier.verify_x509(X509Evidence(CHAIN, WORKLOAD), now=NOW).name == WORKLOAD
    other = CertificateAuthority.root("other.example").issue(leaf_spec(WORKLOAD)).chain
    with pytest.raises(EvidenceRejected) as refusal:
        verifier.verify_x509(X509Evidence(other, WORKLOAD), now=NOW)
    assert refusal.value.claimed == Claimed(WORKLOAD)


@pytest.mark.parametrize("chain", [(), (b"",), (b"\x30\x00",)])
def test_what_is_no_certificate_claims_nothing(chain: tuple[bytes, ...]) -> None:
    assert claimed_by_chain(chain) == Claimed()


def test_a_bundle_that_is_away_says_whom_it_keeps_out() -> None:
    trusted = bundles()
    trusted.stale.add("example.org")
    assertion = SIGNER.svid(sub=WORKLOAD, aud=ISSUER, exp=NOW + 300)
    with pytest.raises(Unavailable) as failure:
        svid_verifier(trusted).verify_jwt(JwtEvidence(assertion), now=NOW)
    assert failure.value.claimed == Claimed(WORKLOAD, (ISSUER,))
