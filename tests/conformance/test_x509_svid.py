"""X.509-SVIDs against the checklists: SPIFFE-4 to 11, SCA-15 to 18 (T-12, T-14 to T-17).

Every refusal is one change away from a chain that is accepted.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from bridge.model.errors import EvidenceRejected, Unavailable
from bridge.model.evidence import EvidenceKind, X509Evidence
from bridge.model.identity import BindingMethod, KeyBinding, VerifiedIdentity
from bridge.model.reasons import Reason
from tests.svid_factory import (
    DAY,
    HOUR,
    NOW,
    CertificateAuthority,
    CertificateSpec,
    Issued,
    JwtAuthoritySigner,
    ca_spec,
    key_pair,
    key_usage,
    leaf_spec,
    uri,
)
from tests.trust import WORKLOAD, FixedBundles, svid_verifier, trust_bundle

ROOT = CertificateAuthority.root("example.org")
INTERMEDIATE = ROOT.intermediate("example.org")
OTHER_ROOT = CertificateAuthority.root("other.example")
SOUND = leaf_spec(WORKLOAD)
UNKNOWN_EXTENSION = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")


def one_domain(*anchors: Issued) -> FixedBundles:
    return FixedBundles(trust_bundle("example.org", anchors, sequence=7))


def verify(leaf: Issued, *anchors: Issued, client_id: str | None = WORKLOAD, now: int = NOW) -> VerifiedIdentity:
    return svid_verifier(one_domain(*(anchors or (ROOT,)))).verify_x509(X509Evidence(leaf.chain, client_id), now=now)


def refused(leaf: Issued, *anchors: Issued, now: int = NOW) -> Reason:
    with pytest.raises(EvidenceRejected) as refusal:
        verify(leaf, *anchors, now=now)
    assert refusal.value.public == "client authentication failed"
    return refusal.value.reason


def intermediate(*extensions: tuple[x509.ExtensionType, bool], **changes: object) -> CertificateAuthority:
    """An intermediate under ROOT with these extensions besides, or instead of its own of the kind."""
    spec = ca_spec("example.org", common_name="intermediate", key=key_pair("P-256", "intermediate"))
    for value, critical in extensions:
        spec = spec.replacing(value, critical)
    return ROOT.intermediate("example.org", replace(spec, **changes))


def test_a_sound_chain_says_whose_key_it_is_SCA_18() -> None:
    leaf = INTERMEDIATE.issue(SOUND)
    identity = verify(leaf)
    digest = hashlib.sha256(leaf.der).digest()
    thumbprint = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert identity.name == WORKLOAD
    assert identity.subject.evidence is EvidenceKind.X509_SVID
    assert identity.keys == (KeyBinding(BindingMethod.X5T_S256, thumbprint, NOW + HOUR),)
    assert (identity.credential_hash, identity.not_after) == (digest.hex(), NOW + HOUR)
    authority = leaf.certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert authority.key_identifier is not None
    assert identity.key_id == authority.key_identifier.hex()
    assert (identity.verified_at, identity.bundle_sequence) == (NOW, 7)


def test_a_leaf_without_authority_key_id_is_audited_by_its_issuer_s_name() -> None:
    leaf = ROOT.issue(replace(SOUND, key_identifiers=False))
    assert verify(leaf).key_id == hashlib.sha256(ROOT.certificate.subject.public_bytes()).hexdigest()


# --- the leaf ---------------------------------------------------------------------------------------


def san(*names: x509.GeneralName) -> CertificateSpec:
    return SOUND.replacing(x509.SubjectAlternativeName(list(names)), False)


ACCEPTED_LEAVES: dict[str, CertificateSpec] = {
    "SPIFFE-5 DNS names beside the URI": leaf_spec(WORKLOAD, x509.DNSName("api.example.org"), x509.DNSName("b")),
    "an address and a mail name beside the URI": leaf_spec(
        WORKLOAD, x509.IPAddress(ipaddress.ip_address("10.0.0.1")), x509.RFC822Name("a@example.org")
    ),
    "without basic constraints": SOUND.without(x509.BasicConstraints),
    "SPIFFE-9 without extended key usage": SOUND.without(x509.ExtendedKeyUsage),
    "SPIFFE-9 for clients only": SOUND.replacing(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
    "an empty subject and critical names": replace(
        SOUND.replacing(x509.SubjectAlternativeName(uri(WORKLOAD)), True), common_name=None
    ),
    "an unknown extension that is not critical": SOUND.adding(UNKNOWN_EXTENSION),
    "T-16 P-384": replace(SOUND, key=key_pair("P-384")),
    "T-16 P-521": replace(SOUND, key=key_pair("P-521")),
    "T-16 RSA-2048": replace(SOUND, key=key_pair("RSA-2048")),
    "signed with SHA-384": replace(SOUND, hash_algorithm=hashes.SHA384()),
}
REFUSED_LEAVES: dict[str, tuple[CertificateSpec, Reason]] = {
    "SCA-16 no names": (SOUND.without(x509.SubjectAlternativeName), Reason.X509_LEAF),
    "SCA-16 no URI": (san(x509.DNSName("api.example.org")), Reason.X509_LEAF),
    "SPIFFE-4 SCA-16 two SPIFFE IDs": (san(*uri(WORKLOAD, "spiffe://example.org/b")), Reason.X509_LEAF),
    "SPIFFE-4 the same SPIFFE ID twice": (san(*uri(WORKLOAD, WORKLOAD)), Reason.X509_LEAF),
    "SPIFFE-4 a SPIFFE ID and another URI": (san(*uri(WORKLOAD, "https://example.org/a")), Reason.X509_LEAF),
    "another URI": (san(*uri("https://example.org/a")), Reason.SPIFFE_ID_INVALID),
    "SPIFFE-7 SCA-16 root path": (san(*uri("spiffe://example.org")), Reason.SPIFFE_ID_INVALID),
    "SPIFFE-7 root path with slash": (san(*uri("spiffe://example.org/")), Reason.SPIFFE_ID_INVALID),
    "T-11 upper case": (san(*uri("spiffe://EXAMPLE.org/ns/web/sa/api")), Reason.SPIFFE_ID_INVALID),
    "T-11 newline": (san(*uri(WORKLOAD + "\n")), Reason.SPIFFE_ID_INVALID),
    "T-11 NUL": (san(*uri(WORKLOAD + "\0")), Reason.SPIFFE_ID_INVALID),
    "T-11 escape": (san(*uri("spiffe://example.org/ns%2fweb")), Reason.SPIFFE_ID_INVALID),
    "T-11 dot segment": (san(*uri("spiffe://example.org/a/../b")), Reason.SPIFFE_ID_INVALID),
    "SPIFFE-6 SCA-16 cA": (SOUND.replacing(x509.BasicConstraints(True, None), True), Reason.X509_LEAF),
    "SPIFFE-6 SCA-16 keyCertSign": (
        SOUND.replacing(key_usage("digital_signature", "key_cert_sign"), True), Reason.X509_LEAF,
    ),
    "SPIFFE-6 SCA-16 cRLSign": (SOUND.replacing(key_usage("digital_signature", "crl_sign"), True), Reason.X509_LEAF),
    "SPIFFE-8 no key usage": (SOUND.without(x509.KeyUsage), Reason.X509_LEAF),
    "SPIFFE-8 SCA-16 no digitalSignature": (SOUND.replacing(key_usage("key_agreement"), True), Reason.X509_LEAF),
    "SPIFFE-9 for servers only": (
        SOUND.replacing(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False), Reason.X509_LEAF,
    ),
    "SPIFFE-9 for any use": (
        SOUND.replacing(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), False), Reason.X509_LEAF,
    ),
    "an empty subject and names that are not critical": (replace(SOUND, common_name=None), Reason.X509_LEAF),
    "SPIFFE-11 an unknown critical extension": (SOUND.adding(UNKNOWN_EXTENSION, True), Reason.X509_LEAF),
    "SPIFFE-11 critical name constraints on a leaf": (
        SOUND.adding(x509.NameConstraints([x509.DNSName("a")], None), True), Reason.X509_LEAF,
    ),
    "T-16 P-224": (replace(SOUND, key=key_pair("P-224")), Reason.X509_KEY),
    "T-16 RSA-1024": (replace(SOUND, key=key_pair("RSA-1024")), Reason.X509_KEY),
    "T-16 Ed25519": (replace(SOUND, key=key_pair("Ed25519")), Reason.X509_KEY),
}  # fmt: skip


@pytest.mark.parametrize("spec", ACCEPTED_LEAVES.values(), ids=list(ACCEPTED_LEAVES))
def test_a_leaf_that_is_an_svid_is_accepted(spec: CertificateSpec) -> None:
    assert verify(ROOT.issue(spec)).name == WORKLOAD


@pytest.mark.parametrize(("spec", "reason"), REFUSED_LEAVES.values(), ids=list(REFUSED_LEAVES))
def test_a_leaf_that_is_no_svid_is_refused_although_its_path_is_sound(spec: CertificateSpec, reason: Reason) -> None:
    assert refused(ROOT.issue(spec)) is reason


# --- the path ---------------------------------------------------------------------------------------


def chain_of(length: int) -> Issued:
    """A leaf below `length - 1` intermediates."""
    authority = ROOT
    for _ in range(length - 1):
        authority = authority.intermediate("example.org")
    return authority.issue(SOUND)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5], ids=lambda n: f"SCA-18 SPIFFE-10 {n}")
def test_intermediates_that_the_client_sent_are_used(length: int) -> None:
    leaf = chain_of(length)
    assert len(leaf.chain) == length
    assert verify(leaf).name == WORKLOAD


def test_without_the_intermediate_there_is_no_path_SCA_18() -> None:
    leaf = INTERMEDIATE.issue(SOUND)
    assert refused(replace(leaf, intermediates=())) is Reason.X509_PATH


def test_intermediates_may_come_in_any_order_and_with_others_among_them() -> None:
    leaf = chain_of(3)
    backwards = replace(leaf, intermediates=(OTHER_ROOT.certificate, *reversed(leaf.intermediates), ROOT.certificate))
    assert verify(backwards).name == WORKLOAD


def test_any_certificate_of_the_bundle_ends_a_path() -> None:
    leaf = INTERMEDIATE.issue(SOUND)
    alone = replace(leaf, intermediates=())
    assert verify(alone, INTERMEDIATE).name == WORKLOAD
    assert verify(leaf, INTERMEDIATE).name == WORKLOAD
    assert verify(leaf, OTHER_ROOT, INTERMEDIATE, ROOT).name == WORKLOAD


def test_a_ca_without_key_identifiers_or_a_spiffe_id_is_a_ca() -> None:
    plain = replace(ca_spec("example.org").without(x509.SubjectAlternativeName), key_identifiers=False)
    root = CertificateAuthority.root("example.org", plain)
    assert verify(root.issue(SOUND), root).name == WORKLOAD


def test_two_generations_of_a_ca_with_one_name_are_told_apart() -> None:
    successor = CertificateAuthority.root("example.org", ca_spec("example.org", key=key_pair("P-256", "successor")))
    for authority in (ROOT, successor):
        assert verify(authority.issue(SOUND), ROOT, successor).name == WORKLOAD
        assert verify(authority.issue(SOUND), successor, ROOT).name == WORKLOAD
    assert refused(successor.issue(SOUND), ROOT) is Reason.X509_PATH


def test_another_trust_domain_s_ca_vouches_for_nobody_here_SPIFFE_10_T_12() -> None:
    bundles = FixedBundles(trust_bundle("example.org", [ROOT]), trust_bundle("other.example", [OTHER_ROOT]))
    verifier = svid_verifier(bundles)
    theirs = "spiffe://other.example/a"
    sound = OTHER_ROOT.issue(leaf_spec(theirs))
    assert verifier.verify_x509(X509Evidence(sound.chain, theirs), now=NOW).name == theirs
    for authority, spiffe_id in ((OTHER_ROOT, WORKLOAD), (ROOT, theirs)):
        forged = authority.issue(leaf_spec(spiffe_id))
        sent = X509Evidence((*forged.chain, authority.der), spiffe_id)
        with pytest.raises(EvidenceRejected) as refusal:
            verifier.verify_x509(sent, now=NOW)
        assert refusal.value.reason is Reason.X509_PATH


def test_a_root_that_the_client_sends_along_is_no_anchor_SCA_17() -> None:
    stranger = CertificateAuthority.root("example.org", ca_spec("example.org", key=key_pair("P-256", "stranger")))
    leaf = stranger.issue(SOUND)
    assert verify(leaf, stranger).name == WORKLOAD
    assert refused(replace(leaf, intermediates=(stranger.certificate,))) is Reason.X509_PATH


def test_a_leaf_that_signed_itself_is_refused() -> None:
    spec = replace(SOUND, common_name="self")
    itself = CertificateAuthority.root("example.org", spec)
    assert refused(itself, ROOT, itself) is Reason.X509_PATH


def test_a_leaf_signs_no_leaf_SPIFFE_6() -> None:
    parent = ROOT.issue(SOUND)
    signer = CertificateAuthority(parent.certificate, parent.key)
    child = signer.issue(leaf_spec(WORKLOAD, common_name="child", key=key_pair("P-256", "child")))
    assert refused(replace(child, intermediates=(parent.certificate,))) is Reason.X509_PATH


CA = x509.BasicConstraints(ca=True, path_length=None)
ACCEPTED_CAS = {
    "as SPIRE makes it": intermediate(),
    "SPIFFE-11 path length 0": intermediate((x509.BasicConstraints(True, 0), True)),
    "an unknown extension that is not critical": intermediate((UNKNOWN_EXTENSION, False)),
    "T-17 name constraints that permit the leaf's DNS name": intermediate(
        (x509.NameConstraints([x509.DNSName("example.org")], None), True)
    ),
    "usable for clients": intermediate((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)),
    "T-16 RSA-2048": intermediate(key=key_pair("RSA-2048", "ca")),
}
REFUSED_CAS = {
    "SPIFFE-11 no CA": intermediate((x509.BasicConstraints(False, None), True)),
    "basic constraints that are not critical": intermediate((CA, False)),
    "no keyCertSign": intermediate((key_usage("crl_sign"), True)),
    "SPIFFE-11 an unknown critical extension": intermediate((UNKNOWN_EXTENSION, True)),
    "SPIFFE-11 critical policy constraints": intermediate((x509.PolicyConstraints(0, None), True)),
    "policy constraints": intermediate((x509.PolicyConstraints(3, None), False)),
    "usable for servers only": intermediate((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)),
    "T-17 name constraints that permit another DNS name": intermediate(
        (x509.NameConstraints([x509.DNSName("other.example")], None), True)
    ),
    "T-17 name constraints that exclude the DNS name": intermediate(
        (x509.NameConstraints(None, [x509.DNSName("example.org")]), True)
    ),
    "T-17 URI name constraints": intermediate(
        (x509.NameConstraints([x509.UniformResourceIdentifier("example.org")], None), True)
    ),
    "T-17 URI name constraints that are not critical": intermediate(
        (x509.NameConstraints([x509.UniformResourceIdentifier("example.org")], None), False)
    ),
    "T-17 directory name constraints that are not critical": intermediate(
        (x509.NameConstraints([x509.DirectoryName(ROOT.certificate.subject)], None), False)
    ),
}


@pytest.mark.parametrize("authority", ACCEPTED_CAS.values(), ids=list(ACCEPTED_CAS))
def test_a_ca_that_may_sign_the_leaf_is_part_of_a_path(authority: CertificateAuthority) -> None:
    assert verify(authority.issue(leaf_spec(WORKLOAD, x509.DNSName("api.example.org")))).name == WORKLOAD


@pytest.mark.parametrize("authority", REFUSED_CAS.values(), ids=list(REFUSED_CAS))
def test_a_ca_that_may_not_sign_the_leaf_ends_the_path(authority: CertificateAuthority) -> None:
    leaf = authority.issue(leaf_spec(WORKLOAD, x509.DNSName("api.example.org")))
    assert refused(leaf) is Reason.X509_PATH


@pytest.mark.parametrize("kind", ["RSA-1024", "P-224", "Ed25519"], ids=lambda kind: f"T-16 {kind}")
def test_a_weak_key_in_the_path_is_refused_in_an_intermediate_and_in_an_anchor(kind: str) -> None:
    weak = key_pair(kind, "weak")
    assert refused(intermediate(key=weak).issue(SOUND)) is Reason.X509_KEY
    root = CertificateAuthority.root("example.org", ca_spec("example.org", key=weak))
    assert refused(root.issue(SOUND), root) is Reason.BUNDLE_EMPTY
    assert refused(root.issue(SOUND), root, ROOT) is Reason.X509_PATH


def test_a_weak_key_beside_the_path_is_nobody_s_business() -> None:
    leaf, weak = INTERMEDIATE.issue(SOUND), intermediate(key=key_pair("P-224", "weak"))
    assert verify(replace(leaf, intermediates=(weak.certificate, *leaf.intermediates))).name == WORKLOAD


def test_path_length_counts_the_intermediates_below_SPIFFE_11() -> None:
    for permitted, below, accepted in ((0, 0, True), (0, 1, False), (1, 1, True), (1, 2, False)):
        authority = intermediate((x509.BasicConstraints(True, permitted), True))
        for step in range(below):
            name = f"below {step}"
            spec = ca_spec("example.org", common_name=name, key=key_pair("P-256", name))
            authority = authority.intermediate("example.org", spec)
        leaf = authority.issue(SOUND)
        if accepted:
            assert verify(leaf).name == WORKLOAD
        else:
            assert refused(leaf) is Reason.X509_PATH


# --- times ------------------------------------------------------------------------------------------


def test_a_leaf_is_good_from_its_first_to_its_last_second_SPIFFE_11() -> None:
    leaf = ROOT.issue(replace(SOUND, not_before=NOW, not_after=NOW + 10))
    for now in (NOW, NOW + 10):
        assert verify(leaf, now=now).name == WORKLOAD
    assert refused(leaf, now=NOW - 1) is Reason.X509_NOT_YET_VALID
    assert refused(leaf, now=NOW + 11) is Reason.X509_EXPIRED


def test_every_certificate_of_the_path_has_its_times_SPIFFE_11() -> None:
    brief = intermediate(not_before=NOW - HOUR, not_after=NOW + 10)
    assert verify(brief.issue(SOUND), now=NOW + 10).name == WORKLOAD
    assert refused(brief.issue(SOUND), now=NOW + 11) is Reason.X509_EXPIRED
    later = intermediate(not_before=NOW, not_after=NOW + HOUR)
    assert verify(later.issue(SOUND), now=NOW).name == WORKLOAD
    assert refused(later.issue(SOUND), now=NOW - 1) is Reason.X509_NOT_YET_VALID


def test_an_anchor_has_its_times_too_SPIFFE_11() -> None:
    root = CertificateAuthority.root("example.org", ca_spec("example.org", not_after=NOW + 10))
    assert verify(root.issue(SOUND), root, now=NOW + 10).name == WORKLOAD
    assert refused(root.issue(SOUND), root, now=NOW + 11) is Reason.X509_EXPIRED
    dead = CertificateAuthority.root(
        "example.org", ca_spec("example.org", not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    )
    assert refused(root.issue(SOUND), root, dead, now=NOW + 11) is Reason.X509_EXPIRED


def test_an_expired_certificate_that_is_not_needed_changes_nothing() -> None:
    expired = intermediate(not_before=NOW - DAY, not_after=NOW - HOUR)
    leaf = INTERMEDIATE.issue(SOUND)
    assert verify(replace(leaf, intermediates=(expired.certificate, *leaf.intermediates))).name == WORKLOAD
    stranger = CertificateAuthority.root("example.org", ca_spec("example.org", key=key_pair("P-256", "stranger")))
    unanchored = replace(stranger.issue(SOUND), intermediates=(expired.certificate,))
    assert refused(unanchored) is Reason.X509_PATH


# --- the request ------------------------------------------------------------------------------------


@pytest.mark.parametrize("client_id", [None, ""], ids=lambda value: f"SCA-15 {value!r}")
def test_a_certificate_needs_a_client_id_beside_it(client_id: str | None) -> None:
    leaf = ROOT.issue(SOUND)
    assert verify(leaf, client_id=WORKLOAD).name == WORKLOAD
    with pytest.raises(EvidenceRejected) as refusal:
        verify(leaf, client_id=client_id)
    assert refusal.value.reason is Reason.CLIENT_ID_MISSING


def test_a_chain_alone_says_whose_it_is_where_no_client_is_named() -> None:
    """A registration: the very checks of SCA-15's door, without its `client_id`."""
    verifier = svid_verifier(one_domain(ROOT))
    sound = ROOT.intermediate("example.org").issue(SOUND).chain
    assert verifier.verify_chain(sound, now=NOW) == verifier.verify_x509(X509Evidence(sound, WORKLOAD), now=NOW)
    refusals = {(): Reason.CREDENTIAL_MISSING, sound[:1]: Reason.X509_PATH, sound * 3: Reason.CREDENTIAL_TOO_LARGE}
    for chain, reason in refusals.items():
        with pytest.raises(EvidenceRejected) as refusal:
            verifier.verify_chain(chain, now=NOW)
        assert refusal.value.reason is reason


def test_a_chain_that_a_registration_made_known_needs_a_client_id_at_the_other_doors_SCA_15() -> None:
    verifier, chain = svid_verifier(one_domain(ROOT)), ROOT.issue(SOUND).chain
    assert verifier.verify_chain(chain, now=NOW).name == WORKLOAD
    with pytest.raises(EvidenceRejected) as refusal:
        verifier.verify_x509(X509Evidence(chain), now=NOW)
    assert refusal.value.reason is Reason.CLIENT_ID_MISSING


def test_the_identity_is_the_certificate_s_whatever_client_id_says_T_13() -> None:
    assert verify(ROOT.issue(SOUND), client_id="spiffe://example.org/somebody/else").name == WORKLOAD


def rejected(chain: tuple[bytes, ...], bundles: FixedBundles | None = None) -> Reason:
    with pytest.raises(EvidenceRejected) as refusal:
        svid_verifier(bundles or one_domain(ROOT)).verify_x509(X509Evidence(chain, WORKLOAD), now=NOW)
    return refusal.value.reason


def test_five_certificates_are_looked_at_and_six_are_not_T_15() -> None:
    leaf = chain_of(5)
    bundles = one_domain(ROOT)
    assert rejected((*leaf.chain, ROOT.der), bundles) is Reason.CREDENTIAL_TOO_LARGE
    assert rejected((leaf.der,) * 100, bundles) is Reason.CREDENTIAL_TOO_LARGE
    assert bundles.asked == []


def test_32_KiB_are_looked_at_and_more_is_not_T_15() -> None:
    padding = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.2"), b"\x04\x00" + b"\0" * 31_000)
    padded = ROOT.issue(SOUND.adding(padding))
    assert verify(padded).name == WORKLOAD
    assert sum(map(len, padded.chain)) < 32 * 1024
    assert rejected((padded.der, b"\0" * 2048)) is Reason.CREDENTIAL_TOO_LARGE


def test_no_certificate_is_no_credential() -> None:
    assert rejected(()) is Reason.CREDENTIAL_MISSING


@pytest.mark.parametrize("der", [b"", b"\x30", b"hello", b"\x30\x80\x00\x00"], ids=repr)
def test_what_is_no_certificate_is_malformed(der: bytes) -> None:
    leaf = ROOT.issue(SOUND)
    assert rejected((der,)) is Reason.CREDENTIAL_MALFORMED
    assert rejected((leaf.der, der)) is Reason.CREDENTIAL_MALFORMED
    assert rejected((leaf.der + b"\0",)) is Reason.CREDENTIAL_MALFORMED


def test_pem_is_not_der() -> None:
    pem = ROOT.issue(SOUND).certificate.public_bytes(serialization.Encoding.PEM)
    assert rejected((pem,)) is Reason.CREDENTIAL_MALFORMED


def test_a_flipped_bit_anywhere_in_a_leaf_is_refused() -> None:
    der = ROOT.issue(SOUND).der
    for position in range(0, len(der), 7):
        changed = bytearray(der)
        changed[position] ^= 1
        assert isinstance(rejected((bytes(changed),)), Reason)


def test_one_certificate_has_one_spelling_and_so_one_thumbprint() -> None:
    """The count of unused bits before the signature is not signed; a second value would be a second hash."""
    leaf = ROOT.issue(SOUND)
    while leaf.certificate.signature[-1] & 1:
        leaf = ROOT.issue(SOUND)
    assert verify(leaf).name == WORKLOAD
    respelled = bytearray(leaf.der)
    respelled[-len(leaf.certificate.signature) - 1] = 1
    assert rejected((bytes(respelled),)) is Reason.CREDENTIAL_MALFORMED


def test_an_empty_bundle_trusts_nobody_SPIFFE_23() -> None:
    empty = FixedBundles(trust_bundle("example.org"))
    assert rejected(ROOT.issue(SOUND).chain, empty) is Reason.BUNDLE_EMPTY


def test_an_authority_that_is_no_certificate_is_ignored() -> None:
    bundle = trust_bundle("example.org", [ROOT])
    bundles = FixedBundles(replace(bundle, x509_authorities=(b"junk", *bundle.x509_authorities)))
    assert svid_verifier(bundles).verify_x509(X509Evidence(ROOT.issue(SOUND).chain, WORKLOAD), now=NOW)


def test_an_unknown_trust_domain_is_refused_and_a_stale_bundle_is_unavailable() -> None:
    bundles = one_domain(ROOT)
    stranger = ROOT.issue(leaf_spec("spiffe://unknown.example/a"))
    assert rejected(stranger.chain, bundles) is Reason.TRUST_DOMAIN_UNKNOWN
    bundles.stale.add("example.org")
    with pytest.raises(Unavailable):
        svid_verifier(bundles).verify_x509(X509Evidence(ROOT.issue(SOUND).chain, WORKLOAD), now=NOW)


def test_jwt_authorities_vouch_for_no_certificate_SPIFFE_17() -> None:
    only_jwt = FixedBundles(trust_bundle("example.org", jwt_authorities=[JwtAuthoritySigner.make("k")]))
    assert rejected(ROOT.issue(SOUND).chain, only_jwt) is Reason.BUNDLE_EMPTY
