"""Which worker did what: the log names the process of each line, and a connection is one worker's while it lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.live.client import Connection
from tests.live.identities import X509Svid
from tests.live.processes import wait_until
from tests.live.service import WORKERS, BridgeService

_LOG_SECONDS = 20.0
# Workers take turns by how many connections they have; a few more than there are workers is enough.
_MOST_CONNECTIONS = 32


@contextmanager
def connections_to_every_worker(
    service: BridgeService, svid: X509Svid | None = None
) -> Iterator[dict[int, Connection]]:
    """One connection to each worker, by process id, kept open; with an X.509-SVID over mTLS."""
    with ExitStack() as held:
        found: dict[int, Connection] = {}
        for _ in range(_MOST_CONNECTIONS):
            connection = service.client.open(svid)
            held.callback(connection.close)
            found.setdefault(_worker_of(service, connection), connection)
            if len(found) == WORKERS:
                break
        assert len(found) == WORKERS, f"{_MOST_CONNECTIONS} connections reached only {sorted(found)}"
        yield found


def _worker_of(service: BridgeService, connection: Connection) -> int:
    """The process at the other end: a request without a credential is refused, and the log says by whom."""
    since = service.log_size()
    refused = connection.post("/token", {"grant_type": "client_credentials"})
    assert refused.status == 401, refused

    def logged() -> int:
        for event in service.events("refused", since=since):
            if event["correlation_id"] == refused.request_id:
                return int(event["pid"])
        return 0

    return wait_until(logged, seconds=_LOG_SECONDS, what=f"the log has {refused.request_id}")


def learned(service: BridgeService, kind: str, key: str, *, since: int) -> bool:
    """Whether every worker has said since then that this key was added: a `kid`, or the hex SHA-256 of a CA
    certificate, which is in use when new handshakes take it as well."""
    changed = {event["pid"] for event in service.events("bundle changed", since=since) if key in event[f"{kind}_added"]}
    if kind == "x509":
        changed &= {event["pid"] for event in service.events("trust anchors loaded", since=since)}
    return len(changed) == WORKERS
