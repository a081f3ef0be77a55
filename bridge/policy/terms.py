"""From a `grant` table to terms: defaults, what a source can and cannot do, and what an approval stands for."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from bridge.metadata import redirect_uris
from bridge.model.errors import InvalidRedirectUri
from bridge.model.evidence import EvidenceKind
from bridge.model.identity import BindingMethod, Source
from bridge.model.terms import Bind, ClientChoice, ClientMode, Replay, Terms
from bridge.policy.catalogue import LOOPBACK
from bridge.policy.document import AnyRule, Grant, SharedClient
from bridge.policy.durations import spelled
from bridge.policy.findings import Report
from bridge.policy.pattern import Pattern
from bridge.policy.vocabulary import METADATA_MEMBERS, REFRESH_TOKEN, Vocabulary, provable

MAX_LEASE = 24 * 3600
_HOLE = re.compile(r"\{([^{}]*)\}")
_RESERVED = ("instance-", "statement-")


@dataclass(frozen=True, slots=True)
class PolicyDefaults:
    """What the configuration decides. Seconds. `trust_domains` and `statement_issuers` None: nobody knows which
    are configured."""

    default_ttl: int = 300
    max_ttl: int = 3600
    idle_expiry: int = 30 * 86400
    trust_domains: frozenset[str] | None = None
    statement_issuers: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Making:
    """What is known about a rule while its grant is being checked."""

    report: Report
    number: int
    rule: AnyRule
    source: Source
    vocabulary: Vocabulary
    evidence: frozenset[EvidenceKind]
    patterns: tuple[Pattern, ...]

    def error(self, code: str, message: str, *where: str) -> None:
        """Note an error at a key of this rule."""
        self.report.error(code, message, "rule", self.number, *where, rule=self.rule.id)

    def warning(self, code: str, message: str, *where: str) -> None:
        """Note a warning at a key of this rule."""
        self.report.warning(code, message, "rule", self.number, *where, rule=self.rule.id)


def terms_of(making: Making, grant: Grant, grant_types: frozenset[str], defaults: PolicyDefaults) -> Terms:
    """The terms of a rule; every fault of its grant goes to the report."""
    _check_times(making, grant, grant_types, defaults)
    _check_members(making, grant)
    _check_redirects(making, grant.redirect_uris or [])
    said = _Said(
        resources=_unique(grant.resources),
        scopes=_unique(grant.scopes),
        grant_types=_unique(grant_types),
        token_ttl=grant.token_ttl if grant.token_ttl is not None else min(defaults.default_ttl, defaults.max_ttl),
        refresh_ttl=grant.refresh_ttl,
        bind=_bind(making, grant),
        replay=_replay(making, grant),
        lease=grant.lease,
        require_par=grant.require_par,
        redirect_uris=_unique(grant.redirect_uris),
        asserts=_unique(grant.asserts),
    )
    return Terms(rule=making.rule.id, digest=_digest(said), **said._asdict())


class _Said(NamedTuple):
    """All terms, by the names they have in `Terms`. The rule's id is none of them: an approval names it
    beside the digest. Nor is the client, which belongs to the identity and not to the rule."""

    resources: tuple[str, ...]
    scopes: tuple[str, ...]
    grant_types: tuple[str, ...]
    token_ttl: int
    refresh_ttl: int | None
    bind: Bind
    replay: Replay
    lease: int | None
    require_par: bool
    redirect_uris: tuple[str, ...]
    asserts: tuple[str, ...]


def _unique(names: Iterable[str] | None) -> tuple[str, ...]:
    return tuple(sorted(set(names))) if names else ()


# Rules by the thousand say few different things.
@lru_cache(maxsize=1024)
def _digest(said: _Said) -> str:
    """Hex SHA-256 over canonical JSON of all terms."""
    return hashlib.sha256(json.dumps(said._asdict(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _bind(making: Making, grant: Grant) -> Bind:
    """The binding, said or by default. What can never be met, or was forgotten, is an error."""
    spiffe = making.source is Source.SPIFFE
    jwt = spiffe and EvidenceKind.JWT_SVID in making.evidence
    if grant.bind is None:
        if jwt:
            making.error(
                "bind-missing",
                'the rule covers jwt-svid, and a JWT-SVID alone proves no key: say bind = "if-present" (bound when '
                'a DPoP proof comes along), "any" or "jkt" (refused without one) or "none"; '
                'or limit the rule to evidence = ["x509-svid"]',
                "grant",
            )
            return Bind.ANY
        return making.vocabulary.bind or Bind.X5T_S256
    bind = Bind(grant.bind)
    if bind is Bind.X5T_S256 and not all(
        BindingMethod.X5T_S256 in provable(making.source, kind) for kind in making.evidence
    ):
        what = "a JWT-SVID" if spiffe else f"a client of source {making.source}"
        hint = 'limit the rule to evidence = ["x509-svid"]' if spiffe else 'use "jkt"'
        making.error("bind-impossible", f"{what} proves no certificate key, only a DPoP key: {hint}", "grant", "bind")
    return bind


def _replay(making: Making, grant: Grant) -> Replay:
    if grant.replay is None:
        return Replay.WITHIN_LIFETIME
    if EvidenceKind.JWT_SVID not in making.evidence:
        making.error("replay", "replay is about JWT-SVIDs, and this rule covers none", "grant", "replay")
    return Replay(grant.replay)


def _check_times(making: Making, grant: Grant, grant_types: frozenset[str], defaults: PolicyDefaults) -> None:
    ttl = grant.token_ttl if grant.token_ttl is not None else defaults.default_ttl
    if grant.token_ttl is not None and grant.token_ttl > defaults.max_ttl:
        words = f"token_ttl {spelled(grant.token_ttl)} is above the configured bound, {spelled(defaults.max_ttl)}"
        making.error("ttl-above-bound", words, "grant", "token_ttl")
    if grant.refresh_ttl is not None and REFRESH_TOKEN not in grant_types:
        making.error("refresh-ttl", "refresh_ttl without refresh_token in grant_types", "grant", "refresh_ttl")
    if grant.lease is not None:
        if ClientMode.INSTANCE not in making.vocabulary.clients:
            making.error("lease", f"clients of source {making.source} are never instances", "grant", "lease")
        elif grant.lease > MAX_LEASE:
            making.error("lease", f"lease {spelled(grant.lease)} is above 24h", "grant", "lease")
    longest = max(ttl, grant.refresh_ttl or 0)
    if longest > defaults.idle_expiry:
        words = (
            f"tokens of this rule live {spelled(longest)}, longer than a client may idle "
            f"([registration] idle_expiry = {spelled(defaults.idle_expiry)}): they end when it idles out"
        )
        making.warning("idle-expiry", words, "grant", "refresh_ttl" if grant.refresh_ttl == longest else "token_ttl")


def _check_members(making: Making, grant: Grant) -> None:
    if grant.asserts is not None and not making.vocabulary.asserts:
        words = f"clients of source {making.source} state their own metadata; redirect_uris narrows it"
        making.error("asserts", words, "grant", "asserts")
    for member in grant.asserts or ():
        if member not in METADATA_MEMBERS:
            making.error("asserts", f"'{member}' is no client metadata that is understood", "grant", "asserts")


def client_of(making: Making, grant: Grant) -> ClientChoice | None:
    """The client the rule states, None when it states none."""
    if grant.client is None:
        return None
    if isinstance(grant.client, SharedClient):
        choice = ClientChoice(ClientMode.SHARED, grant.client.shared)
        if grant.client.shared.startswith(_RESERVED):
            words = f"'{grant.client.shared}': client ids that start with instance- or statement- are derived ones"
            making.error("shared-id", words, "grant", "client")
    else:
        choice = ClientChoice(ClientMode(grant.client))
    if choice.mode not in making.vocabulary.clients:
        words = f"a client of source {making.source} is its own: {choice.mode} does not exist there"
        making.error("client", words, "grant", "client")
    return choice


def _check_redirects(making: Making, uris: list[str]) -> None:
    if not uris:
        return
    stars = min((pattern.stars for pattern in making.patterns), default=0)
    for uri in uris:
        fault = redirect_fault(uri, stars)
        if fault is not None:
            making.error("redirect-uri", f"'{uri}': {fault}", "grant", "redirect_uris")


def redirect_fault(uri: str, stars: int) -> str | None:
    """What keeps the string from being a redirect URI or a template of one, in words.

    `{1}` stands for what the first `*` of the pattern matched. It is a whole path segment, a whole value in
    the query, or a whole host label, never one of the two highest: else a workload could choose whose host it
    is. Filled, it has to be a redirect URI that a client may have at all.
    """
    holes = _HOLE.findall(uri)
    bare = _HOLE.sub("x", uri)
    if any(not hole.isdigit() or not 1 <= int(hole) <= stars for hole in holes):
        return f"only {{1}} to {{{stars}}} stand for the pattern's wildcards" if stars else "the pattern has no '*'"
    if any(sign in bare for sign in "{}*#\\ ") or not bare.isascii() or not bare.isprintable():
        return "no wildcard, fragment, space or brace can be in it"
    try:
        parts, host = urlsplit(bare), urlsplit(uri).netloc
        loopback = parts.hostname in LOOPBACK
    except ValueError:
        return "it is no URI"
    if "@" in host:
        return "it has a user part"
    if parts.scheme in ("http", "https"):
        if not parts.hostname or (parts.scheme == "http" and not loopback):
            return "it is https, or http on loopback"
    elif "." not in parts.scheme:
        return "it is https, http on loopback, or a private-use scheme with a dot (RFC 8252 section 7.1)"
    labels = host.split(":")[0].split(".")
    if any("{" in label and _HOLE.fullmatch(label) is None for label in labels) or "{" in ".".join(labels[-2:]):
        return "in the host a placeholder is a whole label, and none of the two highest"
    after = uri.partition(host)[2] if host else uri
    if any("{" in part and _HOLE.fullmatch(part) is None for part in re.split(r"[/?&=]", after)):
        return "in the path a placeholder is a whole segment"
    if any("{" in parameter.partition("=")[0] for parameter in uri.partition("?")[2].split("&")):
        # A workload would name the parameter itself, `code` for instance.
        return "in the query a placeholder is a whole value, not a name"
    return _unfit(bare)


def _unfit(uri: str) -> str | None:
    """Why no client may have this redirect URI, in words; None for one that a client may have."""
    try:
        redirect_uris.check(uri, application_type=None)
    except InvalidRedirectUri as fault:
        return fault.public.replace("a redirect URI", "it", 1)
    return None


# The same few workloads come again and again.
@lru_cache(maxsize=4096)
def expand(templates: tuple[str, ...], captured: tuple[str, ...]) -> tuple[str, ...]:
    """The redirect URIs for one subject. A template is left out, and is then no redirect URI of this subject,
    when its host would not stay a host of the same depth (a value with a dot, upper case or an underscore) or
    when what comes out is none that a client may have (too long, a label that stands for another name)."""
    done: list[str] = []
    for template in templates:
        head, separator, rest = template.partition("://")
        host = rest.split("/", 1)[0]
        in_host = {int(hole) for hole in _HOLE.findall(host)}
        if all(re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", captured[n - 1]) for n in in_host):
            filled = _HOLE.sub(lambda hole: captured[int(hole[1]) - 1], head + separator + rest)
            if filled == template or _unfit(filled) is None:
                done.append(filled)
    return tuple(sorted(done))
