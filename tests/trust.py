"""Bundles that tests set by hand, and a verifier over them. A fake of `Bundles`, with its promises kept:
one bundle for each trust domain, a revision that grows with each change, and the two ways to say no."""

from __future__ import annotations

import json
from collections.abc import Iterable

from bridge.model.bundle import JwtAuthority, LiveBundle, TrustBundle
from bridge.model.errors import EvidenceRejected, Unavailable
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import TrustDomain
from bridge.verify.jwt_svid import TrustDomainRules
from bridge.verify.verifier import SvidVerifier
from tests.svid_factory import HOUR, Issued, JwtAuthoritySigner

ISSUER = "https://as.example.org"
WORKLOAD = "spiffe://example.org/ns/web/sa/api"


def trust_bundle(
    trust_domain: str,
    x509_authorities: Iterable[Issued] = (),
    jwt_authorities: Iterable[JwtAuthoritySigner] = (),
    *,
    sequence: int | None = 1,
) -> TrustBundle:
    """A bundle as the parsers of the service would have made it."""
    return TrustBundle(
        TrustDomain.parse(trust_domain),
        tuple(authority.der for authority in x509_authorities),
        tuple(JwtAuthority(signer.kid, json.dumps(signer.jwk())) for signer in jwt_authorities),
        sequence,
    )


class FixedBundles:
    """What the bundle sources would know. `stale` names the trust domains whose bundle is too old."""

    def __init__(self, *bundles: TrustBundle) -> None:
        self._bundles = {bundle.trust_domain: bundle for bundle in bundles}
        self.revision = 1
        self.stale: set[str] = set()
        self.asked: list[str] = []

    def live(self, trust_domain: TrustDomain, now: int) -> LiveBundle:
        """As the protocol says."""
        self.asked.append(trust_domain.name)
        if trust_domain.name in self.stale:
            raise Unavailable(Reason.BUNDLE_UNAVAILABLE, trust_domain.name)
        if trust_domain not in self._bundles:
            raise EvidenceRejected(Reason.TRUST_DOMAIN_UNKNOWN, trust_domain.name)
        return LiveBundle(self._bundles[trust_domain], self.revision)

    def replace(self, bundle: TrustBundle) -> None:
        """A new bundle arrives."""
        self._bundles[bundle.trust_domain] = bundle
        self.revision += 1


def svid_verifier(bundles: FixedBundles, *, rules: TrustDomainRules | None = None, capacity: int = 64) -> SvidVerifier:
    """A verifier that knows `example.org` and `other.example`, both under the same rules."""
    rules = rules or TrustDomainRules(max_assertion_life=HOUR)
    known = dict.fromkeys(("example.org", "other.example", "example.com"), rules)
    return SvidVerifier(bundles, issuer=ISSUER, trust_domains=known, cache_capacity=capacity)
