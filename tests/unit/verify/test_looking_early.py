"""A key that nobody knows: one look for a newer bundle, then the answer (SPIFFE-34)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bridge.model.errors import EvidenceRejected
from bridge.model.evidence import JwtEvidence
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import TrustDomain
from bridge.verify.jwt_svid import TrustDomainRules
from bridge.verify.verifier import SvidVerifier
from tests.svid_factory import HOUR, NOW, JwtAuthoritySigner
from tests.trust import ISSUER, WORKLOAD, FixedBundles, trust_bundle

OLD, NEW = JwtAuthoritySigner.make("key-1"), JwtAuthoritySigner.make("key-2")
BEFORE, AFTER = trust_bundle("example.org", (), [OLD]), trust_bundle("example.org", (), [OLD, NEW])


def verifier(bundles: FixedBundles, look: Callable[[TrustDomain], None]) -> SvidVerifier:
    rules = {"example.org": TrustDomainRules(max_assertion_life=HOUR)}
    return SvidVerifier(bundles, issuer=ISSUER, trust_domains=rules, look_early=look)


def token(signer: JwtAuthoritySigner) -> JwtEvidence:
    return JwtEvidence(signer.svid(sub=WORKLOAD, aud=ISSUER, exp=NOW + 300))


def test_a_key_that_the_newer_bundle_holds_is_taken_at_once() -> None:
    bundles, looked = FixedBundles(BEFORE), list[TrustDomain]()

    def look(trust_domain: TrustDomain) -> None:
        looked.append(trust_domain)
        bundles.replace(AFTER)

    subject = verifier(bundles, look)
    assert subject.verify_jwt(token(OLD), now=NOW).name == WORKLOAD
    assert looked == [], "a known key is no reason"
    assert subject.verify_jwt(token(NEW), now=NOW).name == WORKLOAD
    assert looked == [TrustDomain("example.org")]


def test_a_key_that_no_bundle_holds_is_refused_after_one_look() -> None:
    looked: list[TrustDomain] = []
    subject = verifier(FixedBundles(BEFORE), looked.append)
    with pytest.raises(EvidenceRejected) as refusal:
        subject.verify_jwt(token(NEW), now=NOW)
    assert refusal.value.reason is Reason.JWT_KEY_UNKNOWN
    assert len(looked) == 1


def test_an_empty_bundle_is_no_reason_to_look() -> None:
    """Everything was withdrawn, and the time for the next question comes by itself."""
    looked: list[TrustDomain] = []
    subject = verifier(FixedBundles(trust_bundle("example.org")), looked.append)
    with pytest.raises(EvidenceRejected) as refusal:
        subject.verify_jwt(token(NEW), now=NOW)
    assert (refusal.value.reason, looked) == (Reason.BUNDLE_EMPTY, [])
