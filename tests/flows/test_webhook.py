"""The webhook of a whole service: changes of records arrive, once each and signed, whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.flows.receiving import ExampleReceiver
from tests.flows.stand import ORDERS, Stand

RESEARCH = "spiffe://example.org/ns/research/sa/"


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleReceiver]:
    running = ExampleReceiver(tmp_path_factory.mktemp("webhook") / "receiver").start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, receiver: ExampleReceiver) -> Iterator[Stand]:
    """A service of two workers that tells the receiver."""
    with Stand(tmp_path_factory.mktemp("told") / "service", more=receiver.section()) as running:
        yield running


def ask(stand: Stand, name: str) -> int:
    """A workload whose rule asks comes by, and is told to wait or served."""
    return stand.client.by_jwt(stand.jwt(f"/ns/research/sa/{name}"), scope="orders.read", resource=ORDERS).status


def test_who_waits_is_told_of_and_so_is_the_operators_yes(told: Stand, receiver: ExampleReceiver) -> None:
    before = len(receiver.messages)
    assert ask(told, "ada") == 403
    assert told.bridge("clients", "approve", RESEARCH + "ada", "--note", "RES-7").returncode == 0
    first, second = receiver.until(before + 2)[before:]
    assert (first["type"], second["type"]) == ("client.pending", "client.approved")
    assert first["data"] == {
        "client_id": RESEARCH + "ada",
        "subject": RESEARCH + "ada",
        "spiffe_id": RESEARCH + "ada",
        "state": "pending",
        "rule": "research-asks",
    }
    assert second["data"]["state"] == "active"
    assert second["data"]["reason"] == "RES-7"
    assert second["data"]["operator"].startswith("local user ")
    assert ask(told, "ada") == 200
