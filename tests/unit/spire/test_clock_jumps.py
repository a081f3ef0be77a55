"""A wall clock that jumps (F-5): no bundle lives longer for it, none comes back, no endpoint is asked without end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from bridge.lab.authority import Authority
from bridge.model.bundle import BundleHealth, TrustBundle
from bridge.model.errors import Unavailable
from bridge.model.spiffe_id import TrustDomain
from bridge.spire.book import BundleBook, TrackedTrustDomain
from bridge.spire.endpoint import WorkloadEndpoint
from bridge.spire.file_source import READ_SECONDS, FileSource
from bridge.spire.workload_api import BundleKind, WorkloadApiSource
from bridge.store.migrations import create_if_empty
from bridge.store.sqlite import SqliteStore
from tests.contract.records import AUDIT_KEY, NOW
from tests.unit.spire.endpoint_stand import DEADLINE, PARTNER, Clock, Poller, Web, web

FRESH, STALE = BundleHealth.FRESH, BundleHealth.STALE
HOUR, MAX_STALE, HINT = 3600, 600, 300
JUMPS = [8, 60, HOUR, -8, -60, -HOUR]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with web(tmp_path_factory.mktemp("endpoint")) as stand:
        yield stand


@pytest.fixture
def stand(endpoint: Web) -> Web:
    """The endpoint as it was, and a clock that is right."""
    endpoint.clock = Clock()
    endpoint.says_its_bundle()
    endpoint.server.requests.clear()
    return endpoint


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    create_if_empty(tmp_path / "bridge.db")
    with closing(SqliteStore.open(tmp_path / "bridge.db", audit_key=AUDIT_KEY, clock=lambda: NOW)) as store:
        yield store


def is_live(poller: Poller) -> bool:
    try:
        poller.book.live(PARTNER, poller.clock.now)
    except Unavailable:
        return False
    return True


@pytest.mark.parametrize("jump", JUMPS, ids=lambda jump: f"F-5 {jump} s")
def test_a_bundle_that_nobody_confirms_lives_no_longer_whichever_way_the_clock_goes(stand: Web, jump: int) -> None:
    """SPIFFE-24, by the time that really passed. The twin is the second before."""
    poller = stand.poller(max_stale=MAX_STALE)
    poller.ask()
    stand.clock.pass_time(MAX_STALE - 100)
    stand.clock.now += jump
    if jump < HOUR:
        assert is_live(poller)
    stand.clock.pass_time(99 - max(jump, 0) if jump < HOUR else 0)
    assert is_live(poller) is (jump < HOUR)
    stand.clock.pass_time(2 if jump < HOUR else 0)
    assert not is_live(poller)
    assert poller.status.health is STALE
    stale_at = poller.status.stale_at
    assert stale_at is not None
    assert stale_at <= stand.clock.now, "and what is shown says so too"


@pytest.mark.parametrize("seen_by", ["a request", "the list"])
@pytest.mark.parametrize("jump", [60, HOUR], ids=lambda jump: f"F-5 {jump} s and back")
def test_a_bundle_that_was_too_old_is_not_young_again_when_the_clock_is_set_back(
    stand: Web, jump: int, seen_by: str
) -> None:
    poller = stand.poller(max_stale=MAX_STALE)
    poller.ask()
    stand.clock.pass_time(MAX_STALE - 10)
    assert is_live(poller)
    stand.clock.now += jump
    assert not is_live(poller) if seen_by == "a request" else poller.status.health is STALE
    stand.clock.now -= jump
    assert not is_live(poller)
    assert poller.ask().health is FRESH, "what brings it back is its endpoint"
    assert is_live(poller)


@pytest.mark.parametrize("jump", [-60 - 1, -HOUR], ids=lambda jump: f"F-5 {jump} s")
def test_neither_a_restart_nor_another_worker_makes_a_bundle_younger_after_a_clock_was_set_back(
    stand: Web, store: SqliteStore, jump: int
) -> None:
    poller = stand.poller(store.bundles, max_stale=MAX_STALE)
    poller.ask()
    stand.says(b"", "503 Down")
    stand.clock.pass_time(400)
    poller.ask()
    stand.clock.now += jump
    poller.ask()
    for restarted in (stand.poller(store.bundles, max_stale=MAX_STALE), poller):
        assert is_live(restarted)
        assert restarted.status.stale_at == stand.clock.now + MAX_STALE - 400
    stand.clock.pass_time(MAX_STALE - 400)
    assert not is_live(stand.poller(store.bundles, max_stale=MAX_STALE))
    assert not is_live(poller)
    stand.says_its_bundle()
    assert poller.ask().health is FRESH


def test_a_restart_after_a_clock_was_set_back_counts_what_had_passed_when_the_endpoint_was_last_asked(
    stand: Web, store: SqliteStore
) -> None:
    """Nobody has asked since; the twin is a clock that is right."""
    poller = stand.poller(store.bundles, max_stale=MAX_STALE)
    poller.ask()
    stand.says(b"", "503 Down")
    stand.clock.pass_time(MAX_STALE)
    poller.ask()
    assert not is_live(stand.poller(store.bundles, max_stale=MAX_STALE))
    stand.clock.now -= HOUR
    assert not is_live(stand.poller(store.bundles, max_stale=MAX_STALE))
    assert is_live(stand.poller(store.bundles, max_stale=MAX_STALE + 1))


@pytest.mark.parametrize("is_down", [False, True], ids=["well", "down"])
@pytest.mark.parametrize("jump", JUMPS, ids=lambda jump: f"F-5 {jump} s and back")
def test_a_jump_costs_an_endpoint_a_question_and_the_way_back_another(
    stand: Web, store: SqliteStore, jump: int, is_down: bool
) -> None:
    """What one worker has asked, the other does not ask too."""
    pollers = [stand.poller(store.bundles, max_stale=24 * HOUR) for _ in range(2)]
    pollers[0].ask()
    pollers[1].source.follow()
    if is_down:
        stand.says(b"", "503 Down")
    asked = [len(stand.server.requests)]
    for step in (jump, -jump):
        stand.clock.now += step
        for poller in pollers:
            # Twice round: what one turn begins, another would begin again if it could.
            turn(poller)
            turn(poller)
        asked.append(len(stand.server.requests))
    for poller in pollers:
        poller.source.close()
    most = 2 if abs(jump) == HOUR else 0
    assert asked[-1] - asked[0] <= most, asked
    if abs(jump) == HOUR and not is_down:
        assert pollers[0].status.health is FRESH
        assert pollers[0].status.fetched_at == stand.clock.now, "asked anew by the clock as it is now"


def turn(poller: Poller) -> None:
    """One turn of the polling thread, and what it began to its end."""
    poller.source._turn()
    domain = poller.source._domains[PARTNER]
    with poller.source._settled:
        assert poller.source._settled.wait_for(lambda: not domain.is_asking, DEADLINE)


@pytest.mark.parametrize("jump", JUMPS, ids=lambda jump: f"F-5 {jump} s")
def test_a_file_is_read_again_at_once_and_confirmed_by_the_clock_as_it_is(tmp_path: Path, jump: int) -> None:
    clock, trust_domain = Clock(NOW), TrustDomain("example.org")
    path = tmp_path / "bundle.json"
    path.write_bytes(Authority("example.org", clock=clock).bundle_json())
    book = BundleBook([TrackedTrustDomain(trust_domain, "file", 60, READ_SECONDS)], steady=lambda: clock.steady)
    source = FileSource({trust_domain: path}, book, clock)
    source.look()
    clock.now += jump
    source.look()
    clock.pass_time(READ_SECONDS)
    source.look()
    assert book.statuses(clock.now)[0].health is FRESH
    assert book.statuses(clock.now)[0].fetched_at == clock.now


@pytest.mark.parametrize("jump", [8, -8, -60, -HOUR], ids=lambda jump: f"F-5 {jump} s")
def test_half_a_bundle_that_an_agent_confirms_does_not_keep_the_other_half_alive(jump: int) -> None:
    """The JWT stream is dead; X.509 bundles go on coming, and the clock jumps meanwhile."""
    clock, authority = Clock(NOW), Authority("example.org", clock=lambda: NOW)
    book = BundleBook(
        [TrackedTrustDomain(authority.trust_domain, "workload-api", MAX_STALE, 10)], steady=lambda: clock.steady
    )
    source = WorkloadApiSource(WorkloadEndpoint.parse("unix:///no/agent.sock"), [authority.trust_domain], book, clock)
    said = {BundleKind.X509: authority.x509_bundle(), BundleKind.JWT: authority.jwt_bundle()}

    def receive(kind: BundleKind) -> None:
        source._received(kind, SimpleNamespace(bundles={authority.trust_domain.id: said[kind]}))

    def is_live_after(seconds: int) -> bool:
        clock.pass_time(seconds)
        receive(BundleKind.X509)
        return book.statuses(clock.now)[0].health is not STALE

    for kind in said:
        receive(kind)
    source._failed(BundleKind.JWT, "the agent does not answer")
    assert is_live_after(300)
    clock.now += jump
    assert is_live_after(10)
    assert is_live_after(MAX_STALE - 310 - 1 - max(jump, 0))
    assert not is_live_after(2 + 10), "what passed between two messages is not known"
    receive(BundleKind.JWT)
    assert book.statuses(clock.now)[0].health is FRESH


def test_a_confirmation_of_long_ago_ends_by_the_steady_clock_too() -> None:
    """A start takes over what the store has: its age counts from the start on."""
    clock, trust_domain = Clock(NOW), TrustDomain("example.org")
    book = BundleBook([TrackedTrustDomain(trust_domain, "https_web", MAX_STALE, HINT)], steady=lambda: clock.steady)
    book.publish(TrustBundle(trust_domain, (b"ca",)), confirmed_at=NOW - 500, age=500)
    clock.pass_time(99)
    clock.now -= HOUR
    assert book.live(trust_domain, clock.now).bundle.x509_authorities
    clock.pass_time(2)
    with pytest.raises(Unavailable):
        book.live(trust_domain, clock.now)
