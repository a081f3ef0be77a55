"""`bridge serve`: the service in the foreground.

What must be in place before a worker starts is put there by a short-lived child: reading the
configuration, opening the store and compiling the policies load much code that the parent, which only
watches its workers, would carry about for as long as it lives. Meanwhile the workers load theirs.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.before_start import start_faults
from bridge.cli.failures import EXPECTED, NO, describe
from bridge.cli.options import config_option, configuration_of, json_option
from bridge.cli.output import emit_json_line, note, printable, say
from bridge.model.errors import StartRefused

if TYPE_CHECKING:
    from bridge.config import Settings
    from bridge.files.as_read import FileAsRead
    from bridge.serving.options import ConsoleListener, ServingOptions


@click.command()
@json_option
@config_option
def serve(as_json: bool, config: Path) -> int:
    """Run the service in the foreground until SIGTERM or Ctrl-C, then answer what was asked and end.

    Prints one line when it is ready; the log goes to standard error, a JSON object a line. On SIGHUP it
    looks at policies, bundles and certificates at once; changed files are noticed without it too. The
    configuration itself is read at the start only. An empty store gets its schema, a seal key and the first
    signing keys.

    \b
    Exit codes:
      0  it ended as it was told, and everything that was asked is answered
      1  it could not start (store, keys, policies, certificate, address), or not answer all in time
      2  wrong usage, or a configuration that cannot be used; a missing TLS file is one

    \b
    Example:
      bridge serve --config /etc/bridge/bridge.toml
    """
    preparation = _Preparation(config)
    # The parent loads its own part while the child is at work.
    from bridge.observe.log import configure
    from bridge.serving.supervisor import serve as run

    configure()
    options = preparation.options()
    if options is None:
        return preparation.code
    code = run(options, _announce_as_json if as_json else say, preparation.is_done)
    # The configuration was read: whatever fails from there on is an answer, and no wrong usage.
    return preparation.code or (NO if code else 0)


def _announce_as_json(line: str) -> None:
    emit_json_line({"ready": True, "pid": os.getpid(), "message": line})


class _Preparation:
    """The child that prepares, as its parent sees it. It speaks twice: when the configuration has been read, which is
    enough for workers to be started, and when all is in place, which they need before they can do anything.
    """

    def __init__(self, config: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._receiving, sending = context.Pipe(duplex=False)
        self._child = context.Process(
            target=_prepare_and_leave, args=(sending, config), name="bridge-prepare", daemon=True
        )
        self._child.start()
        sending.close()
        self.code = 0

    def options(self) -> ServingOptions | None:
        """How to serve; None where nothing can be served, which has been said, and `code` tells what that means."""
        options = self._heard()
        if options is None:
            self._child.join()
        return options

    def is_done(self, seconds: float) -> int | None:
        """Waits so long at most. None: it is not; else `code`, 0 when all is in place, after what is wrong was said."""
        if not self._receiving.poll(seconds):
            return None
        self._heard()
        self._receiving.close()
        self._child.join()
        return self.code

    def _heard(self) -> ServingOptions | None:
        try:
            self.code, faults, options = self._receiving.recv()
        except EOFError:
            # A defect: the child has printed its traceback.
            self.code, faults, options = NO, (), None
        for fault in faults:
            note(f"error: {printable(fault)}")
        heard: ServingOptions | None = options
        return heard


def _prepare_and_leave(sending: Connection, config: Path) -> None:
    # A parent that was told to end meanwhile does not listen any more.
    with suppress(BrokenPipeError):
        prepare_in_child(sending, config)
    # All is said and every file is closed: taking the interpreter apart would only keep the workers waiting.
    sys.stderr.flush()
    os._exit(0)


def prepare_in_child(sending: Connection, config: Path) -> None:
    """Read the configuration and prepare, and send `(exit code, faults, options)` after each, without options after
    the second, or once where the first fails; runs in a process of its own."""
    # Ctrl-C reaches the whole group; the parent says what there is to say.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        settings, as_read = configuration_of(config, serving=True)
        options = serving_options(settings, as_read)
        if faults := start_faults(settings, options):
            raise StartRefused(faults)
        sending.send((0, (), options))
        from bridge.observe.log import configure
        from bridge.preparing import prepare

        configure()
        prepare(settings)
    except EXPECTED as error:
        sending.send((*describe(error), None))
    else:
        sending.send((0, (), None))


def serving_options(settings: Settings, as_read: FileAsRead) -> ServingOptions:
    """What the server must know of the configuration. Its workers get the file as it was read, also those that
    replace a dead one after somebody has edited it: two configurations never serve side by side."""
    from bridge.serving.options import ServingOptions
    from bridge.serving.proxies import TrustedProxy

    return ServingOptions(
        factory="bridge.app:build_worker",
        argument=as_read,
        listen=settings.listen,
        mtls_listen=settings.mtls_listen,
        metrics_listen=settings.metrics_listen,
        console=console_listener(settings),
        certificate=Path(settings.tls.certificate) if settings.tls and settings.tls.certificate else None,
        private_key=Path(settings.tls.private_key) if settings.tls and settings.tls.private_key else None,
        own_svid=settings.tls is not None and settings.tls.workload_api is not None,
        proxies=tuple(
            TrustedProxy(proxy.header, None if proxy.unix is None else Path(proxy.unix), proxy.network, proxy.spiffe_id)
            for proxy in settings.trusted_proxies
        ),
        plain_http=settings.tls is None,
        workers=settings.workers,
        threads=settings.threads,
        on_worker_exit="bridge.observe.workers:forget_worker",
    )


def console_listener(settings: Settings) -> ConsoleListener | None:
    """Where operators come in; None without `[console]`."""
    from bridge.config.console import group_of
    from bridge.serving.options import ConsoleListener

    console = settings.console
    if console is None:
        return None
    return ConsoleListener(console.unix, group_of(console), console.address, console.operators is not None)
