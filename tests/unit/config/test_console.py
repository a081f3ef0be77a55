"""`[console]`: what may be written, and each fault beside its twin."""

from __future__ import annotations

import grp
import os
from pathlib import Path

import pytest

from bridge.config import load_settings
from bridge.model.errors import StartRefused
from bridge.operator_faults import operator_faults
from tests.unit.config.loading import load

BASE = """\
issuer      = "https://bridge.example.org"
listen      = "10.0.0.1:8443"
[tls]
certificate = "server.pem"
private_key = "server.key"
[policies]
directory = "policies"
[trust_domains."example.org"]
source = "file"
path   = "bundle.json"
"""
PEOPLE = '[users]\nsource = "oidc"\nissuer = "https://idp.example.org"\nclient_id = "bridge"\n'
SOCKET = '[console]\nlisten = "unix:run/console.sock"\n'
ADDRESS = '[console]\nlisten = "127.0.0.1:8500"\n'
OPERATORS = 'operators = ["spiffe://example.org/ns/ops/sa/*"]\n'
SUBJECTS = 'subjects = ["248289761001"]\n'


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(StartRefused) as refused:
        load(folder, text)
    return [fault.split(": ", 1)[1] for fault in refused.value.faults]


def test_without_the_section_there_is_no_console(folder: Path) -> None:
    assert load(folder, BASE).console is None


def test_a_console_on_a_socket_is_its_owner_s_or_a_group_s(folder: Path) -> None:
    console = load(folder, BASE + SOCKET).console
    assert console is not None
    assert (console.unix, console.address, console.group) == (folder / "run/console.sock", None, None)
    group = grp.getgrgid(os.getgid()).gr_name
    console = load(folder, BASE + SOCKET + f'group = "{group}"\n').console
    assert console is not None
    assert console.group == group


@pytest.mark.parametrize("written", ["unix:/run/bridge.sock", "unix:///run/bridge.sock"])
def test_a_whole_path_stays_what_it_is(folder: Path, written: str) -> None:
    text = BASE + SOCKET.replace("unix:run/console.sock", written)
    (folder / "bridge.toml").write_text(text)
    console = load_settings(folder / "bridge.toml", {}).console
    assert console is not None
    assert console.unix == Path("/run/bridge.sock")


@pytest.mark.parametrize("known_by", [OPERATORS, PEOPLE + SUBJECTS], ids=["svid", "sign-in"])
def test_a_console_on_an_address_knows_its_operators(folder: Path, known_by: str) -> None:
    people, own = (PEOPLE, SUBJECTS) if "subjects" in known_by else ("", OPERATORS)
    console = load(folder, BASE + people + ADDRESS + own).console
    assert console is not None
    assert (console.unix, console.address, console.origin) == (None, "127.0.0.1:8500", "https://127.0.0.1:8500")


FAULTS = {
    "no listener": ("[console]\n", "console.listen: required, and not there"),
    "no path": ('[console]\nlisten = "unix:"\n', 'console.listen: a Unix socket is "unix:" and a path'),
    "a host name": ('[console]\nlisten = "localhost:8500"\n', "console.listen: the host of a listen address is"),
    "a long path": ('[console]\nlisten = "unix:/' + "a" * 107 + '"\n', "a socket's path has at most 107 bytes"),
    "no folder": ('[console]\nlisten = "unix:nowhere/c.sock"\n', "console.listen: no such folder"),
    "top-level key": (SOCKET + 'metrics_listen = "127.0.0.1:1"\n', "unknown key; metrics_listen belongs above"),
    "no group": (SOCKET + 'group = "no-such-group"\n', "console.group: this machine has no group no-such-group"),
    "operators of a socket": (SOCKET + OPERATORS, "console.operators: is for a console on an address"),
    "people of a socket": (PEOPLE + SOCKET + SUBJECTS, "console.subjects: is for a console on an address"),
    "url of a socket": (SOCKET + 'url = "https://c.example.org"\n', "console.url: is for a console on an address"),
    "a proxy's socket": (
        SOCKET + '[[trusted_proxies]]\nunix = "run/console.sock"\nheader = "xfcc"\n',
        "console.listen: is the socket of a trusted proxy too",
    ),
    "nobody known": (ADDRESS, "console.listen: on an address it must be known who an operator is, on loopback too"),
    "two ways": (PEOPLE + ADDRESS + OPERATORS + SUBJECTS, "console.subjects: beside operators"),
    "nobody listed": (ADDRESS + "operators = []\n", "console.operators: List should have at least 1 item"),
    "no provider": (ADDRESS + SUBJECTS, 'console.subjects: needs [users] source = "oidc"'),
    "names for a sign-in": (
        PEOPLE.replace("oidc", "development").split("issuer")[0] + ADDRESS + SUBJECTS,
        'console.subjects: needs [users] source = "oidc"',
    ),
    "group of an address": (ADDRESS + OPERATORS + 'group = "root"\n', "console.group: is for a Unix socket"),
    "taken": (ADDRESS.replace("127.0.0.1:8500", "10.0.0.1:8443") + OPERATORS, "another listener has the same address"),
    "everywhere": (ADDRESS.replace("127.0.0.1", "0.0.0.0") + OPERATORS, "console.url: required"),
    "a path in the url": (ADDRESS + OPERATORS + 'url = "https://c.example.org/x"\n', "console.url: is https://, the"),
    "the default port": (ADDRESS + OPERATORS + 'url = "https://c.example.org:443"\n', "console.url: is https://, the"),
    "plain http": (ADDRESS + OPERATORS + 'url = "http://c.example.org"\n', "console.url: the URL is not https"),
    "unknown key": (SOCKET + 'owner = "root"\n', "console.owner: unknown key"),
}


@pytest.mark.parametrize(("written", "said"), FAULTS.values(), ids=list(FAULTS))
def test_each_fault_is_named_and_its_twin_loads(folder: Path, written: str, said: str) -> None:
    found = faults(folder, BASE + written)
    assert any(said in fault for fault in found), found


def test_all_faults_come_at_once(folder: Path) -> None:
    found = faults(folder, BASE + ADDRESS.replace("127.0.0.1", "0.0.0.0") + 'group = "root"\n')
    assert [fault.split(":")[0] for fault in found] == ["console.group", "console.listen", "console.url"]


def test_a_console_on_an_address_needs_tls(folder: Path) -> None:
    plain = BASE.replace("10.0.0.1", "127.0.0.1").replace("https", "http")
    plain = plain.replace("bridge.example.org", "127.0.0.1:8443").replace(
        '[tls]\ncertificate = "server.pem"\nprivate_key = "server.key"\n', ""
    )
    assert load(folder, plain + SOCKET).console is not None
    assert any(
        "console.listen: an address needs [tls]" in fault for fault in faults(folder, plain + ADDRESS + OPERATORS)
    )


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("spiffe://example.org/ns/ops/sa/*", None),
        ("spiffe://example.org/ns/ops/**", None),
        ("spiffe://example.org/**", "makes every workload an operator"),
        ("spiffe://example.org/*/ops", "makes every workload an operator"),
        ("spiffe://example.org/ns/ops*", "a wildcard is a whole segment"),
        ("spiffe://other.example/ns/ops/sa/*", 'there is no [trust_domains."other.example"]'),
        ("spiffe://*/ns/ops", "trust domain"),
        ("/ns/ops/sa/*", "a pattern of SPIFFE IDs starts with spiffe://"),
    ],
)
def test_patterns_of_operators_are_whole_segments_of_a_configured_trust_domain(
    folder: Path, pattern: str, said: str | None
) -> None:
    settings = load(folder, BASE + ADDRESS + f'operators = ["{pattern}"]\n')
    found = operator_faults(settings)
    assert (found == []) if said is None else (len(found) == 1 and said in found[0]), found
