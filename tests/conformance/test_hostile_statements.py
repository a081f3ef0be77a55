"""Whatever bytes come as statement or client assertion, the answer is whose it is or one refusal (T-27, T-28, F-12)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.errors import EvidenceRejected
from bridge.model.identity import Source, VerifiedStatement
from bridge.verify.assertion_verifier import verify_client_assertion
from bridge.verify.client_assertions import keys_of_jwks, unverified_subject
from bridge.verify.key_sets import MalformedKeySet, keys_of_jwk_set
from bridge.verify.pinned_issuers import PinnedIssuers
from bridge.verify.statement_claims import MAX_LIFE, PROTOCOL_CLAIMS
from bridge.verify.statements import StatementVerifier
from tests.statements import AUDIENCE, CI, PINNED, SIGNER, SPIRE, domains, jwks, statement
from tests.svid_factory import NOW, compact, sign_compact
from tests.trust import ISSUER, WORKLOAD, svid_verifier

STATEMENT = statement()
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
TIMES = st.integers(NOW - 1000, NOW + 1000) | st.floats(NOW - 1000, NOW + 1000) | JSON_VALUES


@pytest.fixture(scope="module")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> StatementVerifier:
    path: Path = tmp_path_factory.mktemp("issuers") / "ci.json"
    path.write_text(jwks(SIGNER))
    return StatementVerifier(svid_verifier(domains()), PinnedIssuers({CI: path}), audience=AUDIENCE)


def register(verifier: StatementVerifier, text: str) -> VerifiedStatement | None:
    try:
        return verifier.verify(text, now=NOW)
    except EvidenceRejected:
        return None


def authenticates(text: str) -> bool:
    keys = keys_of_jwks({"keys": [SIGNER.jwk(use="sig")]})
    try:
        verify_client_assertion(text, client_id="c", keys=keys, audience=ISSUER, now=NOW)
    except EvidenceRejected:
        return False
    return True


def test_a_sound_one_of_each_is_taken(verifier: StatementVerifier) -> None:
    assert register(verifier, STATEMENT)
    assert authenticates(statement(iss="c", sub="c", aud=ISSUER, jti="1"))


@given(st.text(max_size=60) | st.text(alphabet="eyJhbGciOiJFUzI1NiJ9._-", max_size=80))
def test_any_text_is_refused(verifier: StatementVerifier, text: str) -> None:
    assert register(verifier, text) is None
    assert not authenticates(text)
    assert unverified_subject(text) is None


@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(min_size=1, max_size=70))
def test_any_three_segments_are_refused(
    verifier: StatementVerifier, header: bytes, payload: bytes, signature: bytes
) -> None:
    text = compact(header, payload, signature)
    assert register(verifier, text) is None
    assert not authenticates(text)


@given(st.integers(0, len(STATEMENT) - 1), st.sampled_from("AZaz09-_.=+/ \n"))
def test_a_statement_with_one_character_changed_is_refused(
    verifier: StatementVerifier, position: int, character: str
) -> None:
    changed = STATEMENT[:position] + character + STATEMENT[position + 1 :]
    assert (register(verifier, changed) is not None) is (changed == STATEMENT)


CLAIMS = st.fixed_dictionaries(
    {},
    optional={
        "iss": st.just(CI) | JSON_VALUES,
        "sub": st.sampled_from(["a", WORKLOAD, "SPIFFE://example.org/a"]) | JSON_VALUES,
        "aud": st.sampled_from([AUDIENCE, [AUDIENCE], ISSUER]) | JSON_VALUES,
        "exp": TIMES,
        "iat": TIMES,
        "nbf": TIMES,
        "jti": JSON_VALUES,
        "client_name": JSON_VALUES,
    },
)


@given(CLAIMS, st.sampled_from([SIGNER, SPIRE]), st.booleans())
def test_any_signed_claims_are_judged(
    verifier: StatementVerifier, claims: dict[str, object], signer: object, from_sound: bool
) -> None:
    """What is taken is what its signer may state: a pinned issuer no SPIFFE ID, SPIRE nothing else."""
    said = {**PINNED, **claims} if from_sound else claims
    key = SIGNER if signer is SIGNER else SPIRE
    text = sign_compact({"alg": "ES256", "kid": key.kid}, json.dumps(said).encode(), key.key, "ES256")
    taken = register(verifier, text)
    if taken is None:
        return
    subject = taken.identity.subject
    if key is SPIRE:
        assert (str(subject.spiffe_id), taken.issuer, subject.issuer) == (WORKLOAD, None, None)
    else:
        assert (taken.issuer, subject.issuer, subject.spiffe_id) == (CI, CI, None)
        assert subject.source is Source.SOFTWARE_STATEMENT
    assert said["aud"] in (AUDIENCE, [AUDIENCE])
    assert NOW - 30 < taken.expires_at <= NOW + MAX_LIFE
    assert taken.stated == {name: value for name, value in said.items() if name not in PROTOCOL_CLAIMS}


@given(CLAIMS)
def test_any_signed_claims_of_a_client_are_judged(claims: dict[str, object]) -> None:
    said = {**PINNED, "iss": "c", "sub": "c", "aud": ISSUER, "jti": "1", **claims}
    text = sign_compact({"alg": "ES256", "kid": SIGNER.kid}, json.dumps(said).encode(), SIGNER.key, "ES256")
    unverified_subject(text)
    if authenticates(text):
        assert (said["iss"], said["sub"], said["aud"]) == ("c", "c", ISSUER)


@given(
    st.dictionaries(
        st.sampled_from(["keys", "kid"]),
        JSON_VALUES
        | st.lists(
            st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "n", "e", "d", "use", "alg", "kid"]), JSON_VALUES)
        ),
    )
)
def test_any_key_set_is_judged(jwk_set: dict[str, object]) -> None:
    try:
        keys = keys_of_jwk_set(jwk_set)
    except MalformedKeySet:
        return
    assert keys.usable == ()
