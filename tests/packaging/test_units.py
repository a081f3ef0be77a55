"""The shipped units: systemd reads them, they give little away, what they call is there, the service lives in them."""

from __future__ import annotations

import ctypes.util
import os
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from bridge.cli.main import main
from bridge.lab.workload_api import WorkloadApi
from bridge.serving.options import Deadlines
from tests.docs.written import fault_of
from tests.flows.client import jwt_fields
from tests.flows.stand import Stand
from tests.markdown import ROOT
from tests.packaging.units import ABSENT, SECONDS, TIMERS, UNITS, Unit, allowed_calls, analyze, unit

PROGRAM = "/opt/bridge/bin/bridge"
# Of ten; what systemd-analyze calls "OK" begins below five.
EXPOSURE = 2.0
needs_systemd = pytest.mark.skipif(ABSENT is not None, reason=ABSENT or "")
named = pytest.mark.parametrize("service", UNITS, ids=lambda each: each.path.name)


def fitted(service: Unit, folder: Path, *, add: str = "") -> Path:
    """A copy that runs a program which is here, since systemd looks for each."""
    text = service.path.read_text(encoding="utf-8")
    text = text.replace(PROGRAM, sys.executable).replace("/usr/bin/sqlite3", sys.executable)
    path = folder / service.path.name
    path.write_text(text.replace("[Service]\n", f"[Service]\n{add}"))
    return path


@needs_systemd
@pytest.mark.parametrize("each", [*UNITS, *TIMERS], ids=lambda each: each.path.name)
def test_systemd_finds_no_fault_in_a_unit(each: Unit, tmp_path: Path) -> None:
    for other in UNITS:
        fitted(other, tmp_path)
    looked = analyze("verify", "--man=no", str(fitted(each, tmp_path)))
    # Of units that the machine has by itself it may say what it likes.
    assert (looked.returncode, [line for line in looked.stderr.splitlines() if str(tmp_path) in line]) == (0, [])


@needs_systemd
def test_the_check_of_units_can_say_no(tmp_path: Path) -> None:
    looked = analyze("verify", "--man=no", str(fitted(unit("bridge.service"), tmp_path, add="ProtectSytem=yes\n")))
    assert [line for line in looked.stderr.splitlines() if str(tmp_path) in line and "ProtectSytem" in line]


@needs_systemd
@named
def test_a_unit_exposes_little(service: Unit) -> None:
    threshold = f"--threshold={EXPOSURE * 10:.0f}"
    judged = analyze("security", "--offline=true", "--no-pager", threshold, str(service.path))
    assert judged.returncode == 0, judged.stdout
    assert analyze("security", "--offline=true", "--no-pager", "--threshold=1", str(service.path)).returncode != 0


@named
def test_what_a_unit_runs_is_a_command_with_its_options(service: Unit) -> None:
    ran = [command for command in service.commands() if command.startswith(PROGRAM)]
    assert ran
    assert {command: fault_of(command.removeprefix(f"{PROGRAM} ")) for command in ran} == dict.fromkeys(ran)


def test_the_service_has_the_time_that_its_server_takes() -> None:
    service, deadlines = unit("bridge.service"), Deadlines()
    assert int(service.one("TimeoutStartSec").rstrip("s")) > deadlines.start
    assert int(service.one("TimeoutStopSec").rstrip("s")) > deadlines.drain + 5
    assert (service.one("Type"), service.one("ExecReload")) == ("notify", "/bin/kill -HUP $MAINPID")


def test_the_account_of_the_units_is_the_one_that_sysusers_makes() -> None:
    (line,) = [line for line in (ROOT / "packaging/bridge.sysusers").read_text().splitlines() if line[0] != "#"]
    account = shlex.split(line)[1]
    for name in ("bridge.service", "bridge-backup.service"):
        assert (unit(name).one("User"), unit(name).one("Group")) == (account, account)


# --- the service as the unit confines it ------------------------------------------------------------

needs_seccomp = pytest.mark.skipif(
    ABSENT is not None or ctypes.util.find_library("seccomp") is None, reason=ABSENT or "no libseccomp on this machine"
)


def confined(folder: Path, *words: str) -> list[str]:
    """The command that begins a program with the calls that the unit lets through, and no others."""
    calls = folder / "calls"
    calls.write_text("\n".join(sorted(allowed_calls(unit("bridge.service")))))
    return [sys.executable, str(Path(__file__).with_name("confined.py")), str(calls), *words]


class Confined(Stand):
    """A service in its unit's confinement, with all that it ever does with an agent, and a console."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "s", workers=1, more='[console]\nlisten = "unix:console.sock"\n')
        self.agent = WorkloadApi(self.authority, folder / "a.sock", identities=["/bridge"])
        text = self.config.read_text().replace("[tls]\n", f'[tls]\nworkload_api = "{self.agent.address}"\n')
        bundle = 'source = "file"\npath = "bundles/example.org.json"\n'
        assert bundle in text
        self.config.write_text(text.replace(bundle, f'source = "workload-api"\nsocket = "{self.agent.address}"\n'))

    def launch(self) -> None:
        words = confined(self.folder, sys.executable, "-m", "bridge", "serve", "--config", str(self.config))
        environment = {"PYTHONPATH": str(ROOT), "NOTIFY_SOCKET": str(self.folder / "notify")}
        self._program.start(words, death_signal="TERM", environment=environment)

    def shown_on_mtls(self) -> list[str]:
        """The SPIFFE IDs of the certificate there, once it holds by the trust domain's roots."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(cadata=self.authority.x509_keys.active.root.der)
        with (
            socket.create_connection(("127.0.0.1", self.client.mtls_port), timeout=SECONDS) as raw,
            context.wrap_socket(raw) as connection,
        ):
            shown = connection.getpeercert()
        assert shown is not None
        return [str(value) for kind, value in shown["subjectAltName"] if kind == "URI"]


@needs_seccomp
def test_the_service_does_all_it_does_with_the_calls_that_its_unit_allows() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="unit-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
    ):
        stand = Confined(Path(folder))
        systemd.bind(str(stand.folder / "notify"))
        systemd.settimeout(SECONDS)
        with stand.agent, stand:
            assert systemd.recv(4096).startswith(b"READY=1\n")
            assert stand.client.post("/token", jwt_fields(stand.jwt("/ns/web/sa/shop"))).status == 200
            assert stand.shown_on_mtls() == ["spiffe://example.org/bridge"]
            assert (stand.folder / "console.sock").is_socket()
            os.kill(stand.pid, signal.SIGHUP)
            assert systemd.recv(4096).startswith(b"RELOADING=1\n")
            assert systemd.recv(4096).startswith(b"READY=1\n")
            assert stand.stop() == 0, stand.log
        assert "not permitted" not in stand.log


@needs_seccomp
@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("socket.socket(socket.AF_UNIX)", True),
        ("socket.socket(socket.AF_NETLINK)", False),
        ("mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE)", True),
        ("mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)", False),
        ("os.chown('.', -1, os.getgid())", True),
        ("os.chroot('.')", False),
        ("os.setgroups([])", False),
        ("os.getpriority(os.PRIO_PROCESS, 0)", True),
        ("os.nice(0)", False),
        ("os.sched_setaffinity(0, os.sched_getaffinity(0))", False),
    ],
    ids=lambda value: value.partition("(")[0] if isinstance(value, str) else str(value),
)
def test_the_confinement_can_say_no(tmp_path: Path, code: str, allowed: bool) -> None:
    words = confined(tmp_path, sys.executable, "-c", f"import mmap, os, socket; {code}")
    ran = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False, cwd=tmp_path)
    assert ("not permitted" in ran.stderr, ran.returncode) == (not allowed, 0 if allowed else 1), ran.stderr


# --- the backup -----------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="no sqlite3 on this machine")
def test_the_backup_is_a_store_that_verifies_and_is_kept_only_then(tmp_path: Path) -> None:
    """The unit's own commands, one after the other, as systemd runs them: until one fails."""
    service = unit("bridge-backup.service")
    etc, kept = tmp_path / "etc", tmp_path / "kept"
    kept.mkdir()
    with redirect_stdout(StringIO()):
        assert main(["init", str(etc)]) == 0
        assert main(["db", "migrate", "--config", str(etc / "bridge.toml")]) == 0
    url = dict([service.one("Environment").split("=", 1)])["BRIDGE_STORE__URL"]
    assert url == "sqlite:///%S/bridge-backup/new.db"
    places = {
        "/var/lib/bridge/": f"{etc}/",
        "/etc/bridge/": f"{etc}/",
        PROGRAM: f"{sys.executable} -m bridge",
        "/usr/bin/sqlite3": str(shutil.which("sqlite3")),
    }

    def backed_up() -> bool:
        for command in service.commands():
            for here, there in places.items():
                command = command.replace(here, there)
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "BRIDGE_STORE__URL": f"sqlite:///{kept}/new.db"}
            ran = subprocess.run(
                shlex.split(command), cwd=kept, env=environment, capture_output=True, timeout=SECONDS, check=False
            )
            if ran.returncode != 0:
                return False
        return True

    assert backed_up()
    assert [path.name for path in kept.iterdir() if "writer" not in path.name] == ["bridge.db"]
    good = (kept / "bridge.db").read_bytes()
    # A store of which nothing can be verified does not take a good copy's place.
    (etc / "secrets/seal.key").unlink()
    assert not backed_up()
    assert (kept / "bridge.db").read_bytes() == good
