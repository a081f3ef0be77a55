"""`bridge lab resource`: an MCP server behind access tokens, to see what they are good for."""

from __future__ import annotations

import signal
import ssl
import sys
import threading
from pathlib import Path

import click

from bridge.cli.options import Failure, json_option
from bridge.cli.output import emit_fields, emit_json_line, say

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command()
@click.option("--issuer", required=True, metavar="URL", help="The authorization server whose tokens count.")
@click.option("--ca", type=_FILE, metavar="FILE", help="CA of the authorization server.")
@click.option("--listen", default="127.0.0.1:9400", show_default=True, metavar="HOST:PORT", help="Port 0: a free one.")
@click.option("--path", default="/mcp", show_default=True, help="Where the resource is; part of its name.")
@click.option("--certificate", type=_FILE, metavar="FILE", help="TLS certificate; without it plain http on loopback.")
@click.option("--private-key", type=_FILE, metavar="FILE", help="Its key.")
@click.option(
    "--client-ca",
    type=_FILE,
    metavar="FILE",
    help="Ask for client certificates of these CAs (PEM, or a SPIFFE bundle), for tokens bound to one.",
)
@click.option("--require-dpop", is_flag=True, help="Take DPoP-bound tokens only.")
@click.option("--dpop-nonces", is_flag=True, help="Let each proof carry a nonce of this resource.")
@json_option
def resource(
    issuer: str,
    ca: Path | None,
    listen: str,
    path: str,
    certificate: Path | None,
    private_key: Path | None,
    client_ca: Path | None,
    require_dpop: bool,
    dpop_nonces: bool,
    as_json: bool,
) -> int:
    """Run a small MCP server that takes the service's tokens, until Ctrl-C.

    It verifies them offline. Its URL has to be a resource of the catalogue, with the scopes tools.list and
    tools.call; it needs no lab.

    \b
    Example:
      bridge lab resource --issuer https://127.0.0.1:8443 --ca tls/test-ca.pem
    """
    from bridge.lab.authority import wall_clock
    from bridge.lab.resource import ProtectedResource, ResourceOptions

    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit():
        raise click.BadParameter("write HOST:PORT", param_hint="--listen")
    if (certificate is None) is not (private_key is None) or (client_ca is not None and certificate is None):
        raise click.UsageError("TLS needs --certificate and --private-key, and so does --client-ca")
    try:
        options = ResourceOptions(
            issuer=issuer,
            issuer_tls=ssl.create_default_context(cafile=None if ca is None else str(ca)),
            host=host,
            port=int(port),
            path=path,
            tls=None if certificate is None else _tls(certificate, private_key, client_ca),
            certificates=client_ca is not None,
            require_dpop=require_dpop,
            dpop_nonces=dpop_nonces,
        )
        running = ProtectedResource(options, clock=wall_clock)
    except (OSError, ValueError) as error:
        raise Failure(str(error)) from error
    told = {"resource": running.identifier, "metadata": running.metadata_url, "issuer": issuer}
    with running:
        _until_asked_to_end(told, as_json)
    return 0


def _until_asked_to_end(told: dict[str, str], as_json: bool) -> None:
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        if as_json:
            emit_json_line(told)
        else:
            emit_fields(told)
            say("ready; Ctrl-C ends it")
        sys.stdout.flush()
        stop.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tls(certificate: Path, private_key: Path | None, client_ca: Path | None) -> ssl.SSLContext:
    """The server's side of TLS. With `client_ca` a certificate is asked for and may be left out: only tokens that are
    bound to one need it. Raises: OSError, ValueError."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, private_key)
    if client_ca is not None:
        anchors = client_ca.read_bytes()
        pem = b"-----BEGIN" in anchors
        context.load_verify_locations(cadata=anchors.decode("ascii") if pem else _authorities(anchors))
        context.verify_mode = ssl.CERT_OPTIONAL
        # A bundle's authorities need not be self-signed.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _authorities(bundle: bytes) -> bytes:
    """The X.509 authorities of a SPIFFE bundle, DER, one after the other. Raises: ValueError."""
    from bridge.model.spiffe_id import TrustDomain
    from bridge.spire.parse import parse_bundle

    # Whose bundle it is means nothing here: the handshake wants anchors, and the binding a hash.
    found = parse_bundle(bundle, TrustDomain("unnamed")).x509_authorities
    if not found:
        raise ValueError("--client-ca holds neither certificates in PEM nor X.509 authorities of a SPIFFE bundle")
    return b"".join(found)
