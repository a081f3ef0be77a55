"""Who vouched for an SVID, by names that nobody can choose who signs one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bridge.model.authority import Authority, AuthorityKind
from bridge.model.bundle import JwtAuthority
from bridge.model.evidence import JwtEvidence
from bridge.verify.authorities import authorities_of_bundle
from tests.svid_factory import (
    NOW,
    CertificateAuthority,
    JwtAuthoritySigner,
    b64url,
    ca_spec,
    key_pair,
    leaf_spec,
    sign,
)
from tests.trust import ISSUER, WORKLOAD, FixedBundles, svid_verifier, trust_bundle

DOMAIN = "example.org"


def names(kind: AuthorityKind, ca: CertificateAuthority) -> Authority:
    """Its names, made here from the key's own bits."""
    key_id = x509.SubjectKeyIdentifier.from_public_key(ca.key.public_key()).digest.hex()
    return Authority(kind, key_id, hashlib.sha256(ca.der).hexdigest())


def test_each_ca_of_the_path_vouched_for_an_x509_svid() -> None:
    """Whoever signed it first, the anchor last; a root that signs leaves itself is alone."""
    root = CertificateAuthority.root(DOMAIN)
    first = root.intermediate(DOMAIN)
    second = first.intermediate(DOMAIN)
    verifier = svid_verifier(FixedBundles(trust_bundle(DOMAIN, [root])))
    expected = {
        root: (names(AuthorityKind.ANCHOR, root),),
        second: (
            names(AuthorityKind.INTERMEDIATE, second),
            names(AuthorityKind.INTERMEDIATE, first),
            names(AuthorityKind.ANCHOR, root),
        ),
    }
    for signer, authorities in expected.items():
        identity = verifier.verify_chain(signer.issue(leaf_spec(WORKLOAD)).chain, now=NOW)
        assert identity.authorities == authorities
        assert verifier.verify_chain(signer.issue(leaf_spec(WORKLOAD)).chain, now=NOW).authorities == authorities


def test_an_intermediate_that_stands_in_the_bundle_is_the_anchor() -> None:
    root = CertificateAuthority.root(DOMAIN)
    signer = root.intermediate(DOMAIN)
    chain = signer.issue(leaf_spec(WORKLOAD)).chain[:1]
    verifier = svid_verifier(FixedBundles(trust_bundle(DOMAIN, [signer])))
    assert verifier.verify_chain(chain, now=NOW).authorities == (names(AuthorityKind.ANCHOR, signer),)


@pytest.mark.parametrize("lies", [False, True], ids=["as it is", "another's key id"])
def test_a_ca_is_named_by_its_key_whatever_its_certificates_and_leaves_say(lies: bool) -> None:
    """The key id that the leaf names goes to the row as well; nothing is decided by it."""
    root, other = CertificateAuthority.root(DOMAIN), key_pair("P-256", "somebody else's")
    ca, leaf = ca_spec(DOMAIN, key=key_pair("P-256", "signer"), common_name="signer"), leaf_spec(WORKLOAD)
    if lies:
        ca = ca.adding(x509.SubjectKeyIdentifier.from_public_key(other.public_key()))
        leaf = leaf.adding(x509.AuthorityKeyIdentifier.from_issuer_public_key(other.public_key()))
        ca, leaf = replace(ca, key_identifiers=False), replace(leaf, key_identifiers=False)
    signer = CertificateAuthority(sign(ca, root), ca.key)
    chain = (sign(leaf, signer), signer.certificate)
    identity = svid_verifier(FixedBundles(trust_bundle(DOMAIN, [root]))).verify_chain(tuple(map(_der, chain)), now=NOW)
    assert identity.authorities == (names(AuthorityKind.INTERMEDIATE, signer), names(AuthorityKind.ANCHOR, root))
    assert (identity.key_id == identity.authorities[0].key_id) is not lies


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def test_the_key_that_signed_vouched_for_a_jwt_svid() -> None:
    signer = JwtAuthoritySigner.make("k1")
    verifier = svid_verifier(FixedBundles(trust_bundle(DOMAIN, (), [signer])))
    token = signer.svid(sub=WORKLOAD, aud=ISSUER, exp=NOW + 300)
    identity = verifier.verify_jwt(JwtEvidence(token), now=NOW)
    assert identity.authorities == (Authority(AuthorityKind.JWT, "k1", thumbprint(signer)),)


def thumbprint(signer: JwtAuthoritySigner) -> str:
    """RFC 7638, by hand."""
    jwk = signer.jwk()
    members = {name: jwk[name] for name in ("crv", "kty", "x", "y")}
    return b64url(hashlib.sha256(json.dumps(members, separators=(",", ":"), sort_keys=True).encode()).digest())


def test_a_bundle_holds_all_its_keys_by_the_names_that_they_vouch_under() -> None:
    """Also those that may vouch for nobody: they stand there, so nobody took them out."""
    root, signer = CertificateAuthority.root(DOMAIN), JwtAuthoritySigner.make("k1")
    bundle = trust_bundle(DOMAIN, [root], [signer])
    weak = JwtAuthority("weak", '{"kty": "EC", "crv": "secp256k1"}')
    bundle = replace(bundle, jwt_authorities=(*bundle.jwt_authorities, weak))
    expected = {
        names(AuthorityKind.ANCHOR, root),
        Authority(AuthorityKind.JWT, "k1", thumbprint(signer)),
        Authority(AuthorityKind.JWT, "weak", ""),
    }
    assert authorities_of_bundle(bundle) == expected
    unreadable = replace(bundle, x509_authorities=(b"no certificate",), jwt_authorities=())
    digest = hashlib.sha256(b"no certificate").hexdigest()
    assert authorities_of_bundle(unreadable) == {Authority(AuthorityKind.ANCHOR, "", digest)}
