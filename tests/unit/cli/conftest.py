"""A service's folder as `bridge init` makes it, with a store that `bridge serve` would find ready."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bridge.cli.main import main
from bridge.config import Settings, load_settings
from bridge.lab.authority import Authority
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.client import ClientKind, ClientState, ProposedClient
from bridge.opening import open_store
from bridge.preparing import prepare
from bridge.store.ports import RegistrationLimits, Store
from tests.live.processes import free_ports

ROOT = Path(__file__).resolve().parents[3]
LIMITS = RegistrationLimits(records=100_000, per_second=100_000, burst=100_000)
NOW = 1_800_000_000


@dataclass(frozen=True)
class Ran:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Ran]


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the tester's own settings may reach a command."""
    for name in list(os.environ):
        if name.startswith("BRIDGE_") or name in ("SPIFFE_ENDPOINT_SOCKET", "NO_COLOR"):
            monkeypatch.delenv(name)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """`bridge WORDS` in this process, through the boundary where errors end."""

    def command(*words: str | Path) -> Ran:
        capsys.readouterr()
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return command


def bridge_process(words: Sequence[str | Path], *, cwd: Path, timeout: float = 60.0) -> Ran:
    """`bridge WORDS` as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from bridge.cli.main import main; sys.exit(main())", *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@contextmanager
def bridge_that_goes_on(words: Sequence[str | Path], *, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """`bridge WORDS`, for a command that does not end by itself; killed at the end."""
    program = "import sys; from bridge.cli.main import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", program, *map(str, words)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once: everything in place for a service of example.org."""
    folder = tmp_path_factory.mktemp("prepared")
    assert main(["init", str(folder)]) == 0
    (folder / "bundles" / "example.org.json").write_bytes(Authority("example.org").bundle_json())
    prepare(load_settings(folder / "bridge.toml", {}))
    return folder


@pytest.fixture
def folder(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of one's own, and the current folder, so that commands find ./bridge.toml."""
    copy = tmp_path / "service"
    shutil.copytree(prepared, copy)
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def service(folder: Path) -> Path:
    """A folder whose service would start, on addresses of its own."""
    config = folder / "bridge.toml"
    text = config.read_text()
    for given, free in zip(("8443", "8444"), free_ports(2), strict=True):
        text = text.replace(f":{given}", f":{free}")
    config.write_text(text)
    return folder


@pytest.fixture
def settings(folder: Path) -> Settings:
    return load_settings(folder / "bridge.toml", {})


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with closing(open_store(settings)) as store:
        yield store


class Records:
    """Puts client records into a store, as registrations would."""

    def __init__(self, store: Store) -> None:
        self._clients = store.clients

    def add(
        self,
        path: str,
        *,
        trust_domain: str = "example.org",
        rule: str = "r",
        state: ClientState = ClientState.ACTIVE,
        shared: str | None = None,
        now: int = NOW,
        idle_expiry: int = 10**9,
    ) -> str:
        """A record for the SPIFFE ID, or a member under `shared`; the client_id."""
        spiffe_id = f"spiffe://{trust_domain}{path}"
        proposed = ProposedClient(
            client_id=shared or spiffe_id,
            kind=ClientKind.SHARED if shared else ClientKind.SPIFFE,
            subject=shared or spiffe_id,
            trust_domain=trust_domain,
            state=state,
            rule=rule,
            member=spiffe_id if shared else None,
            metadata={"grant_types": ["client_credentials"]},
        )
        event = AuditEvent(
            id=f"reg-{path.replace('/', '-')}",
            time=now,
            event=AuditEventKind.REGISTERED,
            subject=spiffe_id,
            client_id=proposed.client_id,
        )
        self._clients.ensure(proposed, limits=LIMITS, idle_expiry=idle_expiry, event=event, now=now)
        return proposed.client_id


@pytest.fixture
def records(store: Store) -> Records:
    return Records(store)
