"""`bridge serve`: the service in the foreground.

What must be in place before a worker starts is put there by a short-lived child: reading the
configuration, opening the store and compiling the policies load much code that the parent, which only
watches its workers, would carry about for as long as it lives.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
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
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=_prepare_and_leave, args=(sending, config), name="bridge-prepare", daemon=True)
    child.start()
    sending.close()
    # The parent loads its own part while the child is at work.
    from bridge.observe.log import configure
    from bridge.serving.supervisor import serve as run

    configure()
    options = _outcome(receiving)
    child.join()
    if isinstance(options, int):
        return options
    # The configuration was read: whatever fails from here on is an answer, and no wrong usage.
    return NO if run(options, _announce_as_json if as_json else say) else 0


def _announce_as_json(line: str) -> None:
    emit_json_line({"ready": True, "pid": os.getpid(), "message": line})


def _outcome(receiving: Connection) -> ServingOptions | int:
    """What the child made; or the exit code, once its faults have been said."""
    try:
        code, faults, options = receiving.recv()
    except EOFError:
        # A defect: the child has printed its traceback.
        return 1
    finally:
        receiving.close()
    for fault in faults:
        note(f"error: {printable(fault)}")
    result: ServingOptions | int = code if options is None else options
    return result


def _prepare_and_leave(sending: Connection, config: Path) -> None:
    prepare_in_child(sending, config)
    # All is said and every file is closed: taking the interpreter apart would only keep the workers waiting.
    sys.stderr.flush()
    os._exit(0)


def prepare_in_child(sending: Connection, config: Path) -> None:
    """Prepare, and send `(exit code, faults, options)`; runs in a process of its own."""
    # Ctrl-C reaches the whole group; the parent says what there is to say.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        settings, as_read = configuration_of(config, serving=True)
        options = serving_options(settings, as_read)
        if faults := start_faults(settings, options):
            raise StartRefused(faults)
        from bridge.observe.log import configure
        from bridge.preparing import prepare

        configure()
        prepare(settings)
    except EXPECTED as error:
        sending.send((*describe(error), None))
    else:
        sending.send((0, (), options))


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
