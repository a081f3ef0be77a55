"""What stands in a row of the code flow is what was put there, whatever characters a client sent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.model.authorization import AuthorizationRequest, Consent, Grant, User
from bridge.model.client import ClientKind
from bridge.model.evidence import Door, EvidenceKind
from bridge.model.identity import PolicySubject, Source
from bridge.model.spiffe_id import SpiffeId, TrustDomain
from bridge.model.terms import Ask
from bridge.store.authorization_rows import consent_of, consent_row, grant_of, grant_row, request_of, request_text

# As it comes out of a JSON parser: half a pair may stand alone, and two halves that meet are one character.
HALF = st.text(alphabet=st.characters(min_codepoint=0xD800, max_codepoint=0xDBFF), max_size=3)
ANY = st.text(max_size=8) | HALF
MAYBE = st.none() | ANY
MANY = st.lists(ANY, max_size=3).map(tuple)
NUMBERS = st.integers(0, 2**62)
MAYBE_NUMBER = st.none() | NUMBERS
VALUES = MAYBE | NUMBERS | st.booleans() | st.lists(ANY, max_size=2)
METADATA = st.dictionaries(ANY, VALUES, max_size=2)
PATHS = st.sampled_from(["", "/a", "/a/B_.-"])
SPIFFE_IDS = st.none() | st.builds(SpiffeId, st.just(TrustDomain("example.org")), PATHS)
REQUESTS = st.builds(
    AuthorizationRequest,
    client_id=ANY,
    kind=st.sampled_from(ClientKind),
    subject=st.builds(
        PolicySubject,
        st.sampled_from(Source),
        st.sampled_from(EvidenceKind),
        spiffe_id=SPIFFE_IDS,
        url=MAYBE,
        issuer=MAYBE,
        subject=MAYBE,
    ),
    ask=st.builds(Ask, st.sampled_from(Door), ANY, MANY, MANY),
    redirect_uri=ANY,
    code_challenge=ANY,
    state=MAYBE,
    dpop_jkt=MAYBE,
    epoch=MAYBE,
    fingerprint=ANY,
    transaction=MAYBE,
    metadata=METADATA,
)
GRANTS = st.builds(
    Grant,
    *(ANY, ANY, st.builds(User, ANY, st.text(max_size=8)), ANY),
    *(st.sampled_from(ClientKind), st.sampled_from(EvidenceKind), st.sampled_from(Door)),
    *(MANY, MANY, ANY, ANY, NUMBERS, NUMBERS, NUMBERS),
    *(MAYBE, MAYBE, MAYBE, ANY, MAYBE, METADATA, MAYBE_NUMBER, NUMBERS, MAYBE_NUMBER, MAYBE_NUMBER),
)


@given(REQUESTS)
def test_a_request_comes_back_as_it_was_stored(asked: AuthorizationRequest) -> None:
    """PCR-14; a text that is ASCII can be stored whatever it stands for."""
    text = request_text(asked)
    assert text.isascii()
    assert request_of(text) == asked


@given(GRANTS)
def test_a_grant_comes_back_as_it_was_stored(one: Grant) -> None:
    assert grant_of(grant_row(one)) == one


@given(st.builds(Consent, ANY, ANY, ANY, MANY, MANY, NUMBERS))
def test_a_consent_comes_back_as_it_was_stored(one: Consent) -> None:
    """CIMD-27: neither more nor less than was agreed to."""
    assert consent_of(consent_row(one)) == one
