"""The SPIFFE Workload API over a Unix socket, with the faults that real agents have, on demand.

What it answers follows the standard and SPIRE 1.15: complete state on every stream message, JWT-SVIDs
repeated until half their life, X.509-SVIDs renewed at half of theirs or when their CA is tainted, the security
header demanded, PERMISSION_DENIED where there is no entry, UNIMPLEMENTED for the WIT profile.
"""

from __future__ import annotations

import contextlib
import os
import socket as sockets
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import grpc
from google.protobuf import struct_pb2
from spiffe._proto import workload_pb2, workload_pb2_grpc

from bridge.lab.agent_cache import AgentCache, InvalidJwtSvid, validate
from bridge.lab.authority import DEFAULT_TTL, Authority
from bridge.model.spiffe_id import TrustDomain

SECURITY_HEADER = ("workload.spiffe.io", "true")
# A socket address holds 108 bytes with its terminating NUL.
MAX_SOCKET_PATH = 107
# How often an open stream looks whether an SVID is due for renewal; changes wake it at once.
_TICK_SECONDS = 1.0
_STREAMS = 64


@dataclass(frozen=True, slots=True)
class Entry:
    """A registration entry: the identity a caller of this socket gets. Lifetimes in seconds."""

    path: str
    x509_ttl: int = DEFAULT_TTL
    jwt_ttl: int = DEFAULT_TTL
    dns_names: tuple[str, ...] = ()
    hint: str = ""


class FederatedBundle(Protocol):
    """Another trust domain's keys, as far as the Workload API hands them out. An `Authority` is one."""

    @property
    def trust_domain(self) -> TrustDomain: ...
    def x509_bundle(self) -> bytes: ...
    def jwt_bundle(self) -> bytes: ...
    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]: ...


@dataclass(slots=True)
class _Stream:
    """One open stream, and what a test did to it."""

    epoch: int
    silenced: bool = False


class WorkloadApi:
    """A Workload API socket of one authority. Several may serve one authority, one per workload.

    Every caller gets all `identities`: paths, or `Entry` for other lifetimes. The bundles are the
    authority's own and those of `federated`. With `strangers_may_verify` a caller without an entry gets the authority's
    own (SPIRE: `allow_unauthenticated_verifiers`). Use it as a context manager, or `start` and `stop` it.
    Raises: ValueError when the socket's path is too long for a socket address.
    """

    def __init__(
        self,
        authority: Authority,
        socket: Path,
        *,
        identities: Sequence[str | Entry] = (),
        federated: Sequence[FederatedBundle] = (),
        strangers_may_verify: bool = False,
    ) -> None:
        if len(os.fsencode(socket)) > MAX_SOCKET_PATH:
            raise ValueError(f"{socket}: a socket path has at most {MAX_SOCKET_PATH} bytes; choose a shorter folder")
        self.authority = authority
        self.socket = socket
        self._condition = threading.Condition()
        self._version = 0
        self._epoch = 0
        self._ended: tuple[Any, str] = (grpc.StatusCode.UNAVAILABLE, "")
        self._refusal: Any = None
        self._muted = False
        self._streams: list[_Stream] = []
        self._corrupt: dict[str, tuple[bytes | None, bytes | None]] = {}
        self._federated: dict[str, tuple[FederatedBundle, Callable[[], None]]] = {}
        self._cache = AgentCache(authority)
        self._entries = tuple(_entry(identity) for identity in identities)
        self._strangers_may_verify = strangers_may_verify
        self._server: Any = None
        self._pool: ThreadPoolExecutor | None = None
        self._unsubscribe: Callable[[], None] | None = None
        for bundle in federated:
            self.federate(bundle)

    @property
    def address(self) -> str:
        """The value for `SPIFFE_ENDPOINT_SOCKET` and for `socket` in a configuration."""
        return f"unix://{self.socket.absolute()}"

    # --- life -----------------------------------------------------------------------------------

    def start(self) -> WorkloadApi:
        """Listen. A stopped or killed one may be started again, like an agent."""
        assert self._server is None, "already started"
        self.socket.parent.mkdir(parents=True, exist_ok=True)
        self.socket.unlink(missing_ok=True)
        self._pool = ThreadPoolExecutor(_STREAMS, thread_name_prefix="lab-workload-api")
        self._server = grpc.server(self._pool, options=[("grpc.so_reuseport", 0)])
        workload_pb2_grpc.add_SpiffeWorkloadAPIServicer_to_server(self, self._server)
        if self._server.add_insecure_port(f"unix:{self.socket.absolute()}") == 0:
            raise OSError(f"{self.socket}: cannot listen there")
        self._unsubscribe = self.authority.on_change(self._changed)
        self._server.start()
        return self

    def stop(self) -> None:
        """Stop like an agent that was told to: streams end, the socket file is gone. Idempotent."""
        if self._server is None:
            return
        server, self._server = self._server, None
        stopped = server.stop(None)
        self._changed()
        stopped.wait()
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._pool is not None:
            self._pool.shutdown(wait=True)
        self.socket.unlink(missing_ok=True)

    def kill(self) -> None:
        """Stop like an agent that was killed: the socket file stays and nobody listens on it."""
        self.stop()
        with contextlib.closing(sockets.socket(sockets.AF_UNIX)) as dead:
            dead.bind(str(self.socket))

    def __enter__(self) -> WorkloadApi:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- entries and federation -----------------------------------------------------------------

    def set_identities(self, identities: Sequence[str | Entry]) -> None:
        """Replace the entries. With none, every call and every open stream ends in PERMISSION_DENIED."""
        with self._condition:
            self._entries = tuple(_entry(identity) for identity in identities)
        self._changed()

    def federate(self, bundle: FederatedBundle) -> None:
        """Hand out another trust domain's bundle too, and follow its changes."""
        self.unfederate(bundle.trust_domain.name)
        with self._condition:
            self._federated[bundle.trust_domain.name] = (bundle, bundle.on_change(self._changed))
        self._changed()

    def unfederate(self, trust_domain: str) -> None:
        """Stop handing out that trust domain's bundle."""
        with self._condition:
            _, unsubscribe = self._federated.pop(trust_domain, (None, None))
        if unsubscribe is not None:
            unsubscribe()
            self._changed()

    # --- faults ---------------------------------------------------------------------------------

    def mute(self, muted: bool = True) -> None:
        """Take calls and never answer, and leave open streams silent, until `mute(False)`."""
        with self._condition:
            self._muted = muted
        self._changed()

    def silence_open_streams(self) -> None:
        """Never send another message on the streams that are open now. New streams work."""
        with self._condition:
            for stream in self._streams:
                stream.silenced = True

    def end_streams(self, code: Any, details: str = "") -> None:
        """End all open streams with this `grpc.StatusCode`. New streams work."""
        with self._condition:
            self._epoch += 1
            self._ended = (code, details)
        self._changed()

    def finish_streams(self) -> None:
        """End all open streams without an error, as if the agent had said all it has to say."""
        self.end_streams(grpc.StatusCode.OK)

    def refuse_calls(self, code: Any) -> None:
        """Answer every new call with this `grpc.StatusCode`; None ends that."""
        with self._condition:
            self._refusal = code

    def corrupt(self, trust_domain: str, *, x509: bytes | None = None, jwt: bytes | None = None) -> None:
        """Send these bytes as that trust domain's bundle instead; with neither, the right ones again."""
        with self._condition:
            self._corrupt[trust_domain] = (x509, jwt)
        self._changed()

    def open_streams(self) -> int:
        """How many streams are open."""
        with self._condition:
            return len(self._streams)

    # --- the servicer: gRPC looks these names up ------------------------------------------------

    def FetchX509SVID(self, _: Any, context: Any) -> Iterator[Any]:
        """X.509-SVIDs with their keys, own and federated roots; again whenever one of them changes."""
        return self._states(context, self._x509_svids)

    def FetchX509Bundles(self, _: Any, context: Any) -> Iterator[Any]:
        """The roots of every trust domain; again whenever one of them changes."""
        return self._states(context, lambda: workload_pb2.X509BundlesResponse(bundles=self._bundles("x509")), True)

    def FetchJWTBundles(self, _: Any, context: Any) -> Iterator[Any]:
        """The JWT keys of every trust domain; again whenever one of them changes."""
        return self._states(context, lambda: workload_pb2.JWTBundlesResponse(bundles=self._bundles("jwt")), True)

    def FetchJWTSVID(self, request: Any, context: Any) -> Any:
        """JWT-SVIDs of all identities, or of the one asked for."""
        self._admit(context)
        if not request.audience:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "audience must be specified")
        wanted = [
            entry for entry in self._entries if request.spiffe_id in ("", self.authority.trust_domain.id + entry.path)
        ]
        if not wanted:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "no identity issued")
        svids = [
            workload_pb2.JWTSVID(
                spiffe_id=self.authority.trust_domain.id + entry.path,
                svid=self._cache.jwt_svid(entry.path, tuple(request.audience), entry.jwt_ttl),
                hint=entry.hint,
            )
            for entry in wanted
        ]
        return workload_pb2.JWTSVIDResponse(svids=svids)

    def ValidateJWTSVID(self, request: Any, context: Any) -> Any:
        """Check a JWT-SVID against the bundles that this socket hands out."""
        self._admit(context)
        with self._condition:
            others = [bundle for bundle, _ in self._federated.values() if isinstance(bundle, Authority)]
        try:
            claims = validate(request.svid, request.audience, (self.authority, *others), self.authority.clock())
        except InvalidJwtSvid as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        body = struct_pb2.Struct()
        body.update(claims)
        return workload_pb2.ValidateJWTSVIDResponse(spiffe_id=claims["sub"], claims=body)

    # --- how it is done -------------------------------------------------------------------------

    def _changed(self) -> None:
        with self._condition:
            self._version += 1
            self._condition.notify_all()

    def _admit(self, context: Any, of_bundles: bool = False) -> None:
        """Let a call in, hold it while muted, or abort it. `abort` raises."""
        context.add_callback(self._changed)
        if SECURITY_HEADER not in [tuple(pair) for pair in context.invocation_metadata()]:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "security header missing from request")
        with self._condition:
            self._condition.wait_for(lambda: not self._muted or not context.is_active())
            refusal, entries = self._refusal, self._entries
        if refusal is not None:
            context.abort(refusal, "refused by the lab")
        if not entries and not (of_bundles and self._strangers_may_verify):
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "no identity issued")

    def _states(self, context: Any, compose: Callable[[], Any], of_bundles: bool = False) -> Iterator[Any]:
        """The complete state now, and again after every change of it."""
        self._admit(context, of_bundles)
        with self._condition:
            stream = _Stream(self._epoch)
            self._streams.append(stream)
        try:
            sent: bytes | None = None
            while context.is_active():
                with self._condition:
                    seen = self._version
                    quiet = self._muted or stream.silenced
                    finished = self._end_if_told(stream, context, of_bundles)
                if finished:
                    return
                message = compose()
                content = message.SerializeToString(deterministic=True)
                if not quiet and content != sent:
                    sent = content
                    yield message
                self._wait(seen, context)
        finally:
            with self._condition:
                self._streams.remove(stream)

    def _wait(self, seen: int, context: Any) -> None:
        with self._condition:
            self._condition.wait_for(lambda: self._version != seen or not context.is_active(), _TICK_SECONDS)

    def _end_if_told(self, stream: _Stream, context: Any, of_bundles: bool) -> bool:
        """Whether the stream shall end well; `abort` raises."""
        if stream.epoch != self._epoch:
            if self._ended[0] is grpc.StatusCode.OK:
                return True
            context.abort(*self._ended)
        welcome = bool(self._entries) or (of_bundles and self._strangers_may_verify)
        if not welcome and not self._muted:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "no identity issued")
        return False

    def _x509_svids(self) -> Any:
        own = self._corrupt.get(self.authority.trust_domain.name, (None, None))[0]
        svids = []
        for entry in self._entries:
            svid = self._cache.x509_svid(entry.path, entry.x509_ttl, entry.dns_names)
            svids.append(
                workload_pb2.X509SVID(
                    spiffe_id=str(svid.spiffe_id),
                    x509_svid=b"".join(svid.chain),
                    x509_svid_key=svid.key,
                    bundle=self.authority.x509_bundle() if own is None else own,
                    hint=entry.hint,
                )
            )
        federated = self._bundles("x509")
        federated.pop(self.authority.trust_domain.id)
        return workload_pb2.X509SVIDResponse(svids=svids, federated_bundles=federated)

    def _bundles(self, kind: str) -> dict[str, bytes]:
        """Every trust domain's keys of one kind, by the trust domain's SPIFFE ID."""
        with self._condition:
            federated = [bundle for bundle, _ in self._federated.values()] if self._entries else []
            sources: list[FederatedBundle] = [self.authority, *federated]
            corrupt = dict(self._corrupt)
        found = {}
        for source in sources:
            x509, jwt = corrupt.get(source.trust_domain.name, (None, None))
            right = source.x509_bundle if kind == "x509" else source.jwt_bundle
            wrong = x509 if kind == "x509" else jwt
            found[source.trust_domain.id] = right() if wrong is None else wrong
        return found


def _entry(identity: str | Entry) -> Entry:
    return identity if isinstance(identity, Entry) else Entry(identity)
