"""What binds audit rows to each other: HMAC-SHA256 under the audit key. Pure; knows no database.

Each writer (one process at one time) has a chain: the MAC of a row covers the MAC of the row before it,
so a row that was changed, or is missing in the middle, shows. Three more MACs show what a chain alone
cannot: the *head* says where a chain ends, so a cut tail shows; the *roster* chains the writers in the
order in which they joined, so a whole chain that was removed shows; a *checkpoint* says how far a chain
was pruned by us, so pruning looks different from deleting.

Every MAC begins with its own label, so that none can stand in for another. Not protected: the order of
rows of different writers, and a copy of the whole database put back to an earlier state.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass

from bridge.model.audit import AuditEvent

MAC_BYTES = 32
_MAX_INTEGER = 2**63 - 1

# One encoder for all time: a MAC is over exactly these bytes.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode

# The columns of an event, in the order in which they are stored and go into the MAC.
EVENT_COLUMNS = (
    "time", "id", "event", "door", "source_address", "subject", "evidence", "credential", "key_id", "ask",
    "rule", "outcome", "reason", "client_id", "jti", "issued", "policy_version", "bundle_sequence", "count",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """An event made ready to be written: its columns, and the same as canonical bytes for the MAC.

    Made by the thread that asks, so that the writer has next to nothing left to do.
    """

    columns: tuple[str | int | None, ...]
    message: bytes


@dataclass(frozen=True, slots=True)
class Tail:
    """Where a chain ends: the sequence and MAC of its last row. Sequence 0 is a chain without rows."""

    sequence: int
    mac: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a chain was pruned. `sequence` and `mac` are those of the last removed row, `removed` the
    number of all removed rows, `faults` how many of them did not verify; times are epoch seconds."""

    writer: str
    sequence: int
    mac: bytes
    removed: int
    faults: int
    pruned_before: int
    pruned_at: int


def line_of(event: AuditEvent) -> Line:
    """The line of an event. Text that is not Unicode is written with replacement characters, and
    integers beyond 64 bits as the largest: an odd event must not stop those it shares a commit with."""
    columns = (
        event.time, event.id, event.event.value, event.door, event.source_address, event.subject,
        event.evidence, event.credential, event.key_id, _encode(dict(event.ask)), event.rule, event.outcome,
        event.reason, event.client_id, event.jti, event.issued, event.policy_version, event.bundle_sequence,
        event.count,
    )  # fmt: skip
    sequence = event.bundle_sequence
    if sequence is not None and sequence > _MAX_INTEGER:
        columns = (*columns[:17], _MAX_INTEGER, columns[18])
    return line_of_columns(columns)


def line_of_columns(columns: tuple[str | int | None, ...]) -> Line:
    """The line of stored columns, to compute its MAC again."""
    try:
        return Line(columns, _encode(columns).encode())
    except UnicodeEncodeError:
        clean = tuple(_clean(value) if isinstance(value, str) else value for value in columns)
        return Line(clean, _encode(clean).encode())


def _clean(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class ChainKey:
    """Computes MACs. Thread-safe: a MAC starts from a copy of the keyed state."""

    def __init__(self, key: bytes) -> None:
        """Raises: ValueError for a key shorter than a MAC."""
        if len(key) < MAC_BYTES:
            raise ValueError(f"the audit key has fewer than {MAC_BYTES} bytes")
        self._row = hmac.new(key, b"row\n", "sha256")
        self._key = key

    def genesis(self, writer: str, started_at: int) -> bytes:
        """What stands before a chain's first row."""
        return self._mac("genesis", writer, started_at)

    def row(self, writer: str, sequence: int, previous: bytes, message: bytes) -> bytes:
        """The MAC of one row. Its parts cannot be confused: `writer` has no newline, `previous` has a
        fixed length, and `message` comes last."""
        mac = self._row.copy()
        mac.update(b"%b\n%d\n%b%b" % (writer.encode(), sequence, previous, message))
        return mac.digest()

    def head(self, writer: str, tail: Tail) -> bytes:
        """The seal on where a chain ends."""
        return self._mac("head", writer, tail.sequence, tail.mac.hex())

    def link(self, previous: bytes, position: int, writer: str, started_at: int) -> bytes:
        """The roster's MAC after one more writer."""
        return self._mac("link", previous.hex(), position, writer, started_at)

    def roster(self, writers: int, link: bytes) -> bytes:
        """The seal on how many writers there are."""
        return self._mac("roster", writers, link.hex())

    def checkpoint(self, point: Checkpoint) -> bytes:
        """The signature of a checkpoint."""
        return self._mac(
            "checkpoint",
            point.writer,
            point.sequence,
            point.mac.hex(),
            point.removed,
            point.faults,
            point.pruned_before,
            point.pruned_at,
        )

    def _mac(self, label: str, *parts: str | int) -> bytes:
        return hmac.digest(self._key, f"{label}\n{_encode(parts)}".encode("utf-8", "replace"), "sha256")
