"""Client ID Metadata Documents: what a `client_id` that is a URL may look like, and what its document says
(draft-ietf-oauth-client-id-metadata-document-02, sections 3, 4 and 6).

A document is its host's word about a client and nobody else's: here it is read and judged by itself. Whether
anybody wants this client is policy's to say, before the document is fetched.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.metadata.consistency import AuthKind
from bridge.model.metadata import ClientMetadata
from bridge.model.spiffe_id import SpiffeId
from bridge.model.steps import Looked, Step, run, walk
from bridge.verify import document_checks as checks
from bridge.verify.document_checks import NONE, PRIVATE_KEY_JWT, SPIFFE_JWT, require_client_url
from bridge.verify.key_sets import JwtKeys

__all__ = [
    "NONE",
    "PRIVATE_KEY_JWT",
    "SPIFFE_JWT",
    "VerifiedDocument",
    "matches",
    "read_document",
    "read_keys",
    "require_client_url",
    "walk_document",
]

_WILDCARD = "/*"


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


@dataclass(slots=True)
class DocumentCase:
    """A document on its way through the steps: what was fetched from `url`. The other fields are there once the step
    that puts them has held; `usable` is `raw` without keys that are of no use here."""

    body: bytes = field(repr=False)
    url: str
    raw: Mapping[str, object] = field(init=False, repr=False)
    usable: Mapping[str, object] = field(init=False, repr=False)
    metadata: ClientMetadata = field(init=False)
    kind: AuthKind | None = field(init=False)
    method: str = field(init=False)
    expires_at: int | None = field(init=False)
    keys: JwtKeys | None = field(init=False)


def _form(case: DocumentCase) -> None:
    case.raw = checks.read_object(case.body)


def _client_id(case: DocumentCase) -> None:
    checks.check_client_id(case.raw, case.url)


def _secrets(case: DocumentCase) -> None:
    checks.check_secrets(case.raw)


def _private_keys(case: DocumentCase) -> None:
    case.usable = checks.with_usable_keys(case.raw)


def _members(case: DocumentCase) -> None:
    case.metadata = checks.read_members(case.usable)


def _kind(case: DocumentCase) -> None:
    case.kind = checks.read_kind(case.metadata)


def _binding(case: DocumentCase) -> None:
    checks.check_binding(case.metadata)


def _method(case: DocumentCase) -> None:
    case.method = checks.read_method(case.metadata, case.kind)


def _expiry(case: DocumentCase) -> None:
    case.expires_at = checks.read_expiry(case.raw)


def _keys(case: DocumentCase) -> None:
    jwks = case.metadata.get("jwks")
    case.keys = checks.read_key_set(jwks) if isinstance(jwks, Mapping) else None


DOCUMENT_STEPS: tuple[Step[DocumentCase], ...] = (
    Step("document-form", _form),
    Step("client-id", _client_id, ("document-form",)),
    Step("secrets", _secrets, ("document-form",)),
    Step("private-keys", _private_keys, ("document-form",)),
    Step("members", _members, ("private-keys",)),
    Step("consistency", _kind, ("members",)),
    Step("binding", _binding, ("members",)),
    Step("method", _method, ("consistency",)),
    Step("expiry", _expiry, ("document-form",)),
    Step("keys", _keys, ("members",)),
)


def read_document(body: bytes, url: str) -> VerifiedDocument:
    """Read what was fetched from `url`.

    Raises: EvidenceRejected (DOCUMENT_REFUSED) whose text says what is wrong and quotes nothing: for what is no
    strict JSON object, another `client_id`, shared secrets and private keys, an authentication method that cannot
    be met by what the document has, keys without a method, and members that no client may have.
    Spec: CIMD-5, 9, 10, 21, 32; SCA-14; T-9.
    """
    case = DocumentCase(body, url)
    run(DOCUMENT_STEPS, case)
    metadata = case.metadata
    return VerifiedDocument(
        url=url,
        metadata=metadata,
        method=case.method,
        keys=case.keys,
        jwks_uri=metadata.text("jwks_uri"),
        spiffe_id=metadata.text("spiffe_id"),
        expires_at=case.expires_at,
        digest=_digest(url, case.method, case.expires_at, metadata),
    )


def walk_document(body: bytes, url: str) -> tuple[DocumentCase, tuple[Looked, ...]]:
    """How each step of `read_document` comes out, and what was found on the way. For explaining."""
    case = DocumentCase(body, url)
    return case, walk(DOCUMENT_STEPS, case)


def read_keys(body: bytes, url: str) -> JwtKeys:
    """Read the JWK Set that was fetched from a document's `jwks_uri`.

    Such a set may serve other ends too: keys for encryption, and of kinds that are not used here, are passed over.
    Raises: EvidenceRejected for what is no JWK Set, and for a private or symmetric key in it, which everybody has
    by now (CIMD-10, T-9). `url` is for the text alone.
    """
    return checks.read_key_set(checks.read_object(body))


def matches(pattern: str, spiffe_id: SpiffeId) -> bool:
    """Whether a document's `spiffe_id` names this identity: byte for byte, or all below `<SPIFFE ID>/` where it
    ends in `/*` (SCA-13)."""
    name = str(spiffe_id)
    if not pattern.endswith(_WILDCARD):
        return name == pattern
    prefix = pattern[:-1]
    return name.startswith(prefix) and len(name) > len(prefix)


def _digest(url: str, method: str, expires_at: int | None, metadata: ClientMetadata) -> str:
    said = json.dumps([url, method, expires_at, dict(metadata.members)], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(said.encode("ascii")).hexdigest()
