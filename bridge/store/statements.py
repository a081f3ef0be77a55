"""The SQL of every verb, once. Kept to what SQLite and PostgreSQL share: integer seconds, JSON as text,
`INSERT ... ON CONFLICT ... RETURNING`, positional parameters, no clause that only one of them has.

An adapter for PostgreSQL replaces `?` by `%s`, reads rows it is about to change with `FOR UPDATE`, and
brings its own DDL. Statements that work on a whole commit at once use JSON functions that differ in name
between engines; they stand apart, in `issuing`.
"""

from __future__ import annotations

from functools import cache

from bridge.store.audit_chain import EVENT_COLUMNS
from bridge.store.limits import CLOCK_TOLERANCE
from bridge.store.rows import (
    ACCESS_FIELDS,
    AUDIT_FIELDS,
    CLIENT_FIELDS,
    DOCUMENT_FIELDS,
    KEY_FIELDS,
    MEMBER_FIELDS,
    columns,
)

CLIENT = columns(CLIENT_FIELDS)
MEMBER = columns(MEMBER_FIELDS)
KEY = columns(KEY_FIELDS)
AUDIT = columns(AUDIT_FIELDS)
LIVE = "state IN ('active', 'pending')"
ENDED = "state IN ('expired', 'revoked')"

# Under which name a record counts against limits (`rows.quota_of`); the trust domain is not stored twice.
QUOTA = "COALESCE(trust_domain, quota, '')"

# Grows by at least one and never falls behind the clock, so no value is ever used twice (see `schema`).
NEXT_EPOCH = "CASE WHEN epoch >= ? THEN epoch + 1 ELSE ? END"

# --- one client, as a request sees it. Parameters: subject, client_id, client_id, rule, digest, client_id, member.
FIND = f"""
SELECT EXISTS (SELECT 1 FROM tombstones WHERE subject IN (?, ?, c.parent)),
       EXISTS (SELECT 1 FROM approvals
               WHERE client_id = ? AND rule = ? AND digest = ? AND approved_at IS NOT NULL),
       {columns(CLIENT_FIELDS, "c")}, {columns(MEMBER_FIELDS, "m")}
FROM (SELECT 1 AS one) AS always
LEFT JOIN clients AS c ON c.client_id = ?
LEFT JOIN members AS m ON m.client_id = c.client_id AND m.spiffe_id = ?
"""
# --- and as a registration sees it. Parameters: subject, client_id, member, parent, client_id, kind, subject, member.
FIND_OWNER = f"""
SELECT EXISTS (SELECT 1 FROM tombstones WHERE subject IN (?, ?, ?, ?)),
       EXISTS (SELECT 1 FROM clients WHERE client_id = ?),
       {QUOTA},
       {columns(CLIENT_FIELDS, "c")}, {columns(MEMBER_FIELDS, "m")}
FROM (SELECT 1 AS one) AS always
LEFT JOIN clients AS c ON c.kind = ? AND c.subject = ?
LEFT JOIN members AS m ON m.client_id = c.client_id AND m.spiffe_id = ?
"""
GET = f"SELECT {CLIENT} FROM clients WHERE client_id = ?"
MEMBERS = f"SELECT {MEMBER} FROM members WHERE client_id = ? AND spiffe_id > ? ORDER BY spiffe_id LIMIT ?"
MEMBERSHIPS = f"SELECT {MEMBER} FROM members WHERE spiffe_id = ? AND client_id > ? ORDER BY client_id LIMIT ?"

# --- records
INSERT_CLIENT = f"INSERT INTO clients ({CLIENT}, quota, ended_at) VALUES ({', '.join('?' * (len(CLIENT_FIELDS) + 2))})"
RETURN_CLIENT = """
UPDATE clients SET state = ?, rule = ?, epoch = ?, last_used_at = ?, expires_at = ?, ended_at = NULL, parent = ?,
       metadata = ?, provenance = ?, authorities = ?
WHERE client_id = ?
"""
REPLACE_METADATA = "UPDATE clients SET rule = ?, metadata = ?, provenance = ?, epoch = ? WHERE client_id = ?"
SEE_MEMBER = "UPDATE clients SET identities = identities + ? WHERE client_id = ?"
UPSERT_MEMBER = f"""
INSERT INTO members ({MEMBER}, ended_at) VALUES (?, ?, 'active', ?, ?, ?, ?, NULL)
ON CONFLICT (client_id, spiffe_id) DO UPDATE
SET state = 'active', epoch = excluded.epoch, last_used_at = excluded.last_used_at,
    expires_at = excluded.expires_at, ended_at = NULL
"""
DROP_APPROVALS = "DELETE FROM approvals WHERE client_id = ?"
# Authorities NULL: whoever vouched for the end that the record has.
PROLONG_CLIENT = """
UPDATE clients SET last_used_at = ?, expires_at = ?, authorities = COALESCE(?, authorities) WHERE client_id = ?
"""
PROLONG_MEMBER = "UPDATE members SET last_used_at = ?, expires_at = ? WHERE client_id = ? AND spiffe_id = ?"

# --- approvals
IS_ASKED = "SELECT 1 FROM approvals WHERE client_id = ? AND rule = ? AND digest = ?"
FORGET_OLD_TERMS = "DELETE FROM approvals WHERE client_id = ? AND rule = ? AND digest <> ? AND approved_at IS NULL"
ASK = f"""
INSERT INTO approvals (client_id, rule, digest, asked_at, approved_at, note)
SELECT client_id, ?, ?, ?, NULL, '' FROM clients WHERE client_id = ? AND {LIVE}
ON CONFLICT (client_id, rule, digest) DO NOTHING
"""
APPROVABLE = f"""
SELECT client_id, kind, {QUOTA}, state FROM clients
WHERE (client_id = ? OR parent = ?) AND {LIVE} AND (expires_at IS NULL OR expires_at > ?)
ORDER BY client_id
"""
WAITING = f"""
SELECT a.client_id, a.rule, a.digest, a.asked_at
FROM approvals AS a JOIN clients AS c ON c.client_id = a.client_id AND c.{LIVE}
WHERE a.approved_at IS NULL AND (a.client_id, a.rule) > (?, ?)
ORDER BY a.client_id, a.rule LIMIT ?
"""
WAITING_SINCE = f"""
SELECT MIN(a.asked_at) FROM approvals AS a JOIN clients AS c ON c.client_id = a.client_id AND c.{LIVE}
WHERE a.approved_at IS NULL
"""
APPROVE = "UPDATE approvals SET approved_at = ?, note = ? WHERE client_id = ? AND approved_at IS NULL RETURNING rule"
APPROVE_THESE = """
UPDATE approvals SET approved_at = ?, note = ?
WHERE client_id = ? AND approved_at IS NULL AND rule = ? AND digest = ? RETURNING rule
"""
ACTIVATE = """
UPDATE clients SET state = 'active', expires_at = CASE WHEN kind = 'instance' THEN ? ELSE expires_at END
WHERE client_id = ? AND state = 'pending'
"""

# --- endings by an operator
# Instances come and go; those that ended by themselves have nothing left to end.
TOUCHED = f"""
SELECT client_id, kind, {QUOTA}, state FROM clients
WHERE client_id = ? OR (parent = ? AND state NOT IN ('expired', 'revoked'))
ORDER BY client_id
"""
END_CLIENT = f"UPDATE clients SET state = ?, epoch = {NEXT_EPOCH}, ended_at = COALESCE(ended_at, ?) WHERE client_id = ?"
END_MEMBERS = f"""
UPDATE members SET state = CASE WHEN state = 'denied' THEN state ELSE ? END, epoch = {NEXT_EPOCH},
       ended_at = COALESCE(ended_at, ?)
WHERE spiffe_id = ? RETURNING client_id
"""
LIVE_AS_SEEN = f"SELECT kind, {QUOTA}, state FROM clients WHERE client_id = ? AND epoch = ? AND {LIVE}"
END_MEMBER_AS_SEEN = f"""
UPDATE members SET state = 'revoked', epoch = {NEXT_EPOCH}, ended_at = ?
WHERE client_id = ? AND spiffe_id = ? AND epoch = ? AND {LIVE}
"""
PUT_TOMBSTONE = "INSERT INTO tombstones (subject, denied_at) VALUES (?, ?) ON CONFLICT (subject) DO NOTHING"
TAKE_TOMBSTONE = "DELETE FROM tombstones WHERE subject = ? RETURNING subject"
# A record stays denied while any tombstone that covers it stands: its own, or that of its identity.
UNDENIABLE = f"""
SELECT client_id, kind, {QUOTA}, state FROM clients AS c
WHERE (client_id = ? OR parent = ?) AND state = 'denied'
  AND NOT EXISTS (SELECT 1 FROM tombstones AS t WHERE t.subject = c.client_id OR t.subject = c.parent)
ORDER BY client_id
"""
UNDENY_MEMBERS = """
UPDATE members SET state = 'revoked' WHERE spiffe_id = ? AND state = 'denied' RETURNING client_id
"""
HAS_TOMBSTONE = "SELECT 1 FROM tombstones WHERE subject = ?"

# --- sweeps. One statement for all records of a step: with each the writer lets the interpreter go, and waits for its
# turn again while it holds up everybody else's writes.
AMONG = "client_id IN (SELECT value FROM json_each(?))"
END_CLIENTS = f"UPDATE clients SET state = ?, epoch = {NEXT_EPOCH}, ended_at = COALESCE(ended_at, ?) WHERE {AMONG}"
DROP_APPROVALS_OF = f"DELETE FROM approvals WHERE {AMONG}"
IDLE = f"SELECT {CLIENT}, {QUOTA} FROM clients WHERE {LIVE} AND expires_at <= ? ORDER BY expires_at LIMIT ?"
PENDING_TOO_LONG = f"SELECT {CLIENT}, {QUOTA} FROM clients WHERE state = 'pending' AND last_used_at <= ? LIMIT ?"
IDLE_MEMBERS = """
SELECT client_id, spiffe_id FROM members WHERE state = 'active' AND expires_at <= ? ORDER BY expires_at LIMIT ?
"""
EXPIRE_MEMBER = f"""
UPDATE members SET state = 'expired', epoch = {NEXT_EPOCH}, ended_at = ? WHERE client_id = ? AND spiffe_id = ?
"""
FORGETTABLE = f"""
SELECT client_id, kind, {QUOTA}, state FROM clients WHERE {ENDED} AND ended_at <= ? AND epoch < ?
ORDER BY ended_at LIMIT ?
"""
REMOVE_CLIENTS = f"DELETE FROM clients WHERE {AMONG}"
REMOVE_MEMBERS_OF = f"DELETE FROM members WHERE {AMONG}"
FORGETTABLE_MEMBERS = f"""
SELECT client_id, spiffe_id FROM members WHERE {ENDED} AND ended_at <= ? AND epoch < ? ORDER BY ended_at LIMIT ?
"""
REMOVE_MEMBER = "DELETE FROM members WHERE client_id = ? AND spiffe_id = ?"
SWEEP_MARKERS = """
DELETE FROM markers WHERE (kind, digest) IN (
    SELECT kind, digest FROM markers WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)
"""
SWEEP_REVOKED_TOKENS = """
DELETE FROM revoked_tokens WHERE jti IN (
    SELECT jti FROM revoked_tokens WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)
"""

# --- counts and limits
ADD_COUNT = """
INSERT INTO client_counts (quota, kind, state, records) VALUES (?, ?, ?, ?)
ON CONFLICT (quota, kind, state) DO UPDATE SET records = client_counts.records + excluded.records
"""
COUNT_BY_STATE = "SELECT kind, state, SUM(records) FROM client_counts GROUP BY kind, state HAVING SUM(records) <> 0"
COUNT_LIVE = f"""
SELECT quota, SUM(records), SUM(CASE WHEN state = 'pending' THEN records ELSE 0 END)
FROM client_counts WHERE {LIVE} GROUP BY quota
"""
ROOM = f"""
SELECT COALESCE(SUM(records), 0), COALESCE(SUM(CASE WHEN state = 'pending' THEN records ELSE 0 END), 0)
FROM client_counts WHERE quota = ? AND {LIVE}
"""
# Counted up to the limit only: one more is as much as anybody needs to know.
LEASES = f"""
SELECT COUNT(*), MIN(expires_at) FROM (
    SELECT expires_at FROM clients WHERE parent = ? AND {LIVE} AND expires_at > ? ORDER BY expires_at LIMIT ?) AS live
"""
BUCKET = "SELECT level, filled_at FROM buckets WHERE kind = ? AND key = ?"
SET_BUCKET = """
INSERT INTO buckets (kind, key, level, filled_at, per_minute, burst, full_at) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (kind, key) DO UPDATE
SET level = excluded.level, filled_at = excluded.filled_at, per_minute = excluded.per_minute,
    burst = excluded.burst, full_at = excluded.full_at
"""
NEXT_KIND_OF_BUCKET = "SELECT kind FROM buckets WHERE kind > ? ORDER BY kind LIMIT 1"
BUCKETS_IN_USE = """
SELECT key, level, filled_at, per_minute, burst FROM buckets WHERE kind = ? AND full_at > ?
ORDER BY full_at DESC LIMIT ?
"""
SWEEP_BUCKETS = """
DELETE FROM buckets WHERE (kind, key) IN (
    SELECT kind, key FROM buckets WHERE kind = ? AND full_at <= ? ORDER BY full_at LIMIT ?)
"""

# --- the management of registrations
ACCESS = columns(ACCESS_FIELDS)
ACCESS_OF = f"SELECT {ACCESS} FROM management WHERE client_id = ?"
ACCESS_BY_HANDLE = f"SELECT {ACCESS} FROM management WHERE handle = ?"
HAS_LIVE_EPOCH = f"SELECT 1 FROM clients WHERE client_id = ? AND epoch = ? AND {LIVE}"
OPEN_ACCESS = f"""
INSERT INTO management ({ACCESS}) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (client_id) DO UPDATE
SET handle = excluded.handle, epoch = excluded.epoch, generation = excluded.generation, digest = excluded.digest
WHERE management.epoch < excluded.epoch
"""
ROTATE_ACCESS = f"""
UPDATE management SET generation = generation + 1, digest = ?
WHERE client_id = ? AND epoch = ? AND generation = ? AND digest = ?
  AND EXISTS (SELECT 1 FROM clients AS c WHERE c.client_id = management.client_id AND c.epoch = management.epoch
              AND c.{LIVE})
RETURNING {ACCESS}
"""
REMOVE_ACCESS_OF = f"DELETE FROM management WHERE {AMONG}"

# --- markers and single tokens
MARKER_USAGE = "SELECT held, swept_until FROM marker_usage WHERE one = 1"
ADD_MARKERS = "UPDATE marker_usage SET held = held + ? WHERE one = 1"
SWEPT_MARKERS = """
UPDATE marker_usage SET held = held - ?, swept_until = CASE WHEN swept_until < ? THEN ? ELSE swept_until END
WHERE one = 1
"""
REVOKE_TOKEN = "INSERT INTO revoked_tokens (jti, expires_at) VALUES (?, ?) ON CONFLICT (jti) DO NOTHING RETURNING jti"
IS_REVOKED = "SELECT 1 FROM revoked_tokens WHERE jti = ?"

# --- signing keys
KEYS = f"SELECT {KEY} FROM signing_keys ORDER BY created_at, kid"
HAS_KEY = "SELECT 1 FROM signing_keys LIMIT 1"
INSERT_KEY = f"INSERT INTO signing_keys ({KEY}) VALUES (?, ?, ?, ?, ?, ?, ?)"
PROMOTE_KEY = """
UPDATE signing_keys SET signs_from = ? WHERE kid = ? AND signs_from IS NULL AND retires_at IS NULL RETURNING kid
"""
RETIRE_OTHER_KEYS = """
UPDATE signing_keys SET retires_at = ? WHERE kid <> ? AND signs_from IS NOT NULL AND retires_at IS NULL
"""
DROP_RETIRED_KEYS = "DELETE FROM signing_keys WHERE retires_at <= ? RETURNING kid"

# --- leases
TAKE_LEASE = """
INSERT INTO leases (name, holder, ends_at) VALUES (?, ?, ?)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, ends_at = excluded.ends_at
WHERE leases.holder = excluded.holder OR leases.ends_at <= ?
RETURNING holder
"""

# --- documents of clients. Parameters of the first: kind, url, and both again.
FIND_DOCUMENT = f"""
SELECT COALESCE(f.ends_at, 0), COALESCE(f.holder, ' ') = '', {columns(DOCUMENT_FIELDS, "d")}
FROM (SELECT 1 AS one) AS always
LEFT JOIN document_fetches AS f ON f.kind = ? AND f.url = ?
LEFT JOIN documents AS d ON d.kind = ? AND d.url = ?
"""
HAS_DOCUMENT = "SELECT 1 FROM documents WHERE kind = ? AND url = ?"
COUNT_DOCUMENTS = "SELECT COUNT(*) FROM documents"
# A copy never takes the place of a younger one, unless that is from a clock that was set back since.
KEEP_DOCUMENT = f"""
INSERT INTO documents ({columns(DOCUMENT_FIELDS)}) VALUES ({", ".join("?" * len(DOCUMENT_FIELDS))})
ON CONFLICT (kind, url) DO UPDATE
SET body = excluded.body, digest = excluded.digest, etag = excluded.etag, fetched_at = excluded.fetched_at,
    fresh_until = excluded.fresh_until, must_revalidate = excluded.must_revalidate
WHERE documents.fetched_at <= excluded.fetched_at OR documents.fetched_at > excluded.fetched_at + {CLOCK_TOLERANCE}
"""
DROP_DOCUMENT = "DELETE FROM documents WHERE kind = ? AND url = ? AND digest = ? AND fetched_at = ?"
SWEEP_DOCUMENTS = """
DELETE FROM documents WHERE (kind, url) IN (
    SELECT kind, url FROM documents WHERE fetched_at <= ? ORDER BY fetched_at LIMIT ?)
"""
# Also from whoever has it: one that has just been told to wait is to wait. Parameters end with: now, the latest
# end that can have been meant by a clock like this one.
BEGIN_FETCH = """
INSERT INTO document_fetches (kind, url, holder, ends_at) VALUES (?, ?, ?, ?)
ON CONFLICT (kind, url) DO UPDATE SET holder = excluded.holder, ends_at = excluded.ends_at
WHERE document_fetches.ends_at <= ? OR document_fetches.ends_at > ?
RETURNING holder
"""
# A right that nobody holds: whoever looks knows that there is no answer to wait for.
POSTPONE_FETCH = "UPDATE document_fetches SET ends_at = ?, holder = '' WHERE kind = ? AND url = ? AND holder = ?"
END_FETCH = "DELETE FROM document_fetches WHERE kind = ? AND url = ? AND holder = ?"
SWEEP_FETCHES = """
DELETE FROM document_fetches WHERE (kind, url) IN (
    SELECT kind, url FROM document_fetches WHERE ends_at <= ? ORDER BY ends_at LIMIT ?)
"""

# --- the audit log
ADD_WRITER = """
INSERT INTO audit_writers (writer, position, started_at, link, sequence, mac, seal) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
WRITER_TAIL = "SELECT sequence, mac FROM audit_writers WHERE writer = ?"
SET_HEAD = "UPDATE audit_writers SET sequence = ?, mac = ?, seal = ? WHERE writer = ? RETURNING writer"
WRITERS = "SELECT writer, position, started_at, link, sequence, mac, seal FROM audit_writers ORDER BY position"
ROSTER = "SELECT writers, link, seal FROM audit_roster WHERE one = 1"
SET_ROSTER = """
INSERT INTO audit_roster (one, writers, link, seal) VALUES (1, ?, ?, ?)
ON CONFLICT (one) DO UPDATE SET writers = excluded.writers, link = excluded.link, seal = excluded.seal
"""
CHECKPOINTS = """
SELECT writer, sequence, mac, removed, faults, pruned_before, pruned_at, seal FROM audit_checkpoints
"""
SET_CHECKPOINT = """
INSERT INTO audit_checkpoints (writer, sequence, mac, removed, faults, pruned_before, pruned_at, seal)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (writer) DO UPDATE
SET sequence = excluded.sequence, mac = excluded.mac, removed = excluded.removed, faults = excluded.faults,
    pruned_before = excluded.pruned_before, pruned_at = excluded.pruned_at, seal = excluded.seal
"""
AUDIT_FROM = f"SELECT {AUDIT} FROM audit WHERE rowid > ? ORDER BY rowid LIMIT ?"
# In the order of `AskRow`. The plus keeps SQLite on the order of writing.
ASKS = """
SELECT rowid, time, id, event, door, subject, evidence, ask, rule, outcome, reason, client_id, policy_version, count
FROM audit WHERE rowid > ? AND rowid <= ?
AND +event IN ('token_issued', 'refused', 'registered', 'updated', 'approved') ORDER BY rowid
"""
FIRST_AUDIT_ROW = "SELECT MIN(rowid) FROM audit"
LAST_AUDIT_ROW = "SELECT MAX(rowid) FROM audit"
PRUNE_AUDIT = "DELETE FROM audit WHERE rowid <= ?"
FIRST_SINCE = "SELECT rowid FROM audit WHERE time >= ? ORDER BY time LIMIT 1"


@cache
def insert_audit_rows(rows: int) -> str:
    """The statement that inserts so many rows: one call into the database, however many there are."""
    names = (*EVENT_COLUMNS, "writer", "sequence", "mac")
    values = f"({', '.join('?' * len(names))})"
    return f"INSERT INTO audit ({', '.join(names)}) VALUES {', '.join([values] * rows)}"


@cache
def insert_markers(rows: int) -> str:
    """The statement that inserts so many markers."""
    return f"INSERT INTO markers (kind, digest, expires_at) VALUES {', '.join(['(?, ?, ?)'] * rows)}"


# What comes into being with an audit row only.
ANYTHING_AUDITED = """
SELECT EXISTS (SELECT 1 FROM signing_keys) OR EXISTS (SELECT 1 FROM tombstones)
"""
