"""What rests on an authority, at a terminal: times beside now, long names last, so that a line fits the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bridge.cli.output import emit_table

if TYPE_CHECKING:
    from bridge.cli.trust.impact_words import Answer
    from bridge.model.authority import Authority
    from bridge.registration.impact import Share
    from bridge.store.ports import RestingToken

_AUTHORITIES = ("kind", "in bundle", "clients", "tokens", "grants", "leases", "last issued", "last end", "authority",
                "key id")  # fmt: skip
_CLIENTS = ("client_id", "tokens", "grants", "leases", "last issued", "last end", "authority", "subject")
_TOKENS = ("jti", "issued", "expires", "client_id", "authority", "subject", "grant")
# Enough of a digest to tell the few of one answer apart; all of it stands above.
_SHORT = 12
_IN_BUNDLE = {True: "yes", False: "no", None: None}


def emit_authorities(answer: Answer, now: int) -> None:
    """A row for each authority that anything rests on, those of most tokens first."""
    totals = sorted(answer.found.by_authority().items(), key=lambda item: (-item[1][1].tokens, item[0].name))
    rows = (
        (
            authority.kind.value,
            _IN_BUNDLE[answer.stands(authority)],
            clients,
            *_counts(share, now),
            authority.name,
            None if authority.key_id == authority.name else authority.key_id,
        )
        for authority, (clients, share) in totals
    )
    emit_table(_AUTHORITIES, rows)


def emit_clients(answer: Answer, limit: int | None, now: int) -> None:
    """A row for each authority, client and identity, those of most tokens first."""
    shares = sorted(answer.found.clients.items(), key=lambda item: (-item[1].tokens, item[0][1:], item[0][0].name))
    rows = (
        (client_id, *_counts(share, now), authority.name[:_SHORT], None if subject == client_id else subject)
        for (authority, client_id, subject), share in shares[:limit]
    )
    emit_table(_CLIENTS, rows)


def emit_tokens(tokens: Iterable[tuple[Authority, RestingToken]], now: int) -> None:
    """A row for each token."""
    rows = (
        (
            token.jti,
            _beside(token.issued_at, now),
            _beside(token.expires_at, now),
            token.client_id,
            authority.name[:_SHORT],
            None if token.subject == token.client_id else token.subject,
            token.grant_id,
        )
        for authority, token in tokens
    )
    emit_table(_TOKENS, rows)


def _counts(share: Share, now: int) -> tuple[object, ...]:
    return (
        share.tokens,
        share.grants,
        share.leases,
        _beside(share.last_issued_at, now),
        _beside(share.tokens_end_at, now),
    )


def _beside(moment: int | None, now: int) -> str | None:
    from bridge.doctor.words import relative

    return None if moment is None else relative(moment, now)
