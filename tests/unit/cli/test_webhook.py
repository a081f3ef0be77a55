"""`bridge webhook`: the way tried, the queue shown, and what was given up sent again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bridge.config import load_settings
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.opening import open_store
from bridge.store.ports import Store
from tests.flows.receiving import write_secrets
from tests.unit.cli.conftest import NOW, Run
from tests.unit.fetch.tls_server import CA, Answer, TlsServer, http, sends

WEB = "spiffe://example.org/ns/web/sa/"


@pytest.fixture
def receiver() -> Iterator[TlsServer]:
    with TlsServer(sends(http(b"", "204 No Content"))) as server:
        yield server


@pytest.fixture
def told(folder: Path, receiver: TlsServer) -> Path:
    """The service's folder with a webhook in its configuration."""
    write_secrets(folder / "secrets/webhook.secret", 1)
    (folder / "hooks.pem").write_bytes(CA.certificate_pem)
    with (folder / "bridge.toml").open("a") as file:
        url = receiver.url("/T0/B0/very-secret", "127.0.0.1")
        file.write(
            f'\n[webhook]\nurl = "{url}"\nsecret_file = "secrets/webhook.secret"\nca_file = "hooks.pem"\n'
            'events = ["client.denied"]\n'
        )
    return folder


@pytest.fixture
def queue(told: Path) -> Iterator[Store]:
    """The store, with two messages of which the first was given up."""
    with closing(open_store(load_settings(told / "bridge.toml", {}))) as store:
        for name in ("a", "b"):
            event = AuditEvent(f"e{name}", NOW, AuditEventKind.DENIED, subject=WEB + name)
            from bridge.registration.verdicts import tombstone_of

            store.clients.deny(WEB + name, absent=tombstone_of(WEB + name), event=event, now=NOW, once=False)
        first = store.notices.rows(after=None, limit=1)[0].notice.id
        failed = AuditEvent("f", NOW, AuditEventKind.WEBHOOK_FAILED)
        store.notices.give_up([first], error="410: the receiver wants no more of them", event=failed)
        yield store


def test_a_ping_that_arrives_is_said_so_with_the_host_and_no_more_of_the_url(
    told: Path, run: Run, receiver: TlsServer
) -> None:
    ran = run("webhook", "test")
    assert (ran.code, ran.err) == (0, "")
    assert f"127.0.0.1:{receiver.port} took msg_" in ran.out
    assert "very-secret" not in ran.out
    head, _, body = receiver.requests[0].partition(b"\r\n\r\n")
    assert b"webhook-signature: v1," in head.lower()
    assert b'"type":"ping"' in body


@pytest.mark.parametrize(
    ("answer", "outcome", "advice"),
    [
        (sends(http(b"<html>", "404 No")), "refused", "secret_file"),
        (sends(http(b"", "307 There", location="https://x")), "redirect", "set [webhook] url"),
        (sends(http(b"", "410 Gone")), "gone", "name another receiver"),
        (sends(b"hello\r\n\r\n"), "malformed", "something else answers"),
    ],
)
def test_a_ping_that_fails_says_what_came_of_it_and_what_to_do(
    told: Path, run: Run, receiver: TlsServer, answer: Answer, outcome: str, advice: str
) -> None:
    receiver.answer = answer
    ran = run("webhook", "test")
    assert (ran.code, ran.out) == (1, "")
    assert advice in ran.err
    assert "very-secret" not in ran.err
    as_json = run("webhook", "test", "--json")
    assert (as_json.code, as_json.json["outcome"]) == (1, outcome)


def test_another_ca_is_told_by_the_setting_that_is_wrong(told: Path, run: Run) -> None:
    text = (told / "bridge.toml").read_text()
    (told / "bridge.toml").write_text(text.replace('ca_file = "hooks.pem"\n', ""))
    ran = run("webhook", "test")
    assert ran.code == 1
    assert "[webhook] ca_file" in ran.err


@pytest.mark.parametrize("words", [("test",), ("list",), ("retry", "--dead")])
def test_without_a_webhook_there_is_nothing_to_do(folder: Path, run: Run, words: tuple[str, ...]) -> None:
    ran = run("webhook", *words)
    assert ran.code == 2
    assert "has no [webhook]" in ran.err


def test_a_secret_that_others_may_read_is_refused_t_54(told: Path, run: Run) -> None:
    (told / "secrets/webhook.secret").chmod(0o644)
    ran = run("webhook", "test")
    assert ran.code == 1
    assert "0600" in ran.err
    check = run("check", "--json")
    (part,) = [part for part in check.json if part["part"] == "webhook"]
    assert not part["ok"]


def test_check_says_who_is_told_of_what(told: Path, run: Run) -> None:
    write_secrets(told / "secrets/webhook.secret", 1, 2)
    (part,) = [part for part in run("check", "--json").json if part["part"] == "webhook"]
    assert part["ok"]
    assert "is told of client.denied" in part["found"][0]
    assert "2 secrets" in part["hints"][0]


@pytest.mark.usefixtures("queue")
def test_the_queue_is_listed_with_what_came_of_the_last_try(run: Run) -> None:
    first, second = run("webhook", "list", "--json").json
    assert (first["state"], first["client_id"], first["next_at"]) == ("dead", WEB + "a", None)
    assert first["error"] == "410: the receiver wants no more of them"
    assert (second["state"], second["type"], second["tries"]) == ("waiting", "client.denied", 0)
    assert [one["id"] for one in run("webhook", "list", "--json", "--dead").json] == [first["id"]]
    assert len(run("webhook", "list", "--json", "--limit", "1").json) == 1
    table = run("webhook", "list").out.splitlines()
    assert table[0].split("\t")[:2] == ["id", "type"]
    assert len(table) == 3


def test_an_empty_queue_says_so(told: Path, run: Run) -> None:
    assert "all was delivered" in run("webhook", "list").out
    assert "nothing was given up" in run("webhook", "list", "--dead").out
    assert run("webhook", "list", "--json").json == []


def test_what_was_given_up_is_sent_again_by_its_id_or_all_together(queue: Store, run: Run) -> None:
    (dead,) = run("webhook", "list", "--json", "--dead").json
    assert "1 will be sent again" in run("webhook", "retry", dead["id"]).out
    assert queue.notices.standing().dead == 0
    assert run("webhook", "retry", "--dead", "--json").json == {"retried": 0}
    unknown = run("webhook", "retry", "msg_unknown")
    assert unknown.code == 1
    assert "bridge webhook list" in unknown.err


@pytest.mark.parametrize("words", [(), ("msg_1", "--dead")])
def test_retry_needs_one_of_the_two(told: Path, run: Run, words: tuple[str, ...]) -> None:
    assert run("webhook", "retry", *words).code == 2
