"""SVIDs and bundles as SPIRE makes them, and rotation in its four steps."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from bridge.lab.authority import Authority
from bridge.lab.jws import decode
from bridge.lab.rotation import Stage, StageRefused
from bridge.lab.x509 import BACKDATE
from bridge.model.spiffe_id import InvalidSpiffeId, TrustDomain
from bridge.spire.parse import parse_bundle

NOW = 1_800_000_000


def authority(**options: object) -> Authority:
    return Authority("example.org", clock=lambda: NOW, **options)  # type: ignore[arg-type]


def claims(token: str) -> dict[str, object]:
    return dict(json.loads(decode(token.split(".")[1])))


def header(token: str) -> dict[str, object]:
    return dict(json.loads(decode(token.split(".")[0])))


def test_a_leaf_looks_as_spire_makes_it() -> None:
    svid = authority().x509_svid("/ns/web/sa/api", ttl=300, dns_names=["api.web"])
    leaf = svid.leaf
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://example.org/ns/web/sa/api"]
    assert names.get_values_for_type(x509.DNSName) == ["api.web"]
    assert leaf.subject.rfc4514_string() == "CN=api.web,O=SPIRE,C=US"
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    assert set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == {
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    }
    assert int(leaf.not_valid_before_utc.timestamp()) == NOW - BACKDATE
    assert svid.not_after == NOW + 300


def test_no_two_cas_have_the_same_name_as_with_spire() -> None:
    """Whoever looks for the issuer by its name finds one, also among those of a thousand trust domains."""
    roots = [x509.load_der_x509_certificate(authority(intermediate=False).x509_bundle()) for _ in range(2)]
    assert [f"2.5.4.5={root.serial_number},O=SPIFFE,C=US" for root in roots] == [
        root.subject.rfc4514_string() for root in roots
    ]
    assert roots[0].subject != roots[1].subject


@pytest.mark.parametrize(("intermediate", "length"), [(True, 2), (False, 1)])
def test_the_chain_leads_to_the_bundle(intermediate: bool, length: int) -> None:
    example = authority(intermediate=intermediate)
    chain = [x509.load_der_x509_certificate(der) for der in example.x509_svid("/app").chain]
    assert len(chain) == length
    root = x509.load_der_x509_certificate(example.x509_bundle())
    for lower, upper in zip(chain, [*chain[1:], root], strict=True):
        lower.verify_directly_issued_by(upper)


def test_a_leaf_does_not_outlive_its_ca() -> None:
    example = authority()
    svid = example.x509_svid("/app", ttl=10 * 86400)
    assert svid.not_after == int(example.x509_keys.active.signer.certificate.not_valid_after_utc.timestamp())


def test_a_jwt_svid_looks_as_spire_makes_it() -> None:
    example = authority()
    token = example.jwt_svid("/app", ["a", "b"], ttl=60)
    assert header(token) == {"alg": "ES256", "kid": example.jwt_keys.active.kid, "typ": "JWT"}
    assert claims(token) == {"aud": ["a", "b"], "exp": NOW + 60, "iat": NOW, "sub": "spiffe://example.org/app"}


def test_an_issuer_and_further_claims_are_added_when_asked_for() -> None:
    token = authority(jwt_issuer="https://spire.example").jwt_svid("/app", "a", claims={"jti": "1"})
    assert (claims(token)["iss"], claims(token)["jti"]) == ("https://spire.example", "1")


@pytest.mark.parametrize("path", ["", "app", "app/x", "/a//b", "/../b"])
def test_a_path_that_makes_no_workload_is_refused(path: str) -> None:
    with pytest.raises(InvalidSpiffeId):
        authority().jwt_svid(path, "a")


def test_the_bundle_is_one_that_the_service_reads() -> None:
    example = authority(refresh_hint=60)
    bundle = parse_bundle(example.bundle_json(), TrustDomain("example.org"))
    assert bundle.x509_authorities == (example.x509_bundle(),)
    assert (bundle.sequence, bundle.refresh_hint) == (1, 60)
    entries = example.bundle()["keys"]
    assert isinstance(entries, list)
    assert [sorted(entry) for entry in entries] == [
        ["crv", "kty", "use", "x", "x5c", "y"],
        ["crv", "kid", "kty", "use", "x", "y"],
    ]
    assert base64.b64decode(entries[0]["x5c"][0]) == example.x509_bundle()


def test_a_rotation_publishes_before_it_signs_and_withdraws_last() -> None:
    example = authority()
    old = example.jwt_keys.active.kid

    def published() -> set[str]:
        return {key["kid"] for key in json.loads(example.jwt_bundle())["keys"]}

    example.rotate_jwt(Stage.PREPARE)
    assert len(published()) == 2
    assert header(example.jwt_svid("/app", "a"))["kid"] == old
    example.rotate_jwt(Stage.ACTIVATE)
    assert header(example.jwt_svid("/app", "a"))["kid"] != old
    assert old in published()
    example.rotate_jwt(Stage.TAINT, Stage.REVOKE)
    assert published() == {example.jwt_keys.active.kid}
    assert example.sequence == 4


def test_a_ca_rotation_makes_old_svids_renewable_only_when_tainted() -> None:
    example = authority()
    svid = example.x509_svid("/app")
    example.rotate_x509(Stage.PREPARE, Stage.ACTIVATE)
    assert example.is_current_ca(svid)
    example.rotate_x509(Stage.TAINT)
    assert not example.is_current_ca(svid)
    assert example.is_current_ca(example.x509_svid("/app"))


@pytest.mark.parametrize("stage", [Stage.ACTIVATE, Stage.TAINT, Stage.REVOKE])
def test_a_stage_out_of_order_is_refused(stage: Stage) -> None:
    example = authority()
    for rotate in (example.rotate_jwt, example.rotate_x509):
        with pytest.raises(StageRefused, match=r"prepare|taint|old key"):
            rotate(stage)


def test_an_untainted_key_cannot_be_revoked() -> None:
    example = authority()
    example.rotate_jwt(Stage.PREPARE, Stage.ACTIVATE)
    with pytest.raises(StageRefused, match="taint"):
        example.rotate_jwt(Stage.REVOKE)


def test_a_listener_hears_every_stage_until_it_is_taken_off() -> None:
    example = authority()
    heard: list[int] = []
    take_off = example.on_change(lambda: heard.append(1))
    example.rotate_jwt()
    take_off()
    example.rotate_x509()
    assert len(heard) == 4


def test_a_written_svid_is_pem_and_its_key_is_private(tmp_path: Path) -> None:
    svid = authority().x509_svid("/app")
    chain, key = svid.write(tmp_path / "svid")
    assert len(x509.load_pem_x509_certificates(chain.read_bytes())) == 2
    assert load_pem_private_key(key.read_bytes(), None).public_key() == svid.leaf.public_key()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
