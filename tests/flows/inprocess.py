"""One worker of the service inside the test's own process: the real application and store, without sockets.

For tests that need thousands of requests. A request is made into an environ by the server's own code.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from cryptography.utils import CryptographyDeprecationWarning

import bridge.app
from bridge.app import Worker
from bridge.config import load_settings
from bridge.preparing import prepare
from bridge.serving.adapter import call_wsgi
from bridge.serving.answers import Answer
from bridge.serving.request import environ_of_connection, environ_of_request
from tests.flows.client import FORM
from tests.flows.stand import Stand

TYPED = (b"content-type", FORM.encode())
REQUEST_ID = "an-id-of-twenty-two-ch"


class InProcess:
    """A started worker. `slowest` is the most processor time (seconds) that one request has cost so far."""

    def __init__(self, folder: Path, make: Callable[[Path], Stand] = Stand) -> None:
        """`make` puts the service's files in place."""
        self.stand = make(folder)
        self.settings = load_settings(self.stand.config)
        prepare(self.settings, clock=bridge.app.now)
        self.worker = Worker(self.settings)
        self.worker.start()
        self.slowest = 0.0

    def close(self) -> None:
        self.worker.close()

    def call(
        self,
        body: bytes = b"",
        *,
        method: str = "POST",
        path: bytes = b"/token",
        query: bytes = b"",
        headers: Iterable[tuple[bytes, bytes]] = (TYPED,),
        chain: Sequence[bytes] = (),
        request_id: str = REQUEST_ID,
    ) -> Answer:
        """What the service answers. `chain` is what a handshake would have brought along, DER; `request_id` what the
        server made up."""
        connection = environ_of_connection(scheme="https", server=("127.0.0.1", 8443), client=("127.0.0.1", 4711))
        connection |= {"bridge.listener": "mtls" if chain else "plain", "bridge.peer_chain": tuple(chain)}
        given = [(b"host", b"127.0.0.1"), *headers]
        environ = environ_of_request(
            connection, method=method, path=path, query=query, version="1.1", headers=given, body=body
        )
        environ["bridge.request_id"] = request_id
        started = time.thread_time()
        with warnings.catch_warnings():
            # Some certificates are so odd that the library announces to stop reading them.
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            answer = call_wsgi(self.worker.wsgi, environ)
        self.slowest = max(self.slowest, time.thread_time() - started)
        return answer
