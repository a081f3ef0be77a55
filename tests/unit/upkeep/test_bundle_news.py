"""What operators see of trust bundles: one audit row for each change of keys, whoever saw it, and the alarms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from bridge.bundle_news import BundleNews
from bridge.lab.authority import Authority
from bridge.model.bundle import BundleHealth, JwtAuthority, TrustBundle
from bridge.model.errors import Unavailable
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import TrustDomain
from bridge.observe import metrics  # noqa: F401 - registers what the rules name
from bridge.spire.book import BundleBook, TrackedTrustDomain
from bridge.spire.parse import parse_bundle
from bridge.store.migrations import create_if_empty
from bridge.store.sqlite import SqliteStore
from tests.contract.records import AUDIT_KEY, NOW

NAME = "news.example"
DOMAIN = TrustDomain(NAME)
RULES = Path(__file__).resolve().parents[3] / "monitoring/trust-bundles.rules.yml"


@dataclass
class Desk:
    """One worker's view of one trust domain, over a store that others may share."""

    store: SqliteStore
    authority: Authority

    def __post_init__(self) -> None:
        self.book = BundleBook([TrackedTrustDomain(DOMAIN, "file", 60, 5)])
        self.news = BundleNews(self.book, self.store.bundles, new_id=lambda: "id", clock=lambda: NOW)
        self.book.on_change(self.news.changed)

    def publish(self, *, at: int = NOW) -> None:
        self.book.publish(parse_bundle(self.authority.bundle_json(), DOMAIN), confirmed_at=at)
        self.news.note(at)

    def rows(self) -> list[dict[str, object]]:
        return [dict(row.event.ask) for row in self.store.audit.rows()]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    create_if_empty(tmp_path / "bridge.db")
    with closing(SqliteStore.open(tmp_path / "bridge.db", audit_key=AUDIT_KEY, clock=lambda: NOW)) as store:
        yield store


def test_each_change_of_keys_is_one_row_whoever_saw_it_and_a_restart_is_none(store: SqliteStore) -> None:
    """T-20: which keys came and went, also while no service ran, and also back and forth."""
    authority = Authority(NAME)
    one, other = Desk(store, authority), Desk(store, authority)
    one.publish()
    other.publish()
    (first,) = one.rows()
    assert {name: len(keys) for name, keys in first.items()} == {  # type: ignore[arg-type]
        "x509_added": 1,
        "x509_removed": 0,
        "jwt_added": 1,
        "jwt_removed": 0,
    }
    Desk(store, authority).publish()
    assert len(one.rows()) == 1
    authority.rotate_jwt()
    restarted = Desk(store, authority)
    restarted.publish()
    _, second = restarted.rows()
    assert second["jwt_removed"] == first["jwt_added"]
    assert (second["x509_added"], second["x509_removed"]) == ([], [])


@pytest.mark.parametrize(("keys", "logged", "more"), [(20, 20, None), (150, 21, 50)], ids=["few", "many"])
def test_a_change_of_very_many_keys_fills_neither_the_log_nor_the_audit_log(
    store: SqliteStore, caplog: pytest.LogCaptureFixture, keys: int, logged: int, more: int | None
) -> None:
    """T-19: a partner may change all of its keys as often as it is asked."""
    caplog.set_level("INFO", "bridge.upkeep")
    desk = Desk(store, Authority(NAME))
    named = tuple(JwtAuthority(f"k{number}", "{}") for number in range(keys))
    desk.book.publish(TrustBundle(DOMAIN, (), named), confirmed_at=NOW)
    desk.news.note(NOW)
    (row,) = desk.rows()
    assert isinstance(row["jwt_added"], list)
    assert (len(row["jwt_added"]), row.get("jwt_added_more")) == (min(keys, 100), more)
    (line,) = (one for one in caplog.records if one.message == "bundle changed")
    assert len(vars(line)["jwt_added"]) == logged


def test_what_the_store_does_not_take_is_noted_the_next_time(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(store, Authority(NAME))

    def refuse(notes: object) -> int:
        raise Unavailable(Reason.STORE_UNAVAILABLE, "disk full")

    with monkeypatch.context() as patch:
        patch.setattr(store.bundles, "note", refuse)
        with pytest.raises(Unavailable):
            desk.publish()
    assert desk.rows() == []
    desk.news.note(NOW)
    assert len(desk.rows()) == 1


def value(metric: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(metric, {"trust_domain": NAME, **labels})


def test_every_state_and_fault_shows_in_metrics_and_goes_again(store: SqliteStore) -> None:
    """T-19, T-20: the alarm of each."""
    desk = Desk(store, Authority(NAME))
    desk.news.measure(NOW)
    assert value("bridge_bundle_state", state="unreachable") == 1
    desk.publish()
    desk.news.measure(NOW)
    assert value("bridge_bundle_state", state="fresh") == 1
    assert value("bridge_bundle_state", state="unreachable") == 0
    assert value("bridge_bundle_stale_in_seconds") == 60
    desk.book.fail(DOMAIN, BundleHealth.MALFORMED, "is HTML")
    desk.news.measure(NOW)
    assert value("bridge_bundle_state", state="late") == 1
    assert value("bridge_bundle_fault", fault="malformed") == 1
    desk.news.measure(NOW + 60)
    assert value("bridge_bundle_state", state="stale") == 1
    assert value("bridge_bundle_usable") == 0
    desk.publish(at=NOW + 60)
    desk.news.measure(NOW + 60)
    assert value("bridge_bundle_state", state="fresh") == 1
    assert value("bridge_bundle_state", state="stale") == 0
    assert value("bridge_bundle_fault", fault="malformed") == 0


def test_many_trust_domains_are_measured_some_at_a_time_and_none_is_left_out(store: SqliteStore) -> None:
    """Whoever is served does not wait for a thousand of them; the chore says how soon it goes on."""
    names = [f"measured{number}.example" for number in range(250)]
    book = BundleBook(TrackedTrustDomain(TrustDomain(name), "file", 60, 5) for name in names)
    news = BundleNews(book, store.bundles, new_id=lambda: "id", clock=lambda: NOW)

    def measured() -> int:
        labels = ({"trust_domain": name, "state": "unreachable"} for name in names)
        return sum(REGISTRY.get_sample_value("bridge_bundle_state", each) == 1 for each in labels)

    rests = []
    for _ in range(3):
        rests.append(news.measure(NOW))
        assert 0 < measured() <= 100 * len(rests)
    assert measured() == len(names)
    assert [rest is None for rest in rests] == [False, False, True]


def test_the_shipped_rules_name_metrics_labels_and_states_that_there_are() -> None:
    text = RULES.read_text()
    known = {name for family in REGISTRY.collect() for name in (family.name, f"{family.name}_total")}
    named = set(re.findall(r"\bbridge_\w+", text))
    assert named
    assert named <= known
    states = {state for group in re.findall(r'(?:state|fault)=~?"([^"]+)"', text) for state in group.split("|")}
    assert states <= {health.value for health in BundleHealth}
    alerts = re.findall(r"- alert: (\w+)", text)
    assert len(alerts) == len(set(alerts)) == text.count("expr:") == text.count("severity:") == text.count("summary:")
    assert "\t" not in text


def ends_in() -> float | None:
    return REGISTRY.get_sample_value("bridge_bundle_x509_ends_in_seconds", {"trust_domain": NAME})


def test_when_the_last_x509_authority_ends_is_shown_and_counts_down(store: SqliteStore) -> None:
    """A file that was forgotten is confirmed every second: only this tells that nothing in it holds any more."""
    authority = Authority(NAME)
    desk = Desk(store, authority)
    desk.publish()
    desk.news.measure(NOW)
    left = ends_in()
    assert left is not None
    desk.news.measure(NOW + 100)
    assert ends_in() == left - 100
    desk.news.measure(NOW + int(left) + 1)
    assert ends_in() == -1


def test_a_bundle_that_holds_no_x509_authority_any_more_has_none_that_ends(store: SqliteStore) -> None:
    authority = Authority(NAME)
    desk = Desk(store, authority)
    desk.publish()
    desk.news.measure(NOW)
    jwt_only = replace(parse_bundle(authority.bundle_json(), DOMAIN), x509_authorities=())
    desk.book.publish(jwt_only, confirmed_at=NOW)
    desk.news.measure(NOW)
    assert ends_in() == float("inf")
