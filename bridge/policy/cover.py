"""Whether one rule covers all of an ask, and which key its token then has to be bound to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from bridge.model.evidence import Door
from bridge.model.identity import BindingMethod, PolicySubject, Source
from bridge.model.terms import Ask, Bind, Denial
from bridge.policy.vocabulary import provable

Offer = Mapping[str, tuple[str, ...]]  # scopes by resource


class Stage(IntEnum):
    """How far a rule that does not cover an ask got; the farthest one gives the refusal its kind.

    A wrong resource is reported before a wrong scope. Where only the name of a resource is missing,
    that helps most to know.
    """

    RESOURCE = 1
    SCOPE = 2
    UNNAMED = 3


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Why a rule does not cover an ask."""

    stage: Stage
    because: str

    @property
    def denial(self) -> Denial:
        """The kind of no that follows."""
        return Denial.SCOPE if self.stage is Stage.SCOPE else Denial.RESOURCE


@dataclass(frozen=True, slots=True)
class Cover:
    """What a rule gives to an ask that it covers: `scopes` sorted, `resources` as asked."""

    scopes: tuple[str, ...]
    resources: tuple[str, ...]


def cover(written: Offer, left: Offer, ask: Ask, home: Mapping[str, str]) -> Cover | Shortfall:
    """Whether one rule covers all of the ask, and what it gives then (interface section 3).

    `written` is what the rule offers, `left` what denies leave of it, `home` the catalogue's resource of
    each scope. A scope that belongs to no resource in the audience is not covered: a token must not carry
    it to somebody who reads it differently. Whether a request has to name a resource is told from
    `written`: else a deny, by leaving a rule a single resource, would let through what was refused.

    A registration gets no token, and RFC 7591 has no member for a resource: one that names none means all
    that its scopes belong to, or all of the rule's.
    """
    if ask.resources:
        audience = ask.resources if len(ask.resources) == 1 else tuple(dict.fromkeys(ask.resources))
        for resource in audience:
            if resource not in left:
                return Shortfall(Stage.RESOURCE, f"it does not give the resource {resource}")
    elif ask.scopes:
        return _cover_scopes(left, ask, home)
    elif not left:
        return Shortfall(Stage.RESOURCE, "denies leave it no resource")
    elif ask.door is Door.REGISTER:
        return _cover_registration(left)
    elif len(written) == 1:
        audience = tuple(written)
    else:
        return Shortfall(Stage.UNNAMED, f"it gives {len(written)} resources and the request names none")
    if not ask.scopes:
        scopes = left[audience[0]] if len(audience) == 1 else tuple(sorted({s for r in audience for s in left[r]}))
        return Cover(scopes, audience) if scopes else Shortfall(Stage.SCOPE, "no scope of the resource is left in it")
    for scope in ask.scopes:
        if not any(scope in left[resource] for resource in audience):
            return Shortfall(Stage.SCOPE, f"it does not give the scope {scope} for {' '.join(audience)}")
    return Cover(_in_order(ask.scopes), audience)


def _cover_scopes(left: Offer, ask: Ask, home: Mapping[str, str]) -> Cover | Shortfall:
    """As `cover`, for an ask that names scopes and no resource: theirs is meant, if it is one or no token
    will have it as audience."""
    audience = set()
    for scope in ask.scopes:
        resource = home.get(scope)
        if resource is None or scope not in left.get(resource, ()):
            return Shortfall(Stage.SCOPE, f"it does not give the scope {scope}")
        audience.add(resource)
    if len(audience) > 1 and ask.door is not Door.REGISTER:
        return Shortfall(Stage.UNNAMED, "the scopes belong to several resources and the request names none")
    return Cover(_in_order(ask.scopes), tuple(sorted(audience)))


def _cover_registration(left: Offer) -> Cover | Shortfall:
    """As `cover`, for a registration that names nothing: what is left of the rule."""
    audience = tuple(sorted(resource for resource, scopes in left.items() if scopes))
    if not audience:
        return Shortfall(Stage.SCOPE, "denies leave it no scope")
    return Cover(tuple(sorted({scope for resource in audience for scope in left[resource]})), audience)


def _in_order(scopes: tuple[str, ...]) -> tuple[str, ...]:
    return scopes if len(scopes) == 1 else tuple(sorted(set(scopes)))


_CERTIFICATE = "authenticate with an X.509-SVID over mutual TLS"
_DPOP = "send a DPoP proof"


def missing_proof(bind: Bind, subject: PolicySubject, proved: frozenset[BindingMethod]) -> str | None:
    """What to send so that `bind` can be met; None when it is. The words may go to the client."""
    if bind is Bind.IF_PRESENT or bind is Bind.NONE:
        return None
    if bind is Bind.JKT:
        return None if BindingMethod.JKT in proved else f"the token must be bound to a key: {_DPOP}"
    if bind is Bind.X5T_S256:
        if BindingMethod.X5T_S256 in proved:
            return None
        return f"the token must be bound to the certificate's key: {_CERTIFICATE}"
    if proved & provable(subject.source, subject.evidence):
        return None
    # A SPIFFE client may come back through the other door, with a certificate.
    otherwise = f", or {_CERTIFICATE}" if subject.source is Source.SPIFFE else ""
    return f"the token must be bound to a key: {_DPOP}{otherwise}"
