"""A rule for one request and nobody else, as the keys and values of its TOML."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bridge.model.evidence import EvidenceKind
from bridge.model.identity import BindingMethod, Source
from bridge.model.terms import Bind, Replay, Terms
from bridge.policy.cases import Request
from bridge.policy.cover import missing_proof
from bridge.policy.durations import spelled
from bridge.policy.evaluate import PolicySet
from bridge.policy.vocabulary import REFRESH_TOKEN

_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_ID = 100

# Scopes by resource.
Granted = Mapping[str, Sequence[str]]


def written_rule(policy: PolicySet, request: Request, granted: Granted, why: str) -> dict[str, object]:
    """The rule. Where another one gives this identity a part of it already, its terms are taken over, so that nothing
    but the rest changes."""
    scopes = sorted({scope for scopes in granted.values() for scope in scopes})
    terms = _terms_so_far(policy, request, scopes)
    grant: dict[str, object] = {
        "resources": list(granted),
        "scopes": scopes,
        "grant_types": [request.ask.grant_type],
        "bind": _bind(request, terms).value,
    }
    return {
        "id": _free_id(policy, request, scopes),
        "why": why,
        "effect": "allow",
        "when": {**_name(request), "evidence": request.subject.evidence.value, "door": request.ask.door.value},
        "grant": {**grant, **_taken_over(request, terms)},
    }


def _name(request: Request) -> dict[str, object]:
    """The conditions that name this identity alone."""
    subject = request.subject
    match subject.source:
        case Source.SPIFFE:
            return {"path": subject.spiffe_id.path if subject.spiffe_id is not None else ""}
        case Source.METADATA_DOCUMENT:
            actor = {} if subject.spiffe_id is None else {"spiffe_id": str(subject.spiffe_id)}
            return {"url": subject.url, **actor}
        case Source.SOFTWARE_STATEMENT:
            return {"issuer": subject.issuer, "subject": subject.subject}
        case Source.PUSHED:
            raise AssertionError("a pushed client has no name")


def _terms_so_far(policy: PolicySet, request: Request, scopes: Sequence[str]) -> Terms | None:
    """The terms on which the identity gets some of it already, or else anything at that door."""
    offers = policy.offers(request.subject, request.ask.door, request.ask.grant_type)
    given = [offer for offer in offers if offer.terms is not None]
    nearest = next((offer for offer in given if not set(scopes).isdisjoint(offer.scopes)), given[0] if given else None)
    return None if nearest is None else nearest.terms


def _bind(request: Request, terms: Terms | None) -> Bind:
    """The strictest binding that the request met, unless it is another one that it got so far."""
    if terms is not None and missing_proof(terms.bind, request.subject, request.proved) is None:
        return terms.bind
    if BindingMethod.X5T_S256 in request.proved and request.subject.evidence is EvidenceKind.X509_SVID:
        # A document's and a statement's clients bind to a DPoP key alone.
        return Bind.X5T_S256 if request.subject.source is Source.SPIFFE else Bind.IF_PRESENT
    return Bind.JKT if BindingMethod.JKT in request.proved else Bind.IF_PRESENT


def _taken_over(request: Request, terms: Terms | None) -> dict[str, object]:
    """What else stays as it was."""
    if terms is None:
        return {}
    once = terms.replay is Replay.ONCE and request.subject.evidence is EvidenceKind.JWT_SVID
    refreshed = terms.refresh_ttl is not None and request.ask.grant_type == REFRESH_TOKEN
    return {
        "token_ttl": spelled(terms.token_ttl),
        "refresh_ttl": spelled(terms.refresh_ttl or 0) if refreshed else None,
        "replay": terms.replay.value if once else None,
        "lease": None if terms.lease is None else spelled(terms.lease),
        "require_par": terms.require_par or None,
        "redirect_uris": list(terms.redirect_uris) or None,
        "asserts": list(terms.asserts) or None,
    }


def _free_id(policy: PolicySet, request: Request, scopes: Sequence[str]) -> str:
    """An id that says whom and what, and that no rule has."""
    name = request.subject.name.rpartition("://")[2].partition("/")[2] or request.subject.name
    words = _UNFIT.sub("-", "-".join([*name.split("/")[-3:], *(request.ask.scopes or scopes)[:1]])).strip("-._")
    taken = {rule.id for rule in policy.rules}
    stem = words[: _LONGEST_ID - 5] or "rule"
    return next(id for id in (stem, *(f"{stem}-{n}" for n in range(2, len(taken) + 3))) if id not in taken)
