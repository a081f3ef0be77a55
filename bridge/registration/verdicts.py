"""What an operator decides about clients, from a command or from the console: one event, one verb of the store."""

from __future__ import annotations

import pwd
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.authorization import PUSHED_CLIENT_ID
from bridge.model.client import ClientKind, ClientState, ProposedClient
from bridge.model.errors import EvidenceRejected
from bridge.model.evidence import Door, names_document
from bridge.model.inert import inert
from bridge.model.spiffe_id import SCHEME, InvalidSpiffeId, SpiffeId
from bridge.store.ports import Changed, ClientStore
from bridge.verify.metadata_documents import require_client_url

MAX_NOTE_LENGTH = 500


class UnfitVerdict(ValueError):
    """What an operator wrote cannot be taken: the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who decides, why and when. `id` is the audit row's; `now` epoch seconds; `beside` is kept in the row's `ask`.

    `operator` is the name of whoever decides as it was proved to this service: a local account, a SPIFFE ID, a person
    at a login provider. Not checked: that it may decide, which its way in did.
    """

    operator: str
    note: str
    id: str
    now: int
    beside: Mapping[str, object] = field(default_factory=dict)

    def event(self, kind: AuditEventKind, target: str) -> AuditEvent:
        """The audit row of it."""
        # The contract's list of events has no word for taking a denial back; it is an update.
        outcome = "undenied" if kind is AuditEventKind.UPDATED else kind.value
        return AuditEvent(
            id=self.id,
            time=self.now,
            event=kind,
            door=Door.OPERATOR.value,
            source_address=self.operator,
            subject=target,
            ask=dict(self.beside),
            outcome=outcome,
            reason=self.note,
        )


class Verdicts:
    """Takes decisions. Each is one transaction with its audit row, and an empty result has changed nothing. All may
    raise Unavailable."""

    def __init__(self, clients: ClientStore) -> None:
        self._clients = clients

    def approve(self, target: str, verdict: Verdict, *, terms: Collection[tuple[str, str]] | None = None) -> Changed:
        """Approve what waits under a client_id or a SPIFFE ID; with `terms` (rule and digest) those of that one client
        alone, whatever it has come to wait for since."""
        event = verdict.event(AuditEventKind.APPROVED, target)
        return self._clients.approve(target, note=verdict.note, event=event, now=verdict.now, terms=terms)

    def revoke(self, target: str, verdict: Verdict) -> Changed:
        """End all tokens of a client."""
        event = verdict.event(AuditEventKind.REVOKED, target)
        return self._clients.revoke(target, event=event, now=verdict.now)

    def deny(self, target: str, verdict: Verdict, *, once: bool = False) -> Changed:
        """End a client and keep it out, be it one that was never seen. With `once` nothing happens to one that is
        denied already. Raises: UnfitVerdict for a name that no client can have."""
        event = verdict.event(AuditEventKind.DENIED, target)
        return self._clients.deny(target, absent=tombstone_of(target), event=event, now=verdict.now, once=once)

    def undeny(self, target: str, verdict: Verdict) -> Changed:
        """Take a denial back."""
        event = verdict.event(AuditEventKind.UPDATED, target)
        return self._clients.undeny(target, event=event, now=verdict.now)


def read_note(text: str) -> str:
    """A note as it is kept: one line. Raises: UnfitVerdict."""
    said = text.strip()
    if len(said) > MAX_NOTE_LENGTH:
        raise UnfitVerdict(f"a note has at most {MAX_NOTE_LENGTH} characters")
    if inert(said) != said:
        raise UnfitVerdict("a note is one line, without control characters and letters that show nothing")
    return said


def tombstone_of(target: str) -> ProposedClient | None:
    """The denied record of a client that was never seen: a workload, a document's client, or the pushed ones. None
    where the name does not say which kind it would be. Raises: UnfitVerdict."""
    if names_document(target):
        try:
            require_client_url(target)
        except EvidenceRejected as error:
            raise UnfitVerdict(error.detail) from error
        return _denied(target, ClientKind.METADATA_DOCUMENT)
    if target == PUSHED_CLIENT_ID:
        return _denied(target, ClientKind.PUSHED)
    if not target.startswith(SCHEME):
        return None
    try:
        spiffe_id = SpiffeId.parse_workload(target)
    except InvalidSpiffeId as error:
        raise UnfitVerdict(str(error)) from error
    return replace(
        _denied(target, ClientKind.SPIFFE),
        trust_domain=spiffe_id.trust_domain.name,
        metadata={"spiffe_id": target},
    )


def local_user(uid: int) -> str:
    """`local user NAME` of an account of this machine. Not checked: which person that is."""
    try:
        return f"local user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"local user {uid}"


def _denied(target: str, kind: ClientKind) -> ProposedClient:
    return ProposedClient(
        client_id=target, kind=kind, subject=target, trust_domain=None, state=ClientState.DENIED, rule=""
    )
