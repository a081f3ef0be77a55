"""What an agent says to somebody who asks it for the first time: whose agent it is, and whether it knows the asker.

Whoever sets a service up usually has no entry yet, so that a refusal is an answer here, and nothing is asked twice.
"""

from __future__ import annotations

import os
import socket
import stat
from dataclasses import dataclass
from typing import Any

import grpc
from spiffe._proto import workload_pb2, workload_pb2_grpc

from bridge.model.spiffe_id import InvalidSpiffeId, SpiffeId, TrustDomain
from bridge.spire.endpoint import METADATA, WorkloadEndpoint, describe, open_channel
from bridge.spire.svids import NoSvid, read_x509_svid
from bridge.spire.workload_client import WorkloadApiFailed

_UNIX = "unix:"
_DEFAULT_SOCKET = "/tmp/spire-agent/public/api.sock"


@dataclass(frozen=True, slots=True)
class FirstWord:
    """What the agent said. `identity`: the asker's default SPIFFE ID, None without an entry. `trust_domain`: the
    agent's own, None where it gave neither SVID nor bundle. `bundles`: whose bundles it hands out, by name."""

    trust_domain: TrustDomain | None
    identity: SpiffeId | None
    bundles: tuple[TrustDomain, ...]


def first_word(endpoint: WorkloadEndpoint, *, timeout: float) -> FirstWord:
    """Ask the agent who it is. An agent without an entry for this process still hands out its own bundle where it is
    configured to (SPIRE: `allow_unauthenticated_verifiers`); else its word is empty, which is no failure.

    `timeout` in seconds, for each of the two questions. Raises: WorkloadApiFailed when nobody answers there, or
    something that is no agent. Not checked: keys and times of what came.
    """
    _reach(endpoint, timeout)
    with open_channel(endpoint) as channel:
        stub = workload_pb2_grpc.SpiffeWorkloadAPIStub(channel)
        try:
            message = _first(stub.FetchX509SVID, workload_pb2.X509SVIDRequest(), timeout)
            identity = read_x509_svid(message, None).spiffe_id
            others = _names(message.federated_bundles, endpoint)
            return FirstWord(identity.trust_domain, identity, _sorted({identity.trust_domain, *others}))
        except NoSvid as error:
            raise WorkloadApiFailed(f"{endpoint.address}: {error}") from error
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.PERMISSION_DENIED:
                raise WorkloadApiFailed(_why(endpoint, error, timeout)) from error
        try:
            message = _first(stub.FetchX509Bundles, workload_pb2.X509BundlesRequest(), timeout)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.PERMISSION_DENIED:
                raise WorkloadApiFailed(_why(endpoint, error, timeout)) from error
            return FirstWord(None, None, ())
        bundles = _names(message.bundles, endpoint)
        # Whoever has no entry is given the agent's own bundle alone. Of several nothing says which that is.
        return FirstWord(bundles[0] if len(bundles) == 1 else None, None, bundles)


def _first(call: Any, request: Any, timeout: float) -> Any:
    """The first message of a stream, which is the complete state."""
    stream = call(request, timeout=timeout, metadata=METADATA)
    try:
        return next(iter(stream))
    except StopIteration as error:
        raise NoSvid("the agent answered with nothing") from error
    finally:
        stream.cancel()


def _names(bundles: Any, endpoint: WorkloadEndpoint) -> tuple[TrustDomain, ...]:
    try:
        return _sorted({SpiffeId.parse(name).trust_domain for name in bundles})
    except InvalidSpiffeId as error:
        raise WorkloadApiFailed(f"{endpoint.address}: a bundle of no trust domain: {error}") from error


def _sorted(trust_domains: set[TrustDomain]) -> tuple[TrustDomain, ...]:
    return tuple(sorted(trust_domains, key=lambda each: each.name))


def _reach(endpoint: WorkloadEndpoint, timeout: float) -> None:
    """Connect once without gRPC, whose words for all that can be wrong with a socket's file are the same."""
    if not endpoint.target.startswith(_UNIX):
        return
    path = endpoint.target.removeprefix(_UNIX)
    try:
        is_socket = stat.S_ISSOCK(os.stat(path).st_mode)
        if is_socket:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asker:
                asker.settimeout(timeout)
                asker.connect(path)
    except OSError as error:
        raise WorkloadApiFailed(f"{path}: {_unreached(error)}") from error
    if not is_socket:
        raise WorkloadApiFailed(f"{path}: is no socket; `socket_path` in the agent's configuration says where it is")


def _unreached(error: OSError) -> str:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return (
            "there is no socket. Is the agent up on this machine, and is that its `socket_path`? "
            f"SPIRE's default is {_DEFAULT_SOCKET}"
        )
    if isinstance(error, PermissionError):
        return f"user id {os.geteuid()} may not connect there: it needs x on each folder above it and w on the socket"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens on this socket: an agent that was killed left it behind. Start the agent"
    return f"cannot connect ({error.strerror or error})"


def _why(endpoint: WorkloadEndpoint, error: Any, timeout: float) -> str:
    code = error.code()
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return f"{endpoint.address}: is no Workload API: the socket of the SPIRE server, or of another service?"
    if code is grpc.StatusCode.UNAVAILABLE and endpoint.target.startswith(_UNIX):
        return f"{endpoint.address}: takes connections, but is no agent: what listens there speaks no gRPC"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"{endpoint.address}: takes connections and says nothing for {timeout:g} s: a hung agent, or none"
    return f"{endpoint.address}: {describe(error)}"
