"""The policy workbench at size: a replay of a million recorded requests, held against brute force; reach and diff."""

from __future__ import annotations

import json
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, redirect_stdout
from io import StringIO
from pathlib import Path

from bridge.cli.main import main
from bridge.config import load_settings
from bridge.model.evidence import Door, EvidenceKind
from bridge.model.identity import PolicySubject, Source
from bridge.model.spiffe_id import SpiffeId
from bridge.model.terms import Ask, Effect
from bridge.policy.diff import PolicyDiff
from bridge.policy.evaluate import PolicySet
from bridge.policy.folder import PolicyDefaults, check_folder
from bridge.policy.reach import Survey
from bridge.preparing import prepare
from bridge.store.audit_chain import EVENT_COLUMNS
from tests.bench.figure import Figure, Report
from tests.bench.rules import MANY, rules_text
from tests.bench.service import FOLDER
from tests.flows.stand import CATALOGUE

_RULES = 1_000
_SCOPES = ("ledger.read", "orders.read", "ledger.write")
_MEGABYTE = 1024
_COLUMNS = (*EVENT_COLUMNS, "writer", "sequence", "mac")
_INSERT = f"INSERT INTO audit ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"

# Who gained or lost, and how often.
Changes = Counter[tuple[str, str]]


def measure(report: Report, *, rows: int) -> None:
    """Requests of some thousands of identities, as logs have them; then each of another identity, the worst case."""
    _replay(report, rows, identities=50_000, target=20_000)
    _replay(report, rows // 5, identities=rows // 5, target=None)
    before, after = _policy(rules_text(MANY)), _policy(_changed(rules_text(MANY)))
    began = time.perf_counter()
    found = sum(1 for _ in Survey(before).whole())
    took = time.perf_counter() - began
    report(Figure(f"reach over {MANY:,} rules", took, "s", 1, note=f"{found:,} rows"))
    began = time.perf_counter()
    found = sum(1 for _ in PolicyDiff(before, after, in_short=True).changes())
    took = time.perf_counter() - began
    report(Figure(f"diff of {MANY:,} rules, one in a hundred changed", took, "s", note=f"{found:,} changes"))


def _replay(report: Report, rows: int, *, identities: int, target: float | None) -> None:
    folder = FOLDER / "replay"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        expected = _record(folder, rows, identities)
        words = ["policy", "replay", "--candidate", str(folder / "candidate"), "--json"]
        command = [sys.executable, "-m", "bridge", *words, "--config", str(folder / "bridge.toml")]
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        took = time.perf_counter() - began
        assert done.returncode == 1, done.stderr
        assert _told(done.stdout) == expected, "replay and brute force do not agree"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    changed = f"{sum(expected.values()):,} changed, as by brute force"
    name = f"replay of {rows:,} requests of {identities:,} identities"
    report(Figure(name, rows / took, "/s", target, at_most=False, note=changed))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / _MEGABYTE
    report(Figure(f"{name}: largest memory", peak, "MB", note="of this and all commands before it"))


def _record(folder: Path, rows: int, identities: int) -> Changes:
    """A service's folder whose log holds so many requests, and what brute force says of the candidate beside it."""
    with redirect_stdout(StringIO()):
        assert main(["init", str(folder)]) == 0
    settings = load_settings(folder / "bridge.toml", {})
    text = rules_text(_RULES)
    for name, rules in (("policies", text), ("candidate", _changed(text))):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir()
        (folder / name / "catalogue.toml").write_text(CATALOGUE)
        (folder / name / "example.org.toml").write_text(rules)
    prepare(settings)
    expected: Changes = Counter()
    with closing(sqlite3.connect(settings.database)) as connection, connection:
        recorded = _rows(_loaded(folder / "policies"), _loaded(folder / "candidate"), rows, identities, expected)
        connection.executemany(_INSERT, recorded)
    return expected


def _rows(
    before: PolicySet, after: PolicySet, rows: int, identities: int, expected: Changes
) -> Iterator[tuple[object, ...]]:
    """Rows as the service writes them, but for their chain: nobody verifies it here. Each is decided twice."""
    chance, now = random.Random(1), int(time.time())
    for number in range(rows):
        who = number if identities >= rows else chance.randrange(identities)
        subject = PolicySubject(
            Source.SPIFFE,
            EvidenceKind.JWT_SVID,
            spiffe_id=SpiffeId.parse_workload(f"spiffe://example.org/ns/n{who % _RULES}/sa/w{who}"),
        )
        ask = Ask(Door.TOKEN, "client_credentials", (chance.choice(_SCOPES),))
        one, other = (policy.decide(subject, ask, proved=frozenset()) for policy in (before, after))
        if one.effect is not other.effect:
            expected[subject.name, "gains" if one.effect is Effect.DENY else "loses"] += 1
        issued = one.effect is Effect.ALLOW
        values = {
            "time": now,
            "id": f"id-{number}",
            "event": "token_issued" if issued else "refused",
            "door": ask.door.value,
            "subject": subject.name,
            "evidence": subject.evidence.value,
            "ask": json.dumps({**ask.to_audit(), "proved": []}),
            "rule": one.rule or "",
            "outcome": one.effect.value,
            "reason": one.reason.value if one.reason is not None else "",
            "client_id": subject.name if issued else "",
            "policy_version": one.policy_version,
            "bundle_sequence": None,
            "count": 1,
            "writer": "bench",
            "sequence": number,
            "mac": bytes(32),
        }
        yield tuple(values.get(column, "") for column in _COLUMNS)


def _changed(text: str) -> str:
    """The same rules, one in a hundred of the wildcard ones for others, and another one in a hundred for writing."""
    for number in range(1, MANY, 300):
        text = text.replace(f'"/ns/n{number}/sa/*"', f'"/ns/n{number}/job/*"')
    for number in range(4, MANY, 300):
        old = f'path = "/ns/n{number}/sa/*" }}\ngrant = {{ resources = ["https://ledger.example.org"], scopes = ["'
        text = text.replace(old, f'{old}ledger.write", "')
    return text


def _told(out: str) -> Changes:
    told: Changes = Counter()
    for line in out.splitlines():
        change = json.loads(line)
        told[change["subject"], change["change"]] += change["requests"]
    return told


def _policy(text: str) -> PolicySet:
    folder = FOLDER / "workbench"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        (folder / "catalogue.toml").write_text(CATALOGUE)
        (folder / "example.org.toml").write_text(text)
        return _loaded(folder)
    finally:
        shutil.rmtree(folder)


def _loaded(folder: Path) -> PolicySet:
    policy = check_folder(folder, PolicyDefaults()).policy_set
    assert policy is not None
    return policy
