"""What a Client ID Metadata Document has to be, check by check (draft-ietf-oauth-client-id-metadata-document-02,
sections 3, 4 and 6). Each raises `EvidenceRejected` (DOCUMENT_REFUSED), and none quotes the document."""

from __future__ import annotations

import math
from collections.abc import Mapping

from bridge.jose import strict_json
from bridge.jose.keys import PRIVATE_MEMBERS, UnfitKey, import_public
from bridge.metadata import members
from bridge.metadata.consistency import AuthKind, auth_kind
from bridge.metadata.uris import UnfitUri, require_secure
from bridge.model.errors import EvidenceRejected, InvalidClientMetadata
from bridge.model.metadata import ClientMetadata
from bridge.model.reasons import Reason
from bridge.verify.key_sets import JwtKeys, MalformedKeySet, keys_of_jwk_set

NONE, PRIVATE_KEY_JWT, SPIFFE_JWT = "none", "private_key_jwt", "spiffe_jwt"
_SECRETS = ("client_secret", "client_secret_expires_at")
_CERTIFICATE_BOUND = "tls_client_certificate_bound_access_tokens"
# A set behind `jwks_uri` is bounded by the fetch as well.
MAX_DOCUMENT_BYTES = 256 * 1024
# Far beyond any date, and still a number that a store keeps exactly.
_LATEST = 2**53


def require_client_url(client_id: str) -> None:
    """That a `client_id` is a Client Identifier URL, judged by the raw string and never normalised (CIMD-1 to 4).

    Raises: EvidenceRejected for another scheme than https, a user part, no path, dot segments also when encoded,
    a fragment, a query, and for whatever two readers could take for two URLs (T-7).
    Not checked: that anything is there, or that policy wants it.
    """
    try:
        web = require_secure(client_id, loopback=False)
    except UnfitUri as fault:
        raise _refused(f"the client_id {fault}") from None
    authority = web.host if web.port is None else f"{web.host}:{web.port}"
    if not client_id.removeprefix("https://" + authority).startswith("/"):
        raise _refused("the client_id has no path")
    if "?" in client_id:
        raise _refused("the client_id has a query")


def read_object(body: bytes) -> dict[str, object]:
    """One strict JSON object (CIMD-9)."""
    try:
        return strict_json.loads_object(body, max_bytes=MAX_DOCUMENT_BYTES)
    except strict_json.InvalidJson as fault:
        raise _refused(f"not a JSON object that can be read: {fault}") from None


def check_client_id(raw: Mapping[str, object], url: str) -> None:
    """`client_id` is there and is, character by character, where the document was fetched (CIMD-5)."""
    if raw.get("client_id") != url:
        raise _refused("client_id is missing or not the URL of the document")


def check_secrets(raw: Mapping[str, object]) -> None:
    """No shared secret: everybody can read the document (CIMD-10, T-9)."""
    if any(name in raw for name in _SECRETS):
        raise _refused("a document holds no secret")


def with_usable_keys(raw: Mapping[str, object]) -> Mapping[str, object]:
    """The document without those keys of its own that are of no use here. Where none is left all stay, and are
    refused in words that fit. Raises for a key that is private or symmetric, which everybody has by now (T-9)."""
    jwks = raw.get("jwks")
    _refuse_private(jwks)
    usable = [entry for entry in _entries(jwks) if _is_usable(entry)]
    return {**raw, "jwks": {"keys": usable}} if usable else raw


def read_members(raw: Mapping[str, object]) -> ClientMetadata:
    """Every member that is known here, of its type and within its bounds."""
    try:
        return members.read(raw)
    except InvalidClientMetadata as fault:
        raise _refused(fault.public) from None


def read_kind(metadata: ClientMetadata) -> AuthKind | None:
    """By what kind of credential it says that the client authenticates; None where it says nothing."""
    try:
        return auth_kind(metadata)
    except InvalidClientMetadata as fault:
        raise _refused(fault.public) from None


def check_binding(metadata: ClientMetadata) -> None:
    """Tokens of such a client could be bound to no certificate, so it may not want no others."""
    if metadata.get(_CERTIFICATE_BOUND):
        raise _refused("tokens of a client with a document are bound by DPoP only")


def read_method(metadata: ClientMetadata, kind: AuthKind | None) -> str:
    """The method by which the client authenticates everywhere (CIMD-20, 21; SCA-14, 15)."""
    has_keys = "jwks" in metadata or "jwks_uri" in metadata
    if kind is None:
        if has_keys:
            # Read as `none` it would let everybody in as this client; read as `private_key_jwt` it would be
            # held to what it never said.
            raise _refused("keys without token_endpoint_auth_method")
        return SPIFFE_JWT if "spiffe_id" in metadata else NONE
    if kind is AuthKind.SHARED_SECRET:
        raise _refused("token_endpoint_auth_method: a document's client has no shared secret")
    if kind is AuthKind.KEY and not has_keys:
        raise _refused("private_key_jwt without jwks or jwks_uri")
    if kind is AuthKind.SPIFFE and "spiffe_id" not in metadata:
        raise _refused("a SPIFFE method without spiffe_id")
    method = metadata.text("token_endpoint_auth_method") or NONE
    if kind is AuthKind.SPIFFE and method != SPIFFE_JWT:
        # A certificate comes with its own SPIFFE ID as client_id (SCA-15), so it can never come for a URL.
        raise _refused(f"{method} cannot name a URL as its client; spiffe_jwt can")
    return method


def read_expiry(raw: Mapping[str, object]) -> int | None:
    """`client_id_expires_at`, which no draft has settled: a number of seconds, and no other type (CIMD-32, T-28)."""
    if "client_id_expires_at" not in raw:
        return None
    value = raw["client_id_expires_at"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
        raise _refused("client_id_expires_at is no number of seconds")
    return math.floor(value)


def read_key_set(jwks: Mapping[str, object]) -> JwtKeys:
    """The usable keys of a JWK Set that holds none that is private or symmetric."""
    _refuse_private(jwks)
    try:
        return keys_of_jwk_set(jwks)
    except MalformedKeySet as fault:
        raise _refused(f"the key set: {fault}") from None


def _entries(jwks: object) -> list[Mapping[str, object]]:
    """The keys of a set as far as it is one; what it is not is refused by whoever reads it as one."""
    entries = jwks.get("keys") if isinstance(jwks, Mapping) else None
    return [entry for entry in entries if isinstance(entry, Mapping)] if isinstance(entries, list) else []


def _refuse_private(jwks: object) -> None:
    for entry in _entries(jwks):
        if entry.get("kty") == "oct" or not PRIVATE_MEMBERS.isdisjoint(entry):
            raise _refused("a key is private or symmetric")


def _is_usable(entry: Mapping[str, object]) -> bool:
    try:
        import_public(entry)
    except UnfitKey:
        return False
    return True


def _refused(words: str) -> EvidenceRejected:
    return EvidenceRejected(Reason.DOCUMENT_REFUSED, words)
