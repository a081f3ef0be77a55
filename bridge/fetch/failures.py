"""How a fetch can fail. Two families, since they are answered differently: what is wrong with the document is the
client's to mend (401 `invalid_client`), what is wrong on the way to it passes by itself (503, `Retry-After`).

No text here quotes what a server sent: it may be anything, and the log is read by people.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from bridge.model.errors import EvidenceRejected, Unavailable
from bridge.model.reasons import Reason


class DocumentFault(StrEnum):
    """What is wrong with a document, or with where it is said to be. Values are metric labels."""

    URL = "url"
    ADDRESS = "address"
    REDIRECT = "redirect"
    STATUS = "status"
    TOO_LARGE = "too_large"
    MEDIA_TYPE = "media_type"
    ENCODING = "encoding"
    MALFORMED = "malformed"


class NetworkFault(StrEnum):
    """What went wrong on the way. Values are metric labels."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    CUT = "cut"
    SERVER = "server_error"


class DocumentFailure(EvidenceRejected):
    """The document's own fault. Never remembered: a document that was mended works at the next request (CIMD-14)."""

    def __init__(self, fault: DocumentFault, detail: str) -> None:
        super().__init__(Reason.DOCUMENT_REFUSED, f"{fault}: {detail}")
        self.fault, self._words = fault, detail

    def again(self, where: str = "") -> Self:
        """See `again`."""
        return type(self)(self.fault, where + self._words)


class NetworkFailure(Unavailable):
    """The network's fault, or a server's that says so itself (5xx)."""

    def __init__(self, fault: NetworkFault, detail: str, *, retry_after: int = 5) -> None:
        super().__init__(Reason.FETCH_FAILED, f"{fault}: {detail}", retry_after=retry_after)
        self.fault, self._words = fault, detail

    def again(self, where: str = "") -> Self:
        """See `again`."""
        return type(self)(self.fault, where + self._words, retry_after=self.retry_after)


class FetchDelayed(Unavailable):
    """Our own bounds: so many fetches are under way, or a host that failed is left alone. Nothing was asked."""

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(Reason.FETCH_BUSY, detail, retry_after=retry_after)

    def again(self, where: str = "") -> Self:
        """See `again`."""
        return type(self)(where + self.detail, retry_after=self.retry_after)


def again(failure: EvidenceRejected | Unavailable, where: str = "") -> EvidenceRejected | Unavailable:
    """The same failure for another request, since an error gathers what its own request should log; with `where` it
    happened before its words."""
    if isinstance(failure, DocumentFailure | NetworkFailure | FetchDelayed):
        return failure.again(where)
    if isinstance(failure, Unavailable):
        return Unavailable(failure.reason, where + failure.detail, retry_after=failure.retry_after)
    return EvidenceRejected(failure.reason, where + failure.detail)
