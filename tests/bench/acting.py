"""From a change of one trust domain's keys to its effect: every worker takes the new key and refuses the old one.

Each worker is asked over a connection that is known to be with it. A change counts as live in a worker when that one
was seen to do both.
"""

from __future__ import annotations

import select
import ssl
import time
from collections import Counter
from pathlib import Path

from bridge.lab.authority import Authority
from tests.bench.connection import Connection, Target
from tests.bench.fleet import WORKLOAD, Fleet
from tests.bench.service import SVID_LIFE, Bench

TAKEN, REFUSED = 200, 401
_PATIENCE = 30.0
_MOST_CONNECTIONS = 64
_BETWEEN = 0.005
# So many handshakes in a row have to pass at each worker: whichever takes one is the kernel's to say.
_PASSES = 3


class Doors:
    """One keep-alive connection to each worker of a service."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._by_worker: dict[int, Connection] = {}
        spare = []
        workers = set(bench.stand.worker_pids())
        for _ in range(_MOST_CONNECTIONS):
            connection = Connection(bench.plain, 0)
            # Accepted when it has answered.
            _status(connection, bench.for_token({}))
            worker = worker_of(connection, workers)
            if worker in self._by_worker:
                spare.append(connection)
            else:
                self._by_worker[worker] = connection
            if self._by_worker.keys() == workers:
                break
        for connection in spare:
            connection.close()
        assert self._by_worker.keys() == workers, "some worker took no connection"

    def close(self) -> None:
        """Drop the connections."""
        for connection in self._by_worker.values():
            connection.close()

    def live(self, new: bytes, old: bytes, *, since: float) -> float:
        """Seconds from `since` (monotonic) until every worker refuses the old request and takes the new one. The old
        one is asked first: a key that nobody knows has its trust domain's endpoint asked."""
        waiting = list(self._by_worker.values())
        while waiting:
            waiting = [one for one in waiting if _status(one, old) != REFUSED or _status(one, new) != TAKEN]
            if waiting:
                _pause(since)
        return time.monotonic() - since

    def known(self, new: bytes, *, since: float) -> float:
        """Seconds from `since` until every worker takes the new request."""
        waiting = list(self._by_worker.values())
        while waiting:
            waiting = [one for one in waiting if _status(one, new) != TAKEN]
            if waiting:
                _pause(since)
        return time.monotonic() - since


class Changes:
    """Changes one trust domain after the other, and says how long each took to act. Seconds."""

    def __init__(self, bench: Bench, fleet: Fleet) -> None:
        self._bench, self._fleet = bench, fleet
        self._doors = Doors(bench)
        self._serial = 0

    def close(self) -> None:
        """Drop what is open."""
        self._doors.close()

    def in_file(self, authority: Authority) -> float:
        """From the moment the file is there."""
        old, new = self._rotate(authority)
        since = time.monotonic()
        self._fleet.publish_file(authority)
        return self._doors.live(new, old, since=since)

    def by_agent(self, authority: Authority) -> float:
        """From the moment the agent has it to say."""
        old = self._request(authority)
        authority.rotate_jwt("prepare", "activate", "taint")
        new = self._request(authority)
        since = time.monotonic()
        authority.rotate_jwt("revoke")
        return self._doors.live(new, old, since=since)

    def at_endpoint(self, authority: Authority) -> float:
        """From the moment the endpoint first said so to anybody."""
        old, new = self._rotate(authority)
        self._fleet.publish_at_endpoint(authority)
        began = time.monotonic()
        while (since := self._fleet.server.first_served(authority.trust_domain.name)) is None:
            _pause(began)
        return self._doors.live(new, old, since=since)

    def at_endpoint_by_new_key(self, authority: Authority) -> float:
        """From the moment the endpoint has it to say, whether or not its turn has come: somebody shows the new key."""
        _, new = self._rotate(authority)
        since = time.monotonic()
        self._fleet.publish_at_endpoint(authority)
        return self._doors.known(new, since=since)

    def ca_in_file(self, authority: Authority) -> float:
        """From the moment a new CA is in the file until the handshakes of its SVIDs pass at every worker."""
        authority.rotate_x509()
        self._serial += 1
        svid = authority.x509_svid(WORKLOAD, ttl=SVID_LIFE)
        chain, key = svid.write(self._bench.folder / f"svids/changed-{self._serial}")
        identity = (str(chain), str(key))
        target = Target(self._bench.stand.client.mtls_port, self._bench.plain.ca, (identity,))
        request = self._bench.for_token({"grant_type": "client_credentials", "client_id": str(svid.spiffe_id)})
        since = time.monotonic()
        self._fleet.publish_file(authority)
        return _handshakes_pass(target, request, set(self._bench.stand.worker_pids()), since)

    def _rotate(self, authority: Authority) -> tuple[bytes, bytes]:
        """Requests with the key before and the key after; nobody is told yet."""
        old = self._request(authority)
        authority.rotate_jwt()
        return old, self._request(authority)

    def _request(self, authority: Authority) -> bytes:
        return self._bench.by_jwt(self._fleet.assertion(authority))


def worker_of(connection: Connection, workers: set[int]) -> int:
    """The process at the other end of a connection to this machine."""
    inode = _inode_of_peer(connection.local_port)
    for pid in workers:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                if descriptor.readlink().name == f"socket:[{inode}]":
                    return pid
            except OSError:
                continue
    raise AssertionError("no worker has this connection")


def _inode_of_peer(port: int) -> str:
    """Of the socket whose remote port this is (proc(5), /proc/net/tcp)."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[2].endswith(f":{port:04X}"):
            return fields[9]
    raise AssertionError("the connection is gone")


def _handshakes_pass(target: Target, request: bytes, workers: set[int], since: float) -> float:
    """When the first of those handshakes was made after which none failed."""
    passed, first = Counter[int](), 0.0
    while any(passed[worker] < _PASSES for worker in workers):
        began = time.monotonic()
        worker = _shake_hands(target, request, workers)
        if worker is None:
            passed.clear()
        else:
            first = first if passed else began
            passed[worker] += 1
        _pause(since)
    return first - since


def _shake_hands(target: Target, request: bytes, workers: set[int]) -> int | None:
    """Which worker gave a token over a new connection; None when the handshake failed."""
    try:
        connection = Connection(target, 0)
    except (ssl.SSLError, OSError):
        return None
    try:
        # TLS 1.3: that the certificate is refused is heard with the first answer.
        return worker_of(connection, workers) if _status(connection, request) == TAKEN else None
    finally:
        connection.close()


def _status(connection: Connection, request: bytes) -> int:
    connection.ask(request, 0.0)
    began = time.monotonic()
    while (answer := connection.take()) is None:
        select.select([connection.descriptor], [], [], _PATIENCE)
        assert time.monotonic() < began + _PATIENCE, "no answer"
    return answer[0]


def _pause(since: float) -> None:
    assert time.monotonic() < since + _PATIENCE, "the change does not act"
    time.sleep(_BETWEEN)
