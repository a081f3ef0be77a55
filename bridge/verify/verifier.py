"""`SvidVerifier`: who presented this SVID? The only maker of identities from SPIFFE credentials.

The order of checks is the specifications': size, shape, the SPIFFE ID and with it **one** trust domain,
that domain's bundle, then keys, signatures, times and audience (`jwt_steps`, `x509_steps`). What held is
remembered for as long as the bundle stays as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from bridge.jose import base64url
from bridge.model.bundle import Bundles
from bridge.model.errors import EvidenceRejected, Unavailable
from bridge.model.evidence import EvidenceKind, JwtEvidence, X509Evidence
from bridge.model.identity import BindingMethod, KeyBinding, PolicySubject, Source, VerifiedIdentity
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import TrustDomain
from bridge.model.steps import Looked, Step, run, walk
from bridge.verify import jwt_svid, signed_jwt, x509_svid
from bridge.verify.authorities import authorities_of_path, authority_of_key
from bridge.verify.cache import VerificationCache, Verified
from bridge.verify.claimed import claimed_by_chain, claimed_by_jwt
from bridge.verify.jwt_steps import JWT_STEPS, JwtCase
from bridge.verify.jwt_svid import SvidClaims, TrustDomainRules
from bridge.verify.trust import Trust
from bridge.verify.x509_leaf import validity
from bridge.verify.x509_steps import X509_STEPS, X509Case

__all__ = ["SvidVerifier", "TrustDomainRules"]

CACHE_CAPACITY = 8192


class SvidVerifier:
    """Verifies X.509-SVIDs and JWT-SVIDs against the bundle of the ID's own trust domain (T-12).

    `issuer` is the audience that JWT-SVIDs must have unless a call names another; `trust_domains` the
    rules by trust domain name. Thread-safe. A cached answer is given only while the bundle is live, of
    the same revision, and the credential within its times.
    """

    def __init__(
        self,
        bundles: Bundles,
        *,
        issuer: str,
        trust_domains: Mapping[str, TrustDomainRules],
        cache_capacity: int = CACHE_CAPACITY,
        look_early: Callable[[TrustDomain], None] = lambda trust_domain: None,
    ) -> None:
        """`look_early` is told of a trust domain of which somebody named a key that its bundle has not: it may wait
        for a newer bundle, and bounds by itself how often and for how long."""
        self._trust = Trust(bundles, rules=trust_domains, look_early=look_early)
        self._issuer = issuer
        self._jwt_cache = VerificationCache(cache_capacity)
        self._x509_cache = VerificationCache(cache_capacity)

    def verify_jwt(self, evidence: JwtEvidence, *, now: int, audience: str | None = None) -> VerifiedIdentity:
        """Who presented this JWT-SVID.

        Raises: EvidenceRejected; Unavailable when the trust domain's bundle is unknown or stale.
        Spec: JWT-SVID 5; SCA 2. Not checked: that the token was not used before (`replay_digest` is for
        the mark), and `evidence.client_id`, which must resolve to the same record (SCA-12).
        """
        audience = self._issuer if audience is None else audience
        assertion = evidence.assertion
        signed_jwt.check_size(assertion)
        digest = _digest(assertion)
        try:
            known = self._recall(self._jwt_cache, (digest, audience), now)
            if known is not None:
                return known
            entry, _ = self._verify_jwt(assertion, digest, audience, now)
        except (EvidenceRejected, Unavailable) as error:
            error.claimed = claimed_by_jwt(assertion)
            raise
        self._jwt_cache.put((digest, audience), entry)
        return entry.identity

    def verify_jwt_claims(
        self, assertion: str, *, audience: str, now: int
    ) -> tuple[VerifiedIdentity, Mapping[str, object]]:
        """Who this JWT-SVID is about, and all of its claims: the very checks of `verify_jwt`.

        Neither looked up nor remembered, so what holds for this audience is never known for another.
        Raises, and what is not checked: as `verify_jwt`; nor any claim that an SVID need not have.
        """
        signed_jwt.check_size(assertion)
        try:
            entry, claims = self._verify_jwt(assertion, _digest(assertion), audience, now)
        except (EvidenceRejected, Unavailable) as error:
            error.claimed = claimed_by_jwt(assertion)
            raise
        return entry.identity, claims.payload

    def verify_x509(self, evidence: X509Evidence, *, now: int) -> VerifiedIdentity:
        """Who has the key of this chain's leaf and names its client, as clients authenticate.

        Raises: EvidenceRejected, also when `client_id` is missing (SCA-15); Unavailable as above. Spec:
        SCA 3; RFC 8705 2.1. Not checked: as `verify_chain`, and that `client_id` names this identity's
        record.
        """
        if not evidence.client_id:
            raise EvidenceRejected(Reason.CLIENT_ID_MISSING, "a certificate without client_id")
        return self.verify_chain(evidence.chain, now=now)

    def verify_chain(self, chain: tuple[bytes, ...], *, now: int) -> VerifiedIdentity:
        """Who has the key of this chain's leaf (DER, leaf first), where no client is named: a registration.

        The handshake proved the key; here is whose it is. Raises: EvidenceRejected, Unavailable as above.
        Spec: X509-SVID 5. Not checked: that the peer has the key.
        """
        x509_svid.check_size(chain)
        digest = hashlib.sha256()
        for der in chain:
            digest.update(len(der).to_bytes(4, "big") + der)
        key = (digest.hexdigest(), "")
        try:
            known = self._recall(self._x509_cache, key, now)
            if known is not None:
                return known
            entry = self._verify_x509(chain, now)
        except (EvidenceRejected, Unavailable) as error:
            error.claimed = claimed_by_chain(chain)
            raise
        self._x509_cache.put(key, entry)
        return entry.identity

    def _recall(self, cache: VerificationCache, key: tuple[str, str], now: int) -> VerifiedIdentity | None:
        entry = cache.get(key)
        if entry is None:
            return None
        spiffe_id = entry.identity.subject.spiffe_id
        assert spiffe_id is not None
        live = self._trust.live(spiffe_id.trust_domain, now)
        if cache.holds(entry, revision=live.revision, now=now):
            if entry.identity.verified_at != now:
                # Kept, so that all who present it within this second share it. Revision and times are the entry's.
                entry = replace(entry, identity=replace(entry.identity, verified_at=now))
                cache.put(key, entry)
            return entry.identity
        cache.drop(key)
        return None

    def require_live(self, trust_domain: TrustDomain, *, now: int) -> None:
        """That this trust domain could vouch for anybody at all, as it must for whom it once vouched for.

        Raises: IssuerUntrusted, EvidenceRejected (BUNDLE_EMPTY), Unavailable.
        """
        self._trust.require(trust_domain, now)

    def walk_jwt(
        self, assertion: str, *, audience: str, now: int, more: Sequence[Step[JwtCase]] = ()
    ) -> tuple[JwtCase, tuple[Looked, ...]]:
        """How each step of `verify_jwt` comes out, those of `more` behind them, and what was found on the way. For
        explaining: all of it is unverified, and nothing of it is remembered."""
        case = JwtCase(assertion, audience, now, self._trust)
        return case, walk((*JWT_STEPS, *more), case)

    def walk_chain(self, chain: tuple[bytes, ...], *, now: int) -> tuple[X509Case, tuple[Looked, ...]]:
        """The same of `verify_chain`."""
        case = X509Case(chain, now, self._trust)
        return case, walk(X509_STEPS, case)

    def _verify_jwt(self, assertion: str, digest: str, audience: str, now: int) -> tuple[Verified, SvidClaims]:
        case = JwtCase(assertion, audience, now, self._trust)
        run(JWT_STEPS, case)
        claims, live, key = case.claims, case.live, case.key
        begin, end = jwt_svid.window(claims, case.rules)
        identity = VerifiedIdentity(
            subject=PolicySubject(Source.SPIFFE, EvidenceKind.JWT_SVID, spiffe_id=claims.spiffe_id),
            credential_hash=digest,
            key_id=key.kid or key.thumbprint,
            verified_at=now,
            not_after=jwt_svid.not_after(claims),
            bundle_sequence=live.bundle.sequence,
            replay_digest=case.token.replay_digest(case.header.alg),
            authorities=(authority_of_key(key),),
        )
        return Verified(identity, live.revision, begin, end), claims

    def _verify_x509(self, chain: tuple[bytes, ...], now: int) -> Verified:
        case = X509Case(chain, now, self._trust)
        run(X509_STEPS, case)
        leaf, live = case.leaf, case.live
        times = [validity(certificate) for certificate in case.path]
        thumbprint = x509_svid.thumbprint(chain[0])
        identity = VerifiedIdentity(
            subject=PolicySubject(Source.SPIFFE, EvidenceKind.X509_SVID, spiffe_id=case.spiffe_id),
            credential_hash=thumbprint.hex(),
            key_id=x509_svid.key_id(leaf),
            verified_at=now,
            not_after=leaf.end,
            bundle_sequence=live.bundle.sequence,
            keys=(KeyBinding(BindingMethod.X5T_S256, base64url.encode(thumbprint), leaf.end),),
            authorities=authorities_of_path(case.path),
        )
        # Both ends of a certificate's validity are inside, the end of a cached answer is not.
        return Verified(identity, live.revision, max(b for b, _ in times), min(e for _, e in times) + 1)


def _digest(assertion: str) -> str:
    """Hex SHA-256 of the text as it came, whatever characters are in it."""
    return hashlib.sha256(assertion.encode("utf-8", "surrogatepass")).hexdigest()
