"""A trust domain's authority: CA, JWT keys, SVIDs, bundle, rotation. The counterpart of a SPIRE server."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from bridge.lab.jws import JwtKey, to_json
from bridge.lab.rotation import KeySlots, Stage
from bridge.lab.x509 import (
    BACKDATE,
    CertificateAuthority,
    PrivateKey,
    X509Svid,
    certify,
    intermediate_profile,
    leaf_profile,
    pkcs8,
    root_profile,
)
from bridge.model.spiffe_id import InvalidSpiffeId, SpiffeId, TrustDomain

Clock = Callable[[], int]
ALL_STAGES = (Stage.PREPARE, Stage.ACTIVATE, Stage.TAINT, Stage.REVOKE)
DEFAULT_TTL = 300
_CA_LIFE = 24 * 3600


def wall_clock() -> int:
    """Epoch seconds, now."""
    return int(time.time())


@dataclass(frozen=True, slots=True)
class X509Authority:
    """A root for the bundle and what signs leaves below it: the root itself, or an intermediate."""

    root: CertificateAuthority
    signer: CertificateAuthority

    @property
    def intermediates(self) -> tuple[bytes, ...]:
        """What a leaf's chain carries between leaf and root, DER."""
        return () if self.signer is self.root else (self.signer.der,)

    @classmethod
    def generate(cls, trust_domain: TrustDomain, *, intermediate: bool, now: int) -> X509Authority:
        """New keys for a CA of one day. With an intermediate the root is an upstream one, as SPIRE has it."""
        times = {"not_before": now - BACKDATE, "not_after": now + _CA_LIFE}
        key = ec.generate_private_key(ec.SECP256R1())
        profile = root_profile(None if intermediate else trust_domain.id, **times)
        root = CertificateAuthority(certify(None, key, profile), key)
        if not intermediate:
            return cls(root, root)
        key = ec.generate_private_key(ec.SECP256R1())
        signer = CertificateAuthority(certify(root, key, intermediate_profile(trust_domain.id, **times)), key)
        return cls(root, signer)


class Authority:
    """One trust domain. Thread-safe.

    `clock` gives epoch seconds and is asked whenever something is issued. `jwt_issuer` is the `iss` of
    JWT-SVIDs; None leaves it out, as SPIRE does by default. `refresh_hint`: seconds.
    Not checked: who asks. There is no attestation; see `WorkloadApi` for what a socket serves.
    """

    def __init__(
        self,
        trust_domain: str,
        *,
        clock: Clock = wall_clock,
        jwt_alg: str = "ES256",
        intermediate: bool = True,
        jwt_issuer: str | None = None,
        refresh_hint: int = 300,
        x509_keys: KeySlots[X509Authority] | None = None,
        jwt_keys: KeySlots[JwtKey] | None = None,
        sequence: int = 1,
    ) -> None:
        self.trust_domain = TrustDomain.parse(trust_domain)
        self.clock = clock
        self.jwt_alg = jwt_alg
        self.intermediate = intermediate
        self.jwt_issuer = jwt_issuer
        self.refresh_hint = refresh_hint
        self.sequence = sequence
        self.x509_keys = x509_keys or KeySlots(
            X509Authority.generate(self.trust_domain, intermediate=intermediate, now=clock())
        )
        self.jwt_keys = jwt_keys or KeySlots(JwtKey.generate(jwt_alg))
        self._lock = threading.RLock()
        self._listeners: list[Callable[[], None]] = []

    def spiffe_id(self, path: str) -> SpiffeId:
        """A workload's ID in this trust domain. Raises: InvalidSpiffeId."""
        if not path.startswith("/"):
            # Glued to the trust domain's name it would be an ID of another trust domain.
            raise InvalidSpiffeId("a workload's path starts with a slash")
        return SpiffeId.parse_workload(self.trust_domain.id + path)

    def x509_svid(
        self,
        path: str,
        *,
        ttl: int = DEFAULT_TTL,
        dns_names: Sequence[str] = (),
        key: PrivateKey | None = None,
    ) -> X509Svid:
        """A new X.509-SVID that ends in `ttl` seconds, but not after its CA. `key`: new if absent."""
        spiffe_id = self.spiffe_id(path)
        key = ec.generate_private_key(ec.SECP256R1()) if key is None else key
        now = self.clock()
        with self._lock:
            authority = self.x509_keys.active
        not_after = min(now + ttl, int(authority.signer.certificate.not_valid_after_utc.timestamp()))
        profile = leaf_profile(
            str(spiffe_id), dns_names=tuple(dns_names), not_before=now - BACKDATE, not_after=not_after
        )
        leaf = CertificateAuthority(certify(authority.signer, key, profile), key)
        return X509Svid(spiffe_id, (leaf.der, *authority.intermediates), pkcs8(key))

    def jwt_svid(
        self,
        path: str,
        audience: str | Sequence[str],
        *,
        ttl: int = DEFAULT_TTL,
        claims: Mapping[str, object] | None = None,
    ) -> str:
        """A new JWT-SVID. `aud` is always an array, as SPIRE writes it; `claims` are added or replace."""
        now = self.clock()
        wanted = [audience] if isinstance(audience, str) else list(audience)
        body: dict[str, object] = {
            "aud": wanted,
            "exp": now + ttl,
            "iat": now,
            "sub": str(self.spiffe_id(path)),
        }
        if self.jwt_issuer is not None:
            body["iss"] = self.jwt_issuer
        body.update(claims or {})
        with self._lock:
            key = self.jwt_keys.active
        return key.sign({"alg": key.alg, "kid": key.kid, "typ": "JWT"}, to_json(body))

    def rotate_x509(self, *stages: Stage | str) -> None:
        """Run these stages of a CA rotation, or all four. Raises: StageRefused when out of order."""
        for stage in stages or ALL_STAGES:
            with self._lock:
                if stage == Stage.PREPARE:
                    self.x509_keys.prepare(
                        X509Authority.generate(self.trust_domain, intermediate=self.intermediate, now=self.clock())
                    )
                else:
                    _step(self.x509_keys, Stage(stage))
                self._count(Stage(stage))
            self._tell()

    def rotate_jwt(self, *stages: Stage | str) -> None:
        """Run these stages of a JWT key rotation, or all four. Raises: StageRefused when out of order."""
        for stage in stages or ALL_STAGES:
            with self._lock:
                if stage == Stage.PREPARE:
                    self.jwt_keys.prepare(JwtKey.generate(self.jwt_alg))
                else:
                    _step(self.jwt_keys, Stage(stage))
                self._count(Stage(stage))
            self._tell()

    def replace(self, *, x509_keys: KeySlots[X509Authority], jwt_keys: KeySlots[JwtKey], sequence: int) -> None:
        """Take over keys that another process rotated."""
        with self._lock:
            self.x509_keys, self.jwt_keys, self.sequence = x509_keys, jwt_keys, sequence
        self._tell()

    def bundle(self) -> dict[str, object]:
        """The SPIFFE bundle as the bundle endpoint serves it (Trust Domain and Bundle section 4)."""
        with self._lock:
            roots = [authority.root for authority in self.x509_keys.published()]
            keys = self.jwt_keys.published()
            sequence = self.sequence
        entries: list[dict[str, object]] = [_x509_entry(root) for root in roots]
        entries += [{"use": "jwt-svid", **key.public_jwk()} for key in keys]
        return {"keys": entries, "spiffe_sequence": sequence, "spiffe_refresh_hint": self.refresh_hint}

    def bundle_json(self) -> bytes:
        """`bundle()` as UTF-8 JSON."""
        return to_json(self.bundle())

    def x509_bundle(self) -> bytes:
        """The roots as concatenated DER, as the Workload API sends them."""
        with self._lock:
            return b"".join(authority.root.der for authority in self.x509_keys.published())

    def jwt_bundle(self) -> bytes:
        """The JWT keys as a JWK Set without `use`, as the Workload API sends them."""
        with self._lock:
            return to_json({"keys": [key.public_jwk() for key in self.jwt_keys.published()]})

    def jwt_key(self, kid: str) -> JwtKey | None:
        """The published key of that name."""
        with self._lock:
            return next((key for key in self.jwt_keys.published() if key.kid == kid), None)

    def is_current_ca(self, svid: X509Svid) -> bool:
        """Whether the SVID is signed by a CA that is neither tainted nor revoked, so that it need not be renewed."""
        with self._lock:
            current = [self.x509_keys.active]
            if self.x509_keys.old is not None and not self.x509_keys.tainted:
                current.append(self.x509_keys.old)
        return svid.authority_key_id in {authority.signer.key_id for authority in current}

    def is_current_jwt_key(self, kid: str) -> bool:
        """Whether that key is neither tainted nor revoked."""
        with self._lock:
            if self.jwt_keys.active.kid == kid:
                return True
            return self.jwt_keys.old is not None and self.jwt_keys.old.kid == kid and not self.jwt_keys.tainted

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` after every stage. The answer takes it off again."""
        with self._lock:
            self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _count(self, stage: Stage) -> None:
        # SPIRE's sequence grows when the stored bundle changes; activation does not touch the bundle.
        if stage is not Stage.ACTIVATE:
            self.sequence += 1

    def _tell(self) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener()


def _step(slots: KeySlots[X509Authority] | KeySlots[JwtKey], stage: Stage) -> None:
    {Stage.ACTIVATE: slots.activate, Stage.TAINT: slots.taint, Stage.REVOKE: slots.revoke}[stage]()


def _x509_entry(root: CertificateAuthority) -> dict[str, object]:
    """A root as SPIRE publishes it: the key's members and the certificate, no `kid`."""
    assert isinstance(root.key, ec.EllipticCurvePrivateKey)
    members = JwtKey("", "ES256", root.key).public_jwk()
    del members["kid"]
    return {"use": "x509-svid", **members, "x5c": [base64.b64encode(root.der).decode("ascii")]}
