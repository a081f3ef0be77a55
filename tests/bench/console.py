"""The operators' console at size: each of its pages over the real Unix socket, with a large store behind it."""

from __future__ import annotations

import http.client
import json
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

from bridge.model.client import ClientKind, ClientRecord, ClientState
from bridge.store.audit_chain import EVENT_COLUMNS
from bridge.store.bulk import seed_clients
from tests.bench.figure import Figure, Report
from tests.bench.service import LIMITS, Bench, running, workload

_CONSOLE = '\n[console]\nlisten = "unix:console.sock"\n'
_FLEET = "spiffe://example.org/ns/fleet/sa/f{}"
# One in so many records is an instance, of which an identity has ten; one in so many others was revoked.
_INSTANCES, _EACH, _REVOKED = 10, 10, 100
_COLUMNS = (*EVENT_COLUMNS, "writer", "sequence", "mac")
_INSERT = f"INSERT INTO audit ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_TARGET = 100


def measure(report: Report, *, records: int, rows: int, visits: int) -> None:
    """Every page again and again: how long until it is there."""
    with running("console", workers=1, more=LIMITS + _CONSOLE) as bench:
        _seed(bench, records)
        with closing(sqlite3.connect(bench.settings.database)) as connection, connection:
            connection.executemany(_INSERT, _log(bench, rows))
        size = f"{records:,} records, {rows:,} audit rows, {visits} visits"
        everything: list[float] = []
        with closing(_Socket(bench.folder / "console.sock")) as console:
            for name, path in _pages(bench).items():
                took = [_visit(console, path) for _ in range(visits)]
                everything += took
                median, worst = _quantiles(took)
                note = f"p50 {median:.1f} ms; {size}"
                report(Figure(f"console, {name}: p99", worst, "ms", _TARGET, note=note))
        median, worst = _quantiles(everything)
        report(Figure("console, all pages: p50", median, "ms", note=size))
        report(Figure("console, all pages: p99", worst, "ms", _TARGET, note=size))


def _pages(bench: Bench) -> dict[str, str]:
    """Each page, with the questions that are the worst for it."""
    api = str(bench.authority.spiffe_id(workload(77_777)))
    clients = {
        "clients": {},
        "clients by prefix": {"q": api[:-2]},
        "clients by rule": {"rule": "web-reads-ledger"},
        "clients revoked": {"state": "revoked"},
        "clients that nobody is": {"rule": "web-reads-ledger", "trust_domain": "nowhere.example", "state": "active"},
    }
    decisions = {
        "decisions": {},
        "decisions refused": {"event": "refused"},
        "decisions about one": {"subject": api},
        "decisions about nobody": {"event": "refused", "subject": "nobody"},
        "one request": {"id": "id-99"},
    }
    return {
        "start": "/",
        **{name: f"/clients?{urlencode(query)}" for name, query in clients.items()},
        "one client": f"/clients/client?{urlencode({'id': api})}",
        "an identity with instances": f"/clients/client?{urlencode({'id': _FLEET.format(3)})}",
        **{name: f"/decisions?{urlencode(query)}" for name, query in decisions.items()},
        "policy": "/policy",
        "who can get a scope": "/policy/scope?scope=ledger.read",
        "try": f"/policy/try?{urlencode({'subject': api, 'evidence': 'jwt-svid', 'scope': 'ledger.write'})}",
        "trust": "/trust",
        "approvals": "/approvals",
        "limits": "/limits",
        "keys": "/keys",
    }


def _visit(console: _Socket, path: str) -> float:
    began = time.perf_counter()
    console.request("GET", path, headers={"Host": "localhost:1"})
    answer = console.getresponse()
    answer.read()
    took = time.perf_counter() - began
    assert answer.status == 200, (path, answer.status)
    return took * 1e3


def _quantiles(took: list[float]) -> tuple[float, float]:
    ordered = sorted(took)
    return ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


def _seed(bench: Bench, records: int) -> None:
    """Workloads of which some were revoked, and instances."""
    now, instances = int(time.time()), records // _INSTANCES
    bench.seed(range(records - instances))
    seed_clients(bench.settings.database, (_instance(number, now) for number in range(instances)))
    with closing(sqlite3.connect(bench.settings.database)) as connection, connection:
        connection.execute(f"UPDATE clients SET state = 'revoked', ended_at = {now} WHERE rowid % {_REVOKED} = 7")


def _instance(number: int, now: int) -> ClientRecord:
    parent = _FLEET.format(number // _EACH)
    return ClientRecord(
        client_id=f"instance-{number:022}",
        kind=ClientKind.INSTANCE,
        subject=f"{parent} key-{number}",
        trust_domain="example.org",
        state=ClientState.ACTIVE,
        rule="web-reads-ledger",
        epoch=1,
        created_at=now,
        last_used_at=now,
        expires_at=now + 86_400,
        parent=parent,
    )


def _log(bench: Bench, rows: int) -> Iterator[tuple[object, ...]]:
    """The tokens of a day, one in twenty refused, as the service writes them but for their chain."""
    now = int(time.time())
    ask = {"grant_type": "client_credentials", "scopes": ["ledger.read"], "resources": [], "proved": []}
    vouched = {"authorities": ["a" + "A" * 27 + "." + "B" * 43], "expires_at": now + 300, "epoch": "1"}
    for number in range(rows):
        name, refused = str(bench.authority.spiffe_id(workload(number % 50_000))), number % 20 == 19
        values: dict[str, object] = {
            "time": now - 86_000 + 86_000 * number // rows,
            "id": f"id-{number}",
            "event": "refused" if refused else "token_issued",
            "door": "token",
            "source_address": "10.0.0.1",
            "subject": name,
            "evidence": "jwt-svid",
            "credential": "c" * 64,
            "key_id": "key-1",
            "ask": json.dumps({**ask, **({} if refused else vouched)}),
            "rule": "" if refused else "web-reads-ledger",
            "outcome": "deny" if refused else "allow",
            "reason": "policy_scope" if refused else "",
            "client_id": name,
            "jti": "" if refused else f"jti-{number}",
            "issued": "" if refused else "d" * 64,
            "policy_version": "bench",
            "bundle_sequence": 1,
            "count": 1,
            "writer": "bench",
            "sequence": number,
            "mac": bytes(32),
        }
        yield tuple(values[column] for column in _COLUMNS)


class _Socket(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(60)
        self.sock.connect(str(self._path))
