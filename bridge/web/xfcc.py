"""Envoy's `X-Forwarded-Client-Cert`: one element, of which only the certificates are read.

`By=...;Hash=...;Cert="...";Chain="...";Subject="...";URI=...;DNS=...`: `Cert` is the leaf and `Chain` the
leaf and its intermediates, PEM with percent escapes. What a proxy says of the certificate (its subject, its
names, its hash) decides nothing here; the certificate itself is asked.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from bridge.model.errors import EvidenceRejected
from bridge.model.reasons import Reason
from bridge.web.encoded_certificates import MAX_ENCODED, check_encoded, decode

NAME = b"x-forwarded-client-cert"

_PAIR = re.compile(rb'([A-Za-z][A-Za-z0-9_-]*)=("(?:[^"\\]|\\.)*"|[^",;=\\]*)', re.DOTALL)
_ESCAPED = re.compile(rb"(?:[^%]|%[0-9A-Fa-f]{2})*", re.DOTALL)
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\n((?:[A-Za-z0-9+/]+={0,2}\n)+)-----END CERTIFICATE-----\n?")
# What the proxy itself writes. Everything else stands behind the certificates: it quotes the client's
# certificate, and an unquoted URI in it could go on with `;Cert=` in words of the client's own.
_BEFORE_CERTIFICATES = frozenset({b"by", b"hash"})
_CERTIFICATES = frozenset({b"cert", b"chain"})
# Every character of the PEM may come as an escape of three; its lines add less than the rest.
_MAX_FIELD = 3 * MAX_ENCODED


def chain_of(value: bytes) -> tuple[bytes, ...]:
    """The certificates of a header's one element, DER, leaf first.

    Raises: EvidenceRejected for a second element, a value that is not of the header's form, a certificate
    field that comes twice, not before the fields that quote the certificate, or not at all, and for a leaf
    that is not the chain's first. Not checked: that any of it is a certificate.
    """
    fields = _certificate_fields(value)
    leaf = _certificates(fields[b"cert"]) if b"cert" in fields else ()
    if len(leaf) > 1:
        raise _refused("Cert holds more than one certificate")
    chain = _certificates(fields[b"chain"]) if b"chain" in fields else leaf
    if leaf and chain[0] != leaf[0]:
        raise _refused("the first certificate of Chain is another than Cert")
    return chain


def _certificate_fields(value: bytes) -> dict[bytes, bytes]:
    fields: dict[bytes, bytes] = {}
    behind, place = False, 0
    while True:
        pair = _PAIR.match(value, place)
        if pair is None:
            raise _refused("not of the form key=value;key=value")
        name, place = pair[1].lower(), pair.end()
        if name in _CERTIFICATES:
            if name in fields or behind:
                raise _refused(f"{name.decode()} comes twice, or behind what quotes the certificate")
            fields[name] = pair[2]
        elif name not in _BEFORE_CERTIFICATES:
            behind = True
        if place == len(value):
            break
        if value[place : place + 1] != b";":
            words = "two elements" if value[place : place + 1] == b"," else "not of the form key=value;key=value"
            raise _refused(words)
        place += 1
    if not fields:
        raise _refused("neither Cert nor Chain: have the proxy send them")
    return fields


def _certificates(value: bytes) -> tuple[bytes, ...]:
    if len(value) > _MAX_FIELD:
        raise EvidenceRejected(Reason.CREDENTIAL_TOO_LARGE, "a certificate field over its size")
    text = value[1:-1] if value.startswith(b'"') else value
    if _ESCAPED.fullmatch(text) is None:
        raise _refused("not percent-encoded")
    pem = unquote_to_bytes(text)
    encoded, place = [], 0
    while place < len(pem):
        block = _PEM.match(pem, place)
        if block is None:
            raise _refused("not PEM of certificates alone")
        encoded.append(block[1].replace(b"\n", b""))
        place = block.end()
    if not encoded:
        raise _refused("an empty certificate field")
    check_encoded(encoded)
    return tuple(decode(each) for each in encoded)


def _refused(words: str) -> EvidenceRejected:
    return EvidenceRejected(Reason.CERTIFICATE_HEADER, f"x-forwarded-client-cert: {words}")
