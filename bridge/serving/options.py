"""What the parent and its workers need to know. Plain values: they travel to each new process."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from bridge.serving.proxies import TrustedProxy


class ListenerKind(StrEnum):
    """Which listener a request came in by; the WSGI environ has it as `bridge.listener`."""

    PLAIN = "plain"
    MTLS = "mtls"
    METRICS = "metrics"
    PROXY = "proxy"
    CONSOLE = "console"


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long the server waits for somebody else. Units: seconds.

    `handshake`, `head` and `body` are for the whole of each and are not prolonged by progress, so a
    trickle gains nothing (T-52). `head` runs from the first byte of a request, or from the connection
    when nothing has been asked on it yet; `body` from the end of the head. `write` is for a client that
    does not read its answer; `linger` for one that still sends after a refusal. `queue` is how long a
    request may wait for a thread. `start` and `silence` are about workers: how long one may take until
    it serves, and how long it may then leave its parent without a sign.
    """

    handshake: float = 10.0
    head: float = 10.0
    body: float = 10.0
    keep_alive: float = 75.0
    write: float = 10.0
    linger: float = 1.0
    queue: float = 0.75
    drain: float = 20.0
    start: float = 60.0
    silence: float = 20.0


@dataclass(frozen=True, slots=True)
class Caps:
    """How much of anything one worker takes. Units: bytes for `head` and `body`, else a number.

    `fields` are header fields of a request, `pipelined` requests sent ahead of an answer, `connections`
    all that are open or in their handshake, `waiting` requests that no thread has taken up yet.
    """

    head: int = 32 * 1024
    body: int = 64 * 1024
    fields: int = 100
    pipelined: int = 16
    connections: int = 2048
    waiting: int = 256


@dataclass(frozen=True, slots=True)
class ConsoleListener:
    """Where the operators' console listens: a Unix socket whose rights are 0600, or 0660 with a `group` (its number);
    or, instead of `unix`, an `address`, which is served over TLS alone and with `asks_certificate` asks for the
    client's. Who may come in is for the application to say."""

    unix: Path | None = None
    group: int | None = None
    address: str | None = None
    asks_certificate: bool = False


@dataclass(frozen=True, slots=True)
class ServingOptions:
    """One `bridge serve`.

    `factory` is the dotted name `package.module:callable`; each worker calls it with `argument` (the
    configuration, as it was read once for all workers) and gets a `ServedApp`. Addresses are `host:port`,
    port 0 takes a free one.
    `own_svid` has listeners show the X.509-SVID that the application has of itself: `mtls_listen`, and without
    `certificate` the other too. `plain_http` serves `listen` without TLS: that it is a loopback address, or only a
    trusted proxy can reach it, is for the configuration to see to. It is not checked here.
    `health_paths` are answered by threads of their own, so that a busy service does not look dead.
    `on_worker_exit` is a dotted name too, called in the parent with the process id of each worker that
    ended. `proxies` may state whose certificate and address stands behind a request; each Unix socket among
    them is a listener without TLS. `poll` is the period, in seconds, of looking for changed certificates;
    trust anchors are looked at ten times a second.
    """

    factory: str
    argument: object
    listen: str | None = None
    mtls_listen: str | None = None
    metrics_listen: str | None = None
    console: ConsoleListener | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    own_svid: bool = False
    proxies: tuple[TrustedProxy, ...] = ()
    plain_http: bool = False
    workers: int = 2
    threads: int = 8
    poll: float = 0.5
    health_paths: tuple[str, ...] = ("/healthz",)
    on_worker_exit: str | None = None
    deadlines: Deadlines = field(default_factory=Deadlines)
    caps: Caps = field(default_factory=Caps)

    def faults(self) -> list[str]:
        """What is contradictory in these options, in words for an operator; empty when nothing is."""
        wrong = []
        if self.listen is None and self.mtls_listen is None and not any(proxy.unix for proxy in self.proxies):
            wrong.append("listen: name an address, or mtls_listen")
        if (self.certificate is None) != (self.private_key is None):
            wrong.append("tls: certificate and private_key belong together; one of them is missing")
        if not self._has_tls and not self.plain_http:
            wrong.append("tls: a certificate and its private_key are needed to listen")
        if not self._has_tls and self.mtls_listen is not None:
            wrong.append("mtls_listen: needs a [tls] certificate and private_key")
        if not self._has_tls and self.console is not None and self.console.unix is None:
            wrong.append("console: needs a [tls] certificate and private_key, or a unix socket")
        if self.workers < 1:
            wrong.append("workers: must be at least 1")
        if self.threads < 1:
            wrong.append("threads: must be at least 1")
        return wrong

    def addresses(self) -> list[tuple[ListenerKind, str]]:
        """The network addresses to listen on, in a fixed order."""
        named = [
            (ListenerKind.PLAIN, self.listen),
            (ListenerKind.MTLS, self.mtls_listen),
            (ListenerKind.METRICS, self.metrics_listen),
            (ListenerKind.CONSOLE, None if self.console is None else self.console.address),
        ]
        return [(kind, address) for kind, address in named if address is not None]

    def speaks_tls(self, kind: ListenerKind) -> bool:
        """Whether a listener of this kind starts with a handshake. Metrics and Unix sockets never do; the console on
        an address always."""
        if kind is ListenerKind.CONSOLE:
            return self.console is not None and self.console.unix is None
        return kind in (ListenerKind.PLAIN, ListenerKind.MTLS) and self._has_tls

    def asks_certificate(self, kind: ListenerKind) -> bool:
        """Whether the handshake of a listener of this kind asks for a client certificate."""
        if kind is ListenerKind.CONSOLE:
            return self.console is not None and self.console.unix is None and self.console.asks_certificate
        return kind is ListenerKind.MTLS

    @property
    def _has_tls(self) -> bool:
        return self.certificate is not None or self.own_svid
