"""`bridge trust impact`: what came of an authority that is trusted no more, and its end in one command."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.audit.rows import rows_after
from bridge.cli.options import (
    Failure,
    Moment,
    config_option,
    json_option,
    list_options,
    moment_at,
    settings_of,
    timeout_option,
)
from bridge.cli.output import Progress, emit_json, note, printable
from bridge.cli.trust.impact_words import Answer, in_words, say_ended, show_tokens
from bridge.cli.trust.looking import look
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.authority import Authority, AuthorityKind, of_audit, to_audit
from bridge.model.evidence import Door
from bridge.model.spiffe_id import InvalidSpiffeId, TrustDomain

if TYPE_CHECKING:
    from bridge.config import Settings
    from bridge.registration.impact import Impact, Search
    from bridge.registration.vouching import Missing, Named, Question, Resting
    from bridge.store.ports import AuditStore, RestingToken, Store


# Tokens that were issued before somebody shortened `tokens.max_ttl` live as long as they were to.
_AT_LEAST = 86400


@dataclass(frozen=True, slots=True)
class Asked:
    """What the operator typed. `limit` None: all."""

    trust_domain: TrustDomain
    key: str | None
    limit: int | None
    as_json: bool


@dataclass(slots=True)
class _Looking:
    """How much was looked at, on a line of a terminal that has to end before anything else is said."""

    progress: Progress
    done: int = 0

    def at(self, more: int) -> None:
        self.done += more
        self.progress.at(self.done)

    def end(self) -> None:
        self.progress.end(self.done)


@click.command()
@click.argument("trust_domain")
@click.argument("key", required=False)
@click.option("--tokens", "lists_tokens", is_flag=True, help="Show each token, not each client.")
@click.option("--revoke", is_flag=True, help="End these tokens, grants and leases, and nothing else.")
@click.option("--note", "reason", default="", metavar="TEXT", help="Why; kept in the audit log.")
@click.option("--yes", is_flag=True, help="Do not ask before --revoke.")
@click.option(
    "--since",
    type=Moment(),
    metavar="TIME",
    help="Look at tokens issued since then.  [default: as long ago as tokens.max_ttl, at least a day]",
)
@list_options
@timeout_option
@json_option
@config_option
def impact(
    trust_domain: str,
    key: str | None,
    lists_tokens: bool,
    revoke: bool,
    reason: str,
    yes: bool,
    since: int | None,
    limit: int | None,
    timeout: float,
    as_json: bool,
    config: Path,
) -> int:
    """Show what rests on an authority that is trusted no more.

    That is whose unexpired tokens came from it, and which open grants (refresh tokens) and leases of instances. Exit 1
    when there is any.

    KEY is a key as `trust show`, `trust diff` and the audit log name it, or the beginning of its name: of a CA, be it a
    root or an intermediate, the SHA-256 of its certificate or its key id, which is SPIRE's authority id; of a JWT key
    its kid or its thumbprint. Without KEY: every authority that the bundle no longer holds.

    --revoke ends exactly these, each with an audit row. What the same clients have from other authorities stays alive,
    and approvals stay. It may be run beside a running service, and again. Then exit 0, or 1 when something is left that
    nobody can decide about. Servers that check only signatures take the tokens until they expire.

    \b
    Example:
      bridge trust impact example.org 9f86d081884c
      bridge trust impact example.org 9f86d081884c --revoke --note "INC-42"
    """
    from bridge.ambient import now
    from bridge.opening import open_store, open_store_to_change
    from bridge.registration.impact import Search

    _require_sense(lists_tokens=lists_tokens, revoke=revoke, yes=yes, reason=reason)
    settings = settings_of(config)
    asked = Asked(_trust_domain(trust_domain), key, limit, as_json)
    present = _present(settings, asked.trust_domain, timeout)
    with closing((open_store_to_change if revoke else open_store)(settings)) as store:
        at = now()
        longest = settings.tokens.max_ttl
        first = moment_at(since, at)
        ago = max(longest, _AT_LEAST)
        looking = _Looking(Progress("rows and records looked at"))
        start = at - ago if first is None else first
        search = Search(store.resting, asked.trust_domain.name, start, longest, looking.at)
        question, found = _found(search, asked, present, store, settings, at)
        looking.end()
        answer = Answer(asked.trust_domain.name, found, present, search.since, at)
        if lists_tokens:
            quietly = replace(search, looked_at=lambda more: None)
            show_tokens(islice(_decided(quietly, question, at), asked.limit), as_json=as_json, now=at)
            answer.tell()
            return _exit_code(found)
        if not revoke:
            return _shown(answer, asked)
        return _revoked(answer, asked, search, question, reason, said=yes, looking=looking)


def _require_sense(*, lists_tokens: bool, revoke: bool, yes: bool, reason: str) -> None:
    if revoke and lists_tokens:
        raise click.UsageError("--tokens shows and --revoke ends: look first, then end")
    if (yes or reason) and not revoke:
        raise click.UsageError("--yes and --note go with --revoke")
    if revoke and not yes and not sys.stdin.isatty():
        raise Failure("nobody is asked here: look at it without --revoke, and say --yes to end it")


def _trust_domain(name: str) -> TrustDomain:
    try:
        return TrustDomain.parse(name)
    except InvalidSpiffeId as error:
        raise click.BadParameter(f"{printable(name)}: {error}", param_hint="TRUST_DOMAIN") from error


def _present(settings: Settings, trust_domain: TrustDomain, timeout: float) -> Missing | None:
    """What the bundle holds now, as the question what it does not hold. None when nobody can say."""
    from bridge.registration.vouching import Missing
    from bridge.verify.authorities import authorities_of_bundle

    if trust_domain.name not in settings.trust_domains:
        note(f"no trust domain {trust_domain} is configured: none of its authorities is trusted")
        return Missing(frozenset())
    statuses = look(settings, timeout).statuses
    status = next(one for one in statuses if one.trust_domain == trust_domain)
    return None if status.bundle is None else Missing(authorities_of_bundle(status.bundle))


def _found(
    search: Search, asked: Asked, present: Missing | None, store: Store, settings: Settings, at: int
) -> tuple[Question, Impact]:
    """What rests on the authorities that are meant, and the question for exactly these.

    Raises: Failure, click.BadParameter when it is not clear which are meant.
    """
    from bridge.registration.vouching import Named

    if asked.key is not None:
        typed = Named.beginning(asked.key)
        found = search.gather(typed, now=at)
        chosen = _chosen(typed, search.met, present, store.audit, asked)
        found.keep(frozenset(authority for authority, _, _ in found.clients if chosen.matched(authority)))
        return chosen, found
    if present is None:
        raise Failure(f"nobody can say what the bundle of {asked.trust_domain} holds now: name a KEY, or try again")
    found = search.gather(present, now=at)
    if not found.clients and not found.undecided and asked.trust_domain.name not in settings.trust_domains:
        raise click.BadParameter(f"nothing rests on anybody of {asked.trust_domain}", param_hint="TRUST_DOMAIN")
    return present, found


def _chosen(typed: Named, met: set[Authority], present: Missing | None, audit: AuditStore, asked: Asked) -> Named:
    """The authorities that KEY means. A slip of the pen must not look like good news: one that nothing rests on has to
    be known from elsewhere."""
    from bridge.registration.vouching import Ambiguous

    standing = frozenset() if present is None else present.present
    try:
        chosen = typed.choose(met | standing)
        if not chosen.names:
            chosen = typed.choose(_ever_noted(audit, asked.trust_domain))
    except Ambiguous as several:
        words = f"{printable(asked.key)} may be any of {', '.join(map(printable, several.names))}"
        raise click.BadParameter(words, param_hint="KEY") from several
    if not chosen.names:
        raise click.BadParameter(
            f"no authority of {asked.trust_domain} goes by {printable(asked.key)}: none in its bundle, now or ever, "
            "and none that vouched for anybody, as far as the audit log goes back; see `bridge trust show`",
            param_hint="KEY",
        )
    return chosen


def _ever_noted(audit: AuditStore, trust_domain: TrustDomain) -> Iterator[Authority]:
    """All that stood in the bundle, vouched for a registration or were revoked, as far as the audit log goes back."""
    events = [AuditEventKind.BUNDLE_CHANGED, AuditEventKind.REGISTERED, AuditEventKind.REVOKED]
    for row in rows_after(audit, 0, events=events):
        event = row.event
        if event.event is not AuditEventKind.BUNDLE_CHANGED:
            if event.subject.startswith(f"{trust_domain.id}/"):
                yield from of_audit(event.ask.get("authorities", []))
        elif event.subject == trust_domain.name:
            yield from (Authority(AuthorityKind.ANCHOR, "", digest) for digest in _keys(event, "x509"))
            yield from (Authority(AuthorityKind.JWT, kid, "") for kid in _keys(event, "jwt"))


def _keys(event: AuditEvent, kind: str) -> list[str]:
    changed = (event.ask.get(f"{kind}_{way}") for way in ("added", "removed"))
    return [str(key) for keys in changed if isinstance(keys, list) for key in keys]


def _decided(search: Search, question: Question, at: int) -> Iterator[tuple[Authority, RestingToken]]:
    return ((whose, token) for whose, token in search.tokens(question, now=at) if whose is not None)


def _shown(answer: Answer, asked: Asked) -> int:
    if asked.as_json:
        emit_json(answer.fields(asked.limit, None, ""))
    else:
        answer.show(asked.limit)
        answer.tell()
        if answer.found.clients:
            again = " ".join(filter(None, ("bridge trust impact", asked.trust_domain.name, asked.key)))
            note(f"`{printable(again)} --revoke` ends all of these")
    return _exit_code(answer.found)


def _revoked(
    answer: Answer, asked: Asked, search: Search, question: Question, reason: str, *, said: bool, looking: _Looking
) -> int:
    """Show what will end, ask, and end it."""
    from bridge.ambient import new_id, now

    if not asked.as_json:
        answer.show(asked.limit)
    words = in_words(answer.found.total())
    if answer.found.clients and not said and not click.confirm(f"End {words}?", err=True):
        raise Failure("nothing was revoked")
    run, at = new_id(), now()
    ended = search.end(question, _event_of(run, reason, at), now=at)
    looking.end()
    if asked.as_json:
        emit_json(answer.fields(asked.limit, ended, run))
    else:
        say_ended(ended, run)
        answer.tell()
    return 1 if answer.found.undecided else 0


def _event_of(run: str, reason: str, at: int) -> Callable[[Authority, Resting], AuditEvent]:
    """Makes the audit row of each thing that is ended: `jti` is the token's, or the grant's id; of a lease there is
    none. All rows of one command have one id."""
    from bridge.cli.operator import operator_name
    from bridge.store.ports import RestingGrant, RestingToken

    operator = operator_name()

    def event(authority: Authority, one: Resting) -> AuditEvent:
        jti, what = "", "lease"
        if isinstance(one, RestingToken):
            jti, what = one.jti, "token"
        elif isinstance(one, RestingGrant):
            jti, what = one.grant_id, "grant"
        return AuditEvent(
            id=run,
            time=at,
            event=AuditEventKind.REVOKED,
            door=Door.OPERATOR.value,
            source_address=operator,
            subject=one.subject,
            key_id=authority.key_id,
            ask={"ended": what, "authorities": to_audit((authority,))},
            outcome=f"authority {authority.name}",
            reason=reason,
            client_id=one.client_id,
            jti=jti,
        )

    return event


def _exit_code(found: Impact) -> int:
    return 1 if found.clients or found.undecided else 0
