"""Software statements against the checklist, who vouches for them: DCR-10, 11, 17 (T-12, T-16, T-20, T-46).

Every refusal is one change away from `statement()` or `svid()`, which are accepted.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bridge.model.errors import Claimed, EvidenceRejected, IssuerUntrusted, Unavailable
from bridge.model.evidence import JwtEvidence
from bridge.model.reasons import Reason
from bridge.verify.assertion_verifier import verify_client_assertion
from bridge.verify.jwt_svid import TrustDomainRules
from bridge.verify.pinned_issuers import PinnedIssuers
from bridge.verify.statements import StatementVerifier
from tests.statements import (
    AUDIENCE,
    CI,
    KINDS,
    OTHER_CI,
    OTHER_SIGNER,
    OTHER_SPIRE,
    SIGNER,
    SPIRE,
    World,
    of,
    statement,
    svid,
)
from tests.svid_factory import HOUR, NOW, JwtAuthoritySigner, b64url
from tests.trust import ISSUER, WORKLOAD, svid_verifier

STRANGER = "https://nobody.example"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# --- who vouches ------------------------------------------------------------------------------------


def test_an_unconfigured_issuer_is_untrusted_however_well_it_signs_DCR_10(world: World) -> None:
    refusal = world.refusal(statement(iss=STRANGER))
    assert isinstance(refusal, IssuerUntrusted)
    assert refusal.reason is Reason.STATEMENT_ISSUER
    assert STRANGER in refusal.detail


@pytest.mark.parametrize("iss", [CI + "/", CI.upper(), CI + " ", "ci.example.org"], ids=lambda iss: f"DCR-10 {iss!r}")
def test_an_issuer_is_one_exact_string(world: World, iss: str) -> None:
    assert isinstance(world.refusal(statement(iss=iss)), IssuerUntrusted)


def test_an_unconfigured_trust_domain_is_untrusted_DCR_10(world: World) -> None:
    refusal = world.refusal(svid(sub="spiffe://unknown.example/a"))
    assert isinstance(refusal, IssuerUntrusted)
    assert refusal.reason is Reason.TRUST_DOMAIN_UNKNOWN


def test_a_malformed_statement_of_an_unconfigured_issuer_is_malformed_first_DCR_9(world: World) -> None:
    refusal = world.refusal(statement(iss=STRANGER, exp=None))
    assert not isinstance(refusal, IssuerUntrusted)


def test_each_issuer_s_keys_vouch_for_it_alone_T_46(world: World) -> None:
    assert world.verify(statement(OTHER_SIGNER, iss=OTHER_CI)).issuer == OTHER_CI
    assert world.refused(statement(OTHER_SIGNER)) is Reason.JWT_KEY_UNKNOWN
    assert world.refused(statement(OTHER_SIGNER, header={"kid": "ci-1"})) is Reason.JWT_SIGNATURE
    assert world.refused(statement(iss=OTHER_CI)) is Reason.JWT_KEY_UNKNOWN


def test_an_svid_is_verified_with_its_own_trust_domain_s_keys_alone_DCR_11_T_12(world: World) -> None:
    theirs = "spiffe://other.example/a"
    assert world.verify(svid(OTHER_SPIRE, sub=theirs)).identity.name == theirs
    assert world.refused(svid(OTHER_SPIRE)) is Reason.JWT_KEY_UNKNOWN
    assert world.refused(svid(OTHER_SPIRE, header={"kid": "spire-1"})) is Reason.JWT_SIGNATURE
    assert world.refused(svid(sub=theirs)) is Reason.JWT_KEY_UNKNOWN


def test_spire_s_keys_vouch_for_no_pinned_issuer_and_theirs_for_no_workload_T_46(world: World) -> None:
    assert world.refused(statement(SPIRE)) is Reason.JWT_KEY_UNKNOWN
    assert world.refused(statement(SPIRE, header={"kid": "ci-1"})) is Reason.JWT_SIGNATURE
    assert world.refused(svid(SIGNER, iss=CI)) is Reason.JWT_KEY_UNKNOWN
    assert world.refused(svid(SIGNER, header={"kid": "spire-1"})) is Reason.JWT_SIGNATURE


def test_iss_of_an_svid_is_looked_at_where_the_trust_domain_says_which(world: World) -> None:
    spire = "https://spire.example.org"
    assert world.verify(svid(iss="anything"))
    world.rules = TrustDomainRules(HOUR, frozenset({spire}))
    assert world.verify(svid(iss=spire))
    assert world.refused(svid(iss=CI)) is Reason.JWT_ISSUER
    assert world.refused(svid()) is Reason.JWT_ISSUER


def test_a_trust_domain_s_own_longest_life_holds_for_statements_too_SCA_35(world: World) -> None:
    world.rules = TrustDomainRules(60)
    assert world.verify(svid(exp=NOW + 60))
    assert world.refused(svid(exp=NOW + 61)) is Reason.JWT_LIFETIME


def test_of_several_keys_that_fit_a_nameless_statement_none_is_taken(world: World) -> None:
    nameless = statement(header={"kid": None})
    assert world.verify(nameless).identity.key_id == "ci-1"
    world.pin(SIGNER, JwtAuthoritySigner.make("ci-2"))
    assert world.refused(nameless) is Reason.JWT_KEY_AMBIGUOUS
    assert world.verify(statement()).identity.key_id == "ci-1"


WEAK = {"kty": "RSA", "n": b64url(b"\xc5" * 128), "e": "AQAB"}


@pytest.mark.parametrize(
    "change",
    [{"use": "enc"}, {"use": "jwt-svid"}, {"alg": "ES384"}, {"key_ops": ["sign"]}, {"d": "AAAA"}, WEAK],
    ids=lambda change: f"T-16 T-26 {next(iter(change))}",
)
def test_a_key_that_the_key_policy_refuses_verifies_nothing(world: World, change: dict[str, object]) -> None:
    second = JwtAuthoritySigner.make("ci-2")
    for members, reason in (({"use": "sig"}, None), (change, Reason.JWT_KEY_UNFIT)):
        keys = [SIGNER.jwk(use="sig"), {**second.jwk(use=None), **members}]
        world.files[CI].write_text(json.dumps({"keys": keys}))
        world.issuers.look()
        assert world.verify(statement())
        if reason is None:
            assert world.verify(statement(second))
        else:
            assert world.refused(statement(second)) is reason


@KINDS
def test_a_changed_statement_does_not_hold_DCR_9(world: World, kind: str) -> None:
    header, _, signature = of(kind).split(".")
    payload = of(kind, client_name="Admin").split(".")[1]
    assert world.refused(f"{header}.{payload}.{signature}") is Reason.JWT_SIGNATURE


# --- nothing is remembered --------------------------------------------------------------------------


def test_a_removed_key_vouches_for_nothing_from_the_next_look_on_T_20(world: World) -> None:
    text, successor = statement(), JwtAuthoritySigner.make("ci-2")
    assert world.verify(text)
    world.pin(successor)
    assert world.refused(text) is Reason.JWT_KEY_UNKNOWN
    assert world.verify(statement(successor))
    world.pin()
    assert world.refused(statement(successor)) is Reason.BUNDLE_EMPTY


def test_a_key_that_arrives_later_is_taken_then(world: World) -> None:
    successor = JwtAuthoritySigner.make("ci-2")
    assert world.refused(statement(successor)) is Reason.JWT_KEY_UNKNOWN
    world.pin(SIGNER, successor)
    assert world.verify(statement(successor))


def test_keys_that_are_not_known_yet_are_no_fault_of_the_statement(world: World, tmp_path: Path) -> None:
    world.bundles.stale.add("example.org")
    with pytest.raises(Unavailable) as failure:
        world.verify(svid())
    assert failure.value.claimed == Claimed(WORKLOAD, (AUDIENCE,))
    world.issuers = PinnedIssuers({CI: tmp_path / "absent.json"})
    with pytest.raises(Unavailable) as failure:
        world.verify(statement())
    assert failure.value.claimed == Claimed("repo:payments/api", (AUDIENCE,))


def test_a_statement_is_for_no_other_door_and_what_is_for_another_is_no_statement_DCR_17(world: World) -> None:
    """Also in one verifier, where a success at one door might be remembered at the other."""
    svids = svid_verifier(world.bundles)
    statements = StatementVerifier(svids, world.issuers, audience=AUDIENCE)
    for_us, for_login = svid(), svid(aud=ISSUER)
    assert statements.verify(for_us, now=NOW)
    assert svids.verify_jwt(JwtEvidence(for_login), now=NOW).name == WORKLOAD
    for _ in range(2):
        with pytest.raises(EvidenceRejected) as refusal:
            svids.verify_jwt(JwtEvidence(for_us), now=NOW)
        assert refusal.value.reason is Reason.JWT_AUDIENCE
        with pytest.raises(EvidenceRejected) as refusal:
            statements.verify(for_login, now=NOW)
        assert refusal.value.reason is Reason.JWT_AUDIENCE


def test_a_pinned_statement_is_no_client_assertion_and_the_reverse_DCR_17(world: World) -> None:
    """Not even where the issuer, the client and the key are one, so that the audiences alone part them."""
    own: dict[str, object] = {"iss": CI, "sub": CI, "jti": "1"}
    keys = world.issuers.keys(CI, now=NOW)
    assert world.verify(statement(**own))
    assert verify_client_assertion(statement(**own, aud=ISSUER), client_id=CI, keys=keys, audience=ISSUER, now=NOW)
    assert world.refused(statement(**own, aud=ISSUER)) is Reason.JWT_AUDIENCE
    with pytest.raises(EvidenceRejected) as refusal:
        verify_client_assertion(statement(**own), client_id=CI, keys=keys, audience=ISSUER, now=NOW)
    assert refusal.value.reason is Reason.JWT_AUDIENCE
