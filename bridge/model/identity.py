"""Who a caller proved to be. Only `bridge/verify/` makes these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from bridge.model.authority import Authorities
from bridge.model.evidence import EvidenceKind
from bridge.model.spiffe_id import SpiffeId

# The marker kind of DPoP proofs; a proof used twice is answered in DPoP's own words.
DPOP_MARKER = "dpop"


class Source(StrEnum):
    """Which policy source decides about an identity (`source = ...` in a policy file)."""

    SPIFFE = "spiffe"
    METADATA_DOCUMENT = "metadata-document"
    SOFTWARE_STATEMENT = "software-statement"
    PUSHED = "pushed"


class BindingMethod(StrEnum):
    """How a token can be bound to a key; the values are the members of `cnf`."""

    X5T_S256 = "x5t#S256"
    JKT = "jkt"


@dataclass(frozen=True, slots=True)
class KeyBinding:
    """A key the request proved. `thumbprint` is base64url(SHA-256) without padding: of the certificate
    (RFC 8705 section 3.1) or of the JWK (RFC 7638). `not_after`: epoch seconds, None without end. `jwk` is
    the public key itself, canonical members only, where the request brought it (DPoP)."""

    method: BindingMethod
    thumbprint: str
    not_after: int | None = None
    jwk: Mapping[str, str] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class PolicySubject:
    """The part of an identity that policy may look at. `explain` makes hypothetical ones, so having
    one proves nothing.

    source spiffe: `spiffe_id`. metadata-document: `url`, and `spiffe_id` when an SVID acts for it.
    software-statement: `issuer` and `subject`. pushed: nothing more.
    """

    source: Source
    evidence: EvidenceKind
    spiffe_id: SpiffeId | None = None
    url: str | None = None
    issuer: str | None = None
    subject: str | None = None

    @property
    def name(self) -> str:
        """The one string that policy and records call this subject by."""
        if self.source is Source.METADATA_DOCUMENT:
            return self.url or ""
        if self.source is Source.SOFTWARE_STATEMENT:
            return f"{self.issuer} {self.subject}"
        if self.source is Source.PUSHED:
            return self.source.value
        return str(self.spiffe_id) if self.spiffe_id is not None else ""

    @property
    def actor(self) -> str:
        """Who it is that acts, as audit rows, members and tokens say it: the SPIFFE ID that acts for a document, if
        one does (SCA-32); else the subject's name."""
        if self.source is Source.METADATA_DOCUMENT and self.spiffe_id is not None:
            return str(self.spiffe_id)
        return self.name


@dataclass(frozen=True, slots=True)
class VerifiedIdentity:
    """Who the caller proved to be. Says nothing about what it may do.

    Units:  `verified_at` and `not_after` are epoch seconds, UTC; `not_after` is the credential's end.
    Fields: `credential_hash` is the hex SHA-256 of the assertion or of the leaf's DER; `key_id` the `kid`
            or the leaf's authority key id, for the audit row; `bundle_sequence` the `spiffe_sequence`
            of the bundle that vouched, if it has one; `keys` all keys the request proved;
            `replay_digest` what a `Marker` for one use of a JWT-SVID is made of: a hex SHA-256 that is equal
            for all spellings of one token (its hash is not: an ECDSA signature has a twin that anybody can
            compute). Empty for X.509-SVIDs, whose key is proved anew by each handshake; `authorities` who
            vouched: a trust domain's keys, by SVID or by the lease that an SVID granted; empty where none did.
    A public client shows nothing (`is_public`): it is whoever it says, and may do what anybody may in its name.
    Spec:   SPIFFE-ID 2; RFC 8705 3.1 (`x5t#S256`); RFC 9449 6.1 (`jkt`).
    """

    subject: PolicySubject
    credential_hash: str
    key_id: str
    verified_at: int
    not_after: int
    bundle_sequence: int | None = None
    keys: tuple[KeyBinding, ...] = ()
    replay_digest: str = ""
    authorities: Authorities = ()

    @property
    def name(self) -> str:
        """Who acts, as audit rows, members and tokens say it."""
        return self.subject.actor

    @property
    def is_public(self) -> bool:
        """Whether nothing was shown that proves who this is: the word of a public client."""
        return not self.credential_hash

    @property
    def proved(self) -> frozenset[BindingMethod]:
        """The binding methods for which a key was proved."""
        return frozenset(key.method for key in self.keys)

    def key(self, method: BindingMethod) -> KeyBinding | None:
        """The proved key of that method, if there is one."""
        return next((key for key in self.keys if key.method is method), None)

    def with_key(self, key: KeyBinding) -> VerifiedIdentity:
        """The same identity with one more proved key."""
        return replace(self, keys=(*self.keys, key))


@dataclass(frozen=True, slots=True)
class Marker:
    """Something that may be used once. `kind` separates name spaces (`dpop`, `jwt-svid`); `digest` is
    a hex SHA-256 over what makes it unique. From `expires_at` (epoch seconds) on the thing is stale
    by itself and the mark may be swept."""

    kind: str
    digest: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class VerifiedProof:
    """A DPoP proof that held (RFC 9449 4.3). Not checked: that it is new. `marker` must be claimed in the
    store, in the same transaction as what is issued."""

    key: KeyBinding
    marker: Marker


@dataclass(frozen=True, slots=True)
class VerifiedStatement:
    """A software statement that held: whom it is about, and what its maker says of them (RFC 7591 section 2.3).

    `stated` are its claims without those of the protocol (DCR-18): of any name and type, neither checked as
    metadata nor cut to what policy lets this source state. `issuer` is the pinned issuer, None for an SVID.
    `digest` is the hex SHA-256 of the statement as it came; `expires_at` epoch seconds (DCR-35).
    """

    identity: VerifiedIdentity
    stated: Mapping[str, object]
    issuer: str | None
    digest: str
    expires_at: int
