"""What the members of metadata mean for each other: grants, responses, redirects, authentication (DCR-6, SCA-14)."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from bridge.metadata.keys import read_jwks
from bridge.metadata.members import check_one_key_source, check_redirects, refusal
from bridge.model.metadata import ClientMetadata

AUTHORIZATION_CODE = "authorization_code"
CLIENT_CREDENTIALS = "client_credentials"
REFRESH_TOKEN = "refresh_token"
GRANT_TYPES = frozenset({AUTHORIZATION_CODE, CLIENT_CREDENTIALS, REFRESH_TOKEN})
CODE = "code"


class AuthKind(StrEnum):
    """How a `token_endpoint_auth_method` proves a client."""

    NONE = "none"
    KEY = "key"
    SPIFFE = "spiffe"
    SHARED_SECRET = "shared-secret"


# Shared secrets are known by name only so that their refusal can say what they are: none is ever issued here.
AUTH_METHODS = {
    "none": AuthKind.NONE,
    "private_key_jwt": AuthKind.KEY,
    "spiffe_jwt": AuthKind.SPIFFE,
    "spiffe_x509": AuthKind.SPIFFE,
    "spiffe_wit": AuthKind.SPIFFE,
    "client_secret_basic": AuthKind.SHARED_SECRET,
    "client_secret_post": AuthKind.SHARED_SECRET,
    "client_secret_jwt": AuthKind.SHARED_SECRET,
}


def auth_kind(metadata: ClientMetadata) -> AuthKind | None:
    """How the client says that it will authenticate; None when it does not say.

    Raises: InvalidClientMetadata for a method that this service does not know. Not checked: that the client may
    use it. A shared secret is known and none may use it; the caller refuses it in words that fit (DCR-14).
    """
    method = metadata.text("token_endpoint_auth_method")
    if method is None:
        return None
    if method not in AUTH_METHODS:
        raise refusal("token_endpoint_auth_method", "not a method of this service")
    return AUTH_METHODS[method]


def needs_redirect(grant_types: Collection[str]) -> bool:
    """Whether a client with these grants has to register a redirect URI (RFC 7591 section 2; CIMD-19). Who is
    let off, because a rule or a pushed request brings them, is the caller's to say."""
    return AUTHORIZATION_CODE in grant_types


def complete(metadata: ClientMetadata, *, grant_types: Collection[str]) -> ClientMetadata:
    """Check the members against each other, and state the grant and response types that follow (DCR-5).

    `grant_types` are the defaults of this kind of client. They hold where the metadata names none, unless it
    names response types or redirect URIs, which only a code brings: then it is a code that is meant, as
    RFC 7591's own default has it.
    Raises: InvalidClientMetadata for grants and responses that do not fit each other or are not offered (DCR-6);
    for a refresh token without a code; for an unknown authentication method; for two sources of keys (DCR-4);
    for a signing algorithm that no stated key has. InvalidRedirectUri for a private scheme of a web application.
    Not checked: that redirect URIs are there (`needs_redirect`), and everything policy decides.
    """
    grants = metadata.texts("grant_types") or _meant(metadata, grant_types)
    _check_grants(grants)
    responses = _responses(metadata, grants)
    auth_kind(metadata)
    # Members of one metadata may have come from two sources, each read for itself.
    check_redirects(metadata)
    check_one_key_source(metadata)
    _check_algorithm(metadata)
    stated = {"grant_types": list(grants), "response_types": list(responses)}
    return ClientMetadata({**metadata.members, **stated})


def meant_by(metadata: ClientMetadata, *, grant_types: Collection[str]) -> str | None:
    """The member by which a code is meant that is not named; None where grant types are named, or the defaults hold.
    `metadata` and `grant_types` as for `complete`."""
    if metadata.texts("grant_types") or AUTHORIZATION_CODE in grant_types:
        return None
    return next((name for name in ("redirect_uris", "response_types") if metadata.texts(name)), None)


def _meant(metadata: ClientMetadata, defaults: Collection[str]) -> tuple[str, ...]:
    return tuple(defaults) if meant_by(metadata, grant_types=defaults) is None else (AUTHORIZATION_CODE,)


def _check_grants(grants: tuple[str, ...]) -> None:
    if not GRANT_TYPES.issuperset(grants):
        raise refusal("grant_types", f"only {', '.join(sorted(GRANT_TYPES))} are offered here")
    if REFRESH_TOKEN in grants and AUTHORIZATION_CODE not in grants:
        raise refusal("grant_types", f"{REFRESH_TOKEN} comes with {AUTHORIZATION_CODE} only")


def _responses(metadata: ClientMetadata, grants: tuple[str, ...]) -> tuple[str, ...]:
    fitting = (CODE,) if AUTHORIZATION_CODE in grants else ()
    stated = metadata.texts("response_types")
    if stated is None:
        return fitting
    if any(response != CODE for response in stated):
        raise refusal("response_types", f"only '{CODE}' is offered here")
    if stated != fitting:
        raise refusal("response_types", f"'{CODE}' and the grant type {AUTHORIZATION_CODE} come together or not at all")
    return stated


def _check_algorithm(metadata: ClientMetadata) -> None:
    algorithm = metadata.text("token_endpoint_auth_signing_alg")
    if algorithm is None or "jwks" not in metadata:
        return
    if not any(key.fits(algorithm) for key in read_jwks(metadata.get("jwks"))):
        raise refusal("token_endpoint_auth_signing_alg", "no key in jwks fits it")
