"""Client ID Metadata Documents: what a `client_id` that is a URL may look like, and what its document says
(draft-ietf-oauth-client-id-metadata-document-02, sections 3, 4 and 6).

A document is its host's word about a client and nobody else's: here it is read and judged by itself. Whether
anybody wants this client is policy's to say, before the document is fetched.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from bridge.jose import strict_json
from bridge.jose.keys import PRIVATE_MEMBERS, UnfitKey, import_public
from bridge.metadata import members
from bridge.metadata.consistency import AuthKind, auth_kind
from bridge.metadata.uris import UnfitUri, require_secure
from bridge.model.errors import EvidenceRejected, InvalidClientMetadata
from bridge.model.metadata import ClientMetadata
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import SpiffeId
from bridge.verify.key_sets import JwtKeys, MalformedKeySet, keys_of_jwk_set

__all__ = [
    "NONE",
    "PRIVATE_KEY_JWT",
    "SPIFFE_JWT",
    "VerifiedDocument",
    "matches",
    "read_document",
    "read_keys",
    "require_client_url",
]

NONE, PRIVATE_KEY_JWT, SPIFFE_JWT = "none", "private_key_jwt", "spiffe_jwt"
_SECRETS = ("client_secret", "client_secret_expires_at")
_CERTIFICATE_BOUND = "tls_client_certificate_bound_access_tokens"
_WILDCARD = "/*"
# A set behind `jwks_uri` is bounded by the fetch as well.
MAX_DOCUMENT_BYTES = 256 * 1024
# Far beyond any date, and still a number that a store keeps exactly.
_LATEST = 2**53


@dataclass(frozen=True, slots=True)
class VerifiedDocument:
    """A document that says it is the one of `url`, and is fit to be a client's.

    `method` is how the client authenticates everywhere (CIMD-20), one of `none`, `private_key_jwt` and
    `spiffe_jwt`: what the document declares; where it declares nothing, the last if it has a `spiffe_id`, else `none`
    (CIMD-21). `keys` are those of its own `jwks`; `jwks_uri` is where others are. `spiffe_id` is exact or ends in
    `/*`. `expires_at`: epoch seconds, None without end (CIMD-32). `digest` is the hex SHA-256 over all of this: two
    documents that differ in what nobody reads here have the same one.

    Not checked: that it has not expired, and everything policy decides. Not believed: `software_statement`
    (CIMD-33) and `spiffe_bundle_endpoint` (SCA-30), which are not even read.
    """

    url: str
    metadata: ClientMetadata
    method: str
    keys: JwtKeys | None
    jwks_uri: str | None
    spiffe_id: str | None
    expires_at: int | None
    digest: str

    @property
    def is_public(self) -> bool:
        """Whether the client has nothing to authenticate by."""
        return self.method == NONE

    def has_expired(self, now: int) -> bool:
        """Whether the end that the document gives itself is over (CIMD-32)."""
        return self.expires_at is not None and self.expires_at <= now


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


def read_document(body: bytes, url: str) -> VerifiedDocument:
    """Read what was fetched from `url`.

    Raises: EvidenceRejected (DOCUMENT_REFUSED) whose text says what is wrong and quotes nothing: for what is no
    strict JSON object, another `client_id`, shared secrets and private keys, an authentication method that cannot
    be met by what the document has, keys without a method, and members that no client may have.
    Spec: CIMD-5, 9, 10, 21, 32; SCA-14; T-9.
    """
    raw = _object(body)
    if raw.get("client_id") != url:
        raise _refused("client_id is missing or not the URL of the document")
    if any(name in raw for name in _SECRETS):
        raise _refused("a document holds no secret")
    try:
        metadata = members.read(_with_usable_keys(raw))
        kind = auth_kind(metadata)
    except InvalidClientMetadata as fault:
        raise _refused(fault.public) from None
    if metadata.get(_CERTIFICATE_BOUND):
        # Tokens of such a client could be bound to nothing, and it said that it wants no others.
        raise _refused("tokens of a client with a document are bound by DPoP only")
    jwks, method, expires_at = metadata.get("jwks"), _method(metadata, kind), _expiry(raw)
    return VerifiedDocument(
        url=url,
        metadata=metadata,
        method=method,
        keys=_keys(jwks) if isinstance(jwks, Mapping) else None,
        jwks_uri=metadata.text("jwks_uri"),
        spiffe_id=metadata.text("spiffe_id"),
        expires_at=expires_at,
        digest=_digest(url, method, expires_at, metadata),
    )


def read_keys(body: bytes, url: str) -> JwtKeys:
    """Read the JWK Set that was fetched from a document's `jwks_uri`.

    Such a set may serve other ends too: keys for encryption, and of kinds that are not used here, are passed over.
    Raises: EvidenceRejected for what is no JWK Set, and for a private or symmetric key in it, which everybody has
    by now (CIMD-10, T-9). `url` is for the text alone.
    """
    return _keys(_object(body))


def matches(pattern: str, spiffe_id: SpiffeId) -> bool:
    """Whether a document's `spiffe_id` names this identity: byte for byte, or all below `<SPIFFE ID>/` where it
    ends in `/*` (SCA-13)."""
    name = str(spiffe_id)
    if not pattern.endswith(_WILDCARD):
        return name == pattern
    prefix = pattern[:-1]
    return name.startswith(prefix) and len(name) > len(prefix)


def _object(body: bytes) -> dict[str, object]:
    try:
        return strict_json.loads_object(body, max_bytes=MAX_DOCUMENT_BYTES)
    except strict_json.InvalidJson as fault:
        raise _refused(f"not a JSON object that can be read: {fault}") from None


def _entries(jwks: object) -> list[Mapping[str, object]]:
    """The keys of a set as far as it is one; what it is not is refused by whoever reads it as one."""
    entries = jwks.get("keys") if isinstance(jwks, Mapping) else None
    return [entry for entry in entries if isinstance(entry, Mapping)] if isinstance(entries, list) else []


def _refuse_private(jwks: object) -> None:
    for entry in _entries(jwks):
        if entry.get("kty") == "oct" or not PRIVATE_MEMBERS.isdisjoint(entry):
            raise _refused("a key is private or symmetric")


def _keys(jwks: Mapping[str, object]) -> JwtKeys:
    _refuse_private(jwks)
    try:
        return keys_of_jwk_set(jwks)
    except MalformedKeySet as fault:
        raise _refused(f"the key set: {fault}") from None


def _with_usable_keys(raw: Mapping[str, object]) -> Mapping[str, object]:
    """The document without those keys of its own that are of no use here. Where none is left all stay, and are
    refused in words that fit."""
    jwks = raw.get("jwks")
    _refuse_private(jwks)
    usable = [entry for entry in _entries(jwks) if _is_usable(entry)]
    return {**raw, "jwks": {"keys": usable}} if usable else raw


def _is_usable(entry: Mapping[str, object]) -> bool:
    try:
        import_public(entry)
    except UnfitKey:
        return False
    return True


def _method(metadata: ClientMetadata, kind: AuthKind | None) -> str:
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


def _digest(url: str, method: str, expires_at: int | None, metadata: ClientMetadata) -> str:
    said = json.dumps([url, method, expires_at, dict(metadata.members)], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(said.encode("ascii")).hexdigest()


def _expiry(raw: Mapping[str, object]) -> int | None:
    """`client_id_expires_at`, which no draft has settled: a number of seconds, and no other type (CIMD-32, T-28)."""
    if "client_id_expires_at" not in raw:
        return None
    value = raw["client_id_expires_at"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
        raise _refused("client_id_expires_at is no number of seconds")
    return math.floor(value)


def _refused(words: str) -> EvidenceRejected:
    return EvidenceRejected(Reason.DOCUMENT_REFUSED, words)
