"""The lab of a person, kept up between two commands: what spire-dev/up.sh and spire-dev/down.sh call."""

# ruff: noqa: T201 - this is a command, its output is for its user.
from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from tests.live.processes import NotInTime, wait_until
from tests.live.spire_domain import BINARIES
from tests.live.spire_lab import PROFILES, SpireLab


def up(directory: Path) -> None:
    """Start a lab that stays, and note its process ids in DIR/processes.json."""
    if directory.exists() and any(directory.iterdir()):
        raise SystemExit(f"{directory} is not empty; end what runs there with spire-dev/down.sh {directory}")
    directory.mkdir(parents=True, exist_ok=True)
    lab = SpireLab(directory.resolve(), outlives=True)
    try:
        lab.start()
    except (AssertionError, OSError) as error:
        lab.stop()
        raise SystemExit(f"SPIRE did not start: {error}") from error
    noted = [[kind, pid] for domain in lab.domains for kind, pid in domain.pids.items()]
    (directory / "processes.json").write_text(json.dumps(noted))
    for domain in lab.domains:
        print(f"{domain.trust_domain}")
        print(f"  Workload API  {domain.endpoint}")
        print(f"  server        -socketPath {domain.server_socket}")
        print(f"  bundle        https://localhost:{domain.bundle_port}/ ({PROFILES[domain.trust_domain]})")
    print(f"entries' -parentID: {lab.own.spiffe_id('/host')}; programs: {BINARIES}")


def down(directory: Path) -> None:
    """End the processes that `up` noted, and remove the folder."""
    noted = directory / "processes.json"
    if not noted.exists():
        raise SystemExit(f"no lab in {directory}")
    alive = [pid for kind, pid in json.loads(noted.read_text()) if _is_spire(kind, pid)]
    for pid in alive:
        os.kill(pid, signal.SIGTERM)
    try:
        wait_until(lambda: not any(map(_exists, alive)), seconds=15, what="SPIRE ended")
    except NotInTime:
        for pid in filter(_exists, alive):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(directory)
    print(f"ended {len(alive)} processes, removed {directory}")


def _is_spire(kind: str, pid: int) -> bool:
    """Whether the noted id still is the program that was noted: ids are used again."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == f"spire-{kind}"
    except OSError:
        return False


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["up", name]:
            before = time.monotonic()
            up(Path(name))
            print(f"up after {time.monotonic() - before:.1f} s")
        case ["down", name]:
            down(Path(name))
        case _:
            raise SystemExit("usage: python -m tests.live.standing_lab up|down DIR")
