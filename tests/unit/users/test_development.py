"""Signing in by saying a name."""

from __future__ import annotations

import pytest

from bridge.model.errors import InvalidRequest
from bridge.users.development import SOURCE, UnprovedSignIn
from bridge.users.user_ids import UserIds

IDS = UserIds(bytes(32))
SIGN_IN = UnprovedSignIn(IDS)


@pytest.mark.parametrize("name", ["alice", "Łucja Żółć", " alice ", "a", "x" * 64, "alice@example.org"])
def test_a_name_is_a_user(name: str) -> None:
    user = SIGN_IN.user(name)
    assert (user.user_id, user.name) == (IDS.of(SOURCE, name.strip()), name.strip())


@pytest.mark.parametrize("name", ["", " ", "x" * 65, "a\tb", "\u202ealice", "a\u200bb"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="the name"):
        SIGN_IN.user(name)
