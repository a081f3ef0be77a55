"""What `/metrics` says of the service itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.errors import Unavailable
from bridge.model.reasons import Reason
from bridge.model.signing_key import SigningKeyRow
from bridge.observe.readiness import PartState, Readiness, readiness
from bridge.store.ports import Store
from bridge.vitals import Vitals
from tests.contract.places import ADAPTERS
from tests.contract.records import API, NOW, ensure, spiffe

DAY = 86_400
EVERY = 30 * DAY


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    place = ADAPTERS["sqlite"](tmp_path)
    place.create()
    yield place.open()
    place.close()


@dataclass
class Service:
    """A service as `Vitals` sees it."""

    store: Store
    keys: list[SigningKeyRow] = field(default_factory=lambda: [key("a", NOW - DAY), key("b", None)])
    store_answers: bool = True

    def readiness(self) -> Readiness:
        def ping() -> PartState:
            if not self.store_answers:
                raise Unavailable(Reason.STORE_UNAVAILABLE, "locked")
            return True, {}

        return readiness({"store": ping, "bundles": lambda: (True, {})})

    def take(self) -> None:
        Vitals(self.store, readiness=self.readiness, keys=lambda: self.keys, rotate_every=EVERY).take(NOW)


def key(kid: str, since: int | None, retires_at: int | None = None) -> SigningKeyRow:
    return SigningKeyRow(kid, "ES256", "{}", b"", NOW - 90 * DAY, since, retires_at)


def shown(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def test_each_part_of_readiness_is_shown(store: Store) -> None:
    service = Service(store)
    service.take()
    assert (shown("bridge_ready", part="store"), shown("bridge_ready", part="bundles")) == (1, 1)
    service.store_answers = False
    service.take()
    assert (shown("bridge_ready", part="store"), shown("bridge_ready", part="bundles")) == (0, 1)


@pytest.mark.parametrize(("signed_for", "due_in"), [(DAY, 29 * DAY), (31 * DAY, -DAY)], ids=["in its time", "overdue"])
def test_the_signing_key_has_an_age_and_a_time_when_the_next_is_due(store: Store, signed_for: int, due_in: int) -> None:
    Service(store, keys=[key("old", NOW - 60 * DAY, NOW - DAY), key("a", NOW - signed_for), key("b", None)]).take()
    assert shown("bridge_signing_key_age_seconds") == signed_for
    assert shown("bridge_signing_key_due_in_seconds") == due_in


def test_rows_of_the_audit_log_are_counted(store: Store) -> None:
    Service(store).take()
    before = shown("bridge_audit_rows")
    assert before is not None
    store.audit.append(AuditEvent("an-id", NOW, AuditEventKind.REFUSED))
    Service(store).take()
    assert shown("bridge_audit_rows") == before + 1


def test_the_longest_wait_for_an_operator_is_shown_and_ends_with_the_last(store: Store) -> None:
    Service(store).take()
    assert shown("bridge_approval_waiting_seconds") == 0
    client = ensure(store.clients, spiffe(API), now=NOW - 900).record.client_id
    store.clients.await_approval(client, rule="one", digest="1", now=NOW - 600)
    store.clients.await_approval(client, rule="two", digest="2", now=NOW - 60)
    Service(store).take()
    assert shown("bridge_approval_waiting_seconds") == 600
    event = AuditEvent("an-id", NOW, AuditEventKind.APPROVED)
    store.clients.approve(client, note="", event=event, now=NOW)
    Service(store).take()
    assert shown("bridge_approval_waiting_seconds") == 0
