"""The client certificate that a trusted proxy says it saw, from the one header that this proxy may state.

A proxy is believed in one thing: that the client behind this request proved to have the leaf's key. The
certificate itself is verified again like one from a handshake; nothing here looks into it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bridge.model.errors import EvidenceRejected
from bridge.model.forwarding import CERTIFICATE_HEADER, CertificateHeader
from bridge.model.reasons import Reason
from bridge.web import xfcc
from bridge.web.encoded_certificates import MAX_CERTIFICATES, check_encoded, decode

CLIENT_CERT, CLIENT_CERT_CHAIN = b"client-cert", b"client-cert-chain"
# Which names each kind of proxy may state. The others in this table are refused from it.
_NAMES = {
    CertificateHeader.CLIENT_CERT: (CLIENT_CERT, CLIENT_CERT_CHAIN),
    CertificateHeader.XFCC: (xfcc.NAME,),
}
_ALL_NAMES = frozenset(name for names in _NAMES.values() for name in names)
# RFC 8941 section 3.3.5, and no parameters: RFC 9440 defines none.
_BYTE_SEQUENCE = re.compile(rb":([A-Za-z0-9+/]+={0,2}):")


def forwarded_chain(environ: Mapping[str, Any]) -> tuple[bytes, ...]:
    """The chain that the header states, DER, leaf first; empty without a header, or from nobody trusted.

    Raises: EvidenceRejected when it is there twice, spelt with `_`, of the other kind, or not strictly in
    its form; when it is over the caps of interface section 7, which are looked at before anything is
    decoded. Not checked: that any of it is a certificate.
    Spec: RFC 9440 section 2; interface section 9, "Proxies"; SCA-19, OAS-34, T-18.
    """
    kind: CertificateHeader | None = environ.get(CERTIFICATE_HEADER)
    if kind is None:
        return ()
    stated = _stated(environ["bridge.raw_headers"], kind)
    if kind is CertificateHeader.XFCC:
        value = stated.get(xfcc.NAME)
        return () if value is None else xfcc.chain_of(value)
    return _rfc_9440(stated.get(CLIENT_CERT), stated.get(CLIENT_CERT_CHAIN))


def states_certificate(environ: Mapping[str, Any]) -> bool:
    """Whether a trusted proxy sent a certificate header, sound or not."""
    if CERTIFICATE_HEADER not in environ:
        return False
    return any(name in _ALL_NAMES for name, _ in environ["bridge.raw_headers"])


def _stated(headers: tuple[tuple[bytes, bytes], ...], kind: CertificateHeader) -> dict[bytes, bytes]:
    """The certificate headers by name, none twice. The server has the names in lower case."""
    stated: dict[bytes, bytes] = {}
    for name, value in headers:
        spelt = name.replace(b"_", b"-")
        if spelt not in _ALL_NAMES:
            continue
        word = name.decode("ascii")
        if spelt != name:
            # A proxy that drops or sets `Client-Cert` may let this one pass, which others read as the same.
            raise _refused(f"{word}: `_` for `-`")
        if name not in _NAMES[kind]:
            raise _refused(f"{word}: this proxy states its certificates as {kind}")
        if name in stated:
            raise _refused(f"two {word} headers")
        stated[name] = value
    return stated


def _rfc_9440(leaf: bytes | None, intermediates: bytes | None) -> tuple[bytes, ...]:
    if leaf is None:
        if intermediates is not None:
            raise _refused("client-cert-chain without client-cert")
        return ()
    encoded = [_byte_sequence(leaf, "client-cert")]
    if intermediates is not None:
        members = intermediates.split(b",", MAX_CERTIFICATES)
        encoded += [_byte_sequence(member.strip(b" \t"), "client-cert-chain") for member in members]
    check_encoded(encoded)
    return tuple(decode(each) for each in encoded)


def _byte_sequence(item: bytes, name: str) -> bytes:
    match = _BYTE_SEQUENCE.fullmatch(item)
    if match is None:
        raise _refused(f"{name}: not a byte sequence (RFC 8941 section 3.3.5)")
    return match[1]


def _refused(words: str) -> EvidenceRejected:
    return EvidenceRejected(Reason.CERTIFICATE_HEADER, words)
