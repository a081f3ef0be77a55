"""A lab that runs: sockets for its workloads, a bundle endpoint, and an eye on its own key file.

Each workload has a socket of its own, because a lab attests nobody: which socket a process opens decides
who it is. `agent.sock` is the one for the bridge itself, which only needs the bundles.
"""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from bridge.files.paths import fingerprint
from bridge.lab.authority import Authority, Clock
from bridge.lab.bundle_endpoint import BundleEndpoint
from bridge.lab.federated_file import FederatedFile
from bridge.lab.state import LabFolder, LabRefused
from bridge.lab.web_ca import WebCa
from bridge.lab.workload_api import WorkloadApi
from bridge.model.spiffe_id import InvalidSpiffeId

BRIDGE_IDENTITY = "/bridge"
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class LabOptions:
    """What `bridge lab up` was asked for. `identities` are paths; `federated` bundle files by trust domain;
    `by_svid`: the bundle endpoint is of profile https_spiffe, else https_web."""

    identities: Sequence[str]
    federated: Mapping[str, Path]
    host: str = "127.0.0.1"
    port: int = 0
    by_svid: bool = False


@dataclass(frozen=True, slots=True)
class LabAddresses:
    """Where a running lab can be reached. `sockets` are Workload API addresses by SPIFFE ID; `endpoint_spiffe_id` is
    what the server of the bundle endpoint proves to be, None where `web_ca` vouches for it."""

    trust_domain: str
    agent_socket: str
    sockets: Mapping[str, str]
    bundle_url: str
    endpoint_spiffe_id: str | None
    bundle_file: str
    web_ca: str
    pid: int


class RunLock:
    """Held by the one process that runs a lab, as long as it lives, however it ends."""

    def __init__(self, folder: LabFolder) -> None:
        self._path = folder.run_lock
        self._file: TextIO | None = None

    def take(self) -> None:
        """Hold the lock and write our process id. Raises: LabRefused when another process holds it."""
        file = self._path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise LabRefused(f"{self._path.parent}: this lab runs already; `bridge lab down` ends it") from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file

    def release(self) -> None:
        """Let go."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def holder(self) -> int | None:
        """The process that holds the lock; None when nobody does."""
        try:
            file = self._path.open("r+")
        except FileNotFoundError:
            return None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read() or 0) or None
        return None

    def end_holder(self, *, timeout: float) -> int | None:
        """Ask the holder to end and wait until it has. The answer is its process id, None without one.

        Raises: LabRefused when it is still there after `timeout` seconds.
        """
        pid = self.holder()
        if pid is None:
            return None
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + timeout
        while self.holder() == pid:
            if time.monotonic() >= deadline:
                raise LabRefused(f"process {pid} does not end; look at {self._path.parent / 'lab.log'}")
            time.sleep(0.02)
        return pid


def run(
    folder: LabFolder,
    authority: Authority,
    options: LabOptions,
    *,
    clock: Clock,
    ready: Callable[[LabAddresses], None],
    stop: threading.Event,
) -> None:
    """Serve until `stop` is set. `ready` is called once, when everything listens.

    Raises: LabRefused when the lab runs already, or an identity or a socket's path is unfit.
    """
    lock = RunLock(folder)
    lock.take()
    try:
        with ExitStack() as stack:
            federated = [FederatedFile(name, path) for name, path in options.federated.items()]
            names = socket_names(authority, options.identities)
            apis = {
                path: stack.enter_context(_workload_api(folder, authority, name, path, federated))
                for path, name in names.items()
            }
            web_ca = WebCa(now=clock())
            folder.web_ca.write_bytes(web_ca.certificate_pem)
            endpoint = stack.enter_context(
                BundleEndpoint(authority, None if options.by_svid else web_ca, host=options.host, port=options.port)
            )
            ready(
                LabAddresses(
                    trust_domain=authority.trust_domain.name,
                    agent_socket=apis[BRIDGE_IDENTITY].address,
                    sockets={str(authority.spiffe_id(path)): api.address for path, api in apis.items()},
                    bundle_url=endpoint.url,
                    endpoint_spiffe_id=endpoint.endpoint_spiffe_id if options.by_svid else None,
                    bundle_file=str(folder.bundle),
                    web_ca=str(folder.web_ca),
                    pid=os.getpid(),
                )
            )
            _follow(folder, authority, federated, clock, stop)
    finally:
        lock.release()


def socket_names(authority: Authority, identities: Sequence[str]) -> dict[str, str]:
    """The socket's name for each identity: its path with dashes; `agent` for the bridge's own.

    Raises: LabRefused for a path that makes no SPIFFE ID, and for two that make one name.
    """
    names = {BRIDGE_IDENTITY: "agent"}
    for path in identities:
        try:
            segments = authority.spiffe_id(path).segments
        except InvalidSpiffeId as error:
            raise LabRefused(f"{path!r} makes no SPIFFE ID: {error}") from error
        names.setdefault(path, "-".join(segments))
    if len(set(names.values())) != len(names):
        raise LabRefused("two identities would share one socket name: rename one of " + ", ".join(sorted(names)))
    return names


def _workload_api(
    folder: LabFolder, authority: Authority, name: str, path: str, federated: Sequence[FederatedFile]
) -> WorkloadApi:
    try:
        return WorkloadApi(authority, folder.socket(name), identities=[path], federated=federated)
    except ValueError as error:
        raise LabRefused(str(error)) from error


def _follow(
    folder: LabFolder,
    authority: Authority,
    federated: Sequence[FederatedFile],
    clock: Clock,
    stop: threading.Event,
) -> None:
    """Take over what `bridge lab rotate` and federated labs write, until told to stop."""
    seen = None
    while not stop.wait(_LOOK_SECONDS):
        for bundle in federated:
            bundle.look()
        found = fingerprint(folder.keys)
        if found is None or found == seen:
            continue
        seen = found
        fresh = folder.load(clock)
        authority.replace(x509_keys=fresh.x509_keys, jwt_keys=fresh.jwt_keys, sequence=fresh.sequence)
