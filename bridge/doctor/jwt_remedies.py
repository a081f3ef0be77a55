"""The one thing to change about a JWT-SVID, where its own words tell more than its reason does.

None from a remedy: what is said of the reason in general is all that there is to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bridge.doctor.jwt_words import claims_of
from bridge.doctor.surroundings import Surroundings
from bridge.doctor.trust_remedies import (
    bundle_remedy,
    foreign_remedy,
    spelling_remedy,
    unknown_trust_domain,
    wrong_bundle_remedy,
)
from bridge.doctor.words import listed, moment_of, shown, span
from bridge.model.errors import BridgeError
from bridge.model.evidence import Door
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import SCHEME
from bridge.verify.jwt_steps import JwtCase
from bridge.verify.key_sets import select_key

# Clocks that differ are off by minutes. A token that ended before is simply old.
_CLOCK_SECONDS = 600
# Sooner than this a workload's token may be over before it is used.
_SHORT_LIFE = 60
_TOO_LARGE = "Take claims out of the token: those that a CredentialComposer plugin of the SPIRE server adds."


def jwt_remedy(case: JwtCase, error: BridgeError, around: Surroundings) -> str | None:
    """What to change so that this error goes away."""
    remedy = _REMEDIES.get(error.reason)
    return None if remedy is None else remedy(case, around)


def _malformed(case: JwtCase, _: Surroundings) -> str | None:
    text = case.assertion
    if text.strip() != text or any(c.isspace() for c in text):
        return "Take the blanks or line ends out of the token: it is one line, as the Workload API gives it."
    if text.startswith("{"):
        return "Send the token in compact form (three parts with two dots): JSON serialization is not taken."
    if text.count(".") == 4:
        return "Send a signed token: five parts are an encrypted one (JWE)."
    if text.count(".") == 2 and text.endswith("."):
        return "Send a signed token: this one has no signature."
    return None


def _claims(case: JwtCase, around: Surroundings) -> str:
    fetch = f"`spire-agent api fetch jwt -audience {case.audience}`"
    return f"Fetch the token from the Workload API, which puts sub, aud and exp into it: {fetch}."


def _spiffe_id(case: JwtCase, _: Surroundings) -> str | None:
    subject = (claims_of(case) or {}).get("sub")
    if isinstance(subject, str) and not subject.lower().startswith(SCHEME):
        return (
            "Send the JWT-SVID of the Workload API: sub of this token is no SPIFFE ID. A client's own assertion "
            "(private_key_jwt) comes under the type jwt-bearer."
        )
    return spelling_remedy(subject)


def _audience(case: JwtCase, around: Surroundings) -> str:
    wanted, named = case.audience, case.claims.audience
    fetch = f"`spire-agent api fetch jwt -audience {wanted}`"
    if len(named) > 1:
        return f"Fetch the SVID for one audience alone: {fetch}, without a second one."
    found, register = named[0], around.audience(Door.REGISTER)
    if found == register:
        return f"This SVID is a statement for /register (`--door register`). Here fetch one for the issuer: {fetch}."
    if wanted == register and found == around.issuer:
        return f"A statement's audience is the URL of /register, not the issuer: {fetch}."
    if found.rstrip("/") == wanted:
        return f"Take the slash off the end of the audience: {fetch}."
    if found.startswith(f"{wanted}/"):
        return f"The audience is the issuer itself, not the URL of an endpoint: {fetch}."
    if found.lower() == wanted.lower():
        return f"The audience is compared byte by byte, so mind upper and lower case: {fetch}."
    return f"Fetch the SVID for this service: {fetch}."


def _expired(case: JwtCase, around: Surroundings) -> str | None:
    payload, ended = case.claims.payload, moment_of(case.claims.payload, "exp")
    issued = moment_of(payload, "iat")
    if ended is None:
        return None
    if issued is not None and 0 < ended - issued < _SHORT_LIFE:
        life = span(ended - issued)
        return f"SVIDs of this entry live for {life} only: raise -jwtSVIDTTL of the entry or default_jwt_svid_ttl."
    if around.now - ended < _CLOCK_SECONDS:
        return (
            f"It ended {span(around.now - ended)} ago. Fetch a new one for each use; if this one is new, set the "
            "clocks (NTP): that of the SPIRE server and this machine's differ."
        )
    return None


def _not_yet_valid(case: JwtCase, around: Surroundings) -> str:
    begins = [moment_of(case.claims.payload, name) for name in ("nbf", "iat")]
    ahead = max((begin - around.now for begin in begins if begin is not None), default=0)
    return f"It begins {span(ahead)} from now: set the clock of the SPIRE server or of this machine (NTP)."


def _lifetime(case: JwtCase, _: Surroundings) -> str:
    most = case.rules.max_assertion_life
    trust_domain = case.claims.spiffe_id.trust_domain.name
    return (
        f"Set default_jwt_svid_ttl of the SPIRE server, or -jwtSVIDTTL {most} of the entry, to {span(most)} or less, "
        f'or allow more: max_assertion_life in [trust_domains."{trust_domain}"].'
    )


def _issuer(case: JwtCase, _: Surroundings) -> str:
    allowed = listed(sorted(case.rules.jwt_issuers or ()))
    trust_domain = case.claims.spiffe_id.trust_domain.name
    section = f'[trust_domains."{trust_domain}"]'
    if "iss" not in case.claims.payload:
        return f"Set jwt_issuer of the SPIRE server to {allowed}, or take jwt_issuers out of {section}."
    return (
        f"Make jwt_issuer of the SPIRE server and jwt_issuers of {section} agree: it says "
        f'"{shown(case.claims.issuer)}", allowed is {allowed}.'
    )


def _key_unknown(case: JwtCase, around: Surroundings) -> str:
    own = case.claims.spiffe_id.trust_domain.name
    for name, domain in sorted(around.domains.items()):
        bundle = domain.status.bundle
        if name == own or bundle is None or case.header.kid is None:
            continue
        if any(authority.key_id == case.header.kid for authority in bundle.jwt_authorities):
            return foreign_remedy(name, own, what="key")
    return wrong_bundle_remedy(around.domains[own], own, what="key")


def _key_empty(case: JwtCase, around: Surroundings) -> str | None:
    return bundle_remedy(around.domains[case.claims.spiffe_id.trust_domain.name], "jwt-svid")


def _signature(case: JwtCase, _: Surroundings) -> str | None:
    """Whether another key of the same bundle would have been it cannot be told: a signature is tried with the one that
    the token names, and no other."""
    claims = claims_of(case)
    keys = case.trust.jwt_keys(case.live)
    if case.header.kid is None and claims is not None:
        only = select_key(keys, case.header, "the token").kid
        return f'The token names no key, and "{shown(only)}", the only one that could be, is not it: renew the bundle.'
    return None


_REMEDIES: Mapping[Reason, Callable[[JwtCase, Surroundings], str | None]] = {
    Reason.CREDENTIAL_MALFORMED: _malformed,
    Reason.CREDENTIAL_TOO_LARGE: lambda case, around: _TOO_LARGE,
    Reason.JWT_CLAIMS: _claims,
    Reason.SPIFFE_ID_INVALID: _spiffe_id,
    Reason.TRUST_DOMAIN_UNKNOWN: lambda case, around: unknown_trust_domain(case.claims.spiffe_id, around),
    Reason.BUNDLE_UNAVAILABLE: lambda case, around: bundle_remedy(
        around.domains[case.claims.spiffe_id.trust_domain.name], "jwt-svid"
    ),
    Reason.BUNDLE_EMPTY: _key_empty,
    Reason.JWT_KEY_UNKNOWN: _key_unknown,
    Reason.JWT_SIGNATURE: _signature,
    Reason.JWT_EXPIRED: _expired,
    Reason.JWT_NOT_YET_VALID: _not_yet_valid,
    Reason.JWT_LIFETIME: _lifetime,
    Reason.JWT_AUDIENCE: _audience,
    Reason.JWT_ISSUER: _issuer,
}
