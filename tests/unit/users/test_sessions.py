"""Sessions: found until one of their two ends, and by their own cookie only."""

from __future__ import annotations

import hashlib
from itertools import count

import pytest

from bridge.model.authorization import Session, User
from bridge.users.sessions import RENEW_SECONDS, Sessions

NOW, IDLE, LIFE = 1_800_000_000, 1800, 8 * 3600
KEY = bytes(range(32))
ALICE = User("user-a", "Alice")


class Rows:
    def __init__(self) -> None:
        self.rows: dict[str, Session] = {}
        self.reads = 0

    def begin(self, session: Session) -> None:
        self.rows[session.digest] = session

    def get(self, digest: str, *, now: int) -> Session | None:
        self.reads += 1
        row = self.rows.get(digest)
        return row if row is not None and now < row.expires_at else None

    def end(self, digest: str) -> Session | None:
        return self.rows.pop(digest, None)


@pytest.fixture
def rows() -> Rows:
    return Rows()


def sessions_of(rows: Rows, key: bytes = KEY) -> Sessions:
    secrets = (f"{number:043d}" for number in count(1))
    return Sessions(rows, key=key, idle=IDLE, life=LIFE, new_secret=lambda: next(secrets))


@pytest.fixture
def sessions(rows: Rows) -> Sessions:
    return sessions_of(rows)


def test_a_session_is_found_by_its_cookie_and_the_store_knows_a_digest_alone_OAS_38(
    sessions: Sessions, rows: Rows
) -> None:
    begun, cookie = sessions.begin(ALICE, now=NOW)
    found = sessions.find(cookie, now=NOW + 1)
    assert found is not None
    assert found.session == begun == Session(begun.digest, ALICE, NOW, NOW + LIFE)
    assert begun.digest == hashlib.sha256(cookie.partition(".")[0].encode()).hexdigest()
    assert not any(secret in repr(rows.rows) for secret in cookie.split(".") if len(secret) == 43)


def test_two_sign_ins_are_two_sessions(sessions: Sessions) -> None:
    (first, one), (second, other) = sessions.begin(ALICE, now=NOW), sessions.begin(ALICE, now=NOW)
    assert first.digest != second.digest
    assert one != other


def test_it_idles_out_and_a_use_in_time_keeps_it(sessions: Sessions) -> None:
    _, cookie = sessions.begin(ALICE, now=NOW)
    assert sessions.find(cookie, now=NOW + IDLE - 1) is not None
    assert sessions.find(cookie, now=NOW + IDLE) is None
    found = sessions.find(cookie, now=NOW + IDLE - 1)
    assert found is not None
    assert found.renewed is not None
    assert sessions.find(found.renewed, now=NOW + 2 * IDLE - 2) is not None
    # The cookie that was given out before stays as old as it is.
    assert sessions.find(cookie, now=NOW + IDLE) is None


def test_a_cookie_is_given_out_anew_once_a_minute_at_most(sessions: Sessions) -> None:
    _, cookie = sessions.begin(ALICE, now=NOW)
    early, late = sessions.find(cookie, now=NOW + RENEW_SECONDS - 1), sessions.find(cookie, now=NOW + RENEW_SECONDS)
    assert early is not None
    assert late is not None
    assert (early.renewed, late.renewed is None) == (None, False)


def test_no_use_carries_it_past_its_absolute_end(sessions: Sessions) -> None:
    _, cookie = sessions.begin(ALICE, now=NOW)
    for at in range(NOW, NOW + LIFE, IDLE - 1):
        found = sessions.find(cookie, now=at)
        assert found is not None
        cookie = found.renewed or cookie
    assert sessions.find(cookie, now=NOW + LIFE - 1) is not None
    assert sessions.find(cookie, now=NOW + LIFE) is None


def test_signing_out_ends_it(sessions: Sessions) -> None:
    _, cookie = sessions.begin(ALICE, now=NOW)
    sessions.end(cookie)
    assert sessions.find(cookie, now=NOW) is None
    sessions.end(cookie)
    sessions.end(None)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_changed_cookie_is_none_and_is_not_even_looked_for(sessions: Sessions, rows: Rows, part: int) -> None:
    _, cookie = sessions.begin(ALICE, now=NOW)
    parts = cookie.split(".")
    parts[part] = parts[part][:-1] + ("1" if parts[part][-1] != "1" else "2")
    reads = rows.reads
    assert sessions.find(".".join(parts), now=NOW) is None
    assert rows.reads == reads
    assert sessions.find(cookie, now=NOW) is not None


@pytest.mark.parametrize("cookie", [None, "", "a.b.c", "x" * 43, f"{'x' * 43}.0.{'x' * 43}", f"{'x' * 43}.1.é"])
def test_what_is_no_cookie_of_ours_is_no_session(sessions: Sessions, cookie: str | None) -> None:
    assert sessions.find(cookie, now=NOW) is None


def test_another_key_s_cookie_is_none(sessions: Sessions, rows: Rows) -> None:
    _, cookie = sessions.begin(ALICE, now=NOW)
    assert sessions_of(rows, bytes(32)).find(cookie, now=NOW) is None
