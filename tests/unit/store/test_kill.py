"""F-1: kill -9 at any moment. Everything that was acknowledged is there afterwards, and the chains hold."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.model.audit import AuditEventKind
from bridge.model.identity import Marker
from tests.contract.places import SqlitePlace
from tests.contract.records import API, NOW, OTHER, ensure, event, issue, spiffe

ROOT = Path(__file__).resolve().parents[3]

# Registers, issues, claims and revokes in several threads, and says so on stdout once it was told so.
WORKLOAD = """
import sys, threading
from pathlib import Path
from bridge.model.audit import AuditEventKind
from bridge.model.identity import Marker
from tests.contract.places import SqlitePlace
from tests.contract.records import API, NOW, ensure, event, issue, spiffe

store = SqlitePlace(Path(sys.argv[1])).open()
lock = threading.Lock()

def work(thread):
    number = 0
    while True:
        name = f"{API}-{thread}-{number}"
        mark = f"{thread}-{number}"
        issue(store.clients, ensure(store.clients, spiffe(name)), markers=(Marker("dpop", mark, NOW + 300),))
        if number % 3 == 0:
            store.clients.revoke(name, event=event(AuditEventKind.REVOKED), now=NOW)
        with lock:
            print(name, mark, number % 3 == 0, flush=True)
        number += 1

for thread in range(4):
    threading.Thread(target=work, args=(thread,), daemon=True).start()
threading.Event().wait()
"""


@pytest.mark.parametrize("acknowledged", [1, 40, 200])
def test_what_was_acknowledged_survives_kill_9(sqlite: SqlitePlace, acknowledged: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKLOAD, str(sqlite.folder)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.split())
        if len(lines) >= acknowledged:
            break
    process.send_signal(signal.SIGKILL)
    # What it managed to say before it died was acknowledged too; the last line may be half.
    lines += [line.split() for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    process.stdout.close()
    assert process.wait(30) == -signal.SIGKILL

    store = sqlite.open()
    issued = {row.event.client_id for row in store.audit.rows(events=[AuditEventKind.TOKEN_ISSUED], limit=100_000)}
    for name, mark, revoked in lines:
        record = store.clients.get(name)
        assert record is not None
        assert record.state.value == ("revoked" if revoked == "True" else "active")
        assert name in issued
        assert not store.tokens.claim(Marker("dpop", mark, NOW + 300), now=NOW)
    assert list(store.audit.verify()) == []
    total = sum(store.clients.count_by_state().values())
    assert total == store._readers.rows("SELECT COUNT(*) FROM clients")[0][0]


def test_others_go_on_at_once_when_the_process_that_writes_is_killed(sqlite: SqlitePlace) -> None:
    """F-1: the gate and the lock end with the process."""
    script = """
import sys, threading
from pathlib import Path
from tests.contract.places import SqlitePlace
from tests.contract.records import ensure
store = SqlitePlace(Path(sys.argv[1])).open(patience=60)
def hold(tx):
    tx.change("INSERT INTO leases (name, holder, ends_at) VALUES ('half', 'x', 1)")
    print("holding", flush=True)
    threading.Event().wait()
store._commit.submit(hold)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(sqlite.folder)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "holding\n"
    process.kill()
    process.wait(30)
    process.stdout.close()
    store = sqlite.open()
    issue(store.clients, ensure(store.clients))
    assert store._readers.rows("SELECT name FROM leases") == [], "half a write is no write"
    store.clients.revoke(API, event=event(AuditEventKind.REVOKED), now=NOW)
    assert ensure(store.clients, spiffe(OTHER)).created
