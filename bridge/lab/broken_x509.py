"""X.509-SVIDs that nobody may accept: a catalogue by name, each with the rule it breaks.

Each differs from a good SVID in one thing, so that a refusal proves that very check. They are made with
an authority's real keys, unless the key is what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from bridge.lab.authority import DEFAULT_TTL, Authority
from bridge.lab.x509 import (
    BACKDATE,
    CertificateAuthority,
    PrivateKey,
    Profile,
    X509Svid,
    certify,
    intermediate_profile,
    leaf_profile,
    pkcs8,
)
from bridge.model.spiffe_id import SpiffeId


@dataclass(frozen=True, slots=True)
class X509Order:
    """What a broken X.509-SVID is made of, before it is broken."""

    authority: Authority
    other: Authority
    spiffe_id: SpiffeId
    profile: Profile
    key: PrivateKey


_p256 = partial(ec.generate_private_key, ec.SECP256R1())
_p224 = partial(ec.generate_private_key, ec.SECP224R1())
_rsa_1024 = partial(rsa.generate_private_key, public_exponent=65537, key_size=1024)


def _chain(order: X509Order, **changes: object) -> tuple[bytes, ...]:
    """The good chain with the leaf's profile changed in these fields."""
    authority = order.authority.x509_keys.active
    leaf = certify(authority.signer, order.key, replace(order.profile, **changes))  # type: ignore[arg-type]
    return (CertificateAuthority(leaf, order.key).der, *authority.intermediates)


@dataclass(frozen=True, slots=True)
class BrokenX509:
    """One entry: `why` in words, `clause` the checklist item that demands the refusal."""

    name: str
    why: str
    clause: str
    make: Callable[[X509Order], tuple[bytes, ...]] = _chain
    key: Callable[[], PrivateKey] = _p256


def _below(order: X509Order, profile: Profile, key: PrivateKey) -> tuple[bytes, ...]:
    """A good leaf below one more intermediate of this profile and key."""
    authority = order.authority.x509_keys.active
    middle = CertificateAuthority(certify(authority.signer, key, profile), key)
    leaf = CertificateAuthority(certify(middle, order.key, order.profile), order.key)
    return (leaf.der, middle.der, *authority.intermediates)


def _middle(order: X509Order) -> Profile:
    return intermediate_profile(
        order.authority.trust_domain.id, not_before=order.profile.not_before, not_after=order.profile.not_after
    )


def _path_too_long(order: X509Order) -> tuple[bytes, ...]:
    """Two intermediates below one that allows none."""
    authority = order.authority.x509_keys.active
    narrow_key, key = _p256(), _p256()
    narrow = CertificateAuthority(
        certify(authority.signer, narrow_key, replace(_middle(order), path_length=0)), narrow_key
    )
    lower = CertificateAuthority(certify(narrow, key, _middle(order)), key)
    leaf = CertificateAuthority(certify(lower, order.key, order.profile), order.key)
    return (leaf.der, lower.der, narrow.der, *authority.intermediates)


def _endless_chain(order: X509Order) -> tuple[bytes, ...]:
    """A valid path with 20 intermediates: far above the cap of 4."""
    authority = order.authority.x509_keys.active
    issuer, above = authority.signer, authority.intermediates
    for _ in range(20):
        key = _p256()
        issuer = CertificateAuthority(certify(issuer, key, _middle(order)), key)
        above = (issuer.der, *above)
    return (CertificateAuthority(certify(issuer, order.key, order.profile), order.key).der, *above)


def _signed_by(order: X509Order, authority: Authority) -> tuple[bytes, ...]:
    active = authority.x509_keys.active
    leaf = certify(active.signer, order.key, order.profile)
    return (CertificateAuthority(leaf, order.key).der, *active.intermediates)


def _wrong_leaf_first(order: X509Order) -> tuple[bytes, ...]:
    """A root sent as if it were the workload."""
    return (order.authority.x509_keys.active.root.der,)


def _expired_middle(order: X509Order) -> tuple[bytes, ...]:
    now = order.authority.clock()
    profile = replace(_middle(order), not_before=now - 7200, not_after=now - 3600)
    return _below(order, profile, _p256())


def _trimmed(order: X509Order) -> tuple[bytes, ...]:
    """The leaf alone, below an intermediate that only the sender has."""
    return _below(order, _middle(order), _p256())[:1]


def _flipped_signature(order: X509Order) -> tuple[bytes, ...]:
    """The last byte lies in the signature's `s`."""
    leaf, *rest = _chain(order)
    return (leaf[:-1] + bytes([leaf[-1] ^ 1]), *rest)


def _usages(order: X509Order, *, add: str = "", drop: str = "") -> frozenset[str]:
    assert order.profile.usages is not None
    return (order.profile.usages | {add} if add else order.profile.usages) - {drop}


def _shift(order: X509Order, *, start: int, end: int) -> tuple[bytes, ...]:
    now = order.authority.clock()
    return _chain(order, not_before=now + start, not_after=now + end)


BROKEN_X509: tuple[BrokenX509, ...] = (
    BrokenX509(
        "two-uri-sans",
        "two URI names, both SPIFFE IDs",
        "SPIFFE-4",
        lambda o: _chain(o, uris=(str(o.spiffe_id), str(o.spiffe_id) + "-2")),
    ),
    BrokenX509(
        "two-uri-sans-one-spiffe",
        "two URI names, one of them https",
        "SPIFFE-4",
        lambda o: _chain(o, uris=(str(o.spiffe_id), "https://example.org/")),
    ),
    BrokenX509(
        "no-uri-san", "a DNS name only", "SPIFFE-4", lambda o: _chain(o, uris=(), dns_names=("app.example.org",))
    ),
    BrokenX509("no-san", "no alternative name at all", "SPIFFE-4", lambda o: _chain(o, uris=())),
    BrokenX509("ca-leaf", "the leaf is a CA", "SPIFFE-6", lambda o: _chain(o, ca=True)),
    BrokenX509(
        "key-cert-sign",
        "the leaf may sign certificates",
        "SPIFFE-6",
        lambda o: _chain(o, usages=_usages(o, add="key_cert_sign")),
    ),
    BrokenX509(
        "crl-sign", "the leaf may sign CRLs", "SPIFFE-6", lambda o: _chain(o, usages=_usages(o, add="crl_sign"))
    ),
    BrokenX509(
        "root-path",
        "the ID names the trust domain, not a workload",
        "SPIFFE-7",
        lambda o: _chain(o, uris=(o.spiffe_id.trust_domain.id,)),
    ),
    BrokenX509(
        "trailing-slash",
        "the ID ends in a slash",
        "SPIFFE-1",
        lambda o: _chain(o, uris=(str(o.spiffe_id) + "/",)),
    ),
    BrokenX509(
        "upper-case-trust-domain",
        "the trust domain is in upper case",
        "SPIFFE-1",
        lambda o: _chain(o, uris=(f"spiffe://{o.spiffe_id.trust_domain.name.upper()}{o.spiffe_id.path}",)),
    ),
    BrokenX509(
        "https-id",
        "the only URI name is no SPIFFE ID",
        "SPIFFE-1",
        lambda o: _chain(o, uris=(f"https://{o.spiffe_id.trust_domain.name}{o.spiffe_id.path}",)),
    ),
    BrokenX509("no-key-usage", "no key usage", "SPIFFE-8", lambda o: _chain(o, usages=None)),
    BrokenX509(
        "no-digital-signature",
        "key usage without digitalSignature",
        "SPIFFE-8",
        lambda o: _chain(o, usages=_usages(o, drop="digital_signature")),
    ),
    BrokenX509(
        "server-only",
        "extended key usage without clientAuth",
        "SPIFFE-9",
        lambda o: _chain(o, extended=(ExtendedKeyUsageOID.SERVER_AUTH,)),
    ),
    BrokenX509(
        "weak-rsa",
        "an RSA key of 1024 bits",
        "SPIFFE-18",
        key=_rsa_1024,
    ),
    BrokenX509("weak-curve", "a key on P-224", "SPIFFE-18", key=_p224),
    BrokenX509("ed25519", "an Ed25519 key", "SPIFFE-18", key=ed25519.Ed25519PrivateKey.generate),
    BrokenX509(
        "weak-intermediate",
        "signed by an RSA key of 1024 bits",
        "SPIFFE-18",
        lambda o: _below(o, _middle(o), _rsa_1024()),
    ),
    BrokenX509("expired", "ended an hour ago", "SPIFFE-11", lambda o: _shift(o, start=-7200, end=-3600)),
    BrokenX509("not-yet-valid", "begins in an hour", "SPIFFE-11", lambda o: _shift(o, start=3600, end=7200)),
    BrokenX509("expired-intermediate", "an intermediate ended an hour ago", "SPIFFE-11", _expired_middle),
    BrokenX509("path-length", "below an intermediate that allows no further one", "SPIFFE-11", _path_too_long),
    BrokenX509(
        "unknown-critical",
        "a critical extension that nobody knows",
        "SPIFFE-11",
        lambda o: _chain(o, unknown_critical=True),
    ),
    BrokenX509("endless-chain", "21 certificates above the leaf", "SPIFFE-11", _endless_chain),
    BrokenX509("missing-intermediate", "an intermediate was not sent", "SPIFFE-10", _trimmed),
    BrokenX509(
        "foreign-ca",
        "signed by a CA that no bundle has",
        "SPIFFE-10",
        lambda o: _signed_by(o, Authority(o.authority.trust_domain.name, clock=o.authority.clock)),
    ),
    BrokenX509(
        "other-trust-domain", "signed by another trust domain's CA", "SPIFFE-10", lambda o: _signed_by(o, o.other)
    ),
    BrokenX509("signing-certificate", "a root presented as a leaf", "SPIFFE-6", _wrong_leaf_first),
    BrokenX509("bad-signature", "one bit of the signature flipped", "SPIFFE-10", _flipped_signature),
)


def mint_x509(
    authority: Authority, name: str, path: str, *, other: Authority | None = None, ttl: int = DEFAULT_TTL
) -> X509Svid:
    """The broken X.509-SVID of that name, with the leaf's key (but for `signing-certificate`: a root's key
    is not handed out).

    `other` is another trust domain's authority, for SVIDs signed by the wrong one; a new one if absent.
    Raises: KeyError for an unknown name.
    """
    broken = {entry.name: entry for entry in BROKEN_X509}[name]
    now = authority.clock()
    spiffe_id = authority.spiffe_id(path)
    key = broken.key()
    profile = leaf_profile(str(spiffe_id), not_before=now - BACKDATE, not_after=now + ttl)
    other = Authority("other.example", clock=authority.clock) if other is None else other
    return X509Svid(spiffe_id, broken.make(X509Order(authority, other, spiffe_id, profile, key)), pkcs8(key))
