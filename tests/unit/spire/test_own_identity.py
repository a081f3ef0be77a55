"""The service's own X.509-SVID from a live Workload API: renewed by itself, never lost, never in a text (F-6).

The agent is the lab's: real gRPC over a real socket. Every wait is for a condition, with a deadline.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest

from bridge.lab.authority import Authority
from bridge.lab.rotation import Stage
from bridge.lab.workload_api import WorkloadApi
from bridge.model.own_svid import OwnSvid
from bridge.model.spiffe_id import SpiffeId
from bridge.spire.endpoint import WorkloadEndpoint
from bridge.spire.own_identity import OwnIdentity
from bridge.spire.svids import NoSvid, read_x509_svid
from tests.live.processes import wait_until

NOW = 1_800_000_000
DEADLINE = 20.0
# Long enough that a test ends before it, where only the first stream shall matter.
FOREVER, SHORT = 60.0, 0.3
BRIDGE, OTHER = "spiffe://example.org/bridge", "spiffe://example.org/other"


class Fixture:
    """An authority, its agent with two entries for us, and a clock that moves when told to."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self.authority = Authority("example.org", clock=lambda: self.now)
        self.api = WorkloadApi(self.authority, folder / "a.sock", identities=["/bridge", "/other"])
        self.identities: list[OwnIdentity] = []

    def identity(self, *, life: float = FOREVER, spiffe_id: str | None = None) -> OwnIdentity:
        wanted = None if spiffe_id is None else SpiffeId.parse(spiffe_id)
        endpoint = WorkloadEndpoint.parse(self.api.address)
        made = OwnIdentity(endpoint, lambda: self.now, spiffe_id=wanted, life=life)
        self.identities.append(made)
        made.start()
        return made

    def held(self, **options: object) -> tuple[OwnIdentity, OwnSvid]:
        """One that has its first SVID."""
        identity = self.identity(**options)  # type: ignore[arg-type]
        svid = identity.wait(DEADLINE)
        assert svid is not None, identity.state()
        return identity, svid

    def close(self) -> None:
        for identity in self.identities:
            identity.close()
        self.api.stop()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Fixture]:
    fixture = Fixture(tmp_path)
    yield fixture
    fixture.close()


def until(condition: Callable[[], object], what: str) -> None:
    wait_until(condition, seconds=DEADLINE, what=what)


def test_the_first_svid_is_ours_with_chain_key_and_end(agent: Fixture) -> None:
    agent.api.start()
    identity, svid = agent.held()
    assert (str(svid.spiffe_id), svid.not_after) == (BRIDGE, NOW + 300)
    assert len(svid.chain) == 2
    state = identity.state()
    assert (state.svid, state.confirmed_at, state.fault) == (svid, NOW, "")
    assert state.is_good(NOW)
    assert not state.is_good(NOW + 300)


def test_of_several_the_configured_one_is_taken(agent: Fixture) -> None:
    agent.api.start()
    assert str(agent.held(spiffe_id=OTHER)[1].spiffe_id) == OTHER
    absent = agent.identity(spiffe_id="spiffe://example.org/absent")
    until(lambda: "no X.509-SVID of spiffe://example.org/absent" in absent.state().fault, "the agent has none")
    assert absent.current() is None


def test_a_renewed_svid_takes_its_place_by_itself(agent: Fixture) -> None:
    agent.api.start()
    identity, first = agent.held()
    agent.now += 160
    agent.authority.rotate_x509(Stage.PREPARE)
    until(lambda: identity.current() != first, "the renewed SVID is in hand")
    second = identity.current()
    assert second is not None
    assert (second.spiffe_id, second.not_after) == (first.spiffe_id, first.not_after + 160)
    assert second.key != first.key


def test_an_agent_that_is_gone_takes_nothing_away_and_says_so_until_it_is_back(agent: Fixture) -> None:
    agent.api.start()
    identity, svid = agent.held(life=SHORT)
    agent.api.kill()
    until(lambda: "cannot be reached" in identity.state().fault, "the fault is seen")
    assert (identity.current(), identity.state().is_good(NOW)) == (svid, True)
    agent.now += 300
    assert identity.current() == svid
    assert not identity.state().is_good(agent.now)
    agent.api.start()
    until(lambda: not identity.state().fault and identity.state().is_good(agent.now), "a new SVID is in hand")


def test_a_stream_that_went_silent_is_replaced_and_no_renewal_is_lost(agent: Fixture) -> None:
    agent.api.start()
    identity, first = agent.held(life=SHORT)
    agent.api.silence_open_streams()
    agent.now += 160
    until(lambda: identity.current() != first, "the next stream brings the renewed SVID")


def test_who_hears_nothing_at_all_is_not_confirmed(agent: Fixture) -> None:
    agent.api.start()
    identity, svid = agent.held(life=FOREVER)
    agent.now += int(3 * FOREVER)
    assert "not confirmed it in time" in identity.state().fault
    assert identity.state().svid == svid


def test_a_deleted_entry_renews_nothing_and_the_svid_in_hand_stays(agent: Fixture) -> None:
    agent.api.start()
    identity, svid = agent.held()
    agent.api.set_identities([])
    until(lambda: "no registration entry" in identity.state().fault, "the fault is seen")
    assert identity.current() == svid
    agent.api.set_identities(["/bridge"])
    until(lambda: not identity.state().fault, "the entry is back")


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.OK], ids=lambda code: code.name)
def test_no_end_of_a_stream_is_the_last(agent: Fixture, code: grpc.StatusCode) -> None:
    agent.api.start()
    identity, first = agent.held()
    agent.api.end_streams(code)
    agent.now += 160
    until(lambda: identity.current() != first, "a later stream brings the renewed SVID")


def test_a_socket_that_is_absent_at_the_start_is_waited_for_and_not_for_ever(agent: Fixture) -> None:
    identity = agent.identity()
    assert identity.wait(SHORT) is None
    until(lambda: "cannot be reached" in identity.state().fault, "the fault is seen")
    starting = threading.Thread(target=agent.api.start)
    starting.start()
    assert identity.wait(DEADLINE) is not None
    starting.join()


def test_an_svid_that_has_ended_does_not_take_the_place_of_one_that_has_not(agent: Fixture) -> None:
    agent.api.start()
    identity, svid = agent.held()
    identity._received(message(agent, svid=agent.authority.x509_svid("/bridge", ttl=0)))
    assert "has ended" in identity.state().fault
    assert identity.current() == svid
    identity._received(message(agent, svid=agent.authority.x509_svid("/bridge", ttl=1)))
    assert identity.state().fault == ""
    assert identity.current() != svid


def message(agent: Fixture, *, svid: object, **changes: object) -> SimpleNamespace:
    """A FetchX509SVID message of one SVID."""
    said = {
        "spiffe_id": str(svid.spiffe_id),  # type: ignore[attr-defined]
        "x509_svid": b"".join(svid.chain),  # type: ignore[attr-defined]
        "x509_svid_key": svid.key,  # type: ignore[attr-defined]
        **changes,
    }
    return SimpleNamespace(svids=[SimpleNamespace(**said)])


def test_what_is_no_svid_of_ours_is_refused_with_words_and_without_the_key(agent: Fixture) -> None:
    sound, other = agent.authority.x509_svid("/bridge"), agent.authority.x509_svid("/other")
    assert str(read_x509_svid(message(agent, svid=sound), None).spiffe_id) == BRIDGE
    unsound: dict[str, tuple[dict[str, object], str]] = {
        "another ID": ({"spiffe_id": OTHER}, "another SPIFFE ID"),
        "no ID": ({"spiffe_id": "bridge"}, "cannot be read"),
        "another key": ({"x509_svid_key": other.key}, "another key"),
        "no key": ({"x509_svid_key": b"\x30\x03key"}, "another key"),
        "no chain": ({"x509_svid": b""}, "cannot be read"),
        "a cut chain": ({"x509_svid": b"".join(sound.chain)[:-1]}, "cannot be read"),
        "no certificate": ({"x509_svid": b"\x30\x01\x00"}, "cannot be read"),
    }
    for name, (changes, words) in unsound.items():
        with pytest.raises(NoSvid, match=words) as refused:
            read_x509_svid(message(agent, svid=sound, **changes), None)
        assert "key" not in str(refused.value) or "key than that" in str(refused.value), name
    with pytest.raises(NoSvid, match="for this process"):
        read_x509_svid(SimpleNamespace(svids=[]), None)


def test_an_svid_that_makes_no_sense_leaves_the_one_in_hand(agent: Fixture) -> None:
    agent.api.start()
    identity, svid = agent.held()
    identity._received(message(agent, svid=agent.authority.x509_svid("/bridge"), x509_svid=b"\x30\x01\x00"))
    assert "cannot be read" in identity.state().fault
    assert identity.current() == svid


def test_another_default_identity_is_followed_and_said(agent: Fixture, caplog: pytest.LogCaptureFixture) -> None:
    agent.api.start()
    identity, _ = agent.held()
    with caplog.at_level(logging.WARNING, "bridge.spire"):
        agent.api.set_identities(["/other"])
        until(lambda: str(identity.current() and identity.current().spiffe_id) == OTHER, "the other one is in hand")  # type: ignore[union-attr]
    assert f"the own identity is now {OTHER}, no longer {BRIDGE}" in caplog.text


def test_the_key_is_in_no_text(agent: Fixture, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        agent.api.start()
        identity, svid = agent.held()
        agent.api.set_identities([])
        until(lambda: identity.state().fault, "the fault is seen")
    for text in (repr(svid), str(svid), repr(identity.state()), caplog.text):
        assert repr(svid.key)[2:40] not in text
        assert svid.key.hex()[:40] not in text


def test_it_closes_while_the_agent_is_mute_and_cannot_be_started_twice(agent: Fixture) -> None:
    agent.api.start()
    identity, _ = agent.held()
    agent.api.mute()
    identity.refresh_now()
    with pytest.raises(RuntimeError, match="already started"):
        identity.start()
    identity.close()
    identity.close()
