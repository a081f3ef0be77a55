"""py-spiffe's own verifiers as a second opinion, on the ground where they are right.

Where they are known to be wrong, the last tests say how, so that a release that mends them is noticed.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import example, given, settings
from hypothesis import strategies as st
from spiffe.bundle.jwt_bundle.jwt_bundle import JwtBundle
from spiffe.errors import PySpiffeError
from spiffe.spiffe_id.spiffe_id import SpiffeId as OracleId
from spiffe.spiffe_id.spiffe_id import TrustDomain as OracleTrustDomain
from spiffe.svid.jwt_svid import JwtSvid
from spiffe.svid.x509_svid import X509Svid

from bridge.model.errors import EvidenceRejected
from bridge.model.evidence import JwtEvidence
from bridge.model.spiffe_id import InvalidSpiffeId, SpiffeId
from bridge.verify.x509_leaf import RULES, Leaf, spiffe_id_of
from tests.svid_factory import CertificateAuthority, JwtAuthoritySigner, key_usage, leaf_spec, uri
from tests.trust import ISSUER, WORKLOAD, FixedBundles, svid_verifier, trust_bundle

SIGNER = JwtAuthoritySigner.make("key-1")
RSA = JwtAuthoritySigner.make("rsa", "RSA-2048", "PS256")
BUNDLES = FixedBundles(trust_bundle("example.org", jwt_authorities=[SIGNER, RSA]))
ORACLE_BUNDLE = JwtBundle.parse(
    OracleTrustDomain("example.org"), json.dumps({"keys": [SIGNER.jwk(), RSA.jwk()]}).encode()
)
ROOT = CertificateAuthority.root("example.org")


def ours(token: str) -> bool:
    try:
        svid_verifier(BUNDLES).verify_jwt(JwtEvidence(token), audience=ISSUER, now=int(time.time()))
    except EvidenceRejected:
        return False
    return True


def theirs(token: str) -> bool:
    try:
        JwtSvid.parse_and_validate(token, ORACLE_BUNDLE, {ISSUER})
    except PySpiffeError:
        return False
    return True


def in_an_hour() -> int:
    # The oracle reads the clock itself, so these tokens live by the real one.
    return int(time.time()) + 1800


OTHER_CURVE = JwtAuthoritySigner.make("key-1", "P-384")
STRANGER = JwtAuthoritySigner.make("unknown")
SUBJECTS = [WORKLOAD, WORKLOAD, "spiffe://other.example/a", "https://example.org/a", "spiffe://example.org/a//b", None]


@example(signer=SIGNER, typ="JWT", sub=WORKLOAD, aud=ISSUER, life=1800, kid="its own")
@example(signer=RSA, typ=None, sub=WORKLOAD, aud=[ISSUER], life=1800, kid="rsa")
@given(
    signer=st.sampled_from([SIGNER, RSA, STRANGER, OTHER_CURVE]),
    typ=st.sampled_from([None, "JWT", "JOSE", "at+jwt", "wit+jwt"]),
    sub=st.sampled_from(SUBJECTS),
    aud=st.sampled_from([ISSUER, [ISSUER], "https://other.example", ISSUER + "/", None]),
    life=st.sampled_from([1800, 900, -3600]),
    kid=st.sampled_from(["its own", "its own", "key-1", "rsa", "nobody"]),
)
@settings(max_examples=150, deadline=None)
def test_both_agree_about_tokens(
    signer: JwtAuthoritySigner, typ: str | None, sub: str | None, aud: object, life: int, kid: str
) -> None:
    header = {"typ": typ, "kid": signer.kid if kid == "its own" else kid}
    token = signer.svid(header=header, sub=sub, aud=aud, exp=in_an_hour() - 1800 + life)
    assert ours(token) is theirs(token)


@given(st.text(alphabet="abz019.-_/:?#%@ ", max_size=40))
def test_both_agree_about_ids_in_lower_case(rest: str) -> None:
    raw = "spiffe://" + rest
    try:
        expected: str | None = str(OracleId(raw))
    except PySpiffeError:
        expected = None
    try:
        given_back: str | None = str(SpiffeId.parse(raw))
    except InvalidSpiffeId:
        given_back = None
    assert given_back == expected


LEAF = leaf_spec(WORKLOAD)
LEAVES = {
    "sound": LEAF,
    "with DNS names": leaf_spec(WORKLOAD, x509.DNSName("a.example.org")),
    "without extended key usage": LEAF.without(x509.ExtendedKeyUsage),
    "no names": LEAF.without(x509.SubjectAlternativeName),
    "two URIs": LEAF.replacing(x509.SubjectAlternativeName(uri(WORKLOAD, "https://a.example")), False),
    "root path": LEAF.replacing(x509.SubjectAlternativeName(uri("spiffe://example.org")), False),
    "no SPIFFE ID": LEAF.replacing(x509.SubjectAlternativeName(uri("https://example.org/a")), False),
    "a CA": LEAF.replacing(x509.BasicConstraints(True, None), True),
    "no key usage": LEAF.without(x509.KeyUsage),
    "no digitalSignature": LEAF.replacing(key_usage("key_agreement"), True),
    "keyCertSign": LEAF.replacing(key_usage("digital_signature", "key_cert_sign"), True),
    "cRLSign": LEAF.replacing(key_usage("digital_signature", "crl_sign"), True),
}


def ours_of_leaf(certificate: x509.Certificate) -> bool:
    try:
        leaf = Leaf.of(certificate)
        spiffe_id_of(leaf)
        for _, rule in RULES:
            rule(leaf)
    except EvidenceRejected:
        return False
    return True


def theirs_of_leaf(der: bytes, key: bytes) -> bool:
    try:
        X509Svid.parse_raw(der, key)
    except PySpiffeError:
        return False
    return True


@pytest.mark.parametrize("name", LEAVES)
def test_both_agree_about_leaves(name: str) -> None:
    leaf = ROOT.issue(LEAVES[name])
    key = leaf.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert ours_of_leaf(leaf.certificate) is theirs_of_leaf(leaf.der, key)


def test_where_the_oracle_is_wrong_about_ids_T_11() -> None:
    assert str(OracleId("spiffe://Example.org/a")) == "spiffe://example.org/a"
    assert str(OracleId("spiffe://example.org/a\n")) == "spiffe://example.org/a\n"
    for raw in ("spiffe://Example.org/a", "spiffe://example.org/a\n"):
        with pytest.raises(InvalidSpiffeId):
            SpiffeId.parse(raw)


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        ({"jku": "https://127.0.0.1/keys"}, {}),
        ({}, {"aud": [ISSUER, "https://other.example"]}),
        ({}, {"exp": "4102444800"}),
    ],
    ids=["a key-bearing header", "a second audience", "a string as time"],
)
def test_where_the_oracle_takes_more_than_an_authorization_server_may(
    header: dict[str, object], claims: dict[str, object]
) -> None:
    sound: dict[str, object] = {"sub": WORKLOAD, "aud": ISSUER, "exp": in_an_hour()}
    assert ours(SIGNER.svid(**sound))
    token = SIGNER.svid(header=header, **{**sound, **claims})
    assert theirs(token)
    assert not ours(token)


def test_where_the_oracle_breaks_on_a_missing_exp() -> None:
    token = SIGNER.svid(sub=WORKLOAD, aud=ISSUER)
    with pytest.raises(KeyError):
        theirs(token)
    assert not ours(token)


def test_where_the_oracle_does_not_look_at_the_purpose_of_a_leaf() -> None:
    server = LEAF.replacing(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
    leaf = ROOT.issue(replace(server, common_name="server"))
    key = leaf.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert theirs_of_leaf(leaf.der, key)
    assert not ours_of_leaf(leaf.certificate)
