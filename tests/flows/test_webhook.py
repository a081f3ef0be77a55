"""The webhook of a whole service: changes of records arrive, once each and signed, whatever happens meanwhile."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.flows.inprocess import InProcess
from tests.flows.receiving import ExampleReceiver, write_secrets
from tests.flows.stand import ORDERS, Stand
from tests.live.processes import wait_until
from tests.unit.fetch.tls_server import CA, TlsServer, http

ARRIVAL_SECONDS = 30.0
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


def operators_page(stand: Stand, path: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", stand.metrics_port, timeout=30)
    with closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def queue(stand: Stand) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = stand.json("webhook", "list")
    return listed


def test_two_workers_deliver_a_burst_once_each_and_in_order_of_each_client(
    told: Stand, receiver: ExampleReceiver
) -> None:
    before = len(receiver.messages)
    names = [f"burst-{number}" for number in range(6)]
    for name in names:
        assert ask(told, name) == 403
    for name in names[:2]:
        assert told.bridge("clients", "deny", RESEARCH + name).returncode == 0
    arrived = receiver.until(before + 8)[before:]
    kinds = {name: [m["type"] for m in arrived if m["data"]["client_id"] == RESEARCH + name] for name in names}
    assert [kinds[name] for name in names] == [["client.pending", "client.denied"]] * 2 + [["client.pending"]] * 4
    told.until(lambda: queue(told) == [], "the queue is empty")
    assert receiver.repeated == []


def test_a_secret_is_replaced_without_a_message_lost(told: Stand, receiver: ExampleReceiver) -> None:
    """First the sender signs with both, then the receiver changes over, then the old one goes."""
    before, file = len(receiver.messages), receiver.sender_secret_file
    write_secrets(file, 2)
    refused = told.bridge("webhook", "test")
    assert refused.returncode == 1
    assert "the receiver refuses it: 401; does the receiver have the secret" in refused.stderr
    write_secrets(file, 2, 1)
    assert told.json("webhook", "test")["outcome"] == "delivered"
    write_secrets(receiver.secret_file, 2)
    assert told.json("webhook", "test")["outcome"] == "delivered"
    write_secrets(file, 2)
    assert ask(told, "rotated") == 403
    assert receiver.until(before + 3)[-1]["data"]["client_id"] == RESEARCH + "rotated"


def test_while_the_receiver_is_down_nothing_else_is_and_after_a_restart_the_rest_arrives(
    told: Stand, receiver: ExampleReceiver
) -> None:
    """Neither readiness nor a token depends on the receiver. Bob waits in the store while both are down."""
    before = len(receiver.messages)
    with receiver.down():
        assert ask(told, "bob") == 403
        told.until(lambda: [one["tries"] for one in queue(told)] > [0], "a try in vain")
        assert told.client.by_jwt(told.jwt("/ns/web/sa/api"), scope="ledger.read").status == 200
        assert operators_page(told, "/readyz")[0] == 200
        assert 'bridge_webhook_deliveries_total{outcome="connect"}' in operators_page(told, "/metrics")[1]
        assert told.stop() == 0
    told.start()
    arrived = receiver.until(before + 1)[before:]
    assert [message["data"]["client_id"] for message in arrived] == [RESEARCH + "bob"]
    told.until(lambda: queue(told) == [], "the queue is empty")


# --- receivers that behave badly: one worker in this process ----------------------------------------


class Mood:
    """What a receiver does with the next message. Those that hang get a page of an error in the end, with `let_go`."""

    def __init__(self) -> None:
        self.hangs, self.let_go = False, threading.Event()
        self.held = threading.Event()

    def __call__(self, stream: ssl.SSLSocket) -> None:
        if self.hangs:
            self.held.set()
            self.let_go.wait(ARRIVAL_SECONDS)
            stream.sendall(http(b"<html>" * 1000, "500 Oops", content_type="text/html"))
            return
        stream.sendall(http(b"", "204 No Content"))


@pytest.fixture
def moody(tmp_path: Path) -> Iterator[tuple[InProcess, TlsServer, Mood]]:
    """A worker and its receiver."""
    mood = Mood()
    with TlsServer(mood) as server:

        def make(folder: Path) -> Stand:
            folder.mkdir()
            (folder / "hooks.pem").write_bytes(CA.certificate_pem)
            write_secrets(folder / "webhook.secret", 1)
            url = server.url("/", "127.0.0.1")
            told = 'events = ["client.registered"]\nca_file = "hooks.pem"\n'
            return Stand(folder, more=f'[webhook]\nurl = "{url}"\nsecret_file = "webhook.secret"\n{told}')

        running = InProcess(tmp_path / "service", make)
        yield running, server, mood
        running.close()
        mood.let_go.set()


def register(service: InProcess, name: str) -> str:
    """A workload's first use."""
    fields = {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe",
        "client_assertion": service.stand.jwt(f"/ns/web/sa/{name}"),
        "scope": "ledger.read",
    }
    return service.call(urlencode(fields).encode()).status


def clients_told(server: TlsServer) -> list[str]:
    """Of which clients there were messages, in their order, repeated ones too."""
    bodies = [request.partition(b"\r\n\r\n")[2].decode() for request in list(server.requests)]
    return [body.partition('"client_id":"')[2].partition('"')[0].rpartition("/")[2] for body in bodies]


def test_a_receiver_that_hangs_holds_up_no_first_use(moody: tuple[InProcess, TlsServer, Mood]) -> None:
    """T-6. Nor is the message under way lost: it comes again, under the same id."""
    service, server, mood = moody
    mood.hangs = True
    assert register(service, "first") == "200 OK"
    assert mood.held.wait(ARRIVAL_SECONDS)
    assert [register(service, f"more-{number}") for number in range(5)] == ["200 OK"] * 5
    assert clients_told(server)[0] == "first"
    mood.hangs = False
    mood.let_go.set()
    waiting = lambda: service.worker._store.notices.standing().waiting  # noqa: E731
    wait_until(lambda: waiting() == 0, seconds=2 * ARRIVAL_SECONDS, what="all is told")
    assert {*clients_told(server)} == {"first", *(f"more-{number}" for number in range(5))}
    assert clients_told(server).count("first") > 1
    ids = {line for request in server.requests for line in request.split(b"\r\n") if line.startswith(b"webhook-id")}
    assert len(ids) == 6
