"""How one machine is many workloads: by uid where we are root, by the path of the interpreter where we are not."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import sysconfig
import threading
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from cryptography import x509

from tests.live.processes import wait_until

ROOT = Path(__file__).resolve().parents[2]
WORKLOAD = Path(__file__).with_name("workload.py")
FIRST_UID = 5001
ENTRY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class X509Svid:
    """An X.509-SVID as the Workload API gave it: PEM chain, leaf first, and the PKCS #8 key."""

    spiffe_id: str
    chain_pem: str
    key_pem: str

    @property
    def certificates(self) -> list[x509.Certificate]:
        return x509.load_pem_x509_certificates(self.chain_pem.encode())


class NoSvid(Exception):
    """The Workload API gave this workload nothing; the text says why."""


@dataclass(frozen=True, slots=True)
class Account:
    """What makes a process this workload: the selector of its entry, and how it is started.

    `uid` is what a process of the tests drops to by itself; `rights` are the `setpriv` options that give a
    whole program the same from its start.
    """

    selector: str
    interpreter: str
    uid: int | None = None
    rights: tuple[str, ...] = ()

    def command(self, words: Sequence[str]) -> list[str]:
        """The account's interpreter with these words, to be started with `rights`."""
        return [self.interpreter, *words]


class AccountsByUid:
    """For root: uids nobody has. `unix:uid:N` needs no entry in the password file."""

    def __init__(self) -> None:
        self._next = FIRST_UID

    def new(self) -> Account:
        uid, self._next = self._next, self._next + 1
        return Account(f"unix:uid:{uid}", sys.executable, uid)

    def for_service(self) -> Account:
        """An account that a whole program can run under: it may start the interpreter again by itself.

        Where no other uid can be given that right (interpreter in a private home, no capabilities to
        hand over), it is root's own uid, which is still an identity no workload of the lab has.
        """
        account = self.new()
        assert account.uid is not None
        for options in ((), PASSING):
            rights = (*_drop(account.uid), *options)
            if _can_start_itself_again(rights):
                return dataclasses.replace(account, rights=rights)
        return Account("unix:uid:0", sys.executable)


class AccountsByPath:
    """For everybody else: one uid, and an interpreter file for each workload, which `unix:path` selects."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._count = 0

    def new(self) -> Account:
        self._count += 1
        home = self._directory / f"py{self._count}"
        venv.EnvBuilder(symlinks=False, with_pip=False).create(home)
        interpreter = str(home / "bin" / "python3")
        return Account(f"unix:path:{interpreter}", interpreter, None)

    for_service = new


def accounts(directory: Path) -> AccountsByUid | AccountsByPath:
    """The kind of accounts this user can give out; files go below `directory`."""
    return AccountsByUid() if os.geteuid() == 0 else AccountsByPath(directory)


def environment() -> dict[str, str]:
    """What an account's interpreter needs to find the packages of this one, and must not write."""
    return {
        "PYTHONPATH": os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


PASSING = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
"""The one right that lets a program pass a private folder on the way to its interpreter."""


def _drop(uid: int) -> tuple[str, ...]:
    return ("--reuid", str(uid), "--regid", str(uid), "--clear-groups")


def _can_start_itself_again(rights: Sequence[str]) -> bool:
    """Whether an interpreter with these rights starts, and can start itself once more.

    Both starts are tried: the first one still profits from root's rights, and with half the rights an
    interpreter comes up all the same, with another version's library.
    """
    again = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', sys.argv[1]]))"
    same = f"import sys, spiffe; sys.exit(sys.version != {sys.version!r})"
    tried = subprocess.run(
        ["setpriv", *rights, "--", sys.executable, "-c", again, same],
        capture_output=True,
        check=False,
        env={**os.environ, **environment()},
    )
    return tried.returncode == 0


class Workload:
    """A running workload process of one account. Questions come one at a time; any thread may ask."""

    def __init__(self, account: Account, socket: str) -> None:
        drop = [] if account.uid is None else [str(account.uid)]
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [account.interpreter, str(WORKLOAD), socket, *drop],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment()},
        )

    def jwt_svid(self, audience: str) -> str:
        """A JWT-SVID for this sole audience; the agent may give the same one again. Raises: NoSvid."""
        return str(self._ask({"want": "jwt", "audience": audience})["token"])

    def x509_svid(self) -> X509Svid:
        """The current X.509-SVID with its key. Raises: NoSvid."""
        said = self._ask({"want": "x509"})
        return X509Svid(str(said["spiffe_id"]), str(said["chain"]), str(said["key"]))

    def bundles(self) -> dict[str, dict[str, list[str]]]:
        """What the agent tells this workload to trust: "jwt" or "x509", trust domain, keys. Raises: NoSvid."""
        bundles: dict[str, dict[str, list[str]]] = self._ask({"want": "bundles"})
        return bundles

    def has_identity(self) -> bool:
        """Whether the agent gives this workload an SVID now."""
        try:
            self.x509_svid()
        except NoSvid:
            return False
        return True

    def wait_for_identity(self) -> None:
        """Wait until the agent knows this workload's new entry."""
        wait_until(self.has_identity, seconds=ENTRY_SECONDS, what="the agent knows the entry")

    def __enter__(self) -> Workload:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(15)
        finally:
            self._process.stdout.close()

    def _ask(self, question: dict[str, str]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            raise AssertionError("the workload's process ended")
        said: dict[str, Any] = json.loads(line)
        if "error" in said:
            raise NoSvid(said["error"])
        return said
