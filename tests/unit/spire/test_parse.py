"""Bundle documents: what counts, what is passed over, what refuses the whole (SPIFFE-17, 21 to 23, 28)."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from bridge.jose.keys import import_public
from bridge.lab.authority import Authority
from bridge.lab.x509 import certify, root_profile
from bridge.model.spiffe_id import TrustDomain
from bridge.spire.parse import (
    MAX_BUNDLE_BYTES,
    MalformedBundle,
    parse_bundle,
    parse_jwt_authorities,
    parse_x509_authorities,
)

TRUST_DOMAIN = TrustDomain("example.org")
AUTHORITY = Authority("example.org", intermediate=False)
BUNDLE = AUTHORITY.bundle()
KID = AUTHORITY.jwt_keys.active.kid


def document(**changes: Any) -> bytes:
    """The authority's bundle with these members changed; None takes one out."""
    return json.dumps({k: v for k, v in {**BUNDLE, **changes}.items() if v is not None}).encode()


def keys() -> list[dict[str, Any]]:
    return json.loads(json.dumps(BUNDLE["keys"]))


def with_jwt_key(**changes: Any) -> bytes:
    """The bundle with its JWT key changed."""
    x509, jwt = keys()
    return document(keys=[x509, {k: v for k, v in {**jwt, **changes}.items() if v is not None}])


def with_ca(**changes: Any) -> bytes:
    """The bundle with its CA entry changed."""
    x509, jwt = keys()
    return document(keys=[{k: v for k, v in {**x509, **changes}.items() if v is not None}, jwt])


def leaf() -> str:
    return base64.b64encode(AUTHORITY.x509_svid("/app").chain[0]).decode()


def test_a_bundle_as_spire_writes_it_is_read_whole() -> None:
    bundle = parse_bundle(document(), TRUST_DOMAIN)
    assert bundle.x509_authorities == (AUTHORITY.x509_keys.active.root.der,)
    assert [key.key_id for key in bundle.jwt_authorities] == [KID]
    assert (bundle.sequence, bundle.refresh_hint) == (1, 300)
    assert bundle.trust_domain == TRUST_DOMAIN


def test_the_key_that_is_kept_is_one_that_verification_can_use() -> None:
    (kept,) = parse_bundle(document(), TRUST_DOMAIN).jwt_authorities
    assert import_public(json.loads(kept.jwk), use="jwt-svid").fits("ES256")


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(with_jwt_key(use="sig"), id="SPIFFE-21-unknown-use"),
        pytest.param(with_jwt_key(use=None), id="SPIFFE-21-no-use"),
        pytest.param(with_jwt_key(use="JWT-SVID"), id="SPIFFE-21-use-is-case-sensitive"),
        pytest.param(with_jwt_key(use="wit-svid"), id="SPIFFE-17-wit-key"),
        pytest.param(with_jwt_key(kty="OKP"), id="SPIFFE-21-unknown-kty"),
        pytest.param(with_jwt_key(kty=None), id="SPIFFE-21-no-kty"),
        pytest.param(with_jwt_key(kty="oct", k="AAAA"), id="T-26-symmetric"),
        pytest.param(with_jwt_key(d="AAAA"), id="private-member"),
    ],
)
def test_an_entry_that_is_no_jwt_key_is_ignored_and_the_rest_kept(raw: bytes) -> None:
    bundle = parse_bundle(raw, TRUST_DOMAIN)
    assert bundle.jwt_authorities == ()
    assert len(bundle.x509_authorities) == 1


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(with_ca(x5c=None), id="SPIFFE-22-no-x5c"),
        pytest.param(with_ca(x5c=[]), id="SPIFFE-22-empty-x5c"),
        pytest.param(with_ca(kty=None), id="SPIFFE-21-no-kty"),
        pytest.param(with_ca(use="tls"), id="SPIFFE-21-unknown-use"),
        pytest.param(with_ca(x5c=[leaf()]), id="a-leaf-is-no-anchor"),
    ],
)
def test_an_entry_that_is_no_ca_is_ignored_and_the_rest_kept(raw: bytes) -> None:
    bundle = parse_bundle(raw, TRUST_DOMAIN)
    assert bundle.x509_authorities == ()
    assert len(bundle.jwt_authorities) == 1


def test_only_the_first_certificate_of_x5c_counts_SPIFFE_22() -> None:
    other = Authority("example.org", intermediate=False).x509_keys.active.root
    first = keys()[0]["x5c"][0]
    bundle = parse_bundle(with_ca(x5c=[first, base64.b64encode(other.der).decode()]), TRUST_DOMAIN)
    assert bundle.x509_authorities == (AUTHORITY.x509_keys.active.root.der,)


@pytest.mark.parametrize(
    "raw", [b'{"keys":[]}', with_ca(use="x").replace(b"jwt-svid", b"y")], ids=["empty", "unusable"]
)
def test_a_bundle_without_usable_keys_is_valid_and_trusts_nothing_SPIFFE_23(raw: bytes) -> None:
    assert parse_bundle(raw, TRUST_DOMAIN).is_empty


def test_a_bundle_may_have_a_thousand_keys_and_long_names() -> None:
    """T-20: one more of either is malformed, below."""
    many = [{"kty": "EC", "use": "jwt-svid"}] * 998
    assert len(parse_bundle(document(keys=[*keys(), *many]), TRUST_DOMAIN).jwt_authorities) == 999
    assert parse_bundle(with_jwt_key(kid="k" * 1024), TRUST_DOMAIN).jwt_authorities[0].key_id == "k" * 1024


def test_of_the_workload_api_a_thousand_certificates_are_read_and_one_more_are_not() -> None:
    """T-20: an agent hands on what partners publish."""
    ca = base64.b64decode(keys()[0]["x5c"][0])
    assert parse_x509_authorities(ca * 1000) == (ca,)
    with pytest.raises(MalformedBundle, match="more than 1000"):
        parse_x509_authorities(ca * 1001)


def test_a_jwt_key_without_kid_is_kept_without_a_name() -> None:
    assert [k.key_id for k in parse_bundle(with_jwt_key(kid=None), TRUST_DOMAIN).jwt_authorities] == [""]


def test_what_a_key_says_of_its_algorithm_is_kept_T_26() -> None:
    (kept,) = parse_bundle(with_jwt_key(alg="ES256", key_ops=["verify"]), TRUST_DOMAIN).jwt_authorities
    assert json.loads(kept.jwk)["alg"] == "ES256"
    assert json.loads(kept.jwk)["key_ops"] == ["verify"]


def test_a_url_beside_a_key_is_dropped_SCA_29() -> None:
    (kept,) = parse_bundle(with_jwt_key(x5u="https://keys.example/"), TRUST_DOMAIN).jwt_authorities
    assert "x5u" not in kept.jwk


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="no-object"),
        pytest.param(document()[:-1], id="cut"),
        pytest.param(document(keys=None), id="no-keys"),
        pytest.param(document(keys={}), id="keys-no-array"),
        pytest.param(document(keys=[7]), id="entry-no-object"),
        pytest.param(document(keys=[*keys(), {**keys()[1], "x": "AAAA"}]), id="duplicate-kid"),
        pytest.param(with_jwt_key(kid=7), id="kid-number"),
        pytest.param(with_jwt_key(kid="k" * 1025), id="kid-long"),
        pytest.param(document(keys=[*keys(), *[{"kty": "EC", "use": "jwt-svid"}] * 999]), id="keys-1001"),
        pytest.param(with_ca(x5c=["!"]), id="x5c-no-base64"),
        pytest.param(with_ca(x5c=[7]), id="x5c-number"),
        pytest.param(with_ca(x5c=["MA=="]), id="x5c-no-certificate"),
        pytest.param(document(spiffe_sequence="1"), id="sequence-string"),
        pytest.param(document(spiffe_sequence=-1), id="sequence-negative"),
        pytest.param(document(spiffe_sequence=True), id="sequence-boolean"),
        pytest.param(document(spiffe_sequence=2**64), id="sequence-65-bits"),
        pytest.param(document(spiffe_refresh_hint=1.5), id="hint-fraction"),
        pytest.param(document() + b"{}", id="two-documents"),
        pytest.param(b'{"keys":[],"keys":[]}', id="SPIFFE-33-duplicate-member"),
        pytest.param(document() + b" " * MAX_BUNDLE_BYTES, id="above-1-MiB"),
    ],
)
def test_a_malformed_bundle_is_refused_whole(raw: bytes) -> None:
    with pytest.raises(MalformedBundle):
        parse_bundle(raw, TRUST_DOMAIN)


def test_a_bundle_of_exactly_the_largest_size_is_read() -> None:
    raw = document()
    assert not parse_bundle(raw + b" " * (MAX_BUNDLE_BYTES - len(raw)), TRUST_DOMAIN).is_empty


def test_keys_of_the_workload_api_need_no_use() -> None:
    assert [key.key_id for key in parse_jwt_authorities(AUTHORITY.jwt_bundle())] == [KID]
    assert parse_jwt_authorities(b'{"keys":[]}') == ()


def test_a_key_of_the_workload_api_that_states_another_use_is_ignored_SPIFFE_17() -> None:
    key = AUTHORITY.jwt_keys.active.public_jwk()
    assert parse_jwt_authorities(json.dumps({"keys": [{**key, "use": "wit-svid"}]}).encode()) == ()
    assert len(parse_jwt_authorities(json.dumps({"keys": [{**key, "use": "jwt-svid"}]}).encode())) == 1


def test_concatenated_certificates_are_cut_apart() -> None:
    other = Authority("example.org", intermediate=False).x509_bundle()
    mine = AUTHORITY.x509_bundle()
    assert parse_x509_authorities(mine + other) == (mine, other)
    assert parse_x509_authorities(mine + mine) == (mine,)
    assert parse_x509_authorities(b"") == ()


def test_a_leaf_among_them_is_no_anchor() -> None:
    mine = AUTHORITY.x509_bundle()
    assert parse_x509_authorities(mine + AUTHORITY.x509_svid("/app").chain[0]) == (mine,)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(AUTHORITY.x509_bundle()[:-1], id="cut"),
        pytest.param(AUTHORITY.x509_bundle() + b"\0", id="trailing-byte"),
        pytest.param(b"0\x80\0\0", id="indefinite-length"),
        pytest.param(b"0\x85\0\0\0\0\x01\0", id="long-length"),
        pytest.param(b"0\0", id="no-certificate"),
        pytest.param(b"hello", id="text"),
        pytest.param(b"0", id="one-byte"),
        pytest.param(b"\0" * (MAX_BUNDLE_BYTES + 1), id="above-1-MiB"),
    ],
)
def test_bytes_that_are_no_certificates_are_refused_whole(raw: bytes) -> None:
    with pytest.raises(MalformedBundle):
        parse_x509_authorities(raw)


def spoilt(old: bytes, new: bytes) -> bytes:
    """A CA certificate with one thing in its DER that `cryptography` refuses outside of ValueError."""
    key = AUTHORITY.x509_keys.active.root.key
    now = AUTHORITY.clock()
    profile = root_profile("spiffe://example.org", not_before=now, not_after=now + 60)
    certificate = certify(None, key, profile).public_bytes(Encoding.DER)
    assert certificate.count(old) == 1
    return certificate.replace(old, new)


@pytest.mark.parametrize(
    "certificate",
    [
        pytest.param(spoilt(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07"), id="version-8"),
        # The subject key identifier's name becomes a second authority key identifier's.
        pytest.param(spoilt(b"\x06\x03\x55\x1d\x0e", b"\x06\x03\x55\x1d\x23"), id="extension-twice"),
    ],
)
def test_a_certificate_no_parser_takes_is_a_malformed_bundle_and_no_crash(certificate: bytes) -> None:
    with pytest.raises(MalformedBundle):
        parse_x509_authorities(certificate)
    with pytest.raises(MalformedBundle):
        parse_bundle(with_ca(x5c=[base64.b64encode(certificate).decode()]), TRUST_DOMAIN)


@given(st.binary(max_size=200))
def test_no_bytes_make_the_parsers_fail_otherwise(raw: bytes) -> None:
    for parse in (partial(parse_bundle, trust_domain=TRUST_DOMAIN), parse_jwt_authorities, parse_x509_authorities):
        with suppress(MalformedBundle):
            parse(raw)


_ODD = st.sampled_from([None, True, 0, -1, 1.5, "", "EC", "RSA", "x509-svid", "jwt-svid", [], ["!"], {}, "AAAA"])
_ENTRY = st.dictionaries(
    st.sampled_from(["use", "kty", "kid", "x5c", "x", "y", "crv", "n", "e", "alg"]), _ODD, max_size=5
)


@given(st.lists(_ENTRY | st.sampled_from(keys()), max_size=4))
def test_any_entries_are_read_or_refused_and_real_keys_survive_next_to_junk(entries: list[dict[str, Any]]) -> None:
    try:
        bundle = parse_bundle(json.dumps({"keys": entries}).encode(), TRUST_DOMAIN)
    except MalformedBundle:
        return
    assert (len(bundle.x509_authorities) == 1) == (keys()[0] in entries)
