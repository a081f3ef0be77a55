"""The key policy for JWKs: RSA of 2048 bits or more, three curves, canonical numbers, public halves only."""

from __future__ import annotations

import json
import math

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from joserfc.jwk import ECKey, OctKey, OKPKey

from bridge.jose.algorithms import ALGORITHMS
from bridge.jose.jws import parse_compact, signature_holds
from bridge.jose.key_policy import UnfitKey, check_rsa
from bridge.jose.keys import SigningKey, import_public
from tests.svid_factory import b64url, jose_key

FITTING = {
    "P-256": {"ES256"},
    "P-384": {"ES384"},
    "P-521": {"ES512"},
    "RSA-2048": {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"},
}


def public(kind: str = "P-256", **changes: object) -> dict[str, object]:
    jwk = {**jose_key(kind).as_dict(private=False), "kid": "k", **changes}
    return {name: value for name, value in jwk.items() if value is not None}


@pytest.mark.parametrize("kind", FITTING, ids=lambda kind: f"SPIFFE-18 {kind}")
def test_a_key_fits_exactly_the_algorithms_of_its_type(kind: str) -> None:
    key = import_public(public(kind))
    assert {alg for alg in (*ALGORITHMS, "none", "HS256", "EdDSA", "") if key.fits(alg)} == FITTING[kind]
    assert key.thumbprint == jose_key(kind).thumbprint()


def test_what_a_key_says_of_itself_narrows_what_it_fits() -> None:
    key = import_public(public("RSA-2048", alg="PS384", use="sig", key_ops=["verify"]))
    assert [alg for alg in ALGORITHMS if key.fits(alg)] == ["PS384"]


def test_a_key_without_kid_has_the_empty_name() -> None:
    assert import_public(public(kid=None)).kid == ""


def test_unknown_members_are_ignored_and_not_looked_at() -> None:
    assert import_public(public(x5u="https://127.0.0.1:1/", jku=7, x5c="no")).fits("ES256")


REFUSED: dict[str, dict[str, object]] = {
    "no kty": public(kty=None),
    "kty of another type": public(kty="RSA"),
    "kty no string": public(kty=["EC"]),
    "symmetric": dict(OctKey.generate_key(256).as_dict()),
    "Ed25519": dict(OKPKey.generate_key("Ed25519").as_dict(private=False)),
    "secp256k1": dict(ECKey.generate_key("secp256k1").as_dict(private=False)),
    "private EC": {**jose_key("P-256").as_dict(private=True), "kid": "k"},
    "private RSA": {**jose_key("RSA-2048").as_dict(private=True), "kid": "k"},
    "with a symmetric member": public(k="AAAA"),
    "RSA-1024": {"kty": "RSA", "n": b64url(b"\xc5" * 128), "e": "AQAB"},
    "RSA-2047": {"kty": "RSA", "n": b64url(b"\x65" + b"\xc5" * 255), "e": "AQAB"},
    "RSA-16384": {"kty": "RSA", "n": b64url(b"\xc5" * 2048), "e": "AQAB"},
    "RSA exponent 1": public("RSA-2048", e="AQ"),
    "RSA exponent 3": public("RSA-2048", e="Aw"),
    "RSA exponent even": public("RSA-2048", e=b64url((65538).to_bytes(3, "big"))),
    "RSA exponent of 33 bits": public("RSA-2048", e=b64url((2**32 + 1).to_bytes(5, "big"))),
    "RSA modulus even": {"kty": "RSA", "n": b64url(b"\xc5" * 255 + b"\xc4"), "e": "AQAB"},
    "RSA modulus with a zero before it": public("RSA-2048", n=b64url(b"\0" + b"\xc5" * 256)),
    "RSA modulus empty": public("RSA-2048", n=""),
    "RSA modulus no string": public("RSA-2048", n=7),
    "RSA without exponent": public("RSA-2048", e=None),
    "curve of another size": public(crv="P-384"),
    "curve unknown": public(crv="P-192"),
    "curve no string": public(crv=256),
    "point off the curve": public(y=b64url(b"\x01" * 32)),
    "coordinate too short": public(x=b64url(b"\x01" * 31)),
    "coordinate too long": public(x=b64url(b"\0" + b"\x01" * 32)),
    "coordinate padded": public(x=str(public()["x"]) + "="),
    "coordinate of a megabyte": public(x="A" * 1_000_000),
    "use enc": public(use="enc"),
    "use no string": public(use=["sig"]),
    "use of another bundle entry": public(use="x509-svid"),
    "key_ops without verify": public(key_ops=["encrypt"]),
    "key_ops no list": public(key_ops="verify"),
    "alg of another type": public(alg="RS256"),
    "alg of another curve": public(alg="ES384"),
    "alg that does not exist": public(alg="ES521"),
    "alg none": public(alg="none"),
    "alg no string": public(alg=None) | {"alg": 7},
    "kid no string": public(kid=7),
    "kid too long": public(kid="k" * 1025),
}


@pytest.mark.parametrize("jwk", REFUSED.values(), ids=list(REFUSED))
def test_an_unfit_key_is_refused(jwk: dict[str, object]) -> None:
    with pytest.raises(UnfitKey) as refusal:
        import_public(jwk)
    assert len(str(refusal.value)) < 120


def test_the_stated_use_must_be_the_one_asked_for_SPIFFE_17() -> None:
    assert import_public(public(use="jwt-svid"), use="jwt-svid").kid == "k"
    for other in ("x509-svid", "wit-svid", "sig", "JWT-SVID"):
        with pytest.raises(UnfitKey):
            import_public(public(use=other), use="jwt-svid")


def test_a_key_of_the_flawed_generator_is_known_by_its_modulus() -> None:
    sound = jose_key("RSA-2048").public_key.public_numbers()
    assert isinstance(sound, RSAPublicNumbers)
    check_rsa(sound.n, sound.e)
    # k * M + (65537 ** a mod M), as that generator made its primes, of 2,048 bits and odd.
    product = 2 * math.prod((11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157))
    flawed = pow(65537, 4711, product) + product * (2**2047 // product + 1)
    with pytest.raises(UnfitKey, match="ROCA"):
        check_rsa(flawed, 65537)


@pytest.mark.parametrize("alg", sorted(ALGORITHMS))
def test_what_a_signing_key_signs_its_public_half_verifies(alg: str) -> None:
    key = SigningKey.generate(alg)
    token = parse_compact(key.sign({"typ": "at+jwt"}, {"sub": "x"}), max_bytes=16_384)
    assert token.header == {"alg": alg, "kid": key.kid, "typ": "at+jwt"}
    assert token.claims() == {"sub": "x"}
    assert signature_holds(token, key.verification_key(), alg)
    again = SigningKey.from_private_json(key.private_json())
    assert again == key
    assert again.public_jwk() == key.public_jwk()
    assert signature_holds(parse_compact(again.sign({}, {}), max_bytes=9999), key.verification_key(), alg)


def test_a_signing_key_shows_only_its_public_half() -> None:
    key = SigningKey.generate("ES256", "name")
    assert key.public_jwk().keys() == {"kty", "crv", "x", "y", "kid", "alg", "use"}
    private = json.loads(key.private_json())["d"]
    assert private not in repr(key)
    assert private not in json.dumps(key.public_jwk())


def test_a_signing_key_is_named_by_its_thumbprint_unless_named() -> None:
    assert SigningKey.generate("ES256", "name").kid == "name"
    key = SigningKey.generate("ES256")
    assert key.kid == key.verification_key().thumbprint


@pytest.mark.parametrize("alg", ["none", "HS256", "EdDSA", "ES256K", ""])
def test_no_other_algorithm_has_a_key(alg: str) -> None:
    with pytest.raises(ValueError):
        SigningKey.generate(alg)


@pytest.mark.parametrize("header", [{"alg": "none"}, {"kid": "other"}])
def test_a_header_cannot_name_another_key(header: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        SigningKey.generate("ES256").sign(header, {})


def _private(**changes: object) -> bytes:
    jwk = {**json.loads(SigningKey.generate("ES256").private_json()), **changes}
    return json.dumps({name: value for name, value in jwk.items() if value is not None}).encode()


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[]", _private(d=None), _private(kid=""), _private(alg=None), _private(d=7), _private(d="A")]
)
def test_a_damaged_private_key_is_refused_without_being_quoted(raw: bytes) -> None:
    assert SigningKey.from_private_json(_private()).alg == "ES256"
    with pytest.raises(UnfitKey) as refusal:
        SigningKey.from_private_json(raw)
    assert len(str(refusal.value)) < 120
