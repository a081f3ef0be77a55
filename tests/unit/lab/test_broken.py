"""The catalogue of broken SVIDs: each is made, and is wrong in what it says and in nothing else."""

from __future__ import annotations

import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_private_key

from bridge.lab.authority import Authority
from bridge.lab.broken_jwt import BROKEN_JWT, mint_jwt
from bridge.lab.broken_x509 import BROKEN_X509, mint_x509
from bridge.lab.jws import decode

NOW = 1_800_000_000
AUTHORITY = Authority("example.org", clock=lambda: NOW)
# These present another certificate than the workload's own, or one that no parser need take.
NOT_THE_LEAFS_KEY = {"signing-certificate"}


@pytest.mark.parametrize("broken", BROKEN_X509, ids=lambda b: f"{b.clause}-{b.name}")
def test_every_broken_x509_svid_can_be_presented(broken: object) -> None:
    name = broken.name  # type: ignore[attr-defined]
    svid = mint_x509(AUTHORITY, name, "/app")
    leaf = x509.load_der_x509_certificate(svid.chain[0])
    matches = load_der_private_key(svid.key, None).public_key() == leaf.public_key()
    assert matches is (name not in NOT_THE_LEAFS_KEY)
    assert svid.chain_pem().count(b"BEGIN CERTIFICATE") == len(svid.chain)


@pytest.mark.parametrize("broken", BROKEN_JWT, ids=lambda b: f"{b.clause}-{b.name}")
def test_every_broken_jwt_svid_can_be_presented(broken: object) -> None:
    token = mint_jwt(AUTHORITY, broken.name, "/app", "a")  # type: ignore[attr-defined]
    assert token
    assert token.isascii()


def test_names_are_unique_and_every_entry_says_why() -> None:
    for catalogue in (BROKEN_X509, BROKEN_JWT):
        assert len({entry.name for entry in catalogue}) == len(catalogue)
        assert all(entry.why and entry.clause for entry in catalogue)


def uris(name: str) -> list[str]:
    leaf = mint_x509(AUTHORITY, name, "/app").leaf
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def test_the_names_say_what_is_wrong() -> None:
    assert len(uris("two-uri-sans")) == 2
    assert uris("no-uri-san") == []
    assert uris("root-path") == ["spiffe://example.org"]
    assert len(mint_x509(AUTHORITY, "endless-chain", "/app").chain) == 22
    assert mint_x509(AUTHORITY, "expired", "/app").not_after < NOW


def test_a_token_signed_by_the_wrong_authority_names_that_authoritys_key() -> None:
    other = Authority("other.example", clock=lambda: NOW)
    token = mint_jwt(AUTHORITY, "other-trust-domain", "/app", "a", other=other)
    assert json.loads(decode(token.split(".")[0]))["kid"] == other.jwt_keys.active.kid
    assert json.loads(decode(token.split(".")[1]))["sub"] == "spiffe://example.org/app"


def test_an_unknown_name_is_an_error() -> None:
    for mint in (lambda: mint_x509(AUTHORITY, "x", "/app"), lambda: mint_jwt(AUTHORITY, "x", "/app", "a")):
        with pytest.raises(KeyError):
            mint()
