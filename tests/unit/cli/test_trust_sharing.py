"""Two trust domains with one key, as commands tell of them: before the start, beside a service, before a bundle is
taken over."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bridge.lab.authority import Authority
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.polled_bundle import NotedKeys
from bridge.store.ports import Store
from tests.unit.cli.conftest import NOW, Run

OURS, THEIRS = "example.org", "partner.example"
MINUTE = 60


@pytest.fixture
def partner(folder: Path) -> Authority:
    """A second trust domain, with keys of its own, in a file."""
    config, authority = folder / "bridge.toml", Authority(THEIRS)
    section = f'\n[trust_domains."{THEIRS}"]\nsource = "file"\npath = "bundles/{THEIRS}.json"\n'
    config.write_text(config.read_text() + section)
    write(folder, entries(authority.bundle()))
    return authority


def entries(bundle: dict[str, object]) -> list[Any]:
    keys = bundle["keys"]
    assert isinstance(keys, list)
    return keys


def write(folder: Path, keys: Sequence[object], name: str = THEIRS) -> Path:
    path = folder / f"bundles/{name}.json"
    path.write_text(json.dumps({"keys": keys}))
    return path


def ours(folder: Path) -> list[Any]:
    return entries(json.loads((folder / f"bundles/{OURS}.json").read_text()))


def of(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(row for row in rows if row["trust_domain"] == name)


def bundles_part(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = next(part for part in run("check", "--json").json if part["part"] == "bundles")
    return found


SHARINGS: dict[str, Callable[[list[Any], list[Any]], list[Any]]] = {
    "the same file": lambda mine, theirs: mine,
    "the ca beside its own": lambda mine, theirs: [*theirs, mine[0]],
    "the jwt key under another kid": lambda mine, theirs: [*theirs, {**mine[1], "kid": "theirs"}],
}


@pytest.mark.parametrize("name", SHARINGS)
def test_check_says_so_before_the_start_of_both(run: Run, folder: Path, partner: Authority, name: str) -> None:
    """The twin is the partner's own bundle."""
    assert (bundles_part(run)["ok"], run("trust", "refresh").code) == (True, 0)
    write(folder, SHARINGS[name](ours(folder), entries(partner.bundle())))
    assert run("check").code == 1
    one, other = bundles_part(run)["faults"]
    assert one.startswith(f"{OURS}: shared: shares key ")
    assert THEIRS in one
    assert other.startswith(f"{THEIRS}: shared: shares key ")
    assert OURS in other
    assert run("trust", "refresh").code == 1


def test_list_and_show_name_the_key_and_with_whom(run: Run, folder: Path, partner: Authority) -> None:
    assert all(row["shared"] is None for row in run("trust", "list", "--json").json)
    theirs = entries(partner.bundle())
    write(folder, [*theirs, {**ours(folder)[1], "kid": "theirs"}])
    rows = run("trust", "list", "--json").json
    mine, other = of(rows, OURS), of(rows, THEIRS)
    assert (mine["state"], other["state"], mine["fault"]) == ("shared", "shared", None)
    assert mine["shared"]["key"] == other["shared"]["key"]
    assert (mine["shared"]["with"], other["shared"]["with"]) == (THEIRS, OURS)
    assert (mine["shared"]["there"], other["shared"]["here"]) == ('jwt "theirs"', 'jwt "theirs"')
    assert mine["shared"]["here"] == f"jwt {json.dumps(mine['jwt_authorities'][0])}"
    assert (mine["shared"]["last"], mine["shared"]["here_since"]) == (None, None)
    shown = run("trust", "show", OURS).out
    assert mine["shared"]["key"] in shown
    assert THEIRS in shown


def note(store: Store, name: str, keys: NotedKeys, at: int) -> None:
    """What a service writes when the keys of a trust domain change."""
    store.bundles.note([(keys, AuditEvent(f"id-{at}", at, AuditEventKind.BUNDLE_CHANGED, subject=name))])


@pytest.mark.parametrize("last", [OURS, THEIRS])
def test_who_came_by_the_key_last_is_in_the_audit_log(
    run: Run, folder: Path, partner: Authority, store: Store, last: str
) -> None:
    write(folder, [*entries(partner.bundle()), ours(folder)[0]])
    (key,) = of(run("trust", "list", "--json").json, OURS)["x509_authorities"]
    first = next(name for name in (OURS, THEIRS) if name != last)
    for name, keys, at in (
        (last, NotedKeys((key,)), 0),
        (last, NotedKeys(("another",)), 1),
        (first, NotedKeys((key,)), 2),
        (last, NotedKeys(("another", key)), 3),
        (first, NotedKeys((key, "a further one")), 4),
    ):
        note(store, name, keys, NOW + at * MINUTE)
    rows = run("trust", "list", "--json").json
    since = {first: "2027-01-15T08:02:00Z", last: "2027-01-15T08:03:00Z"}
    for name, other in ((first, last), (last, first)):
        shared = of(rows, name)["shared"]
        assert shared["last"] == last
        assert (shared["here_since"], shared["there_since"]) == (since[name], since[other])
        assert f"{last} came by it last, here it is since {since[name]}" in of(rows, name)["reason"]
        assert f"{last} came by it last" in run("trust", "show", name).out
    assert f"{last} came by it last" in bundles_part(run)["faults"][0]


def test_a_store_that_does_not_open_hides_no_shared_key(run: Run, folder: Path, partner: Authority) -> None:
    write(folder, ours(folder))
    (folder / "bridge.db").write_bytes(b"no database")
    rows = run("trust", "list", "--json").json
    assert of(rows, OURS)["state"] == "shared"
    assert "both had it when they were first read" in of(rows, OURS)["reason"]


def test_a_diff_warns_of_a_bundle_that_would_be_refused(run: Run, folder: Path, partner: Authority) -> None:
    theirs = entries(partner.bundle())
    same = run("trust", "diff", THEIRS, write(folder, theirs, "twin"), "--json")
    assert (same.code, same.json["shared"]) == (0, None)
    candidate = write(folder, [*theirs, ours(folder)[0]], "candidate")
    ran = run("trust", "diff", THEIRS, candidate, "--json")
    assert (ran.code, ran.json["shared"]["with"]) == (1, OURS)
    plain = run("trust", "diff", THEIRS, candidate)
    assert plain.code == 1
    assert f"{THEIRS} then shares key" in plain.err
    assert "503" in plain.err
