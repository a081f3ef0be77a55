"""What is asked and what policy answers. Only `bridge/policy/` makes `Terms` and `Decision`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bridge.model.evidence import Door
from bridge.model.reasons import Reason


class Effect(StrEnum):
    """What a rule does, and how a decision ends. `ASK` allows once an operator approved the client."""

    ALLOW = "allow"
    DENY = "deny"
    ASK = "ask"


class Bind(StrEnum):
    """Which proved key a token must be bound to (`grant.bind`)."""

    ANY = "any"
    X5T_S256 = "x5t#S256"
    JKT = "jkt"
    IF_PRESENT = "if-present"
    NONE = "none"


class Replay(StrEnum):
    """How often one JWT-SVID may be used (`grant.replay`). SPIRE agents hand out cached ones, so within
    its lifetime is the default."""

    WITHIN_LIFETIME = "within-lifetime"
    ONCE = "once"


class ClientMode(StrEnum):
    """Which record an identity gets (`grant.client`)."""

    IDENTITY = "identity"
    SHARED = "shared"
    INSTANCE = "instance"


@dataclass(frozen=True, slots=True)
class ClientChoice:
    """The client that policy gives to an identity, whatever it asks. `shared_id` only for SHARED."""

    mode: ClientMode = ClientMode.IDENTITY
    shared_id: str | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request wants. Empty `scopes` or `resources` mean that it named none.

    This is the whole ask as the audit row keeps it, so that `policy replay` can decide it again.
    """

    door: Door
    grant_type: str
    scopes: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()

    def to_audit(self) -> dict[str, object]:
        """The ask as an audit row keeps it; the door is a column of its own."""
        return {"grant_type": self.grant_type, "scopes": list(self.scopes), "resources": list(self.resources)}


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of one rule. Units: `token_ttl`, `refresh_ttl` and `lease` in seconds.

    `digest` is a hex SHA-256 over everything an approval stands for: it changes when any term does.
    """

    rule: str
    resources: tuple[str, ...]
    scopes: tuple[str, ...]
    grant_types: tuple[str, ...]
    token_ttl: int
    bind: Bind
    digest: str
    replay: Replay = Replay.WITHIN_LIFETIME
    refresh_ttl: int | None = None
    lease: int | None = None
    require_par: bool = False
    redirect_uris: tuple[str, ...] = ()
    asserts: tuple[str, ...] = ()


class Denial(StrEnum):
    """Which kind of no: each has its own answer on the wire (section 6 of the contract)."""

    IDENTITY = "identity"
    GRANT_TYPE = "grant_type"
    SCOPE = "scope"
    RESOURCE = "resource"
    PROOF = "proof"


@dataclass(frozen=True, slots=True)
class Decision:
    """What policy answers to one ask of one subject under one version of the policy.

    ALLOW and ASK carry `rule`, `terms`, and what is granted: `scopes` (sorted) and `resources`, which
    become `scope` and `aud`. DENY carries `denial`, `reason` and words for the log in `because`;
    `rule` then names the deny rule, if one decided.
    `client` is the identity's client whenever any rule knows the identity, also on DENY.
    """

    effect: Effect
    client: ClientChoice
    policy_version: str
    rule: str | None = None
    terms: Terms | None = None
    scopes: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    denial: Denial | None = None
    reason: Reason | None = None
    because: str = ""


@dataclass(frozen=True, slots=True)
class Prospect:
    """What a subject could get at all, before it proved or asked anything. ALLOW: some rule would give it
    something; ASK: only once an operator approved it; DENY: nothing, and `rule` is the one that denies it, if one
    does."""

    effect: Effect
    policy_version: str
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How an identity stands where it asks for no grant. `denied_by`: the rule that denies it altogether;
    `once`: a rule that knows it lets each JWT-SVID be used once."""

    denied_by: str | None
    once: bool
