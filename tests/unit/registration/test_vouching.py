"""Which authorities an operator means, and what rests on them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.jose import base64url
from bridge.model.authority import Authorities, Authority, AuthorityKind, of_audit, of_text, text_of, to_audit
from bridge.registration.vouching import Ambiguous, Missing, Named, Resting, Undecided
from bridge.store.ports import RestingGrant, RestingLease, RestingToken

ROOT = Authority(AuthorityKind.ANCHOR, "aa11" * 10, "bb22" * 16)
RENEWED = Authority(AuthorityKind.ANCHOR, ROOT.key_id, "cc33" * 16)
OTHER_ROOT = Authority(AuthorityKind.ANCHOR, "aa99" * 10, "dd44" * 16)
SIGNER = Authority(AuthorityKind.INTERMEDIATE, "ee55" * 10, "ff66" * 16)
JWT = Authority(AuthorityKind.JWT, "Key-1", "thumbprint-of-key-1")
JWT_REPLACED = Authority(AuthorityKind.JWT, "Key-1", "thumbprint-of-another")
JWT_10 = Authority(AuthorityKind.JWT, "Key-10", "thumbprint-of-key-10")
EVERYBODY = (ROOT, RENEWED, OTHER_ROOT, SIGNER, JWT, JWT_REPLACED, JWT_10)


def token(
    authorities: Authorities | None, *, evidence: str = "x509-svid", key_id: str = "", client: str = "c"
) -> Resting:
    return RestingToken("jti", client, "spiffe://example.org/a", 0, 300, "0", None, evidence, key_id, authorities)


def lease(authorities: Authorities) -> Resting:
    return RestingLease("instance-1", "spiffe://example.org/a", 0, 0, 300, authorities)


def grant(authorities: Authorities) -> Resting:
    return RestingGrant("g", "c", "spiffe://example.org/a", 300, authorities)


# --- which are meant ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "names"),
    [
        (ROOT.digest, {ROOT.digest}),
        (ROOT.digest[:6], {ROOT.digest}),
        (ROOT.digest.upper(), {ROOT.digest}),
        (":".join(ROOT.digest[at : at + 2] for at in range(0, 64, 2)).upper(), {ROOT.digest}),
        (ROOT.key_id, {ROOT.key_id}),
        (ROOT.key_id[:8], {ROOT.key_id}),
        (SIGNER.key_id[:8], {SIGNER.key_id}),
        (SIGNER.digest, {SIGNER.digest}),
        ("Key-1", {"Key-1"}),
        ("Key-10", {"Key-10"}),
        ("thumbprint-of-key-1", {"thumbprint-of-key-1"}),
        ("thumbprint-of-a", {"thumbprint-of-another"}),
        ("key-1", set()),
        ("aa1", set()),
        ("0123456789", set()),
    ],
)
def test_a_key_is_meant_by_either_of_its_names_or_the_beginning_of_one(key: str, names: set[str]) -> None:
    """In full before any that begins so; three characters are a slip, and a `kid` has capitals of its own."""
    assert Named.beginning(key).choose(EVERYBODY).names == names


@pytest.mark.parametrize("key", ["Key-", "thumbprint-of", "thumbprint-of-key"])
def test_a_beginning_that_several_share_is_ambiguous_and_says_of_whom(key: str) -> None:
    with pytest.raises(Ambiguous) as several:
        Named.beginning(key).choose(EVERYBODY)
    assert len(several.value.names) > 1
    assert all(name.startswith(key) for name in several.value.names)


def test_one_name_may_be_of_several_and_then_all_are_meant() -> None:
    """The key of a CA that has two certificates; a `kid` that came to mean another key."""
    for name, meant in ((ROOT.key_id, {ROOT, RENEWED}), ("Key-1", {JWT, JWT_REPLACED})):
        chosen = Named.beginning(name).choose(EVERYBODY)
        assert {authority for authority in EVERYBODY if chosen.matched(authority)} == meant


@given(st.text(max_size=80))
def test_whatever_is_typed_is_an_answer(key: str) -> None:
    try:
        chosen = Named.beginning(key).choose(EVERYBODY)
    except Ambiguous:
        return
    known = {name for authority in EVERYBODY for name in (authority.key_id, authority.digest)}
    assert chosen.names <= known


# --- what rests on those that are named -----------------------------------------------------------------


@pytest.mark.parametrize("make", [token, lease, grant])
@pytest.mark.parametrize("name", [ROOT.digest, ROOT.key_id, SIGNER.digest, SIGNER.key_id])
def test_what_a_chain_brought_rests_on_each_ca_of_it(make: object, name: str) -> None:
    assert callable(make)
    found = Named(frozenset({name})).of(make((SIGNER, ROOT)))
    assert found is not None
    assert name in (found.key_id, found.digest)
    assert Named(frozenset({OTHER_ROOT.digest})).of(make((SIGNER, ROOT))) is None


def test_what_a_leaf_says_of_its_issuer_counts_beside_what_was_verified_and_hides_nothing() -> None:
    """A CA that was compromised can write another's key id into its leaves; it stands in the path all the same."""
    lying = token((SIGNER, ROOT), key_id=OTHER_ROOT.key_id)
    assert Named(frozenset({SIGNER.key_id})).of(lying) == SIGNER
    assert Named(frozenset({ROOT.digest})).of(lying) == ROOT
    assert Named(frozenset({OTHER_ROOT.key_id})).of(lying) is not None
    assert Named(frozenset({OTHER_ROOT.digest})).of(lying) is None


def test_of_an_earlier_release_s_rows_what_the_key_id_says_is_decided_and_nothing_else() -> None:
    named = Named(frozenset({"Key-1"}))
    assert named.of(token(None, evidence="jwt-svid", key_id="Key-1")) == Authority(AuthorityKind.JWT, "Key-1", "")
    assert named.of(token(None, evidence="jwt-svid", key_id="Key-2")) is None
    assert Named(frozenset({SIGNER.key_id})).of(token(None, key_id=SIGNER.key_id)) is not None
    for unknown in (
        token(None, key_id=SIGNER.key_id),
        token(None, evidence="jwt-svid", key_id="its own", client="instance-1"),
        lease(()),
        grant(()),
    ):
        with pytest.raises(Undecided):
            Named(frozenset({ROOT.digest})).of(unknown)


# --- what rests on those that are gone ------------------------------------------------------------------


def test_what_rests_on_an_anchor_that_is_gone_is_found_and_its_twin_is_not() -> None:
    present = Missing(frozenset({OTHER_ROOT, JWT}))
    assert present.of(token((SIGNER, ROOT))) == ROOT
    assert present.of(token((SIGNER, OTHER_ROOT))) is None, "no bundle holds an intermediate"
    assert present.of(token((JWT_10,))) == JWT_10
    assert present.of(token((JWT,))) is None


def test_a_ca_with_a_new_certificate_is_there_still_and_a_kid_with_a_new_key_is_not() -> None:
    present = Missing(frozenset({RENEWED, JWT_REPLACED}))
    assert present.of(token((SIGNER, ROOT))) is None
    assert present.of(token((JWT,))) == JWT
    assert present.of(token((JWT_REPLACED,))) is None


def test_of_two_who_both_had_to_vouch_one_that_is_gone_is_enough() -> None:
    """A lease that a statement and a certificate brought together."""
    assert Missing(frozenset({JWT})).of(lease((JWT, SIGNER, ROOT))) == ROOT
    assert Missing(frozenset({ROOT})).of(lease((JWT, SIGNER, ROOT))) == JWT
    assert Missing(frozenset({ROOT, JWT})).of(lease((JWT, SIGNER, ROOT))) is None


def test_an_empty_bundle_holds_nobody() -> None:
    nobody = Missing(frozenset())
    assert [nobody.of(token((one,))) for one in (ROOT, JWT)] == [ROOT, JWT]
    unread = Missing(frozenset({Authority(AuthorityKind.ANCHOR, "", "00"), Authority(AuthorityKind.JWT, "Key-2", "")}))
    assert [unread.of(token((one,))) for one in (ROOT, JWT)] == [ROOT, JWT], "an empty name is nobody's"


def test_an_earlier_release_s_row_is_decided_by_its_kid_alone() -> None:
    present = Missing(frozenset({ROOT, JWT}))
    assert present.of(token(None, evidence="jwt-svid", key_id="Key-1")) is None
    assert present.of(token(None, evidence="jwt-svid", key_id=JWT.digest)) is None, "a key without a kid"
    assert present.of(token(None, evidence="jwt-svid", key_id="Key-2")) == Authority(AuthorityKind.JWT, "Key-2", "")
    with pytest.raises(Undecided):
        present.of(token(None, key_id=ROOT.key_id))


# --- as they are kept -----------------------------------------------------------------------------------

_HEX = st.binary(max_size=32).map(bytes.hex)
_CA = st.builds(Authority, st.sampled_from((AuthorityKind.ANCHOR, AuthorityKind.INTERMEDIATE)), _HEX, _HEX)
_KEY = st.builds(
    Authority, st.just(AuthorityKind.JWT), st.text(max_size=20), st.binary(max_size=32).map(base64url.encode)
)
_AUTHORITIES = st.lists(_CA | _KEY, max_size=4).map(tuple)


@given(_AUTHORITIES)
def test_authorities_are_kept_as_they_are(authorities: Authorities) -> None:
    assert of_text(text_of(authorities)) == authorities
    assert of_audit(to_audit(authorities)) == authorities


@pytest.mark.parametrize("kept", [None, {}, "j.", [["j", "k"]], [1], ["j"], ["k."], ["a.b"], ["iAA"], [""]])
def test_what_nobody_of_ours_wrote_is_no_authority(kept: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        of_audit(kept)
