"""What each step of a JWT-SVID expects, and what it found, in words.

The words of a step use what the steps before it have put on the case and nothing else, so they can be said of one that
failed as well. All of it is what the token says of itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bridge.doctor import signed_words
from bridge.doctor.signed_words import claim, form_words, header_words
from bridge.doctor.surroundings import Surroundings
from bridge.doctor.words import listed, shown, span, when
from bridge.verify.jwt_steps import JwtCase
from bridge.verify.signed_jwt import LEEWAY
from bridge.verify.statement_claims import MAX_LIFE

Words = tuple[str, str]


def _form(case: JwtCase, _: Surroundings) -> Words:
    return form_words(case.assertion)


def _header(case: JwtCase, _: Surroundings) -> Words:
    return "alg one of the nine, kid a name, typ JWT, JOSE or absent, and no other member", header_words(
        case.token.header
    )[1]


def _claims(case: JwtCase, _: Surroundings) -> Words:
    expected = "sub the SPIFFE ID of a workload, aud, exp a number"
    claims = claims_of(case)
    if claims is None:
        return expected, "a payload that is no JSON object"
    said = [f"{name} {claim(claims[name])}" for name in ("sub", "aud", "exp", "nbf", "iat", "iss") if name in claims]
    return expected, ", ".join(said) or "none of them"


def claims_of(case: JwtCase) -> Mapping[str, object] | None:
    """All claims, as the token has them; None for a payload that cannot be read."""
    return signed_words.claims_of(case.token)


def _trust_domain(case: JwtCase, around: Surroundings) -> Words:
    return f"one that is configured: {around.names}", shown(case.claims.spiffe_id.trust_domain.name)


def _bundle(case: JwtCase, around: Surroundings) -> Words:
    domain = around.domains[case.claims.spiffe_id.trust_domain.name]
    return domain.freshness, shown(domain.described(around.now))


def _key(case: JwtCase, _: Surroundings) -> Words:
    keys = case.trust.jwt_keys(case.live)
    unfit = f", and unfit ones: {listed(sorted(keys.unfit))}" if keys.unfit else ""
    have = f"one of the bundle's keys: {listed(key.kid for key in keys.usable)}{unfit}"
    kid = case.header.kid
    return have, f'kid "{shown(kid)}", alg {case.header.alg}' if kid is not None else f"no kid, alg {case.header.alg}"


def _signature(case: JwtCase, _: Surroundings) -> Words:
    key = case.key
    return f'the signature of key "{shown(key.kid or key.thumbprint)}"', f"an {case.header.alg} signature"


def _times(case: JwtCase, around: Surroundings) -> Words:
    claims, now = case.claims, around.now
    found = [f"exp {when(claims.expires_at, now)}"]
    found += [f"nbf {when(claims.not_before, now)}"] if claims.not_before is not None else []
    found += [f"iat {when(claims.payload['iat'], now)}"] if "iat" in claims.payload else []
    return f"exp ahead and nbf behind, with {LEEWAY} s for clocks that differ", ", ".join(found)


def _lifetime(case: JwtCase, around: Surroundings) -> Words:
    left = case.claims.expires_at - around.now
    found = f"{span(left)} to live" if left > 0 else "nothing left to live"
    return f"at most max_assertion_life ({span(case.rules.max_assertion_life)}) to live", found


def _audience(case: JwtCase, _: Surroundings) -> Words:
    return f'"{shown(case.audience)}" and no other', listed(case.claims.audience)


def _issuer(case: JwtCase, _: Surroundings) -> Words:
    allowed, issuer = case.rules.jwt_issuers, case.claims.issuer
    found = "no iss" if "iss" not in case.claims.payload else f"iss {claim(issuer)}"
    return "anything: no jwt_issuers configured" if allowed is None else f"one of {listed(sorted(allowed))}", found


def _statement(case: JwtCase, around: Surroundings) -> Words:
    payload, now = case.claims.payload, around.now
    issued = f"iat {when(payload['iat'], now)}" if "iat" in payload else "no iat"
    expected = f"iat behind exp and not ahead of now, and at most {span(MAX_LIFE)} to live"
    return expected, f"{issued}, exp {when(case.claims.expires_at, now)}"


JWT_WORDS: Mapping[str, Callable[[JwtCase, Surroundings], Words]] = {
    "form": _form,
    "header": _header,
    "claims": _claims,
    "trust-domain": _trust_domain,
    "bundle": _bundle,
    "key": _key,
    "signature": _signature,
    "times": _times,
    "lifetime": _lifetime,
    "audience": _audience,
    "issuer": _issuer,
    "statement": _statement,
}
