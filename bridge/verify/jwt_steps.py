"""The steps by which a JWT-SVID is verified, in the order of the specifications (JWT-SVID section 5; SCA 2)."""

from __future__ import annotations

from dataclasses import dataclass, field

from bridge.jose.jws import UnverifiedToken
from bridge.jose.keys import VerificationKey
from bridge.model.bundle import LiveBundle
from bridge.model.steps import Step
from bridge.verify import jwt_svid, signed_jwt
from bridge.verify.jwt_svid import SvidClaims, TrustDomainRules
from bridge.verify.signed_jwt import JwtHeader
from bridge.verify.trust import Trust


@dataclass(slots=True)
class JwtCase:
    """One JWT-SVID on its way through the steps. All of it is as unverified as it came; whoever makes an identity of
    it does so behind the last step of a `run`, and nowhere else. `audience`: the one it must have; `now`: epoch
    seconds. The other fields are there once the step that puts them has held."""

    assertion: str = field(repr=False)
    audience: str
    now: int
    trust: Trust
    token: UnverifiedToken = field(init=False, repr=False)
    header: JwtHeader = field(init=False)
    claims: SvidClaims = field(init=False)
    rules: TrustDomainRules = field(init=False)
    live: LiveBundle = field(init=False)
    key: VerificationKey = field(init=False)


def _form(case: JwtCase) -> None:
    case.token = signed_jwt.parse(case.assertion)


def _header(case: JwtCase) -> None:
    case.header = signed_jwt.read_header(case.token, jwt_svid.TYPES)


def _claims(case: JwtCase) -> None:
    case.claims = jwt_svid.read_claims(case.token)


def _trust_domain(case: JwtCase) -> None:
    case.rules = case.trust.rules(case.claims.spiffe_id.trust_domain)


def _bundle(case: JwtCase) -> None:
    case.live = case.trust.live(case.claims.spiffe_id.trust_domain, case.now)


def _key(case: JwtCase) -> None:
    case.live, case.key = case.trust.select(case.live, case.header, case.claims.spiffe_id, case.now)


def _signature(case: JwtCase) -> None:
    signed_jwt.check_signature(case.token, case.key, case.header)


def _times(case: JwtCase) -> None:
    signed_jwt.check_alive(case.claims.expires_at, case.claims.not_before, case.now)


def _lifetime(case: JwtCase) -> None:
    jwt_svid.check_lifetime(case.claims, case.rules, case.now)


def _audience(case: JwtCase) -> None:
    signed_jwt.check_audience(case.claims.audience, case.audience)


def _issuer(case: JwtCase) -> None:
    jwt_svid.check_issuer(case.claims, case.rules)


JWT_STEPS: tuple[Step[JwtCase], ...] = (
    Step("form", _form),
    Step("header", _header, ("form",)),
    Step("claims", _claims, ("form",)),
    Step("trust-domain", _trust_domain, ("claims",)),
    Step("bundle", _bundle, ("trust-domain",)),
    Step("key", _key, ("header", "bundle")),
    Step("signature", _signature, ("key",)),
    Step("times", _times, ("claims",)),
    Step("lifetime", _lifetime, ("trust-domain",)),
    Step("audience", _audience, ("claims",)),
    Step("issuer", _issuer, ("trust-domain",)),
)
