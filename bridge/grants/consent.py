"""What a user is asked, and when they need not be asked again (interface section 9; T-44)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from bridge.metadata.members import base_name
from bridge.metadata.redirect_matching import host_of, is_loopback, is_remembered
from bridge.model.authorization import AuthorizationRequest, Consent
from bridge.model.client import ClientKind
from bridge.model.terms import Bind, Decision

# What a page or a resource server may be told of a client: what it calls itself and where to read about it. Keys,
# contacts of people and everything else that was said stay here.
_SHOWN = frozenset(
    {
        "application_type", "client_name", "client_uri", "dpop_bound_access_tokens", "policy_uri", "software_id",
        "software_version", "tos_uri",
    }
)  # fmt: skip
_REMEMBERED = ("jwks_uri", "scope", "token_endpoint_auth_method")


@dataclass(frozen=True, slots=True)
class Words:
    """A scope or a resource, and what the catalogue says that it is. `text` is empty where it says nothing."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Seen:
    """The scopes and resources that a page showed. Neither is ever empty."""

    scopes: tuple[str, ...]
    resources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """What the user is to decide, as policy has it now. Everything under `metadata` is the client's own word.

    `request.client_id` is who asks: a URL, whose host is to be shown first; a SPIFFE ID; or, of pushed clients, a
    name that all of them have. `redirect_host` is where the answer goes; `is_loopback`: to the user's own machine.
    `is_key_bound`: tokens of this are worth nothing without the client's key. `remembered`: the user agreed to all
    of this before and need not be asked; `can_be_remembered`: a yes will be kept for the next time.
    """

    request: AuthorizationRequest
    scopes: tuple[Words, ...]
    resources: tuple[Words, ...]
    redirect_host: str
    is_loopback: bool
    is_key_bound: bool
    remembered: bool
    can_be_remembered: bool

    @property
    def metadata(self) -> Mapping[str, object]:
        """What the client says of itself: unverified (PCR-31, CIMD-25)."""
        return self.request.metadata

    @property
    def seen(self) -> Seen:
        """What the user has before them, and so the most that a yes can give."""
        return Seen(tuple(one.name for one in self.scopes), tuple(one.name for one in self.resources))


def shown(metadata: Mapping[str, object]) -> dict[str, object]:
    """The part of what a client says of itself that others may be told, in all its languages."""
    return {name: value for name, value in metadata.items() if base_name(name) in _SHOWN}


def fingerprint(metadata: Mapping[str, object], redirect_uris: tuple[str, ...]) -> str:
    """Hex SHA-256 over what a consent hangs on: redirect URIs, the way the client authenticates, where its keys
    are, its name in every language, and the scopes it may ask for (CIMD-27). Not over keys: those rotate."""
    names = {name: value for name, value in metadata.items() if base_name(name) == "client_name"}
    rest = {name: metadata.get(name) for name in _REMEMBERED}
    said = json.dumps([sorted(redirect_uris), names, rest], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(said.encode()).hexdigest()


def can_be_remembered(request: AuthorizationRequest) -> bool:
    """Whether a yes may stand for the next time: not for a client that lives for one transaction (PCR-27), nor
    where any program of the user's machine could receive the answer (T-10, RFC 8252 section 8.6)."""
    return request.kind is not ClientKind.PUSHED and is_remembered(request.redirect_uri)


def _standing(request: AuthorizationRequest) -> str:
    """What a remembered yes hangs on: what the client says, and the record that it had. One that ended and came back
    may be somebody else's by now (T-23). An end of one member of many is not an end of the client."""
    record_epoch = (request.epoch or "").partition(".")[0]
    return hashlib.sha256(f"{request.fingerprint} {record_epoch}".encode()).hexdigest()


def is_covered(consent: Consent | None, request: AuthorizationRequest, decision: Decision) -> bool:
    """Whether the user agreed to all of this before, for this very client as it was then."""
    return (
        consent is not None
        and can_be_remembered(request)
        and consent.fingerprint == _standing(request)
        and set(decision.scopes) <= set(consent.scopes)
        and set(decision.resources) <= set(consent.resources)
    )


def question(
    request: AuthorizationRequest, decision: Decision, consent: Consent | None, catalogue: Mapping[str, str]
) -> Question:
    """What to ask. `decision` is what policy gives now; `catalogue` has the words for scopes and resources."""
    bind = None if decision.terms is None else decision.terms.bind
    # A code that is bound to a key gives bound tokens only where the rule binds tokens at all.
    bound = bind in (Bind.ANY, Bind.JKT, Bind.X5T_S256) or (bind is Bind.IF_PRESENT and request.dpop_jkt is not None)
    return Question(
        request=request,
        scopes=tuple(Words(name, catalogue.get(name, "")) for name in decision.scopes),
        resources=tuple(Words(name, catalogue.get(name, "")) for name in decision.resources),
        redirect_host=host_of(request.redirect_uri),
        is_loopback=is_loopback(request.redirect_uri),
        is_key_bound=bound,
        remembered=is_covered(consent, request, decision),
        can_be_remembered=can_be_remembered(request),
    )


def consent_of(
    request: AuthorizationRequest, user_id: str, decision: Decision, earlier: Consent | None, now: int
) -> Consent | None:
    """What to remember of a yes; None where nothing may be. What was agreed to before is added to, as long as the
    client is what it was."""
    if not can_be_remembered(request):
        return None
    scopes, resources = set(decision.scopes), set(decision.resources)
    standing = _standing(request)
    if earlier is not None and earlier.fingerprint == standing:
        scopes |= set(earlier.scopes)
        resources |= set(earlier.resources)
    return Consent(user_id, request.client_id, standing, tuple(sorted(scopes)), tuple(sorted(resources)), now)
