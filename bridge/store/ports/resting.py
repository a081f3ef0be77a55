"""The port of what rests on an authority of a trust domain: tokens, grants and leases that its credentials brought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bridge.model.audit import AuditEvent
from bridge.model.authority import Authorities


@dataclass(frozen=True, slots=True)
class RestingToken:
    """A token as the audit log has it. Epoch seconds. `epoch` is its client's at issue. `authorities` and `epoch` are
    None where an earlier release wrote the row; `expires_at` is then the latest that it can be. `key_id` is what the
    credential named as its key; `evidence` its kind."""

    jti: str
    client_id: str
    subject: str
    issued_at: int
    expires_at: int
    epoch: str | None
    grant_id: str | None
    evidence: str
    key_id: str
    authorities: Authorities | None


@dataclass(frozen=True, slots=True)
class TokenPage:
    """Tokens of a part of the log. `after`: behind which row to go on, None where the log ended; `looked_at`: how many
    rows the part had."""

    tokens: Sequence[RestingToken]
    after: int | None
    looked_at: int


@dataclass(frozen=True, slots=True)
class RestingLease:
    """A live instance. `ends_at` (epoch seconds) is the end of its lease, and `authorities` vouched for whoever moved
    it there; empty when that was an earlier release."""

    client_id: str
    subject: str
    epoch: int
    last_used_at: int
    ends_at: int
    authorities: Authorities


@dataclass(frozen=True, slots=True)
class RestingGrant:
    """A grant whose code or refresh token may be used. `subject` is the SPIFFE ID that may. `ends_at` (epoch seconds):
    when the last of the two ends; `authorities` vouched for its last use, and are empty when that was an earlier
    release's."""

    grant_id: str
    client_id: str
    subject: str
    ends_at: int
    authorities: Authorities


class RestingStore(Protocol):
    """Finds what rests on credentials of a trust domain, and ends it piece by piece. All reads are in parts, so that
    each is short; every `end_` is one transaction, so the caller bounds how much it names, and writes the event of
    each that was ended there, and only then. How many were."""

    def tokens(self, trust_domain: str, *, since: int, longest: int, now: int, after: int | None = None) -> TokenPage:
        """Tokens that were issued to identities of a trust domain since then (`after` None) or behind that row, and
        have not expired. `longest`: the life in seconds of a token whose row does not say it.

        Not checked: whether they were ended otherwise, see `alive`; and that the rows are as they were written, for
        which `AuditStore.verify` is."""
        ...

    def alive(self, tokens: Sequence[RestingToken], *, now: int) -> list[RestingToken]:
        """Those that introspection would call active: neither they, nor their grant, client or member ended, nor is
        any of these denied."""
        ...

    def leases(self, trust_domain: str, *, now: int, limit: int, after: str = "") -> list[RestingLease]:
        """Live instances of a trust domain, also those that wait for approval, by `client_id`, those behind `after`."""
        ...

    def grants(self, trust_domain: str, *, now: int, limit: int, after: str = "") -> list[RestingGrant]:
        """Open grants of SPIFFE IDs of a trust domain, by id, those behind `after`."""
        ...

    def end_tokens(self, ending: Sequence[tuple[RestingToken, AuditEvent]], *, now: int) -> int:
        """End these tokens and nothing beside them."""
        ...

    def end_leases(self, ending: Sequence[tuple[RestingLease, AuditEvent]], *, now: int) -> int:
        """End those instances that are as they were seen: a lease that another authority renewed meanwhile is left
        alone. Their tokens and approvals end with them."""
        ...

    def end_grants(self, ending: Sequence[tuple[RestingGrant, AuditEvent]], *, now: int) -> int:
        """End those grants that nobody used since, with all that came of them."""
        ...
