"""Whatever a bundle's source does wrong: the state that operators see, the alarm that rings, and what workloads get.

One service with two trust domains for each fault: of one it has a good bundle when the fault comes, of the other it
never had one. All go through the same hours together: well, ill, ill past `max_stale`, and well again. So each refusal
has its accepted twin in the hour before and in the hour after.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytest

import bridge.app
import bridge.wiring_bundles
from bridge.lab.authority import Authority
from bridge.model.bundle import BundleStatus
from tests.alerts import BUNDLES, alerts
from tests.flows.faulty import Endpoint, Endpoints, Faulty, File, Place, Seen
from tests.flows.timed import Clock
from tests.unit.fetch.tls_server import OLD_CA
from tests.unit.spire.endpoint_stand import document

pytestmark = pytest.mark.xdist_group("bundle-faults")

HINT, HOUR = 300, 3600
TEN_MEGABYTES = 10 * 1024 * 1024
VICTIM, BYSTANDER = "victim.example", "bystander.example"
OK, REFUSED, UNAVAILABLE = (200, None), (401, "invalid_client"), (503, "temporarily_unavailable")
CHANGED = "BridgeBundleKeysChanged"
# Nothing is wrong with the source here; `tests/unit/observe/test_alert_scenarios.py` has them.
OF_AGE = {"BridgeBundleAuthoritiesEndSoon", "BridgeBundleAuthoritiesEnded"}


@dataclass(frozen=True, slots=True)
class Shown:
    """What is to be seen of a trust domain. `alerts`: all that are true of it."""

    state: str
    answer: tuple[int, str | None]
    alerts: frozenset[str] = frozenset()
    fault: str | None = None


def had(fault: str, *more: str) -> Shown:
    """The last good bundle is in force."""
    name = f"BridgeBundle{fault.capitalize()}"
    return Shown("late", OK, frozenset({name, "BridgeBundleLate", "BridgeBundleStaleSoon", *more}), fault)


def never(fault: str) -> Shown:
    """There is no good one."""
    return Shown(fault, UNAVAILABLE, frozenset({f"BridgeBundle{fault.capitalize()}", "BridgeBundleUnknown"}), fault)


EMPTY = Shown("empty", REFUSED, frozenset({"BridgeBundleEmpty", CHANGED}))
SHARED = Shown("shared", UNAVAILABLE, frozenset({"BridgeBundleKeyShared", CHANGED}))
OTHERS = Shown("fresh", REFUSED, frozenset({CHANGED}))
WELL = Shown("fresh", OK)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to a source, what `reason` says of it then, and what is shown: where there was a good bundle, and
    where there never was; None where it can only come after a good one."""

    spoil: Callable[[Any], None]
    reason: str
    then: Shown
    at_first: Shown | None

    @property
    def later(self) -> Shown:
        """Past `max_stale`."""
        if self.then.fault is None:
            return replace(self.then, alerts=self.then.alerts - {CHANGED})
        kept = self.then.alerts - {"BridgeBundleLate"}
        return replace(self.then, state="stale", answer=UNAVAILABLE, alerts=kept | {"BridgeBundleStale"})


def holds(**changes: object) -> Callable[[Any], None]:
    """The source holds its bundle with these members instead."""
    return lambda place: place.hold(document(place.authority, **changes))


def keys_of(place: Place) -> list[dict[str, object]]:
    found = place.authority.bundle()["keys"]
    assert isinstance(found, list)
    return found


def without_use(place: Place) -> None:
    holds(keys=[{name: value for name, value in key.items() if name != "use"} for key in keys_of(place)])(place)


def without_jwt_keys(place: Place) -> None:
    holds(keys=[key for key in keys_of(place) if key["use"] != "jwt-svid"])(place)


def with_a_kid_twice(place: Place) -> None:
    holds(keys=[*keys_of(place), keys_of(place)[-1]])(place)


def with_the_victims_keys(place: Place) -> None:
    place.hold(THE_VICTIM.bundle_json())


def with_a_strangers_keys(place: Place) -> None:
    place.hold(Authority("stranger.example").bundle_json())


THE_VICTIM = Authority(VICTIM)
HTML = b"<!doctype html><title>Sign in</title>"
BAD, GONE = (had("malformed"), never("malformed")), (had("unreachable"), never("unreachable"))

ENDPOINTS: dict[str, Fault] = {
    "endpoint: T-12 T-19 the keys of another trust domain": Fault(with_the_victims_keys, "^shares key", SHARED, None),
    "endpoint: T-12 T-19 the keys of nobody we know": Fault(with_a_strangers_keys, "^$", OTHERS, OTHERS),
    "endpoint: T-20 a key is removed": Fault(without_jwt_keys, "^$", OTHERS, OTHERS),
    "endpoint: T-20 a lower sequence": Fault(
        holds(spiffe_sequence=0), "went back from 1 to 0", had("malformed", "BridgeBundleWentBack"), None
    ),
    "endpoint: T-19 F-6 an empty bundle": Fault(holds(keys=[]), "holds no usable key", EMPTY, EMPTY),
    "endpoint: T-19 F-6 no use": Fault(without_use, "holds no usable key", EMPTY, EMPTY),
    "endpoint: T-19 ten megabytes": Fault(lambda s: s.says(b" " * TEN_MEGABYTES), "too_large", *BAD),
    "endpoint: T-19 ten megabytes announced": Fault(
        lambda s: s.says(b"{", content_length=str(TEN_MEGABYTES)), "too_large", *BAD
    ),
    "endpoint: F-6 a kid twice": Fault(with_a_kid_twice, "two keys have the same 'kid'", *BAD),
    "endpoint: F-6 html with 200": Fault(lambda s: s.says(HTML, content_type="text/html"), "sent no bundle", *BAD),
    "endpoint: F-6 no keys": Fault(holds(keys=None), "'keys' is missing", *BAD),
    "endpoint: F-6 an odd sequence": Fault(holds(spiffe_sequence="9"), "'spiffe_sequence' is no count", *BAD),
    "endpoint: F-6 half a bundle": Fault(lambda s: s.hold(document(s.authority)[:-9]), "sent no bundle", *BAD),
    "endpoint: SPIFFE-29 a redirect": Fault(
        lambda s: s.says(b"", "302 Found", location=s.url + "/"), "redirect", *GONE
    ),
    "endpoint: T-6 a slow drip": Fault(lambda s: s.drips(), "timeout", *GONE),
    "endpoint: SPIFFE-27 a certificate of another name": Fault(
        lambda s: s.server.prove(["other.example"]), "tls:", *GONE
    ),
    "endpoint: SPIFFE-27 a certificate of another ca": Fault(lambda s: s.server.prove(None, OLD_CA), "tls:", *GONE),
    "endpoint: F-6 not found": Fault(lambda s: s.says(b"", "404 Not Found"), "404", *GONE),
    "endpoint: F-6 a server error": Fault(lambda s: s.says(b"", "503 Busy"), "503", *GONE),
    "endpoint: F-6 no answer": Fault(lambda s: setattr(s.server, "answer", lambda stream: None), "cut", *GONE),
    "endpoint: F-6 a 304 about nothing": Fault(lambda s: s.says(b"", "304 Not Modified"), "304", *GONE),
}
FILES: dict[str, Fault] = {
    "file: F-6 gone": Fault(lambda s: s.is_gone(), "cannot be read", *GONE),
    "file: F-6 html": Fault(lambda s: s.hold(HTML), "not JSON", *BAD),
    "file: T-19 ten megabytes": Fault(lambda s: s.hold(b" " * TEN_MEGABYTES), "holds more than", *BAD),
    "file: F-6 a kid twice": Fault(with_a_kid_twice, "two keys have the same 'kid'", *BAD),
    "file: T-19 an empty bundle": Fault(holds(keys=[]), "holds no usable key", EMPTY, EMPTY),
    "file: T-12 the keys of another trust domain": Fault(with_the_victims_keys, "^shares key", SHARED, None),
    "file: T-20 a lower sequence is the operator's word": Fault(holds(spiffe_sequence=0), "^$", WELL, None),
}
FAULTS = ENDPOINTS | FILES
NUMBERS = {name: number for number, name in enumerate(FAULTS)}


def named(when: str, fault: str) -> str:
    return f"{when}-{NUMBERS[fault]}.faults.example"


@dataclass(frozen=True, slots=True)
class Story:
    """What was seen of every trust domain: `well`, `ill`, `later` and `mended`, and how often endpoints were asked."""

    well: dict[str, Seen]
    ill: dict[str, Seen]
    later: dict[str, Seen]
    mended: dict[str, Seen]
    asked: dict[str, int]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    clock, folder = Clock(), tmp_path_factory.mktemp("faults")
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setattr(bridge.app, "now", clock)
        patch.setattr(bridge.wiring_bundles, "BundleEndpoints", Endpoints)
        places: dict[str, Place] = {
            VICTIM: File(THE_VICTIM, folder / "victim.json"),
            BYSTANDER: File(Authority(BYSTANDER), folder / "bystander.json"),
        }
        for fault, when in ((fault, when) for fault in FAULTS for when in ("had", "never")):
            name = named(when, fault)
            if fault in ENDPOINTS:
                places[name] = endpoint = Endpoint(Authority(name))
                stack.enter_context(endpoint.server)
            else:
                places[name] = File(Authority(name), folder / f"{name}.json")
        for place in places.values():
            place.authority.clock = clock
            place.mend()
        for fault, one in FAULTS.items():
            if one.at_first is not None:
                one.spoil(places[named("never", fault)])
        service = Faulty(folder / "service", clock, places, max_stale="1h")
        stack.callback(service.close)
        yield told(service)


def told(service: Faulty) -> Story:
    """Let the hours pass."""
    clock, places = service.clock, service.places

    def pass_time(seconds: int, *ill: str) -> dict[str, Seen]:
        clock.offset += seconds
        service.settle(lambda status: has_spoken(status, clock(), ill))
        return service.look()

    well = pass_time(0, "never")
    for fault, one in FAULTS.items():
        one.spoil(places[named("had", fault)])
    ill, later = pass_time(HINT, "had", "never"), pass_time(HOUR, "had", "never")
    for place in places.values():
        place.mend()
    mended = pass_time(HINT)
    asked = {name: place.server.connections for name, place in places.items() if isinstance(place, Endpoint)}
    return Story(well, ill, later, mended, asked)


def has_spoken(status: BundleStatus, now: int, ill: Sequence[str]) -> bool:
    """Whether a source has said what it has to say at this time. `ill`: which of them are."""
    if status.source != "file":
        return status.refresh_at is not None and status.refresh_at > now
    when, _, number = status.trust_domain.name.partition(".")[0].partition("-")
    shown = None
    if when in ill:
        fault = list(FAULTS.values())[int(number)]
        shown = fault.then if when == "had" else fault.at_first
    expected = None if shown is None else shown.fault
    return status.fault == expected and (expected is not None or status.fetched_at == now)


def assert_seen(seen: Seen, shown: Shown, reason: str, *, alerts: frozenset[str] | None = None) -> None:
    """`alerts`: where not all of `shown` are expected. A list shows what files hold now, not what is in force."""
    listed = shown.fault if seen.source == "file" and shown.fault is not None else shown.state
    assert (seen.listed, seen.ready, seen.fault, seen.answer) == (listed, shown.state, shown.fault, shown.answer), seen
    assert seen.alerts == (shown.alerts if alerts is None else alerts)
    for said in seen.reasons:
        assert re.search(reason, said), said


def assert_well(seen: Seen) -> None:
    assert_seen(seen, WELL, "^$", alerts=seen.alerts & {CHANGED})


@pytest.mark.parametrize("fault", FAULTS)
def test_with_a_good_bundle_of_before(story: Story, fault: str) -> None:
    """The control comes first: it was well, and its workload got a token."""
    one, name = FAULTS[fault], named("had", fault)
    assert_well(story.well[name])
    assert_seen(story.ill[name], one.then, one.reason)


@pytest.mark.parametrize("fault", FAULTS)
def test_past_max_stale_and_then_mended(story: Story, fault: str) -> None:
    """SPIFFE-24: closed then, and back by itself."""
    one, name = FAULTS[fault], named("had", fault)
    assert_seen(story.later[name], one.later, one.reason)
    assert_well(story.mended[name])


@pytest.mark.parametrize("fault", [fault for fault, one in FAULTS.items() if one.at_first is not None])
def test_without_any_good_bundle(story: Story, fault: str) -> None:
    """From the first second on, and the same an hour later; mended, it is served."""
    shown, name = FAULTS[fault].at_first, named("never", fault)
    assert shown is not None
    for seen in (story.ill[name], story.later[name]):
        assert_seen(seen, shown, FAULTS[fault].reason, alerts=shown.alerts - {CHANGED})
    assert_well(story.mended[name])


def test_whose_keys_another_one_shows_is_refused_with_it_and_nobody_else_is(story: Story) -> None:
    for seen in (story.ill[VICTIM], story.later[VICTIM]):
        assert_seen(seen, SHARED, "^shares key", alerts=frozenset({"BridgeBundleKeyShared"}))
    for hour in (story.well, story.mended):
        assert_well(hour[VICTIM])


def test_who_has_no_part_in_any_of_it_never_feels_it(story: Story) -> None:
    """Issue 6: a trust domain that is ill never affects another."""
    for hour in (story.well, story.ill, story.later, story.mended):
        assert_well(hour[BYSTANDER])


def test_each_alert_that_is_shipped_was_true_of_something_here(story: Story) -> None:
    hours = (story.well, story.ill, story.later, story.mended)
    rung = {alert for hour in hours for seen in hour.values() for alert in seen.alerts}
    assert rung == {alert.name for alert in alerts(BUNDLES)} - OF_AGE


def test_no_endpoint_is_asked_more_often_than_its_time_comes(story: Story) -> None:
    """Once in each of four hours, and early for a key that nobody knows: not more, however ill it is."""
    assert {name: times for name, times in story.asked.items() if not 4 <= times <= 8} == {}
