"""Bundles from a live Workload API: streams, faults of the agent, and an honest clock (F-6, SPIFFE-30, SPIFFE-32).

The agent is the lab's: real gRPC over a real socket. Every wait is for a condition, with a deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from bridge.lab.authority import Authority
from bridge.lab.mute_socket import MuteSocket
from bridge.lab.rotation import Stage
from bridge.lab.workload_api import WorkloadApi
from bridge.model.bundle import BundleHealth, BundleStatus
from bridge.model.spiffe_id import TrustDomain
from bridge.spire.book import BundleBook, TrackedTrustDomain
from bridge.spire.endpoint import WorkloadEndpoint
from bridge.spire.workload_api import WorkloadApiSource

OWN, PARTNER, ABSENT = TrustDomain("example.org"), TrustDomain("partner.example"), TrustDomain("absent.example")
NOW = 1_800_000_000
MAX_STALE = 3600
CONFIRM_EVERY = 10
DEADLINE = 20.0
# Long enough that a test ends before it, where only the first stream shall matter.
FOREVER = 60.0
SHORT = 0.3


class Fixture:
    """An authority with a federated one, their agent, a source and a clock that moves when told to."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self.own = Authority(OWN.name, clock=self.clock)
        self.partner = Authority(PARTNER.name, intermediate=False, jwt_alg="ES384", clock=self.clock)
        self.api = WorkloadApi(self.own, folder / "a.sock", identities=["/bridge"], federated=[self.partner])
        self.book = BundleBook(
            TrackedTrustDomain(td, "workload-api", MAX_STALE, CONFIRM_EVERY) for td in (OWN, PARTNER, ABSENT)
        )
        self.source: WorkloadApiSource | None = None

    def clock(self) -> int:
        return self.now

    def start(self, *, life: float = FOREVER) -> None:
        """Start the source; the agent is the test's to start."""
        self.source = WorkloadApiSource(
            WorkloadEndpoint.parse(self.api.address),
            (OWN, PARTNER, ABSENT),
            self.book,
            self.clock,
            stream_life=life,
        )
        self.source.start()

    def start_all(self, *, life: float = FOREVER) -> None:
        """Start agent and source, and wait for the first state of every trust domain."""
        self.api.start()
        self.start(life=life)
        assert self.book.wait_until_reported(DEADLINE), self.statuses()
        assert self.health(OWN) is BundleHealth.FRESH

    def wait(self, condition: Callable[[], bool]) -> bool:
        return self.book.wait_until(condition, DEADLINE)

    def statuses(self) -> list[BundleStatus]:
        return self.book.statuses(self.now)

    def status(self, trust_domain: TrustDomain) -> BundleStatus:
        return next(status for status in self.statuses() if status.trust_domain == trust_domain)

    def health(self, trust_domain: TrustDomain) -> BundleHealth:
        return self.status(trust_domain).health

    def kids(self, trust_domain: TrustDomain) -> set[str]:
        return {key.key_id for key in self.book.live(trust_domain, self.now).bundle.jwt_authorities}

    def roots(self, trust_domain: TrustDomain) -> tuple[bytes, ...]:
        return self.book.live(trust_domain, self.now).bundle.x509_authorities

    def close(self) -> None:
        if self.source is not None:
            self.source.close()
        self.api.stop()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Fixture]:
    fixture = Fixture(tmp_path)
    yield fixture
    fixture.close()


def test_own_and_federated_bundles_arrive_over_one_connection(agent: Fixture) -> None:
    agent.start_all()
    assert agent.roots(OWN) == (agent.own.x509_keys.active.root.der,)
    assert agent.kids(OWN) == {agent.own.jwt_keys.active.kid}
    assert agent.roots(PARTNER) == (agent.partner.x509_bundle(),)
    assert agent.kids(PARTNER) == {agent.partner.jwt_keys.active.kid}
    assert agent.api.open_streams() == 2


def test_keys_of_one_trust_domain_never_show_up_in_another_T_12(agent: Fixture) -> None:
    agent.start_all()
    assert not set(agent.roots(OWN)) & set(agent.roots(PARTNER))
    assert not agent.kids(OWN) & agent.kids(PARTNER)


def test_a_trust_domain_the_agent_does_not_know_is_empty_and_trusts_nothing(agent: Fixture) -> None:
    agent.start_all()
    assert agent.health(ABSENT) is BundleHealth.EMPTY
    assert agent.book.live(ABSENT, NOW).bundle.is_empty


def test_of_a_trust_domain_the_agent_does_not_know_it_is_said_whom_it_knows(agent: Fixture) -> None:
    """A slip in a name reads as one, with what to do; a bundle that only lost its keys does not."""
    agent.start_all()
    said = agent.status(ABSENT).reason
    assert said.startswith("the agent does not federate with 'absent.example'; it knows: example.org, partner.example.")
    assert "-federatesWith" in said
    assert agent.status(OWN).reason == ""


def test_a_rotation_of_the_jwt_key_is_followed_step_by_step(agent: Fixture) -> None:
    agent.start_all()
    old = agent.own.jwt_keys.active.kid
    agent.own.rotate_jwt(Stage.PREPARE)
    assert agent.wait(lambda: len(agent.kids(OWN)) == 2)
    agent.own.rotate_jwt(Stage.ACTIVATE, Stage.TAINT, Stage.REVOKE)
    assert agent.wait(lambda: agent.kids(OWN) == {agent.own.jwt_keys.active.kid})
    assert old not in agent.kids(OWN)


def test_a_rotation_of_the_ca_is_followed_and_changes_the_revision(agent: Fixture) -> None:
    agent.start_all()
    before = agent.book.live(OWN, NOW).revision
    agent.own.rotate_x509()
    assert agent.wait(lambda: agent.roots(OWN) == (agent.own.x509_keys.active.root.der,))
    assert agent.book.live(OWN, NOW).revision > before


def test_a_federated_trust_domain_comes_and_goes_SPIFFE_32(agent: Fixture) -> None:
    agent.start_all()
    agent.api.unfederate(PARTNER.name)
    assert agent.wait(lambda: agent.health(PARTNER) is BundleHealth.EMPTY)
    assert agent.health(OWN) is BundleHealth.FRESH
    agent.api.federate(agent.partner)
    assert agent.wait(lambda: agent.health(PARTNER) is BundleHealth.FRESH and bool(agent.kids(PARTNER)))


def test_a_trust_domain_without_jwt_keys_still_has_its_roots(agent: Fixture) -> None:
    agent.api.corrupt(PARTNER.name, jwt=b'{"keys": []}')
    agent.start_all()
    assert agent.kids(PARTNER) == set()
    assert agent.roots(PARTNER) == (agent.partner.x509_bundle(),)


@pytest.mark.parametrize("half", ["x509", "jwt"])
def test_one_unparsable_federated_set_harms_no_other_trust_domain(agent: Fixture, half: str) -> None:
    agent.start_all()
    agent.api.corrupt(PARTNER.name, **{half: b"junk"})
    assert agent.wait(lambda: agent.health(PARTNER) is BundleHealth.LATE)
    assert agent.status(PARTNER).reason.startswith("malformed: ")
    assert agent.kids(PARTNER) == {agent.partner.jwt_keys.active.kid}
    agent.own.rotate_jwt()
    assert agent.wait(lambda: agent.kids(OWN) == {agent.own.jwt_keys.active.kid})
    assert agent.health(OWN) is BundleHealth.FRESH


def test_a_set_that_was_unparsable_from_the_start_is_unknown_and_heals(agent: Fixture) -> None:
    agent.api.corrupt(PARTNER.name, jwt=b'{"keys": [{"kid": "a"}, {"kid": "a"}]}')
    agent.start_all()
    assert agent.wait(lambda: agent.health(PARTNER) is BundleHealth.MALFORMED)
    agent.api.corrupt(PARTNER.name)
    assert agent.wait(lambda: agent.health(PARTNER) is BundleHealth.FRESH)


def test_while_one_half_is_malformed_a_revoked_root_of_the_other_is_dropped_at_once(agent: Fixture) -> None:
    agent.start_all()
    agent.api.corrupt(PARTNER.name, jwt=b"junk")
    assert agent.wait(lambda: agent.health(PARTNER) is BundleHealth.LATE)
    agent.partner.rotate_x509()
    assert agent.wait(lambda: agent.roots(PARTNER) == (agent.partner.x509_bundle(),))
    assert agent.health(PARTNER) is BundleHealth.LATE


def test_a_socket_that_is_absent_at_the_start_is_waited_for(agent: Fixture) -> None:
    agent.start()
    assert agent.wait(lambda: "cannot be reached" in agent.status(OWN).reason)
    assert agent.health(OWN) is BundleHealth.UNREACHABLE
    agent.api.start()
    assert agent.wait(lambda: agent.health(OWN) is BundleHealth.FRESH)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_an_agent_that_comes_back_is_found_again_with_its_new_keys(agent: Fixture, end: str) -> None:
    agent.start_all()
    getattr(agent.api, end)()
    assert agent.wait(lambda: agent.health(OWN) is BundleHealth.LATE)
    assert agent.kids(OWN) == {agent.own.jwt_keys.active.kid}
    agent.own.rotate_jwt()
    agent.api.start()
    assert agent.wait(lambda: agent.kids(OWN) == {agent.own.jwt_keys.active.kid})
    assert agent.wait(lambda: agent.health(OWN) is BundleHealth.FRESH)


def test_a_dead_agents_bundles_serve_until_max_stale_and_not_longer_SPIFFE_24(agent: Fixture) -> None:
    agent.start_all()
    agent.api.kill()
    assert agent.wait(lambda: agent.health(OWN) is BundleHealth.LATE)
    agent.now += MAX_STALE - 1
    assert agent.kids(OWN)
    agent.now += 1
    assert agent.health(OWN) is BundleHealth.STALE


def test_a_mute_agent_makes_bundles_late_and_then_stale(agent: Fixture) -> None:
    agent.start_all(life=SHORT)
    agent.api.mute()
    assert agent.wait(lambda: "does not answer" in agent.status(OWN).reason)
    assert agent.health(OWN) is BundleHealth.LATE
    agent.now += MAX_STALE
    assert agent.health(OWN) is BundleHealth.STALE
    agent.api.mute(False)
    assert agent.wait(lambda: agent.health(OWN) is BundleHealth.FRESH)


def test_an_agent_that_says_nothing_at_all_is_noticed(agent: Fixture) -> None:
    with MuteSocket(agent.api.socket):
        agent.start(life=SHORT)
        assert agent.wait(lambda: agent.status(OWN).reason != "not read yet")
        assert agent.health(OWN) is BundleHealth.UNREACHABLE


def test_a_stream_that_went_silent_is_replaced_and_no_change_is_lost(agent: Fixture) -> None:
    agent.start_all(life=SHORT)
    agent.api.silence_open_streams()
    agent.own.rotate_jwt()
    assert agent.wait(lambda: agent.kids(OWN) == {agent.own.jwt_keys.active.kid})


def test_a_quiet_agent_confirms_by_every_new_stream(agent: Fixture) -> None:
    agent.start_all(life=SHORT)
    agent.now += 1000
    assert agent.wait(lambda: agent.status(OWN).fetched_at == NOW + 1000)
    assert agent.health(OWN) is BundleHealth.FRESH


def test_a_deleted_entry_confirms_nothing_and_the_last_good_bundle_serves_on(agent: Fixture) -> None:
    agent.start_all()
    agent.api.set_identities([])
    assert agent.wait(lambda: "no registration entry" in agent.status(OWN).reason)
    assert agent.health(OWN) is BundleHealth.LATE
    assert agent.kids(OWN)
    agent.api.set_identities(["/bridge"])
    assert agent.wait(lambda: agent.health(OWN) is BundleHealth.FRESH)


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.OK,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.UNIMPLEMENTED,
    ],
    ids=lambda code: code.name,
)
def test_no_status_code_ends_a_source_for_good(agent: Fixture, code: grpc.StatusCode) -> None:
    agent.start_all()
    if code is grpc.StatusCode.OK:
        agent.api.finish_streams()
    else:
        agent.api.end_streams(code)
    assert agent.wait(lambda: agent.health(OWN) is BundleHealth.LATE)
    assert agent.source is not None
    agent.own.rotate_jwt()
    agent.source.refresh_now()
    assert agent.wait(lambda: agent.kids(OWN) == {agent.own.jwt_keys.active.kid})
    assert agent.wait(lambda: agent.health(OWN) is BundleHealth.FRESH)


def test_an_agent_without_any_profile_leaves_the_bundle_unknown(agent: Fixture) -> None:
    agent.api.refuse_calls(grpc.StatusCode.UNIMPLEMENTED)
    agent.api.start()
    agent.start()
    assert agent.wait(lambda: "neither" in agent.status(OWN).reason)
    assert agent.health(OWN) is BundleHealth.UNREACHABLE
    agent.api.refuse_calls(None)
    assert agent.source is not None
    agent.source.refresh_now()
    assert agent.wait(lambda: agent.health(OWN) is BundleHealth.FRESH)


def test_refresh_now_asks_again_while_the_stream_is_healthy(agent: Fixture) -> None:
    agent.start_all()
    agent.now += 5
    assert agent.source is not None
    agent.source.refresh_now()
    assert agent.wait(lambda: agent.status(OWN).fetched_at == NOW + 5)
    assert agent.health(OWN) is BundleHealth.FRESH


def test_a_source_closes_while_the_agent_is_mute(agent: Fixture) -> None:
    agent.api.mute()
    agent.api.start()
    agent.start()
    assert agent.source is not None
    agent.source.close()


def test_a_source_cannot_be_started_twice(agent: Fixture) -> None:
    agent.start()
    assert agent.source is not None
    with pytest.raises(RuntimeError, match="already started"):
        agent.source.start()
