"""What happens between a client's authorization request and its last token: the nouns of the code flow.

Secrets that go over a wire (`request_uri`, code, refresh token, session cookie) are in none of these: a store
knows their digests, hex SHA-256 (OAS-38).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.model.authority import Authorities
from bridge.model.client import ClientKind
from bridge.model.evidence import Door, EvidenceKind
from bridge.model.identity import PolicySubject
from bridge.model.terms import Ask

# The one `client_id` of all pushed clients, as draft -00 spells it.
PUSHED_CLIENT_ID = "urn:ietf:oauth:parameters:dynamic"


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A request that passed every check of its door: who asks for what, and where the answer goes.

    `ask` has the door and what was asked, `grant_type` always `authorization_code`. `subject` is who asked as
    policy sees it, with the SPIFFE ID that authenticated at `/par`, if one did. `redirect_uri` is the one to
    redirect to, a loopback port as it was asked for; it has been matched. `code_challenge` is S256. `dpop_jkt`:
    the key that the code is bound to. `epoch` is the registration's (`Registration.epoch`), None for a pushed
    client, which has no record. `metadata` is what the client says of itself, for the page that asks the user and,
    of pushed clients, for resource servers. `fingerprint` is over everything of a client that a remembered
    consent hangs on. `transaction` is the public name of a pushed client's one transaction. `authorities` vouched for
    whoever pushed it.
    """

    client_id: str
    kind: ClientKind
    subject: PolicySubject
    ask: Ask
    redirect_uri: str
    code_challenge: str
    state: str | None = None
    dpop_jkt: str | None = None
    epoch: str | None = None
    fingerprint: str = ""
    transaction: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    authorities: Authorities = ()


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """An authorization request that a browser has before it. `decide_until` in epoch seconds."""

    request: AuthorizationRequest
    decide_until: int


@dataclass(frozen=True, slots=True)
class User:
    """Who is signed in. `user_id` is opaque, stable for one account of one sign-in source, and never a URI (OAS-20);
    `name` is for that person's own eyes alone."""

    user_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Session:
    """A browser in which a user is signed in. Times: epoch seconds. `digest` is the cookie's."""

    digest: str
    user: User
    signed_in_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class Consent:
    """What a user agreed to let one client have without being asked again, as long as its `fingerprint` stays: over
    what the client says of itself, and which registration it is.
    `scopes` and `resources` are all that was agreed to. Epoch seconds."""

    user_id: str
    client_id: str
    fingerprint: str
    scopes: tuple[str, ...]
    resources: tuple[str, ...]
    agreed_at: int


@dataclass(frozen=True, slots=True)
class Grant:
    """What one user gave to one client: what stands behind a code, the tokens of it, and the refresh token.

    `grant_id` is unguessable and stands in the tokens. `actor` is the SPIFFE ID that authenticated, set at the
    latest when the code is redeemed; nobody else may use the grant. `epoch` as on the request: with another one on
    the record the grant is over (T-23). `door` is where the grant began; everything later is decided as at that
    door. Epoch seconds: `code_expires_at`; `code_used_at` None before; `refresh_expires_at` None without a refresh
    token; `ends_at` is when its last artefact is dead and the row may go; `ended_at` None while it lives.
    `generation` counts the refresh tokens: the one in force, 0 when there is none yet. `authorities` vouched for
    whoever used it last, or asked for it: a client that proves itself anew by each use rests on no earlier proof.
    """

    grant_id: str
    code_digest: str
    user: User
    client_id: str
    kind: ClientKind
    evidence: EvidenceKind
    door: Door
    scopes: tuple[str, ...]
    resources: tuple[str, ...]
    redirect_uri: str
    code_challenge: str
    created_at: int
    code_expires_at: int
    ends_at: int
    actor: str | None = None
    epoch: str | None = None
    dpop_jkt: str | None = None
    fingerprint: str = ""
    transaction: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    code_used_at: int | None = None
    generation: int = 0
    refresh_expires_at: int | None = None
    ended_at: int | None = None
    authorities: Authorities = ()


@dataclass(frozen=True, slots=True)
class GrantUse:
    """One use of a grant, written together with the token it gives: what has to hold then, and what changes.

    `redeems_code`: the code must not have been used, and is now. Otherwise `generation` must be the refresh token in
    force. `next_generation` is in force afterwards (the same where the refresh token is not rotated, 0 without
    one). `refresh_expires_at` and `ends_at` in epoch seconds; `ends_at` never goes back. `actor`: as on the grant.
    `epoch`: that of the registration that redeems a code, which is the grant's from then on; None leaves it.
    `authorities`: who vouched for whoever uses it, the grant's from then on.
    """

    grant_id: str
    redeems_code: bool
    generation: int
    next_generation: int
    ends_at: int
    refresh_expires_at: int | None = None
    actor: str | None = None
    epoch: str | None = None
    authorities: Authorities = ()
