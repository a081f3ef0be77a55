"""PKCE: S256 and nothing else, verifiers of the right form, and no way around (RFC 7636; OAS-12, 13, T-35)."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.grants.pkce import check_verifier, read_challenge
from bridge.jose import base64url
from bridge.model.errors import GrantRejected, InvalidRequest
from bridge.model.reasons import Reason

# The example of RFC 7636 appendix B.
VERIFIER, CHALLENGE = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
UNRESERVED = "ABCXYZabcxyz0189-._~"


def challenge_of(verifier: str) -> str:
    return base64url.encode(hashlib.sha256(verifier.encode()).digest())


def test_the_verifier_of_the_rfc_s_example_is_that_of_its_challenge() -> None:
    assert read_challenge(CHALLENGE, "S256") == CHALLENGE
    check_verifier(VERIFIER, CHALLENGE)


@pytest.mark.parametrize(
    ("challenge", "method"),
    [
        (None, "S256"),
        (CHALLENGE, None),
        (CHALLENGE, "plain"),
        (CHALLENGE, "s256"),
        (CHALLENGE, "S256 "),
        (CHALLENGE[:-1], "S256"),
        (CHALLENGE + "A", "S256"),
        (CHALLENGE + "=", "S256"),
        (CHALLENGE[:-1] + "+", "S256"),
        (CHALLENGE[:-1] + "\n", "S256"),
        ("", "S256"),
    ],
)
def test_no_other_challenge_or_method_is_taken_OAS_12_PCR_4(challenge: str | None, method: str | None) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_challenge(challenge, method)
    assert refused.value.reason is Reason.CODE_CHALLENGE


@pytest.mark.parametrize(
    "verifier",
    [
        None,
        "",
        CHALLENGE,
        VERIFIER[:-1] + "l",
        VERIFIER[:-1],
        VERIFIER + "\n",
        VERIFIER + " ",
        VERIFIER * 3,
        "\u00e9" * 43,
    ],
)
def test_no_other_verifier_will_do_OAS_13(verifier: str | None) -> None:
    with pytest.raises(GrantRejected) as refused:
        check_verifier(verifier, CHALLENGE)
    assert refused.value.reason is Reason.CODE_VERIFIER


@given(st.text(UNRESERVED, min_size=43, max_size=128), st.text(UNRESERVED, min_size=43, max_size=128))
def test_a_verifier_goes_with_its_own_challenge_alone(one: str, other: str) -> None:
    challenge = challenge_of(one)
    check_verifier(one, read_challenge(challenge, "S256"))
    if one != other:
        with pytest.raises(GrantRejected):
            check_verifier(other, challenge)


@pytest.mark.parametrize(("size", "taken"), [(42, False), (43, True), (128, True), (129, False)])
def test_a_verifier_has_43_to_128_characters(size: int, taken: bool) -> None:
    verifier = "a" * size
    challenge = challenge_of(verifier)
    if taken:
        check_verifier(verifier, challenge)
    else:
        with pytest.raises(GrantRejected):
            check_verifier(verifier, challenge)
