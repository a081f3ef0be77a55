"""The digest that people compare: it follows from the keys and from nothing else, and can be made without us."""

from __future__ import annotations

import datetime
import hashlib
import json
from dataclasses import replace
from itertools import permutations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from bridge.jose.keys import import_public
from bridge.lab.authority import Authority
from bridge.model.bundle import JwtAuthority, TrustBundle
from bridge.model.spiffe_id import TrustDomain
from bridge.spire.described_keys import describe_keys, digest_of, read_digest
from bridge.spire.parse import parse_bundle

HERE = TrustDomain("partner.example")


def bundle_of_four() -> TrustBundle:
    authority = Authority(HERE.name, intermediate=False)
    authority.rotate_x509("prepare")
    authority.rotate_jwt("prepare")
    return parse_bundle(authority.bundle_json(), HERE)


BUNDLE = bundle_of_four()
OTHER = parse_bundle(Authority(HERE.name, jwt_alg="RS256", intermediate=False).bundle_json(), HERE)


def test_order_sequence_and_hint_say_nothing_of_the_keys() -> None:
    for cas in permutations(BUNDLE.x509_authorities):
        for jwt in permutations(BUNDLE.jwt_authorities):
            shuffled = replace(BUNDLE, x509_authorities=cas, jwt_authorities=jwt, sequence=99, refresh_hint=None)
            assert digest_of(shuffled) == digest_of(BUNDLE)


def renamed(key: JwtAuthority, kid: str) -> JwtAuthority:
    return JwtAuthority(kid, json.dumps({**json.loads(key.jwk), "kid": kid}))


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(replace(BUNDLE, x509_authorities=BUNDLE.x509_authorities[:1]), id="a-ca-less"),
        pytest.param(replace(BUNDLE, jwt_authorities=BUNDLE.jwt_authorities[:1]), id="a-jwt-key-less"),
        pytest.param(replace(BUNDLE, x509_authorities=OTHER.x509_authorities), id="other-cas"),
        pytest.param(replace(BUNDLE, jwt_authorities=OTHER.jwt_authorities), id="other-jwt-keys"),
        pytest.param(
            replace(BUNDLE, jwt_authorities=(renamed(BUNDLE.jwt_authorities[0], "x"), BUNDLE.jwt_authorities[1])),
            id="another-kid",
        ),
        pytest.param(
            replace(
                BUNDLE,
                jwt_authorities=tuple(
                    renamed(key, other.key_id)
                    for key, other in zip(BUNDLE.jwt_authorities, reversed(BUNDLE.jwt_authorities), strict=True)
                ),
            ),
            id="kids-swapped",
        ),
    ],
)
def test_any_other_key_or_name_of_one_is_another_digest(changed: TrustBundle) -> None:
    assert digest_of(changed) != digest_of(BUNDLE)


@pytest.mark.parametrize("bundle", [BUNDLE, OTHER], ids=["EC", "RSA"])
def test_the_digest_is_the_one_that_is_documented(bundle: TrustBundle) -> None:
    keys = describe_keys(bundle)
    lines = [f"x509-svid {key['id']}\n" for key in keys if key["use"] == "x509-svid"]
    lines += [f'jwt-svid {key["thumbprint"]} "{key["id"]}"\n' for key in keys if key["use"] == "jwt-svid"]
    digits = hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()[:32]
    assert digest_of(bundle).replace("-", "") == digits
    assert len(digest_of(bundle).split("-")) == 8


@pytest.mark.parametrize("bundle", [BUNDLE, OTHER], ids=["EC", "RSA"])
def test_a_jwt_key_is_shown_with_the_thumbprint_of_rfc_7638(bundle: TrustBundle) -> None:
    shown = {key["id"]: key["thumbprint"] for key in describe_keys(bundle) if key["use"] == "jwt-svid"}
    assert shown == {
        key.key_id: import_public(json.loads(key.jwk), use="jwt-svid").thumbprint for key in bundle.jwt_authorities
    }


def test_a_key_that_nobody_can_use_is_in_the_digest_too() -> None:
    odd = replace(BUNDLE, jwt_authorities=(JwtAuthority("", '{"kty":"EC"}'),))
    assert digest_of(odd) != digest_of(replace(odd, jwt_authorities=()))


def test_a_digest_is_read_as_it_is_said_and_only_whole() -> None:
    digest = digest_of(BUNDLE)
    for said in (digest, digest.upper(), digest.replace("-", ":"), digest.replace("-", " "), digest.replace("-", "")):
        assert read_digest(said) == digest
    for wrong in ("", digest[:-1], digest + "0", "g" + digest[1:], digest.replace("-", "/")):
        assert read_digest(wrong) is None


def test_a_ca_whose_key_nobody_knows_is_shown_as_unreadable_beside_the_others() -> None:
    """T-20: what a partner publishes never ends the command that shows it."""
    (ca, *_) = BUNDLE.x509_authorities
    curve = bytes.fromhex("06082a8648ce3d030107")
    odd = ca.replace(curve, curve[:-1] + b"\x63")
    assert odd != ca
    shown = describe_keys(replace(BUNDLE, x509_authorities=(odd, ca)))
    assert [key["type"] for key in shown[:2]] == ["unreadable", "EC 256"]


@pytest.mark.parametrize(("length", "shown"), [(20, 20), (5000, 203)], ids=["short", "long"])
def test_a_subject_is_shown_no_longer_than_people_read(length: int, shown: int) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.DOMAIN_COMPONENT, "x" * (length - 3))])
    now = datetime.datetime(2027, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now)
    der = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    (described,) = describe_keys(TrustBundle(HERE, (der,)))
    assert described["subject"] is not None
    assert len(described["subject"]) == shown
