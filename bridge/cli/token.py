"""`bridge token`: the workload's side, and an example of it. An SVID goes in, an access token comes out."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.options import Failure, config_option, json_option, settings_of
from bridge.cli.output import emit_json, printable, say
from bridge.model.spiffe_id import InvalidSpiffeId, SpiffeId

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from bridge.cli.token_endpoint import Answer, Connector
    from bridge.spire.endpoint import WorkloadEndpoint
    from bridge.spire.workload_client import WorkloadApiFailed

JWT_SPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"


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
    as_json: bool,
    config: Path,
) -> int:
    """Fetch an SVID from the Workload API, and print the access token that it gets.

    Needs no secret and no registration: the first request registers the workload. With --issuer no
    configuration is read.

    \b
    Example:
      bridge token --scope ledger.read --issuer https://127.0.0.1:8443 --ca tls/test-ca.pem
      bridge token --client-id https://agents.example.org/planner
    """
    from bridge.cli.token_endpoint import Connector, discover

    endpoint, identity = _workload_api(socket, spiffe_id)
    issuer = issuer or settings_of(config).issuer
    connector = Connector(ca=ca, timeout=timeout)
    url = discover(connector, issuer, mtls=x509)
    form = [("grant_type", "client_credentials"), *(("resource", resource) for resource in resources)]
    if scope is not None:
        form.append(("scope", scope))
    name, credential = _credential(endpoint, identity, issuer, connector, x509=x509, timeout=timeout)
    # Beside a certificate a client has to be named (RFC 8705 section 2); an assertion speaks for itself.
    if client_id is not None or x509:
        form.append(("client_id", client_id or name))
    form += credential
    answer = _post(connector, url, form, key_file)
    if answer.status != 200:
        return _refused(answer, as_json, scope)
    if as_json:
        emit_json(dict(answer.body))
    else:
        say(printable(answer.body.get("access_token")))
    return 0


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


def _credential(
    endpoint: WorkloadEndpoint,
    identity: SpiffeId | None,
    issuer: str,
    connector: Connector,
    *,
    x509: bool,
    timeout: float,
) -> tuple[str, list[tuple[str, str]]]:
    """The SPIFFE ID of a certificate (empty otherwise), and the form fields that prove who asks. A JWT-SVID has one
    audience, the issuer (SCA-5); a certificate goes with the TLS connection."""
    from bridge.cli.token_endpoint import Certificate
    from bridge.spire.workload_client import WorkloadApiFailed, fetch_jwt_svid, fetch_x509_svid

    try:
        if x509:
            svid = fetch_x509_svid(endpoint, timeout=timeout, spiffe_id=identity)
            connector.present(Certificate(svid.chain, svid.key))
            return str(svid.spiffe_id), []
        assertion = fetch_jwt_svid(endpoint, issuer, timeout=timeout, spiffe_id=identity)
        return "", [("client_assertion_type", JWT_SPIFFE), ("client_assertion", assertion)]
    except WorkloadApiFailed as error:
        raise Failure(f"{error}. {_advice(error, identity)}") from error


def _advice(error: WorkloadApiFailed, identity: SpiffeId | None) -> str:
    """What to look at next: the agent only where it did not answer."""
    # gRPC is not imported for one name: what it raised knows its code.
    code = getattr(error.__cause__, "code", None)
    if callable(code) and code().name in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
        return "Is the agent up, and is this its socket?"
    if identity is not None:
        return (
            f"Has this process an entry with that ID? On the SPIRE server: spire-server entry show -spiffeID {identity}"
        )
    return "Is there a registration entry for this process?"


def _post(connector: Connector, url: str, form: list[tuple[str, str]], key_file: Path | None) -> Answer:
    """Send the request; with DPoP once more when the server wants a nonce (RFC 9449 section 8)."""
    if key_file is None:
        return connector.post(url, form, {})
    from bridge.cli.dpop_proof import key_in

    key = key_in(key_file)
    answer = connector.post(url, form, _dpop(key, url, None))
    nonce = answer.headers.get("dpop-nonce")
    if answer.body.get("error") == "use_dpop_nonce" and nonce is not None:
        return connector.post(url, form, _dpop(key, url, nonce))
    return answer


def _dpop(key: EllipticCurvePrivateKey, url: str, nonce: str | None) -> dict[str, str]:
    from bridge.cli.dpop_proof import proof

    return {"DPoP": proof(key, url, jti=secrets.token_urlsafe(16), now=int(time.time()), nonce=nonce)}


def _refused(answer: Answer, as_json: bool, scope: str | None) -> int:
    body = answer.body
    error_id = printable(body.get("error_id") or answer.headers.get("x-request-id"))
    if as_json:
        emit_json(dict(body))
        return 1
    retry = answer.headers.get("retry-after")
    raise Failure(
        f"refused ({answer.status} {printable(body.get('error'))}): {printable(body.get('error_description'))}\n"
        f"error_id {error_id}; the reason is in the server's log and audit: `bridge audit show {error_id}`"
        + (f"\ntry again in {printable(retry)} s" if retry else "")
        + "".join(f"\n{hint}" for hint in _hints(answer, scope))
    )


def _hints(answer: Answer, scope: str | None) -> Iterator[str]:
    """What this command can do about a refusal, or somebody else."""
    words = str(answer.body.get("error_description"))
    if answer.status == 400 and "DPoP proof" in words:
        yield "--dpop FILE sends one, with the key in FILE, which is made if absent"
    if answer.status == 403:
        yield "an operator has to approve this client: `bridge clients list --pending`"
    # A comma may be part of a scope's name, so that it is no wrong usage.
    if scope and "," in scope:
        yield "scopes are separated by blanks, not by commas: --scope 'a b'"
