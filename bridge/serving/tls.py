"""TLS contexts: one that asks for no client certificate, and one that does.

The handshake decides little on purpose. It proves that the client holds its leaf's key and that some
loaded bundle is above it; time, trust domain and leaf rules are for the application, which answers
with a reason where a handshake could only break off (interface section 9, "Handshakes").
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from bridge.files.paths import TooLarge, read_bounded
from bridge.files.unnamed_pem import unnamed_pem
from bridge.model.own_svid import OwnSvid

# X509_V_FLAG_NO_CHECK_TIME. Not named by the ssl module.
NO_CHECK_TIME = 0x200000

# TLS 1.2 with forward secrecy and authenticated encryption only; TLS 1.3 has nothing else.
_TLS12_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_CERTIFICATE_LIMIT = 256 * 1024


class UnfitCertificate(Exception):
    """The server's certificate and key cannot be used; the text says why and names the file, or whose they are."""


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """Files of the server's chain and key, and when its leaf ends (epoch seconds)."""

    certificate: Path
    private_key: Path
    not_after: int


# What a listener shows of itself: files, or the X.509-SVID that an agent gave this process.
Shown = ServerCertificate | OwnSvid


def read_certificate(certificate: Path, private_key: Path) -> ServerCertificate:
    """Look at the certificate file's leaf. That the key fits is found by `plain_context`.

    Raises: UnfitCertificate.
    """
    try:
        chain = x509.load_pem_x509_certificates(read_bounded(certificate, _CERTIFICATE_LIMIT))
    except (OSError, TooLarge) as error:
        raise UnfitCertificate(f"{certificate}: cannot be read ({error})") from error
    except ValueError as error:
        raise UnfitCertificate(f"{certificate}: holds no PEM certificate that can be read") from error
    return ServerCertificate(certificate, private_key, int(chain[0].not_valid_after_utc.timestamp()))


def _no_passphrase() -> str:
    # Without this the ssl module would ask on the terminal.
    return ""


def _bare_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS12_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    # A renegotiation could put another certificate under a connection whose chain was read already.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    return context


def plain_context(certificate: Shown) -> ssl.SSLContext:
    """A context that asks for no client certificate. Raises: UnfitCertificate."""
    context = _bare_context()
    if isinstance(certificate, OwnSvid):
        _load_svid(context, certificate)
    else:
        _load_files(context, certificate)
    return context


def _load_files(context: ssl.SSLContext, files: ServerCertificate) -> None:
    try:
        context.load_cert_chain(files.certificate, files.private_key, password=_no_passphrase)
    except ssl.SSLError as error:
        reason = (error.reason or str(error)).lower().replace("_", " ")
        raise UnfitCertificate(
            f"{files.certificate} with {files.private_key}: {reason} (the key must be unencrypted PEM, and"
            " the one of the first certificate)"
        ) from error
    except OSError as error:
        raise UnfitCertificate(f"{files.private_key}: cannot be read ({error.strerror})") from error


def _load_svid(context: ssl.SSLContext, svid: OwnSvid) -> None:
    try:
        with unnamed_pem(svid.chain, svid.key) as path:
            context.load_cert_chain(path, password=_no_passphrase)
    except ssl.SSLError as error:
        reason = (error.reason or "not usable").lower().replace("_", " ")
        raise UnfitCertificate(f"the X.509-SVID of {svid.spiffe_id}: {reason}") from error
    except OSError as error:
        raise UnfitCertificate(f"the X.509-SVID of {svid.spiffe_id}: cannot be loaded ({error.strerror})") from error


def _ask_for_certificate(context: ssl.SSLContext) -> None:
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags = ssl.VerifyFlags(context.verify_flags | ssl.VERIFY_X509_PARTIAL_CHAIN | NO_CHECK_TIME)
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0


def asking_context(certificate: Shown) -> ssl.SSLContext:
    """A context that asks for a client certificate, without any anchor.

    So a certificate is asked for, and a client that sends one fails until its anchor is there. Partial chains are on:
    every anchor is one, self-signed or not. Raises: UnfitCertificate.
    """
    context = plain_context(certificate)
    _ask_for_certificate(context)
    return context


def single_use_front(real: ssl.SSLContext) -> ssl.SSLContext:
    """A context for one handshake that hands over to `real` at the client's hello.

    The session cache of TLS 1.2 cannot be turned off through the ssl module, and belongs to the context
    a connection began with. With a context per connection there is no earlier session to be found in
    it, so none can be resumed past the certificate request. Costs about 0.1 ms.
    """
    front = _bare_context()
    _ask_for_certificate(front)

    def hand_over(tls: ssl.SSLObject, _server_name: str, _context: ssl.SSLContext) -> None:
        tls.context = real

    front.sni_callback = hand_over
    return front
