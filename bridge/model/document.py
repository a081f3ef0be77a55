"""Documents of clients, fetched from URLs: what is remembered of them, and what a caller gets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

T_co = TypeVar("T_co", covariant=True)
D_co = TypeVar("D_co", covariant=True)
K_co = TypeVar("K_co", covariant=True)


class DocumentKind(StrEnum):
    """What a URL was fetched as. A body is only ever used as what it was checked to be."""

    DOCUMENT = "document"
    JWKS = "jwks"


@dataclass(frozen=True, slots=True)
class DocumentCopy:
    """A copy that all workers share, of a body that had passed its check when it was kept.

    Units: epoch seconds. `fetched_at` is when its server last said that this is the document, `fresh_until` until
    when it need not be asked again. `digest` is the hex SHA-256 of `body`; `etag` empty when there is none.
    `must_revalidate`: once it is not fresh it may not be used when nobody answers either.
    """

    kind: DocumentKind
    url: str
    body: bytes
    digest: str
    etag: str
    fetched_at: int
    fresh_until: int
    must_revalidate: bool


@dataclass(frozen=True, slots=True)
class FoundDocument:
    """What is known of a URL: the copy, and until when somebody asks it (epoch seconds; 0: nobody asks). `rests`:
    until then nobody asks, and nobody should."""

    copy: DocumentCopy | None
    asked_until: int
    rests: bool = False


@dataclass(frozen=True, slots=True)
class StoredDocument(Generic[T_co]):
    """A document as it may be used now. `value` is what its check made of `body`; `digest` is the body's hex
    SHA-256 (T-8); `fetched_at`: epoch seconds, when its server last said that this is the document.

    Not checked: anything that depends on the time or on policy, such as `client_id_expires_at`.
    """

    url: str
    body: bytes
    digest: str
    fetched_at: int
    value: T_co


class ClientDocuments(Protocol[D_co, K_co]):
    """Who has the documents of clients, `D`, and their key sets, `K`, or gets them."""

    def document(self, url: str, *, now: int, source_address: str) -> StoredDocument[D_co]:
        """The metadata document at `url` (CIMD-5 to 16). `source_address` is whose request needs it: it pays for
        the fetch of a URL of which there is no copy.

        Raises: EvidenceRejected (`fetch.DocumentFailure`, or what the check raised) for what the client has to
        mend; Unavailable for what passes; LimitReached (`anonymous_per_minute`). Not checked: policy, which has to
        want this URL before (CIMD-24).
        """
        ...

    def keys(self, url: str, *, now: int, source_address: str, unknown_kid: bool = False) -> StoredDocument[K_co]:
        """The JWK Set at `url`, a `jwks_uri` of a checked document. `unknown_kid`: what this gave without it has
        not the key that is wanted, so the URL is asked again, unless it was within 5 seconds.

        Raises: as `document`; with `unknown_kid` Unavailable also where an older copy would do otherwise: whether
        there is such a key is then not known.
        """
        ...
