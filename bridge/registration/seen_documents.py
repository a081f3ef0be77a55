"""A client's metadata document as an operator sees it before the client is let in.

The service fetches nothing for a URL that waits (CIMD-24). The operator has it fetched, by the same guarded fetch, and
so knows what is being approved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from bridge.jose.keys import VerificationKey
from bridge.model.times import rfc3339
from bridge.verify.key_sets import JwtKeys
from bridge.verify.metadata_documents import VerifiedDocument, read_document, read_keys, require_client_url


class GetDocument(Protocol):
    """The guarded fetch of a document or, with `for_keys`, of a key set. Raises: EvidenceRejected, Unavailable."""

    def __call__(self, url: str, *, for_keys: bool) -> bytes: ...


@dataclass(frozen=True, slots=True)
class SeenDocument:
    """What is at a client's URL now. `digest` is the hex SHA-256 of the document as it came; `keys` are those of
    the document or of its `jwks_uri`, None where it has neither.

    Not said: that it will still be there when the client comes.
    """

    document: VerifiedDocument
    digest: str
    keys: JwtKeys | None

    def fields(self) -> dict[str, object]:
        """For programs and people. What the client says of itself is nobody else's word."""
        said = self.document.metadata
        return {
            "client_id": self.document.url,
            "host": urlsplit(self.document.url).netloc,
            "client_name": said.text("client_name"),
            "redirect_uris": list(said.texts("redirect_uris") or ()),
            "token_endpoint_auth_method": self.document.method,
            "spiffe_id": self.document.spiffe_id,
            "jwks_uri": self.document.jwks_uri,
            "keys": [] if self.keys is None else [_key_fields(key) for key in _by_name(self.keys)],
            "grant_types": list(said.texts("grant_types") or ()),
            "scope": said.text("scope"),
            "expires_at": rfc3339(self.document.expires_at),
            "digest": self.digest,
        }


def look_at(url: str, get: GetDocument) -> SeenDocument:
    """Fetch the document and, where they are elsewhere, the keys. Raises: EvidenceRejected for what is no client's
    document; Unavailable."""
    require_client_url(url)
    body = get(url, for_keys=False)
    document = read_document(body, url)
    keys = document.keys
    if document.jwks_uri is not None:
        keys = read_keys(get(document.jwks_uri, for_keys=True), document.jwks_uri)
    return SeenDocument(document, hashlib.sha256(body).hexdigest(), keys)


def _by_name(keys: JwtKeys) -> list[VerificationKey]:
    return sorted(keys.usable, key=lambda key: (key.kid, key.thumbprint))


def _key_fields(key: VerificationKey) -> Mapping[str, object]:
    return {"kid": key.kid or None, "kty": key.kty, "thumbprint": key.thumbprint}
