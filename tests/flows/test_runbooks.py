"""What the operations guide promises of its runbooks: a restored store, a lost seal key, somebody who is shut out, a
trust domain that is stopped."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

import bridge.app
from bridge.app import Worker
from bridge.cli.main import main
from bridge.config import load_settings
from bridge.model.errors import StartRefused
from bridge.model.reasons import Reason
from bridge.preparing import prepare
from bridge.store.transaction import Transaction
from tests.flows.enrolling import Office, Registering
from tests.flows.stand import RULES

ID = "spiffe://example.org"
IMPACT = ("trust", "impact", "example.org", "--revoke", "--yes")
METADATA = "/.well-known/oauth-authorization-server"
SHOP, ONCE, INTRUDED = "/ns/web/sa/shop", "/ns/once/sa/teller", "/ns/web/sa/intruded"


class House:
    """A service in this process that is stopped and started while its files change hands."""

    def __init__(self, folder: Path) -> None:
        self.office = Office(folder)
        self.folder = self.office.stand.folder

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Between its end and its next start."""
        self.office.close()
        yield
        self.start()

    def start(self) -> None:
        settings = load_settings(self.office.stand.config)
        prepare(settings, clock=bridge.app.now)
        self.office.process.worker = Worker(settings)
        self.office.process.worker.start()

    def backup(self, name: str) -> Path:
        """What `sqlite3 bridge.db ".backup NAME"` does."""
        copy = self.folder / name
        with closing(sqlite3.connect(self.folder / "bridge.db")) as of, closing(sqlite3.connect(copy)) as to:
            of.backup(to)
        return copy

    def put_away(self, name: str) -> Path:
        """Move the store with all its files into a folder."""
        away = self.folder / name
        away.mkdir()
        for file in self.folder.glob("bridge.db*"):
            file.rename(away / file.name)
        return away / "bridge.db"

    def bridge(self, *words: str) -> tuple[int, str]:
        """`bridge WORDS`: exit code and standard output."""
        said = StringIO()
        with redirect_stdout(said), redirect_stderr(StringIO()):
            code = main([*words, "--config", str(self.office.stand.config)])
        return code, said.getvalue()

    def rows(self, *words: str, code: int = 0) -> list[dict[str, object]]:
        """`bridge audit export WORDS`; 1 where the chain does not hold."""
        ended, said = self.bridge("audit", "export", *words)
        assert ended == code
        return [json.loads(line) for line in said.splitlines()]

    def token(self, path: str) -> str:
        answer = self.office.token(self.office.stand.jwt(path))
        assert answer.status == 200, answer.content
        return str(answer.body["access_token"])

    def room(self) -> int:
        """How many pages the store has now."""
        pages = self.office.process.worker._store._readers.rows("PRAGMA page_count")[0][0]
        assert isinstance(pages, int)
        return pages

    def fill(self, pages: int) -> None:
        """Let the store have so many pages at most, as if the disk had no more room."""

        def limit(tx: Transaction) -> None:
            tx.rows(f"PRAGMA max_page_count = {pages}")

        self.office.process.worker._store._commit.submit(limit)

    def refuses(self, path: str) -> bool:
        return self.office.token(self.office.stand.jwt(path)).status == 401


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path / "house")
    yield made
    made.office.close()


def test_a_restored_store_takes_back_what_came_after_the_copy_and_the_old_log_says_what_to_repeat(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (SHOP, INTRUDED):
        house.token(path)
    copy = house.backup("copy.db")
    once = house.office.stand.jwt(ONCE)
    assert house.office.token(once).status == 200
    assert house.office.token(once).status == 401
    assert house.bridge("clients", "deny", ID + INTRUDED, "--note", "INC-1")[0] == 0
    assert house.refuses(INTRUDED)
    with house.stopped():
        broken = house.put_away("broken")
        copy.rename(house.folder / "bridge.db")
        assert house.bridge("audit", "verify")[0] == 0, "it was whole then"
        assert house.bridge("db", "status")[0] == 0
        monkeypatch.setenv("BRIDGE_STORE__URL", f"sqlite:///{broken}")
        repeat = house.rows("--since", "1d", "--event", "denied", "--event", "revoked", "--event", "approved")
        monkeypatch.delenv("BRIDGE_STORE__URL")
    assert [(row["event"], row["subject"]) for row in repeat] == [("denied", ID + INTRUDED)]
    assert house.office.token(once).status == 200, "an assertion that was used after the copy can be used once more"
    assert house.token(INTRUDED), "who was denied after the copy is let in"
    assert house.bridge("clients", "deny", ID + INTRUDED, "--note", "again, after the restore")[0] == 0
    assert house.refuses(INTRUDED)


def test_without_its_seal_key_a_store_does_not_start_can_be_read_with_any_and_a_new_one_begins(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = house.token(SHOP)
    assert house.bridge("clients", "deny", ID + INTRUDED, "--note", "INC-1")[0] == 0
    seal = house.folder / "secrets/seal.key"
    seal_bytes = seal.read_bytes()
    with house.stopped():
        seal.unlink()
        code, said = house.bridge("check")
        assert code == 1
        assert "the seal key is gone" in said
        with pytest.raises(StartRefused):
            prepare(load_settings(house.office.stand.config))
        lost = house.backup("lost.db")
        seal.touch(0o600)
        seal.write_text("ab" * 32 + "\n")
        with pytest.raises(StartRefused, match="was not sealed with this seal key"):
            prepare(load_settings(house.office.stand.config))
        monkeypatch.setenv("BRIDGE_STORE__URL", f"sqlite:///{lost}")
        # Every row comes, with the word at the end that none of them verifies under this key.
        rows = len(house.rows(code=1))
        denied = json.loads(house.bridge("clients", "list", "--state", "denied", "--all", "--json")[1])
        assert [row["subject"] for row in denied] == [ID + INTRUDED]
        assert [row["event"] for row in house.rows("--event", "denied", "--event", "approved", code=1)] == ["denied"]
        assert house.bridge("audit", "verify")[0] == 1, "under another key no row verifies"
        for change in (("clients", "revoke", ID + SHOP), ("clients", "recheck", "--apply"), IMPACT):
            assert house.bridge(*change)[0] == 1, "and what was written under it never would"
        assert len(house.rows(code=1)) == rows
        monkeypatch.delenv("BRIDGE_STORE__URL")
        house.put_away("lost")
        assert house.bridge("db", "migrate")[0] == 0
        assert house.bridge("clients", "deny", ID + INTRUDED, "--note", "again: the seal key was lost")[0] == 0
    assert house.refuses(INTRUDED)
    assert not house.office.is_active(before), "no key of the new store signed it"
    after = house.token(SHOP)
    assert house.office.is_active(after)
    assert house.office.records()[ID + SHOP].client_id == ID + SHOP
    assert house.bridge("audit", "verify")[0] == 0
    assert seal.read_bytes() != seal_bytes


def test_who_is_shut_out_for_a_stolen_svid_has_no_tokens_and_comes_back_anew(house: House) -> None:
    stolen = house.office.stand.jwt(SHOP)
    token = house.office.token(stolen).body["access_token"]
    assert house.office.is_active(token)
    assert house.bridge("clients", "deny", ID + SHOP, "--note", "INC-42")[0] == 0
    assert not house.office.is_active(token)
    assert house.office.token(stolen).status == 401
    rows = [row for row in house.rows("--since", "7d") if row["subject"] == ID + SHOP]
    issued = next(row for row in rows if row["event"] == "token_issued")
    svid = house.folder / "stolen.jwt"
    svid.write_text(stolen)
    assert str(issued["credential"]) in house.bridge("doctor", str(svid))[1], "the doctor names the same SVID"
    assert house.bridge("clients", "undeny", ID + SHOP, "--note", "INC-42")[0] == 0
    assert house.token(SHOP)
    assert not house.office.is_active(token), "what was given out before stays dead"


def test_on_a_full_disk_writes_are_503_and_all_goes_on_once_there_is_room(house: House) -> None:
    """F-4; what needs no write is answered all the while."""
    token = house.token(SHOP)
    pages = house.room()
    house.fill(pages)
    for _ in range(500):
        answer = house.office.token(house.office.stand.jwt(SHOP))
        if answer.status != 200:
            break
    assert answer.error == (503, "temporarily_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert house.office.is_active(token)
    assert [house.office.call("GET", path).status for path in ("/jwks", "/healthz", METADATA)] == [200, 200, 200]
    house.fill(pages * 1000)
    assert house.office.call("GET", "/readyz").status == 200
    assert house.token(SHOP)
    assert house.bridge("audit", "verify")[0] == 0


def by_a_deny(stand: Registering) -> Reason:
    """Recipe 25 of the cookbook."""
    stop = '\n[[rule]]\nid = "stop"\nwhy = "INC-50"\neffect = "deny"\nbroad = true\nwhen = { any_path = true }\n'
    stand.write_rules(RULES + stop)
    return Reason.POLICY_DENY_RULE


def by_taking_its_policy_file_out(stand: Registering) -> Reason:
    (stand.policies / "example.org.toml").unlink()
    return Reason.POLICY_NO_RULE


@pytest.mark.parametrize("stop", [by_a_deny, by_taking_its_policy_file_out])
def test_a_trust_domain_that_is_stopped_gets_nothing_and_recheck_ends_what_is_out(
    house: House, stop: Callable[[Registering], Reason]
) -> None:
    token = house.token(SHOP)
    reason = stop(house.office.stand)
    house.office.look()
    answer = house.office.token(house.office.stand.jwt(SHOP))
    assert answer.error == (401, "invalid_client")
    assert [row["reason"] for row in house.rows("--event", "refused")] == [reason]
    code, said = house.bridge("clients", "recheck", "--trust-domain", "example.org", "--json")
    assert (code, [row["client_id"] for row in json.loads(said)]) == (1, [ID + SHOP])
    assert house.bridge("clients", "recheck", "--trust-domain", "example.org", "--apply")[0] == 0
    house.office.stand.write_rules(RULES)
    house.office.look()
    assert not house.office.is_active(token)
    assert house.office.is_active(house.token(SHOP)), "and when the stop is over it is a client again"
