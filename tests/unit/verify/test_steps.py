"""A walk over the steps says what a run says, and goes on behind it only with what does not hang on the failure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.errors import BridgeError, EvidenceRejected
from bridge.model.evidence import JwtEvidence
from bridge.model.reasons import Reason
from bridge.model.steps import Looked, Step, run, walk
from bridge.verify.assertion_steps import ASSERTION_STEPS
from bridge.verify.dpop_steps import PROOF_STEPS
from bridge.verify.jwt_steps import JWT_STEPS
from bridge.verify.metadata_documents import DOCUMENT_STEPS
from bridge.verify.statement_steps import ISSUER_STEPS, READING_STEPS, STATEMENT_STEPS
from bridge.verify.x509_steps import X509_STEPS
from tests.svid_factory import NOW, CertificateAuthority, JwtAuthoritySigner, leaf_spec
from tests.trust import ISSUER, WORKLOAD, FixedBundles, svid_verifier, trust_bundle

ROOT, SIGNER = CertificateAuthority.root("example.org"), JwtAuthoritySigner.make("key-1")
VERIFIER = svid_verifier(FixedBundles(trust_bundle("example.org", [ROOT], [SIGNER])))
TOKEN = SIGNER.svid(sub=WORKLOAD, aud=ISSUER, exp=NOW + 300)
CHAIN = ROOT.intermediate("example.org").issue(leaf_spec(WORKLOAD)).chain


def fails(name: str, *needs: str) -> Step[list[str]]:
    def check(case: list[str]) -> None:
        case.append(name)
        raise EvidenceRejected(Reason.JWT_CLAIMS, name)

    return Step(name, check, needs)


def holds(name: str, *needs: str) -> Step[list[str]]:
    return Step(name, lambda case: case.append(name), needs)


STEPS = (holds("a"), fails("b", "a"), holds("c", "b"), holds("d", "a"), fails("e", "c"), fails("f", "d"))


def test_a_run_stops_at_the_first_step_that_does_not_hold() -> None:
    seen: list[str] = []
    with pytest.raises(EvidenceRejected, match="b"):
        run(STEPS, seen)
    assert seen == ["a", "b"]


def test_a_walk_looks_at_all_that_hangs_on_no_failure() -> None:
    seen: list[str] = []
    looked = walk(STEPS, seen)
    assert seen == ["a", "b", "d", "f"]
    assert [(one.step, one.holds, one.lacks) for one in looked] == [
        ("a", True, None), ("b", False, None), ("c", False, "b"), ("d", True, None), ("e", False, "c"),
        ("f", False, None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "steps",
    [
        (*JWT_STEPS, *STATEMENT_STEPS),
        X509_STEPS,
        (*READING_STEPS, *ISSUER_STEPS),
        ASSERTION_STEPS,
        DOCUMENT_STEPS,
        PROOF_STEPS,
    ],
    ids=["jwt", "x509", "statement", "assertion", "document", "proof"],
)
def test_a_step_needs_only_what_comes_before_it(steps: tuple[Step[object], ...]) -> None:
    names = [step.name for step in steps]
    assert len(set(names)) == len(names)
    for place, step in enumerate(steps):
        assert set(step.needs) <= set(names[:place])


def first(looked: tuple[Looked, ...]) -> Reason | None:
    """The reason of the first step that failed."""
    return next((one.error.reason for one in looked if one.error is not None), None)


@given(st.data())
def test_the_first_failure_of_a_walk_is_what_the_verification_refuses_a_token_with(data: st.DataObject) -> None:
    """Whatever is broken: a character of the token, its claims, its header."""
    claims = data.draw(
        st.fixed_dictionaries(
            {},
            optional={
                "aud": st.sampled_from([ISSUER, "https://other.example", [ISSUER, "x"], [], 7]),
                "exp": st.sampled_from([NOW + 300, NOW - 300, NOW + 10**6, "x", 1e300]),
                "nbf": st.sampled_from([NOW, NOW + 300, None]),
                "sub": st.sampled_from([WORKLOAD, "spiffe://other.example/a", "spiffe://nowhere.example/a", "x"]),
            },
        )
    )
    header = data.draw(st.sampled_from([None, {"kid": "other"}, {"kid": None}, {"typ": "at+jwt"}, {"jku": "x"}]))
    token = SIGNER.svid(header=header, **{"sub": WORKLOAD, "aud": ISSUER, "exp": NOW + 300, **claims})
    place = data.draw(st.integers(0, len(token) * 4))
    token = token[:place] + data.draw(st.sampled_from(["", "A", "."])) + token[place + 1 :]
    try:
        VERIFIER.verify_jwt(JwtEvidence(token), now=NOW)
        refused = None
    except BridgeError as error:
        refused = error.reason
    assert first(VERIFIER.walk_jwt(token, audience=ISSUER, now=NOW)[1]) is refused


@given(
    st.lists(st.sampled_from([*CHAIN, ROOT.der, b"", CHAIN[0][:-1], CHAIN[0][:-1] + b"\0"]), max_size=4),
    st.integers(-9, 9),
)
def test_the_first_failure_of_a_walk_is_what_the_verification_refuses_a_chain_with(
    sent: list[bytes], hours: int
) -> None:
    chain, now = tuple(sent), NOW + hours * 3600
    try:
        VERIFIER.verify_chain(chain, now=now)
        refused = None
    except BridgeError as error:
        refused = error.reason
    assert first(VERIFIER.walk_chain(chain, now=now)[1]) is refused


def test_a_walk_that_held_is_remembered_by_nobody() -> None:
    bundles = FixedBundles(trust_bundle("example.org", [ROOT], [SIGNER]))
    verifier = svid_verifier(bundles)
    assert first(verifier.walk_jwt(TOKEN, audience=ISSUER, now=NOW)[1]) is None
    bundles.replace(trust_bundle("example.org"))
    with pytest.raises(EvidenceRejected):
        verifier.verify_jwt(JwtEvidence(TOKEN), now=NOW)
