"""What SVIDs are verified by: of one trust domain its rules, its bundle, and the keys in that (T-12)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bridge.jose.keys import VerificationKey
from bridge.model.bundle import Bundles, LiveBundle
from bridge.model.errors import EvidenceRejected, IssuerUntrusted
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import SpiffeId, TrustDomain
from bridge.verify import x509_svid
from bridge.verify.cache import PerBundle
from bridge.verify.jwt_svid import TrustDomainRules
from bridge.verify.key_sets import JwtKeys, keys_of_bundle, select_key
from bridge.verify.signed_jwt import JwtHeader
from bridge.verify.x509_svid import Anchors


class Trust:
    """The configured trust domains, each by itself: nothing of one is ever found under another. Thread-safe."""

    def __init__(
        self,
        bundles: Bundles,
        *,
        rules: Mapping[str, TrustDomainRules],
        look_early: Callable[[TrustDomain], None],
    ) -> None:
        """`rules` by trust domain name; `look_early` as of `SvidVerifier`."""
        self._bundles, self._rules, self._look_early = bundles, dict(rules), look_early
        self._jwt_keys = PerBundle(keys_of_bundle)
        self._anchors = PerBundle(x509_svid.anchors_of)

    def rules(self, trust_domain: TrustDomain) -> TrustDomainRules:
        """What was configured for it. Raises: IssuerUntrusted when nobody configured it."""
        rules = self._rules.get(trust_domain.name)
        if rules is None:
            raise IssuerUntrusted(Reason.TRUST_DOMAIN_UNKNOWN, f"trust domain {trust_domain} is not configured")
        return rules

    def live(self, trust_domain: TrustDomain, now: int) -> LiveBundle:
        """Its bundle, if it may be used now. Raises: IssuerUntrusted, Unavailable."""
        self.rules(trust_domain)
        return self._bundles.live(trust_domain, now)

    def jwt_keys(self, live: LiveBundle) -> JwtKeys:
        """The keys of this bundle that sign JWT-SVIDs."""
        return self._jwt_keys.of(live)

    def anchors(self, live: LiveBundle) -> Anchors:
        """The CAs of this bundle that are usable."""
        return self._anchors.of(live)

    def select(
        self, live: LiveBundle, header: JwtHeader, spiffe_id: SpiffeId, now: int
    ) -> tuple[LiveBundle, VerificationKey]:
        """The key that a token names, and the bundle it is in, which may have come because nobody knew the key
        (SPIFFE-34). Raises: EvidenceRejected, Unavailable."""
        whose = f"the token of {spiffe_id}"
        try:
            return live, select_key(self.jwt_keys(live), header, whose)
        except EvidenceRejected as error:
            if error.reason is not Reason.JWT_KEY_UNKNOWN or header.kid is None:
                raise
            self._look_early(spiffe_id.trust_domain)
            newer = self.live(spiffe_id.trust_domain, now)
            if newer.revision == live.revision:
                raise
        return newer, select_key(self.jwt_keys(newer), header, whose)

    def require(self, trust_domain: TrustDomain, now: int) -> None:
        """That it could vouch for anybody at all. Raises: IssuerUntrusted, EvidenceRejected (BUNDLE_EMPTY),
        Unavailable."""
        live = self.live(trust_domain, now)
        if not self.jwt_keys(live).usable and self.anchors(live).store is None:
            raise EvidenceRejected(Reason.BUNDLE_EMPTY, f"the bundle of {trust_domain} holds no usable key")
