"""Verifying an access token offline, as a resource server should (RFC 9068 section 4, RFC 9449, RFC 8705).

To be copied, with `resource_keys` and `resource_proofs`: they need the standard library and joserfc, and nothing
else of this package. What they cannot see is revocation: a token is good here until it expires. Who needs more asks
`/introspect`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from joserfc import jws, jwt
from joserfc.errors import JoseError

from bridge.lab.resource_keys import IssuerKeys
from bridge.lab.resource_proofs import NonceWanted, ProofRefused, ProofVerifier

# What may have signed a token. Never `none`, never HMAC: the public key would be the secret.
ALGORITHMS = frozenset({"ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
# Seconds by which our clock may be behind that of the authorization server. None at the other end: a token that dies
# a little early here is renewed, one that lives on is nobody's wish.
LEEWAY = 30
_MAX_TOKEN = 16 * 1024


class TokenRefused(Exception):
    """The call is refused. `error` and the message go into the challenge (RFC 6750 section 3.1, RFC 9449 7.1);
    `scope` says what would have been needed, `nonce` what the next proof has to carry. No `error`: the caller
    sent no credentials, and is only told where to get some."""

    def __init__(
        self, status: int, error: str, description: str = "", *, scope: str | None = None, nonce: str | None = None
    ) -> None:
        super().__init__(description)
        self.status, self.error, self.scope, self.nonce = status, error, scope, nonce


@dataclass(frozen=True, slots=True)
class Presented:
    """What a request brought. `authorization` and `proofs` are all values of those headers; `certificate` is the
    TLS client certificate, DER. `method` is the request's own."""

    method: str
    authorization: Sequence[str]
    proofs: Sequence[str] = ()
    certificate: bytes | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. Exactly one of two kinds (RFC 9700 section 4.15):

    - a person through a client: `user` is the authorization server's opaque id for them, `actor` the SPIFFE ID of
      the workload that acts for them, if one authenticated;
    - a client for itself: `user` is None, `actor` is the client: its SPIFFE ID, or its `client_id` without one.
    """

    client_id: str
    user: str | None
    actor: str | None
    scopes: frozenset[str]
    bound_to: str | None
    claims: Mapping[str, object] = field(repr=False)


def _invalid(why: str) -> TokenRefused:
    return TokenRefused(401, "invalid_token", why)


class TokenVerifier:
    """Verifies the tokens of one authorization server for one resource."""

    def __init__(
        self, *, issuer: str, resource: str, keys: IssuerKeys, proofs: ProofVerifier, require_dpop: bool = False
    ) -> None:
        """`issuer` and `resource` come from configuration and are compared as strings."""
        self._issuer, self._resource, self._require_dpop = issuer, resource, require_dpop
        self._keys, self._proofs = keys, proofs

    def verify(self, presented: Presented, *, scope: str, now: int) -> Caller:
        """The caller, if everything holds and the token has the scope. `now`: epoch seconds.

        Raises: TokenRefused; KeysUnavailable. Not checked: revocation.
        """
        scheme, token = self._credentials(presented.authorization)
        claims = self._claims(token, now)
        bound_to = self._binding(claims, scheme, token, presented, now)
        caller = _caller(claims, bound_to)
        if scope not in caller.scopes:
            raise TokenRefused(403, "insufficient_scope", f"this call needs {scope}", scope=scope)
        return caller

    def _credentials(self, values: Sequence[str]) -> tuple[str, str]:
        """Scheme in lower case, and token. Only the header counts, never a query or a body (RFC 9700 4.3.2)."""
        if not values:
            raise TokenRefused(401, "")
        scheme, _, token = values[0].partition(" ")
        scheme = scheme.lower()
        if len(values) > 1 or scheme not in ("bearer", "dpop") or not token or len(token) > _MAX_TOKEN:
            raise TokenRefused(400, "invalid_request", "send one Authorization header with one access token")
        if scheme == "bearer" and self._require_dpop:
            raise _invalid("this resource takes DPoP-bound tokens only")
        return scheme, token

    def _claims(self, token: str, now: int) -> Mapping[str, object]:
        """The claims of a token that the authorization server signed, for us, for now."""
        try:
            header = jws.extract_compact(token.encode()).headers()
            # Another kind of JWT of the same server, an ID token or a statement, is no access token.
            if header.get("typ") not in ("at+jwt", "application/at+jwt") or header.get("alg") not in ALGORITHMS:
                raise _invalid("this is no access token")
            key = self._keys.find(header.get("kid"), now=now)
            # The key says which algorithm it is for; the header, which anybody may have written, must agree.
            if key is None or key.alg != header["alg"]:
                raise _invalid("no key of the authorization server made this token")
            claims = jwt.decode(token, key, algorithms=[header["alg"]]).claims
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            raise _invalid("the token is malformed, or its signature does not hold") from error
        if claims.get("iss") != self._issuer:
            raise _invalid("the token is of another issuer")
        audience = claims.get("aud")
        if self._resource not in (audience if isinstance(audience, list) else [audience]):
            raise _invalid("the token is for another resource")
        begins, ends = _number(claims.get("nbf", claims.get("iat"))), _number(claims.get("exp"))
        if not begins - LEEWAY <= now < ends:
            raise _invalid("the token has expired or is not valid yet")
        return claims

    def _binding(
        self, claims: Mapping[str, object], scheme: str, token: str, presented: Presented, now: int
    ) -> str | None:
        """Hold the caller to the key that the token is bound to; how it is bound, None for a bearer token.

        A token bound to a DPoP key is refused as a bearer token, or a thief would only have to leave the proof
        away (RFC 9449 section 7.2); one that is bound in a way unknown here is not taken for unbound.
        """
        confirmation = claims.get("cnf", {})
        if not isinstance(confirmation, dict) or not set(confirmation) <= {"jkt", "x5t#S256"}:
            raise _invalid("the token is bound in a way that this resource cannot check")
        if ("jkt" in confirmation) is not (scheme == "dpop"):
            raise _invalid("a token goes with the scheme DPoP if it is bound to a DPoP key, and only then")
        if "jkt" in confirmation:
            try:
                proved = self._proofs.verify(presented.proofs, method=presented.method, token=token, now=now)
            except NonceWanted as wanted:
                raise TokenRefused(401, "use_dpop_nonce", str(wanted), nonce=wanted.nonce) from wanted
            except ProofRefused as refused:
                raise TokenRefused(401, "invalid_dpop_proof", str(refused)) from refused
            _same(confirmation["jkt"], proved, "the proof is by another key than the token is bound to")
        if "x5t#S256" in confirmation:
            digest = hashlib.sha256(presented.certificate or b"").digest()
            own = base64.urlsafe_b64encode(digest).rstrip(b"=").decode() if presented.certificate else ""
            _same(confirmation["x5t#S256"], own, "come with the certificate that the token is bound to")
        return "jkt" if "jkt" in confirmation else "x5t#S256" if confirmation else None


def _caller(claims: Mapping[str, object], bound_to: str | None) -> Caller:
    """Tell a person's token from a client's own: by `client_token`, not by what the names look like."""
    client_id, subject, scope = claims.get("client_id"), claims.get("sub"), claims.get("scope", "")
    if not isinstance(client_id, str) or not isinstance(subject, str) or not isinstance(scope, str):
        raise _invalid("the token lacks a client_id or a sub")
    scopes = frozenset(scope.split())
    if claims.get("client_token") is True:
        return Caller(client_id, None, subject, scopes, bound_to, claims)
    act = claims.get("act")
    actor = act.get("sub") if isinstance(act, dict) else None
    return Caller(client_id, subject, actor if isinstance(actor, str) else None, scopes, bound_to, claims)


def _same(stated: object, proved: str, otherwise: str) -> None:
    if not isinstance(stated, str) or not proved or not hmac.compare_digest(stated.encode(), proved.encode()):
        raise _invalid(otherwise)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _invalid("the token lacks a time")
    return value
