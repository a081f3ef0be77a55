"""Between stored rows and the nouns of the model. The column lists here are the order of the fields."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from bridge.model.audit import AuditEvent, AuditEventKind, AuditRow
from bridge.model.authority import of_text, text_of
from bridge.model.client import (
    NO_PROVENANCE,
    ClientKind,
    ClientRecord,
    ClientState,
    Member,
    ProposedClient,
    Provenance,
)
from bridge.model.document import DocumentCopy, DocumentKind
from bridge.model.errors import Unavailable
from bridge.model.evidence import EvidenceKind
from bridge.model.reasons import Reason
from bridge.model.signing_key import SigningKeyRow
from bridge.model.times import LATEST
from bridge.store.audit_chain import EVENT_COLUMNS
from bridge.store.connections import Row

CLIENT_FIELDS = (
    "client_id", "kind", "subject", "trust_domain", "state", "rule", "epoch", "created_at", "last_used_at",
    "expires_at", "parent", "identities", "metadata", "provenance", "authorities",
)  # fmt: skip
MEMBER_FIELDS = ("client_id", "spiffe_id", "state", "epoch", "first_seen_at", "last_used_at", "expires_at")
ACCESS_FIELDS = ("client_id", "handle", "epoch", "generation", "digest")
DOCUMENT_FIELDS = ("kind", "url", "body", "digest", "etag", "fetched_at", "fresh_until", "must_revalidate")
KEY_FIELDS = ("kid", "alg", "public_jwk", "sealed", "created_at", "signs_from", "retires_at")
AUDIT_FIELDS = ("rowid", "writer", "sequence", "mac", *EVENT_COLUMNS)

_KINDS = {kind.value: kind for kind in ClientKind}
_STATES = {state.value: state for state in ClientState}
_EVENTS = {event.value: event for event in AuditEventKind}


def columns(fields: tuple[str, ...], table: str = "") -> str:
    """The fields as a select list."""
    return ", ".join(f"{table}.{field}" if table else field for field in fields)


def client_of(row: Row, start: int = 0) -> ClientRecord | None:
    """The record in the fifteen columns from `start`; None where a join found none.

    Raises: Unavailable for what nobody here writes: the trouble is ours, and never the client's (T-53).
    """
    if row[start] is None:
        return None
    try:
        return _client_of(row[start : start + 15])
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        words = f"the record of {row[start]!r} cannot be read ({error}): the database is damaged"
        raise Unavailable(Reason.STORE_UNAVAILABLE, words) from error


def _client_of(row: Row) -> ClientRecord:
    (
        client_id,
        kind,
        subject,
        trust_domain,
        state,
        rule,
        epoch,
        created,
        used,
        expires,
        parent,
        identities,
        metadata,
        provenance,
        authorities,
    ) = row
    said = json.loads(metadata)
    if not isinstance(said, dict):
        raise ValueError("metadata is no object")
    return ClientRecord(
        client_id,
        _KINDS[kind],
        subject,
        trust_domain,
        _STATES[state],
        rule,
        epoch,
        created,
        used,
        expires,
        parent,
        identities,
        said,
        provenance_of(provenance),
        of_text(authorities),
    )


def member_of(row: Row, start: int = 0) -> Member | None:
    """The member in the seven columns from `start`; None where a join found none."""
    if row[start] is None:
        return None
    client_id, spiffe_id, state, epoch, first_seen, used, end = row[start : start + 7]
    return Member(client_id, spiffe_id, _STATES[state], epoch, first_seen, used, end)


def document_row(copy: DocumentCopy) -> tuple[object, ...]:
    """The columns of a fetched document."""
    ages = copy.fetched_at, copy.fresh_until, int(copy.must_revalidate)
    return copy.kind.value, copy.url, copy.body, copy.digest, copy.etag, *ages


def document_of(row: Row, start: int = 0) -> DocumentCopy | None:
    """The document in the eight columns from `start`; None where a join found none."""
    if row[start] is None:
        return None
    kind, url, body, digest, etag, fetched_at, fresh_until, must_revalidate = row[start : start + 8]
    return DocumentCopy(DocumentKind(kind), url, body, digest, etag, fetched_at, fresh_until, bool(must_revalidate))


def record_of(proposed: ProposedClient, *, epoch: int, now: int, expires_at: int | None) -> ClientRecord:
    """The new record that a proposal becomes."""
    # A trust domain means that the subject is, or stands for, one SPIFFE ID; a shared client and a
    # document have seen none but the member that came with the proposal.
    seen = proposed.member is not None or (proposed.trust_domain is not None and proposed.kind is not ClientKind.SHARED)
    return ClientRecord(
        proposed.client_id,
        proposed.kind,
        proposed.subject,
        proposed.trust_domain,
        proposed.state,
        proposed.rule,
        epoch,
        now,
        now,
        expires_at,
        proposed.parent,
        1 if seen else 0,
        proposed.metadata,
        proposed.provenance,
        proposed.authorities,
    )


def client_row(record: ClientRecord, *, ended_at: int | None = None) -> tuple[Any, ...]:
    """The columns of a record, then `quota` and `ended_at`."""
    return (
        record.client_id,
        record.kind.value,
        record.subject,
        record.trust_domain,
        record.state.value,
        record.rule,
        record.epoch,
        record.created_at,
        record.last_used_at,
        record.expires_at,
        record.parent,
        record.identities,
        metadata_text(record.metadata),
        provenance_text(record.provenance),
        text_of(record.authorities),
        None if record.trust_domain else quota_of(record),
        ended_at,
    )


def metadata_text(metadata: Mapping[str, object]) -> str:
    """Metadata as it is stored."""
    return json.dumps(dict(metadata), ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def provenance_text(provenance: Provenance) -> str:
    """Provenance as it is stored: the members that say something."""
    said = {
        "evidence": None if provenance.evidence is None else provenance.evidence.value,
        "stated": list(provenance.stated),
        "statement_digest": provenance.statement_digest,
        "statement_issuer": provenance.statement_issuer,
        "statement_expires_at": provenance.statement_expires_at,
        "document_digest": provenance.document_digest,
        "document_fetched_at": provenance.document_fetched_at,
    }
    return metadata_text({name: value for name, value in said.items() if value})


# Read with every record, and few of them differ: most records came by the same few kinds of evidence.
@lru_cache(maxsize=1024)
def provenance_of(text: str) -> Provenance:
    """The provenance in a stored text."""
    if text == "{}":
        return NO_PROVENANCE
    said = json.loads(text)
    evidence = said.get("evidence")
    return Provenance(
        evidence=None if evidence is None else EvidenceKind(evidence),
        stated=tuple(said.get("stated", ())),
        statement_digest=said.get("statement_digest", ""),
        statement_issuer=said.get("statement_issuer", ""),
        statement_expires_at=said.get("statement_expires_at", 0),
        document_digest=said.get("document_digest", ""),
        document_fetched_at=said.get("document_fetched_at", 0),
    )


def quota_of(client: ClientRecord | ProposedClient) -> str:
    """Under which name a record counts against limits: its trust domain, else the issuer of its statement,
    else its kind. None can be taken for another: a trust domain's name has neither a slash nor a colon."""
    return client.trust_domain or client.provenance.statement_issuer or f":{client.kind.value}"


def key_of(row: Row) -> SigningKeyRow:
    """A signing key."""
    return SigningKeyRow(*row)


def audit_row_of(row: Row) -> AuditRow:
    """A row of the audit log. Raises: KeyError, ValueError when somebody wrote nonsense into the table."""
    rowid, writer, sequence, mac = row[:4]
    values = dict(zip(EVENT_COLUMNS, row[4:], strict=True))
    values["event"], values["ask"] = _EVENTS[values["event"]], json.loads(values["ask"])
    if not isinstance(values["ask"], dict):
        raise ValueError("what was asked is no object")
    if not 0 <= values["time"] <= LATEST:
        raise ValueError("its time is none")
    return AuditRow(rowid, writer, sequence, mac.hex(), AuditEvent(**values))
