"""`bridge serve` that does not start: one line for each fault, what to do next, and the right exit code."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.lab.web_ca import WebCa
from tests.unit.cli.conftest import NOW, Ran, Run, bridge_process


@pytest.fixture
def taken(service: Path) -> Iterator[None]:
    """Another process has the first address."""
    found = re.search(r"^listen = \"127.0.0.1:(\d+)", (service / "bridge.toml").read_text(), re.MULTILINE)
    assert found is not None
    with socket.create_server(("127.0.0.1", int(found[1]))):
        yield


def refused(folder: Path) -> Ran:
    ran = bridge_process(["serve"], cwd=folder)
    assert ran.out == ""
    assert "Traceback" not in ran.err
    faults = [line for line in ran.err.splitlines() if not line.startswith("{")]
    assert faults
    assert all(line.startswith("error: ") for line in faults), ran.err
    return ran


def no_seal_key(folder: Path) -> None:
    (folder / "secrets" / "seal.key").unlink()


def no_database(folder: Path) -> None:
    (folder / "bridge.db").write_bytes(b"nonsense" * 1000)


def another_key(folder: Path) -> None:
    (folder / "tls" / "server.key").write_bytes(WebCa(now=NOW).issue(["127.0.0.1"])[1])


def no_tls_file(folder: Path) -> None:
    (folder / "tls" / "server.key").unlink()


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (no_seal_key, 1, "restore it from the backup"),
        (no_seal_key, 1, "no new one is made"),
        (no_database, 1, "put the last backup back, see README, Backup"),
        (another_key, 1, "the private key is not that of the certificate"),
        (no_tls_file, 2, "tls.private_key: no such file"),
    ],
)
def test_a_start_that_fails_says_what_to_do_next(
    run: Run, service: Path, spoil: Callable[[Path], None], code: int, words: str
) -> None:
    assert run("check").code == 0
    spoil(service)
    ran = refused(service)
    assert ran.code == code
    assert words in ran.err
    assert words in run("check").out
    assert run("check").code == 1


def test_a_lost_seal_key_is_not_made_anew(service: Path) -> None:
    no_seal_key(service)
    assert refused(service).code == 1
    assert not (service / "secrets" / "seal.key").exists()


def test_an_address_that_is_taken_names_how_to_find_the_taker(service: Path, taken: None) -> None:
    ran = refused(service)
    assert ran.code == 1
    assert re.search(r"^error: cannot listen on 127\.0\.0\.1:\d+ \(plain\): .*; another process has it: ss -ltnp$",
                     ran.err, re.MULTILINE)  # fmt: skip


def test_faults_of_several_parts_come_at_once(service: Path, taken: None) -> None:
    another_key(service)
    no_seal_key(service)
    assert len(refused(service).err.splitlines()) == 3


def test_the_text_of_a_policy_does_not_reach_the_terminal(service: Path) -> None:
    file = service / "policies" / "example.org.toml"
    file.write_text('"\\u001b[2J\\u202e" = 1\n' + file.read_text())
    ran = refused(service)
    assert "\\x1b[2J\\u202e" in ran.err
    assert not {"\x1b", "\u202e"} & set(ran.err)


def test_a_damaged_store_is_said_by_every_command(run: Run, service: Path) -> None:
    assert run("clients", "list").code == 0
    no_database(service)
    ran = run("clients", "list")
    assert ran.code == 1
    assert "put the last backup back" in ran.err
