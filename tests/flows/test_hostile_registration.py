"""Whatever comes to `/register` and below it gets an answer of the contract: never a 5xx, never a hang (F-12)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.metadata.members import MEMBERS
from tests.flows.enrolling import JSON_TYPE, Office, Reply
from tests.flows.managing import Mine

# One service for all of them, in one of the processes that run the tests.
pytestmark = pytest.mark.xdist_group("hostile-registration")
WORST = 1.0  # Seconds of a processor that one request may cost.
MANY = settings(max_examples=120, deadline=None)
PATH = "/ns/told/sa/hostile"

ODD = st.text(max_size=30) | st.sampled_from(
    ["\0", "\r\n", "%00", "\u202e", "\U0001f600", "javascript:1", "https://x", "*", "#"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ODD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([*sorted(MEMBERS), "client_name#fr", "client_id", "client_secret", "sub", "x#", "#"]) | ODD
METADATA = st.dictionaries(NAMES, JSON, max_size=6)


@pytest.fixture(scope="module")
def mine(desk: Office) -> Iterator[Mine]:
    """A client of its own at the desk, beside which all the rest is noise."""
    registered = Mine(desk, PATH)
    yield registered
    assert desk.process.slowest < WORST
    assert registered.send("GET", token=desk.enrol(PATH).registered["registration_access_token"]).status == 200


def held(reply: Reply, *, allowed: tuple[int, ...]) -> None:
    assert reply.status in allowed, reply.content
    if reply.status >= 400:
        assert isinstance(reply.error[1], str)
    assert not any(re.search(r"[^\t\x20-\x7E]", value) for value in reply.headers.values())


@MANY
@given(body=st.binary(max_size=400))
def test_any_bytes_as_a_body_are_refused_F_12(mine: Mine, body: bytes) -> None:
    held(mine.desk.register(body), allowed=(400,))
    held(mine.send("PUT", body), allowed=(400, 401))


@MANY
@given(members=METADATA)
def test_any_members_without_a_statement_are_refused_F_12(mine: Mine, members: dict[str, Any]) -> None:
    with mine.desk.untouched():
        held(mine.desk.register({**members, "software_statement": None}), allowed=(400,))


@MANY
@given(said=METADATA, stated=METADATA)
def test_any_members_beside_and_in_a_sound_statement_are_judged_F_12(
    mine: Mine, said: dict[str, Any], stated: dict[str, Any]
) -> None:
    claims = {name: value for name, value in stated.items() if name != "sub"}
    statement = mine.desk.stand.svid("/ns/told/sa/any", claims)
    reply = mine.desk.register({**said, "software_statement": statement})
    held(reply, allowed=(201, 400))
    if reply.status == 201:
        assert reply.body["client_id"] == reply.body["spiffe_id"] == "spiffe://example.org/ns/told/sa/any"
        assert "client_secret" not in reply.body


@MANY
@given(members=METADATA)
def test_any_members_of_an_update_are_judged_F_12(mine: Mine, members: dict[str, Any]) -> None:
    reply = mine.send("PUT", {**members, "client_id": f"spiffe://example.org{PATH}"})
    held(reply, allowed=(200, 400))
    if reply.status == 200:
        mine.keep(reply)
        assert reply.body["spiffe_id"] == reply.body["client_id"]


@MANY
@given(
    handle=st.text(max_size=40) | st.sampled_from(["..", ".", "%2e%2e", "a/b", "\0", "x" * 300]),
    authorization=st.binary(max_size=60).map(lambda raw: re.sub(rb"[\0\r\n]", b"", raw))
    | st.sampled_from([b"Bearer", b"Bearer ", b"Bearer x", b"Basic =", b"Bearer \xff", b"bearer x, bearer y"]),
    method=st.sampled_from(["GET", "PUT", "DELETE", "POST", "HEAD", "OPTIONS", "TRACE"]),
)
def test_any_handle_and_any_authorization_are_refused_F_12_T_47(
    mine: Mine, handle: str, authorization: bytes, method: str
) -> None:
    headers = [JSON_TYPE, (b"authorization", authorization)]
    path = "/register/" + quote(handle, safe="")
    reply = mine.desk.call(method, path, {}, headers=headers, svid=mine.svid)
    assert reply.status in (400, 401, 404, 405)
    if method != "HEAD" and reply.status != 404:
        assert json.loads(reply.content).keys() == {"error", "error_description", "error_id"}
