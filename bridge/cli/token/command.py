"""`bridge token`: the workload's side, and an example of it. An SVID goes in, an access token comes out."""

from __future__ import annotations

import os
import random
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.options import config_option, json_option, settings_of
from bridge.cli.output import emit_json, say
from bridge.model.spiffe_id import InvalidSpiffeId, SpiffeId

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.cli.token.request import Granted, TokenRequest
    from bridge.spire.endpoint import WorkloadEndpoint

TOKEN, EXEC_CREDENTIAL = "token", "exec-credential"


@click.command()
@click.option("--scope", metavar="S", help="Scopes, separated by blanks. Without it: all that the rule gives.")
@click.option("--resource", "resources", metavar="URI", multiple=True, help="Whose token; may be given several times.")
@click.option("--issuer", metavar="URL", help="The authorization server.  [default: the configuration's issuer]")
@click.option(
    "--socket", metavar="URL", envvar="SPIFFE_ENDPOINT_SOCKET", help="Workload API.  [$SPIFFE_ENDPOINT_SOCKET]"
)
@click.option("--spiffe-id", metavar="ID", help="Which of this workload's identities.  [default: the agent's first]")
@click.option(
    "--client-id",
    metavar="ID",
    help="The client to be, such as the URL of a document that names the identity.  [default: the identity's own]",
)
@click.option("--x509", is_flag=True, help="Come with the X.509-SVID over mutual TLS instead of a JWT-SVID.")
@click.option(
    "--dpop",
    "key_file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Bind the token to the key of this file (PEM, P-256; made 0600 if absent).",
)
@click.option(
    "--ca", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="CA of the server."
)
@click.option("--timeout", metavar="S", type=click.FloatRange(min=0.1), default=10.0, help="Seconds.  [default: 10]")
@click.option(
    "--watch",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Keep a fresh token in FILE (0600) until SIGTERM or Ctrl-C, then exit 0.",
)
@click.option(
    "--output",
    type=click.Choice([TOKEN, EXEC_CREDENTIAL]),
    default=TOKEN,
    help="What is printed: the token, or an ExecCredential for a kubeconfig.  [default: token]",
)
@json_option
@config_option
def token(
    scope: str | None,
    resources: tuple[str, ...],
    issuer: str | None,
    socket: str | None,
    spiffe_id: str | None,
    client_id: str | None,
    x509: bool,
    key_file: Path | None,
    ca: Path | None,
    timeout: float,
    watch: Path | None,
    output: str,
    as_json: bool,
    config: Path,
) -> int:
    """Fetch an SVID from the Workload API, and print the access token that it gets.

    Needs no secret and no registration: the first request registers the workload. With --issuer no
    configuration is read.

    With --watch the token in FILE is replaced before it ends, by one rename; FILE keeps what it holds while
    no new one can be had, which is said on standard error, and tried again later and later, or when the
    server says.

    \b
    Example:
      bridge token --scope ledger.read --issuer https://127.0.0.1:8443 --ca tls/test-ca.pem
      bridge token --client-id https://agents.example.org/planner
      bridge token --scope ledger.read --watch /run/shop/ledger.token
    """
    from bridge.cli.token.request import TokenRequest

    _require_one_form(watch, output, as_json, key_file)
    endpoint, identity = _workload_api(socket, spiffe_id)
    request = TokenRequest(
        endpoint=endpoint,
        identity=identity,
        issuer=issuer or settings_of(config).issuer,
        scope=scope,
        resources=resources,
        client_id=client_id,
        x509=x509,
        key_file=key_file,
        ca=ca,
        timeout=timeout,
    )
    if watch is not None:
        return _watch(request, watch)
    return _as_exec_credential(request) if output == EXEC_CREDENTIAL else _once(request, as_json)


def _require_one_form(watch: Path | None, output: str, as_json: bool, key_file: Path | None) -> None:
    if watch is not None and (as_json or output != TOKEN):
        raise click.UsageError("--watch writes the token itself into FILE: leave --json and --output out")
    if output == EXEC_CREDENTIAL and as_json:
        raise click.UsageError("--output exec-credential is JSON already: leave --json out")
    if output == EXEC_CREDENTIAL and key_file is not None:
        raise click.UsageError("Kubernetes sends bearer tokens only: leave --dpop out")


def _workload_api(socket: str | None, spiffe_id: str | None) -> tuple[WorkloadEndpoint, SpiffeId | None]:
    from bridge.spire.endpoint import InvalidEndpoint, WorkloadEndpoint

    if socket is None:
        raise click.UsageError(
            "name the Workload API: --socket unix:///run/spire/agent.sock, or SPIFFE_ENDPOINT_SOCKET"
        )
    try:
        endpoint = WorkloadEndpoint.parse(socket)
    except InvalidEndpoint as error:
        raise click.BadParameter(str(error), param_hint="--socket") from error
    try:
        return endpoint, None if spiffe_id is None else SpiffeId.parse_workload(spiffe_id)
    except InvalidSpiffeId as error:
        raise click.BadParameter(str(error), param_hint="--spiffe-id") from error


def _once(request: TokenRequest, as_json: bool) -> int:
    from bridge.cli.token.refusal import refusal_of
    from bridge.cli.token.request import Granted

    answer = request.send()
    if as_json:
        emit_json(dict(answer.body))
    elif isinstance(answer, Granted):
        say(answer.token)
    else:
        raise refusal_of(answer, request.scope)
    return 0 if isinstance(answer, Granted) else 1


def _as_exec_credential(request: TokenRequest) -> int:
    from bridge.cli.token.exec_credential import exec_credential, version_wanted

    version = version_wanted(os.environ)
    asked_at = int(time.time())
    emit_json(exec_credential(request.granted(), version, asked_at=asked_at))
    return 0


def _watch(request: TokenRequest, file: Path) -> int:
    from bridge.cli.token.watch import Surroundings, TokenKeeper, say_on_stderr, stop_on_signals
    from bridge.files.kept_secret import NotReplaceable, require_replaceable
    from bridge.serving.notify import Notifier

    with stop_on_signals() as over, ExitStack() as ends:
        try:
            require_replaceable(file)
        except NotReplaceable as error:
            raise click.BadParameter(str(error), param_hint="--watch") from error
        request.look()
        notifier = Notifier.from_environment(os.environ, os.getpid())
        ends.callback(notifier.stopping)
        around = Surroundings(
            monotonic=time.monotonic,
            wall=time.time,
            chance=random.SystemRandom().uniform,
            wait=over.wait,
            say=say_on_stderr,
            told=lambda state, good: (notifier.ready if good else notifier.status)(state),
        )
        keeper = TokenKeeper(file, request.granted, around)
        if request.x509:
            keeper.follow(_outdated(request, ends))
        keeper.run()
    return 0


def _outdated(request: TokenRequest, ends: ExitStack) -> Callable[[Granted], bool]:
    """Whether a token is bound to an X.509-SVID that the agent has replaced since. `ends` ends looking for that."""
    from bridge.spire.own_identity import OwnIdentity

    own = OwnIdentity(request.endpoint, lambda: int(time.time()), spiffe_id=request.identity)
    ends.callback(own.close)
    own.start()

    def outdated(granted: Granted) -> bool:
        now, then = own.current(), granted.svid
        if now is None or then is None:
            return False
        # Never back to an older one: this stream may be behind what was fetched for the request.
        return now.chain != then.chain and now.not_after >= then.not_after

    return outdated
