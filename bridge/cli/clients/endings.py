"""What a `revoke` or a `deny` comes to: whom it met, when it bites, and what a slip of the pen looks like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.cli.output import note, printable, timestamp
from bridge.model.audit import AuditEventKind
from bridge.model.client import ClientRecord, ClientState
from bridge.model.spiffe_id import SCHEME, SpiffeId

if TYPE_CHECKING:
    from bridge.config import Settings
    from bridge.store.ports import Changed, Store

_ENDINGS = (AuditEventKind.REVOKED, AuditEventKind.DENIED)


@dataclass(frozen=True, slots=True)
class Ending:
    """What an operator should know of a client whose tokens were just ended.

    `seen` is whether the service ever met it; `tokens_end_at` (epoch seconds) is when the last token that
    it may hold expires, None when it can hold none. `unknown_trust_domain` is the name of a trust domain
    that the configuration does not have. `already` says that it was revoked before.
    """

    seen: bool
    unknown_trust_domain: str | None
    tokens_end_at: int | None
    already: bool

    def fields(self) -> dict[str, object]:
        """For programs."""
        return {
            "seen": self.seen,
            "configured": self.unknown_trust_domain is None,
            "already_revoked": self.already,
            "tokens_end_at": timestamp(self.tokens_end_at),
        }

    def tell(self) -> None:
        """For people, beside the answer."""
        if self.already:
            note("it was revoked already; nothing had brought it back since")
        if self.unknown_trust_domain is not None:
            note(f"no trust domain {printable(self.unknown_trust_domain)} is configured here")
        if not self.seen:
            note("never seen until now; denied all the same")
        else:
            note(
                "introspection refuses its tokens from now on; a server that checks only signatures takes them until "
                f"{timestamp(self.tokens_end_at)} at the latest"
            )


def never_seen(record: ClientRecord) -> bool:
    """Whether no request ever came from this client: every registration names the rule that admitted it."""
    return record.rule == ""


def was_revoked(store: Store, identifier: str) -> bool:
    """Whether this record is revoked; ask before the verb. Members of shared clients are not looked at."""
    record = store.clients.get(identifier)
    return record is not None and record.state is ClientState.REVOKED


def ending_of(
    store: Store,
    settings: Settings,
    identifier: str,
    kind: AuditEventKind,
    changed: Changed,
    *,
    already: bool,
    now: int,
) -> Ending | None:
    """What `kind` came to, which changed `changed`; None for verbs that end nothing."""
    if kind not in _ENDINGS:
        return None
    records = [record for record in map(store.clients.get, changed.client_ids) if record is not None]
    seen = bool(changed.members) or any(not never_seen(record) for record in records)
    names = {record.trust_domain for record in records if record.trust_domain is not None}
    if identifier.startswith(SCHEME):
        names = {SpiffeId.parse_workload(identifier).trust_domain.name}
    unknown = sorted(names - settings.trust_domains.keys())
    return Ending(
        seen=seen,
        unknown_trust_domain=unknown[0] if unknown else None,
        tokens_end_at=now + settings.tokens.max_ttl if seen else None,
        already=already and kind is AuditEventKind.REVOKED,
    )
