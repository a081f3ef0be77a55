"""User ids: opaque, stable, and nothing that a client's id could be (OAS-20)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.users.user_ids import UserIds

KEY = bytes(range(32))
IDS = UserIds(KEY)


def test_one_account_is_one_id() -> None:
    assert IDS.of("https://idp.example.org", "alice") == UserIds(KEY).of("https://idp.example.org", "alice")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(IDS.of("https://idp.example.org", "bob"), id="another subject"),
        pytest.param(IDS.of("https://idp.example.com", "alice"), id="another source"),
        pytest.param(IDS.of("https://idp.example.orga", "lice"), id="the same letters in two other parts"),
        pytest.param(UserIds(bytes(32)).of("https://idp.example.org", "alice"), id="another key"),
    ],
)
def test_everybody_else_is_another_id(other: str) -> None:
    assert other != IDS.of("https://idp.example.org", "alice")


@given(source=st.text(), subject=st.text())
def test_no_user_id_can_be_a_client_s_OAS_20(source: str, subject: str) -> None:
    user_id = IDS.of(source, subject)
    # No colon and no slash: neither a URI nor a SPIFFE ID; and no other kind of client has this prefix.
    assert re.fullmatch(r"user-[A-Za-z0-9_-]{43}", user_id)
    # Nothing of the account is in it.
    assert len(subject) < 5 or subject not in user_id
