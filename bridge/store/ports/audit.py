"""The port of the audit log."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from bridge.model.audit import AuditEvent, AuditEventKind, AuditRow
from bridge.model.pending import PendingWrite


@dataclass(frozen=True, slots=True)
class ChainFault:
    """One thing that `verify` found: which writer, at which place, and what is wrong."""

    writer: str
    sequence: int
    # "changed" | "missing" | "cut" | "writer_missing" | "checkpoint"; of `read_on` also "unreadable" | "pruned".
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The last row of one writer, for the log."""

    writer: str
    sequence: int
    mac: str


@dataclass(frozen=True, slots=True)
class ChainTail:
    """How far one writer's chain was read: the sequence of its last row, and the hex MACs that the next row may be
    bound to; two behind a faulty row, so that one change is one fault, and none behind a gap."""

    sequence: int
    macs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReadPlace:
    """How far the log was read: behind the row `row`, whose hex MAC is `mac` (empty: whichever stands there), and
    where `is_whole` from the log's beginning on. `chains`: the writers whose rows were read."""

    row: int = 0
    mac: str = ""
    is_whole: bool = True
    chains: Mapping[str, ChainTail] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CheckedRows:
    """Rows in the order of writing, what is wrong with them and with the chains, and where to read on. `at_end`: there
    are no more now. `gone`: why this is not the log that was read before; then nothing was read."""

    rows: list[AuditRow]
    faults: tuple[ChainFault, ...]
    place: ReadPlace
    at_end: bool
    gone: str | None = None


class AskRow(NamedTuple):
    """What a row keeps of a request that policy may have decided, as it is stored. `ask` is JSON text, `times`
    the number of equal requests; the other columns are those of `AuditEvent`."""

    rowid: int
    time: int
    id: str
    event: str
    door: str
    subject: str
    evidence: str
    ask: str
    rule: str
    outcome: str
    reason: str
    client_id: str
    policy_version: str
    times: int


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which rows are meant. Empty or None leaves a column open; texts are compared byte by byte. `client` is met by a
    row that has it as its client or as its subject."""

    event: AuditEventKind | None = None
    subject: str = ""
    client: str = ""
    rule: str = ""
    outcome: str = ""
    reason: str = ""
    door: str = ""


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Rows, the newest first. `before`: from which rowid on downwards there may be more, None where the log begins."""

    rows: list[AuditRow]
    before: int | None


class IssuedRow(NamedTuple):
    """What a row keeps of a token that was issued, in short. `scopes` is JSON text: an array of the scopes that were
    asked for by name, and of those that were given where none was; each of the two may be null."""

    rowid: int
    time: int
    subject: str
    client_id: str
    rule: str
    scopes: str


class RuleUse(NamedTuple):
    """What rows say of one rule: when it decided last (epoch seconds), the id of that row, and for how many requests it
    did. `rule` None: refusals of which the log keeps only the number."""

    rule: str | None
    last: int
    id: str
    requests: int


class AuditStore(Protocol):
    """The audit log. Rows are appended and, by age, pruned behind a signed checkpoint; never updated."""

    def append(self, event: AuditEvent) -> None:
        """Write one row."""
        ...

    def note_policies(self, version: str, event: Callable[[str], AuditEvent | None]) -> bool:
        """Note that policies of this version are in force, and write the row that `event` makes of the version noted
        before, in one transaction; nothing where this version is noted already, so that of many who see a change one
        writes. Whether it wrote a row. In a log that nobody noted any for, the version before is that of a late row;
        empty where none says it."""
        ...

    def begin_append(self, event: AuditEvent) -> PendingWrite:
        """The same without waiting for it."""
        ...

    def rows(
        self,
        *,
        since: int | None = None,
        correlation_id: str | None = None,
        events: Sequence[AuditEventKind] = (),
        after: int = 0,
        limit: int = 100,
        newest_first: bool = False,
    ) -> list[AuditRow]:
        """Rows with a rowid above `after`, in the order of writing."""
        ...

    def span(self, *, since: int | None = None) -> tuple[int, int]:
        """The rowid behind which rows of `since` (epoch seconds) and later lie, and that of the last row written. The
        first may be a little early: rows are written almost in the order of their times."""
        ...

    def asks(self, after: int, until: int) -> list[AskRow]:
        """The rows with a rowid above `after` and up to `until` that are about requests, in the order of writing: quick
        to read by the million. Not checked: what stands in them."""
        ...

    def rule_uses(self, after: int, until: int) -> list[RuleUse]:
        """The rules that the rows with a rowid above `after` and up to `until` name, each once; those about requests,
        as `asks`. Not checked: what stands in them."""
        ...

    def page(self, where: AuditFilter, *, before: int | None, limit: int, scan: int) -> AuditPage:
        """At most `limit` rows that meet `where`, the newest first, below the rowid `before` (None: from the end on).
        At most about `scan` rows are looked at, so that it is always quick; a page may be empty and not the last."""
        ...

    def issued(self, after: int, until: int) -> list[IssuedRow]:
        """The tokens in the rows with a rowid above `after` and up to `until`, in the order of writing. Not checked:
        what stands in them."""
        ...

    def read_on(self, place: ReadPlace, *, limit: int) -> CheckedRows:
        """At most `limit` rows behind `place`, each held to its chain. Of a chain that is met in its middle the first
        row is held to the one before it. At the end of the log also whether chains end where their heads say.

        Not checked: rows before the place that the reading began at, and that nothing else was changed since they were
        read; see `verify`.
        """
        ...

    def heads(self) -> list[ChainHead]:
        """The last row of each writer."""
        ...

    def verify(self, *, progress: Callable[[int], None] | None = None) -> Iterator[ChainFault]:
        """Walk every chain and yield what is wrong; nothing yielded means that all is intact.

        Not checked: a copy of the whole database put back to an earlier state; for that compare the
        heads with the ones in the service's log.
        """
        ...

    def prune(self, *, before: int, now: int, batch: int) -> int:
        """Remove rows older than `before`, the oldest first and at most `batch` of them, leaving a signed checkpoint
        per writer. How many were removed; so many as `batch`: there may be more."""
        ...
