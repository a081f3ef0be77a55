"""The workload's side of the Workload API: fetch an SVID, once, with a limit on the time it may take.

py-spiffe's client refuses to be built while the socket is absent and waits without limit for a mute
agent; these functions wait for an agent that is starting, and never longer than they were told.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import grpc
from spiffe._proto import workload_pb2, workload_pb2_grpc

from bridge.model.own_svid import OwnSvid
from bridge.model.spiffe_id import SpiffeId
from bridge.spire.endpoint import METADATA, WorkloadEndpoint, describe, open_channel
from bridge.spire.svids import NoSvid, read_x509_svid

Answer = TypeVar("Answer")

_PAUSE = 0.2
# What may pass by itself: an agent that restarts, an entry that has not reached it yet (Workload Endpoint 6).
_RETRIED = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.PERMISSION_DENIED})


class WorkloadApiFailed(Exception):
    """The Workload API gave no SVID. The message says why, for the person who runs the workload."""


def fetch_jwt_svid(
    endpoint: WorkloadEndpoint, audience: str, *, timeout: float, spiffe_id: SpiffeId | None = None
) -> str:
    """A JWT-SVID for one audience: the default identity's, or that of `spiffe_id`.

    `timeout` in seconds, for everything. Raises: WorkloadApiFailed. Not checked: the token, which only its
    recipient can judge.
    """
    wanted = "" if spiffe_id is None else str(spiffe_id)
    request = workload_pb2.JWTSVIDRequest(audience=[audience], spiffe_id=wanted)

    def ask(stub: Any, remaining: float) -> str:
        svids = stub.FetchJWTSVID(request, timeout=remaining, metadata=METADATA).svids
        if not svids or not svids[0].svid:
            raise WorkloadApiFailed(f"{endpoint.address}: the agent answered without a JWT-SVID")
        token: str = svids[0].svid
        return token

    return _ask(endpoint, timeout, ask)


def fetch_x509_svid(endpoint: WorkloadEndpoint, *, timeout: float, spiffe_id: SpiffeId | None = None) -> OwnSvid:
    """The X.509-SVID of the default identity, or of `spiffe_id`, as it is now; it will be renewed.

    `timeout` in seconds, for everything. Raises: WorkloadApiFailed.
    """

    def ask(stub: Any, remaining: float) -> OwnSvid:
        stream = stub.FetchX509SVID(workload_pb2.X509SVIDRequest(), timeout=remaining, metadata=METADATA)
        try:
            for message in stream:
                return read_x509_svid(message, spiffe_id)
        except NoSvid as error:
            raise WorkloadApiFailed(f"{endpoint.address}: {error}") from error
        finally:
            stream.cancel()
        raise WorkloadApiFailed(f"{endpoint.address}: the agent answered without an X.509-SVID")

    return _ask(endpoint, timeout, ask)


def _ask(endpoint: WorkloadEndpoint, timeout: float, ask: Callable[[Any, float], Answer]) -> Answer:
    """Ask until there is an answer, a refusal that will not pass, or no time left."""
    deadline = time.monotonic() + timeout
    with open_channel(endpoint) as channel:
        stub = workload_pb2_grpc.SpiffeWorkloadAPIStub(channel)
        while True:
            try:
                return ask(stub, max(deadline - time.monotonic(), 0.001))
            except grpc.RpcError as error:
                if error.code() not in _RETRIED or time.monotonic() + _PAUSE >= deadline:
                    raise WorkloadApiFailed(f"{endpoint.address}: {describe(error)}") from error
            time.sleep(_PAUSE)
