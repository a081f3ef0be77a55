"""What a caller presents, before anybody looked at it. None of this may be believed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class EvidenceKind(StrEnum):
    """Kinds of evidence, as policy files and audit rows spell them."""

    X509_SVID = "x509-svid"
    JWT_SVID = "jwt-svid"
    WIT_SVID = "wit-svid"
    SOFTWARE_STATEMENT = "software-statement"
    METADATA_DOCUMENT = "metadata-document"
    PUSHED = "pushed"


class Door(StrEnum):
    """Where a request came in. Policy decides at the first four; the others only appear in the audit log."""

    TOKEN = "token"
    PAR = "par"
    REGISTER = "register"
    AUTHORIZE = "authorize"
    INTROSPECT = "introspect"
    REVOKE = "revoke"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class X509Evidence:
    """A certificate chain as the TLS peer sent it: DER, leaf first. The peer proved it has the leaf's key
    (the handshake did); nothing else is known. `client_id` is the form field, if any."""

    chain: tuple[bytes, ...]
    client_id: str | None = None


@dataclass(frozen=True, slots=True)
class JwtEvidence:
    """A `client_assertion` and the `client_id` form field, if any.

    `general`: it came under the type that any client may use (RFC 7523 section 2.2) and not under the one of
    JWT-SVIDs alone. A client's own key is looked for only then.
    """

    assertion: str
    client_id: str | None = None
    general: bool = False


@dataclass(frozen=True, slots=True)
class DpopEvidence:
    """The value of the one `DPoP` header, and what it must match: the method and the URL asked, the
    latter put together from configuration, never from `Host` (OAS-35)."""

    proof: str
    method: str
    url: str


def names_document(client_id: str) -> bool:
    """Whether a `client_id` claims to be the URL of a metadata document; no other client's name here starts so
    (CIMD-30). Not checked: that it is one that a client may have."""
    return client_id.startswith("https://")


@dataclass(frozen=True, slots=True)
class NoEvidence:
    """A request without any credential that names a client: good for public clients alone."""

    client_id: str


SvidEvidence = X509Evidence | JwtEvidence
Evidence = X509Evidence | JwtEvidence | NoEvidence


@dataclass(frozen=True, slots=True)
class Presented:
    """Everything one request presents about who it is: one credential or, for a public client, none but its name;
    and a DPoP proof if sent."""

    evidence: Evidence
    dpop: DpopEvidence | None = None


@dataclass(frozen=True, slots=True)
class PresentedStatement:
    """What a registration presents about whom it is for: a `software_statement` (a JWT that claims to be a
    JWT-SVID or a statement of a pinned issuer, RFC 7591 section 2.3), the certificate chain of its connection
    as in `X509Evidence` (empty when none was sent), both, or nothing; and a DPoP proof if sent."""

    statement: str | None
    chain: tuple[bytes, ...] = ()
    dpop: DpopEvidence | None = None


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What every step of a request may need and none may change. `now` is epoch seconds, read once.

    `source_address` is the TCP peer, for limits and audit only: it is no evidence of anything.
    """

    correlation_id: str
    source_address: str
    door: Door
    now: int
