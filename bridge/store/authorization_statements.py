"""The SQL of the code flow, once; see `statements` for what it keeps to."""

from __future__ import annotations

from bridge.store.authorization_rows import CONSENT_FIELDS, GRANT_FIELDS, SESSION_FIELDS
from bridge.store.rows import columns

GRANT = columns(GRANT_FIELDS)
SESSION = columns(SESSION_FIELDS)
CONSENT = columns(CONSENT_FIELDS)


def _values(number: int) -> str:
    return ", ".join("?" * number)


# --- how many there are
HELD = "SELECT held FROM flow_counts WHERE what = ?"
ADD_HELD = "UPDATE flow_counts SET held = held + ? WHERE what = ?"
COUNTS = "SELECT what, held FROM flow_counts"

# --- requests
PUSH = "INSERT INTO requests (handle, client_id, request, expires_at, ends_at) VALUES (?, ?, ?, ?, ?)"
# The end is said by whoever opens it first; to open it again moves nothing. Parameters: end, browser, handle,
# client_id, now, browser, now.
OPEN = """
UPDATE requests SET ends_at = CASE WHEN browser IS NULL THEN ? ELSE ends_at END, browser = ?
WHERE handle = ? AND client_id = ? AND ends_at > ? AND (browser = ? OR expires_at > ?)
RETURNING request, ends_at
"""
OPENED = "SELECT request, ends_at, client_id FROM requests WHERE handle = ? AND browser = ? AND ends_at > ?"
CONSUME = "DELETE FROM requests WHERE handle = ? AND browser = ? AND ends_at > ? RETURNING handle"
HAS_OVERDUE_REQUEST = "SELECT 1 FROM requests WHERE ends_at <= ? LIMIT 1"
SWEEP_REQUESTS = """
DELETE FROM requests WHERE handle IN (SELECT handle FROM requests WHERE ends_at <= ? ORDER BY ends_at LIMIT ?)
"""

# --- grants
INSERT_GRANT = f"INSERT INTO grants ({GRANT}) VALUES ({_values(len(GRANT_FIELDS))})"
GRANT_BY_CODE = f"SELECT {GRANT} FROM grants WHERE code_digest = ?"
GRANT_BY_ID = f"SELECT {GRANT} FROM grants WHERE grant_id = ?"
IS_LIVE = "SELECT 1 FROM grants WHERE grant_id = ? AND ended_at IS NULL"
USE_GRANT = """
UPDATE grants SET code_used_at = ?, generation = ?, refresh_expires_at = ?, ends_at = ?, actor = ?, epoch = ?,
       authorities = ?
WHERE grant_id = ?
"""
END_GRANT = "UPDATE grants SET ended_at = ? WHERE grant_id = ? AND ended_at IS NULL RETURNING grant_id"
GRANTS_OF_USER = f"""
SELECT {GRANT} FROM grants WHERE user_id = ? AND ended_at IS NULL AND ends_at > ?
ORDER BY created_at DESC, grant_id DESC LIMIT ?
"""
# The plus keeps SQLite on the grants of the user, who has few; a client may have a million.
END_GRANTS_OF_USER = """
UPDATE grants SET ended_at = ? WHERE user_id = ? AND +client_id = ? AND ended_at IS NULL RETURNING grant_id
"""
GRANTS_OF_CLIENT = f"""
SELECT {GRANT} FROM grants WHERE client_id = ? AND ended_at IS NULL AND +ends_at > ?
  AND (created_at, grant_id) < (?, ?)
ORDER BY created_at DESC, grant_id DESC LIMIT ?
"""
SWEEP_GRANTS = """
DELETE FROM grants WHERE grant_id IN (SELECT grant_id FROM grants WHERE ends_at <= ? ORDER BY ends_at LIMIT ?)
RETURNING ended_at
"""

# --- what users agreed to
CONSENT_OF = f"SELECT {CONSENT} FROM consents WHERE user_id = ? AND client_id = ?"
CONSENTS_OF_USER = f"SELECT {CONSENT} FROM consents WHERE user_id = ? ORDER BY agreed_at DESC, client_id LIMIT ?"
CONSENTS_OF_CLIENT = f"""
SELECT {CONSENT} FROM consents WHERE client_id = ? AND (agreed_at, user_id) < (?, ?)
ORDER BY agreed_at DESC, user_id DESC LIMIT ?
"""
PUT_CONSENT = f"""
INSERT INTO consents ({CONSENT}, seen_at) VALUES ({_values(len(CONSENT_FIELDS) + 1)})
ON CONFLICT (user_id, client_id) DO UPDATE
SET fingerprint = excluded.fingerprint, scopes = excluded.scopes, resources = excluded.resources,
    agreed_at = excluded.agreed_at, seen_at = excluded.seen_at
"""
FORGET_CONSENT = "DELETE FROM consents WHERE user_id = ? AND client_id = ? RETURNING client_id"
SEE_USER = "UPDATE consents SET seen_at = ? WHERE user_id = ? AND seen_at < ?"
SWEEP_CONSENTS = """
DELETE FROM consents WHERE (user_id, client_id) IN (
    SELECT user_id, client_id FROM consents WHERE seen_at <= ? ORDER BY seen_at LIMIT ?)
"""

# --- sessions
BEGIN_SESSION = f"INSERT INTO sessions ({SESSION}) VALUES ({_values(len(SESSION_FIELDS))})"
GET_SESSION = f"SELECT {SESSION} FROM sessions WHERE digest = ? AND expires_at > ?"
END_SESSION = f"DELETE FROM sessions WHERE digest = ? RETURNING {SESSION}"
SWEEP_SESSIONS = """
DELETE FROM sessions WHERE digest IN (SELECT digest FROM sessions WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)
"""
