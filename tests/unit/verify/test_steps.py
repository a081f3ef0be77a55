"""A walk over the steps says what a run says, and goes on behind it only with what does not hang on the failure."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.errors import BridgeError, EvidenceRejected
from bridge.model.evidence import JwtEvidence
from bridge.model.reasons import Reason
from bridge.model.steps import Looked, Step, run, walk
from bridge.verify.assertion_steps import ASSERTION_STEPS
from bridge.verify.assertion_verifier import verify_client_assertion, walk_client_assertion
from bridge.verify.dpop_steps import PROOF_STEPS
from bridge.verify.jwt_steps import JWT_STEPS
from bridge.verify.key_sets import keys_of_jwk_set
from bridge.verify.metadata_documents import DOCUMENT_STEPS, read_document, walk_document
from bridge.verify.pinned_issuers import PinnedIssuers
from bridge.verify.statement_steps import ISSUER_STEPS, READING_STEPS, STATEMENT_STEPS
from bridge.verify.statements import StatementVerifier
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


# --- statements, assertions, proofs and documents -------------------------------------------------

CI = "https://ci.example.org"
VALUES = st.sampled_from([NOW, NOW + 300, NOW - 300, NOW + 10**6, "x", None, [], {}, 1e300, True])
KEYS = keys_of_jwk_set({"keys": [SIGNER.jwk(use="sig")]})


def mangled(data: st.DataObject, token: str) -> str:
    """The token, or one in which a character is another."""
    place = data.draw(st.none() | st.integers(0, len(token) - 1))
    return token if place is None else token[:place] + data.draw(st.sampled_from("Ax.-")) + token[place + 1 :]


def claims_of(data: st.DataObject, sound: dict[str, object]) -> dict[str, object]:
    """Sound claims, of which some are something else or gone."""
    changed = data.draw(st.dictionaries(st.sampled_from(sorted(sound)), VALUES, max_size=2))
    gone = data.draw(st.none() | st.sampled_from(sorted(sound)))
    return {name: value for name, value in {**sound, **changed}.items() if name != gone}


def refused(verify: Callable[[], object]) -> Reason | None:
    """The reason that a verification refuses with."""
    try:
        verify()
    except BridgeError as refusal:
        return refusal.reason
    return None


@given(st.data())
def test_the_first_failure_of_a_walk_is_what_an_assertion_is_refused_with(data: st.DataObject) -> None:
    sound: dict[str, object] = {"iss": "a", "sub": "a", "aud": ISSUER, "exp": NOW + 60, "iat": NOW, "jti": "1"}
    text = mangled(data, SIGNER.svid(**claims_of(data, sound)))
    _, looked = walk_client_assertion(text, client_id="a", keys=KEYS, audience=ISSUER, now=NOW)
    assert first(looked) is refused(
        lambda: verify_client_assertion(text, client_id="a", keys=KEYS, audience=ISSUER, now=NOW)
    )


@given(st.data())
def test_the_first_failure_of_a_walk_is_what_a_statement_is_refused_with(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    sound: dict[str, object] = {
        "iss": CI, "sub": "pipeline", "aud": f"{ISSUER}/register", "exp": NOW + 300, "iat": NOW, "nbf": NOW,
    }  # fmt: skip
    text = mangled(data, SIGNER.svid(**claims_of(data, sound)))
    file = tmp_path_factory.getbasetemp() / "issuer.json"
    file.write_text(json.dumps({"keys": [SIGNER.jwk(use="sig")]}))
    verifier = StatementVerifier(VERIFIER, PinnedIssuers({CI: file}), audience=f"{ISSUER}/register")
    _, looked = verifier.walk(text, now=NOW)
    assert first(looked) is refused(lambda: verifier.verify(text, now=NOW))


@given(
    st.binary(max_size=80)
    | st.dictionaries(
        st.sampled_from(
            ["client_id", "client_secret", "jwks", "token_endpoint_auth_method", "spiffe_id", "client_id_expires_at"]
        ),
        VALUES | st.sampled_from(["https://a.example/c", "none", "private_key_jwt", "spiffe_jwt"]),
    ).map(lambda said: json.dumps(said).encode())
)
def test_the_first_failure_of_a_walk_is_what_a_document_is_refused_with(body: bytes) -> None:
    url = "https://a.example/c"
    _, looked = walk_document(body, url)
    assert first(looked) is refused(lambda: read_document(body, url))
