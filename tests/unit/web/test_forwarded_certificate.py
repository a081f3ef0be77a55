"""What a trusted proxy may state, in either form, and the many ways in which it may not (T-18, SCA-19, OAS-34)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.errors import EvidenceRejected, InvalidRequest
from bridge.model.forwarding import CERTIFICATE_HEADER, CertificateHeader
from bridge.model.reasons import Reason
from bridge.verify import x509_svid
from bridge.web import encoded_certificates
from bridge.web.forwarded_certificate import forwarded_chain
from bridge.web.present import listener_asked, peer_chain

# Nothing here looks into a certificate, so any bytes will do.
LEAF, CA, ROOT = b"leaf" * 30, b"intermediate" * 20, b"root" * 40
RFC_9440, XFCC = CertificateHeader.CLIENT_CERT, CertificateHeader.XFCC
Header = tuple[bytes, bytes]


def sequence(der: bytes) -> bytes:
    return b":" + base64.b64encode(der) + b":"


def pem(*chain: bytes) -> bytes:
    """Percent-encoded as nginx and Envoy do it."""
    blocks = []
    for der in chain:
        text = base64.b64encode(der).decode()
        lines = "".join(text[at : at + 64] + "\n" for at in range(0, len(text), 64))
        blocks.append(f"-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n")
    return quote("".join(blocks), safe="").encode()


def environ(*headers: Header, kind: CertificateHeader | None) -> dict[str, object]:
    told: dict[str, object] = {"bridge.raw_headers": ((b"host", b"a"), *headers), "bridge.peer_chain": ()}
    return told if kind is None else {**told, CERTIFICATE_HEADER: kind}


def client_cert(value: bytes) -> Header:
    return b"client-cert", value


def chain(value: bytes) -> Header:
    return b"client-cert-chain", value


def xfcc(value: bytes) -> Header:
    return b"x-forwarded-client-cert", value


GOOD_RFC_9440 = client_cert(sequence(LEAF)), chain(sequence(CA) + b", " + sequence(ROOT))
GOOD_XFCC = xfcc(b'By=spiffe://example.org/envoy;Hash=00ff;Cert="%b";Chain="%b"' % (pem(LEAF), pem(LEAF, CA)))


@pytest.mark.parametrize(
    ("headers", "kind", "expected"),
    [
        pytest.param((), RFC_9440, (), id="no header"),
        pytest.param(GOOD_RFC_9440[:1], RFC_9440, (LEAF,), id="Client-Cert"),
        pytest.param(GOOD_RFC_9440, RFC_9440, (LEAF, CA, ROOT), id="Client-Cert and Client-Cert-Chain"),
        pytest.param(
            (GOOD_RFC_9440[0], chain(sequence(CA) + b"\t,  " + sequence(ROOT))),
            RFC_9440,
            (LEAF, CA, ROOT),
            id="white space between members",
        ),
        pytest.param((), XFCC, (), id="no XFCC"),
        pytest.param((GOOD_XFCC,), XFCC, (LEAF, CA), id="Cert and Chain"),
        pytest.param((xfcc(b"Cert=" + pem(LEAF)),), XFCC, (LEAF,), id="Cert, not quoted"),
        pytest.param((xfcc(b'chain="%b"' % pem(LEAF, CA)),), XFCC, (LEAF, CA), id="Chain alone, in lower case"),
        pytest.param(
            (
                xfcc(
                    b'Hash=00;Cert="%b";Subject="CN=\\"a,b;Cert=x\\"";URI=spiffe://example.org/a;DNS=a;DNS=b'
                    % pem(LEAF)
                ),
            ),
            XFCC,
            (LEAF,),
            id="T-18 a quoted subject with everything in it",
        ),
    ],
)
def test_a_sound_header_of_a_trusted_proxy_is_the_clients_chain(
    headers: tuple[Header, ...], kind: CertificateHeader, expected: tuple[bytes, ...]
) -> None:
    assert peer_chain(environ(*headers, kind=kind)) == expected


@pytest.mark.parametrize("headers", [GOOD_RFC_9440, (GOOD_XFCC,)], ids=["RFC 9440", "XFCC"])
def test_from_anybody_else_no_header_is_read_SCA_19_OAS_34(headers: tuple[Header, ...]) -> None:
    odd = (*headers, *headers, (b"client_cert", b"x"))
    assert peer_chain(environ(*odd, kind=None)) == ()
    assert listener_asked(environ(*odd, kind=None) | {"bridge.listener": "plain"}) == "plain"


REFUSED: dict[str, tuple[tuple[Header, ...], CertificateHeader]] = {
    "two Client-Cert": ((GOOD_RFC_9440[0], GOOD_RFC_9440[0]), RFC_9440),
    "two Client-Cert-Chain": ((*GOOD_RFC_9440, GOOD_RFC_9440[1]), RFC_9440),
    "underscore": ((GOOD_RFC_9440[0], (b"client_cert", sequence(CA))), RFC_9440),
    "underscore alone": (((b"client_cert", sequence(LEAF)),), RFC_9440),
    "underscore in the chain": ((GOOD_RFC_9440[0], (b"client-cert_chain", sequence(CA))), RFC_9440),
    "XFCC beside": ((*GOOD_RFC_9440, GOOD_XFCC), RFC_9440),
    "XFCC instead": ((GOOD_XFCC,), RFC_9440),
    "RFC 9440 instead": (GOOD_RFC_9440, XFCC),
    "a chain without a leaf": (GOOD_RFC_9440[1:], RFC_9440),
    "two XFCC": ((GOOD_XFCC, GOOD_XFCC), XFCC),
    "two XFCC, one with underscores": ((GOOD_XFCC, (b"x_forwarded_client_cert", GOOD_XFCC[1])), XFCC),
    "two elements": ((xfcc(GOOD_XFCC[1] + b"," + GOOD_XFCC[1]),), XFCC),
    "two elements, a certificate in the second": ((xfcc(b"Hash=00," + GOOD_XFCC[1]),), XFCC),
    "Cert twice": ((xfcc(GOOD_XFCC[1] + b';Cert="%b"' % pem(LEAF)),), XFCC),
    "Cert behind an unquoted URI": ((xfcc(b"Hash=00;URI=a;Cert=" + pem(LEAF)),), XFCC),
    "no certificate": ((xfcc(b'By=a;Hash=00;Subject="CN=a"'),), XFCC),
    "Chain of another leaf": ((xfcc(b"Cert=" + pem(LEAF) + b";Chain=" + pem(CA, LEAF)),), XFCC),
    "two in Cert": ((xfcc(b"Cert=" + pem(LEAF, CA)),), XFCC),
    "an open quote": ((xfcc(b'Cert="%b' % pem(LEAF)),), XFCC),
    "a value after a quote": ((xfcc(b'Cert="%b"x' % pem(LEAF)),), XFCC),
    "a bad escape": ((xfcc(b"Cert=%2" + pem(LEAF)),), XFCC),
    "words between certificates": ((xfcc(b"Chain=" + pem(LEAF) + b"x" + pem(CA)),), XFCC),
    "an empty Cert": ((xfcc(b"Cert="),), XFCC),
    "an empty element": ((xfcc(b""),), XFCC),
    "a trailing semicolon": ((xfcc(GOOD_XFCC[1] + b";"),), XFCC),
}
_LEAF = sequence(LEAF)
for name, value in {
    "empty": b"",
    "an empty sequence": b"::",
    "no colons": _LEAF[1:-1],
    "PEM": b"-----BEGIN CERTIFICATE-----",
    "URL-safe base64": b":-_" + _LEAF[3:],
    "a parameter": _LEAF + b";v=1",
    "a list": _LEAF + b", " + _LEAF,
    "no padding": sequence(b"1234567")[:-3] + b":",
    "stray bits": b":" + base64.b64encode(b"1")[:1] + b"R==:",
    "one character": b":A:",
    "white space inside": _LEAF[:5] + b" " + _LEAF[5:],
    "a string": b'"%b"' % _LEAF[1:-1],
}.items():
    REFUSED[f"Client-Cert: {name}"] = ((client_cert(value),), RFC_9440)
for name, value in {
    "empty": b"",
    "a trailing comma": _LEAF + b",",
    "an inner list": b"(" + _LEAF + b")",
    "no comma": _LEAF + b" " + _LEAF,
}.items():
    REFUSED[f"Client-Cert-Chain: {name}"] = ((GOOD_RFC_9440[0], chain(value)), RFC_9440)


@pytest.mark.parametrize(("headers", "kind"), REFUSED.values(), ids=[f"T-18 {name}" for name in REFUSED])
def test_anything_else_is_refused_with_a_reason(headers: tuple[Header, ...], kind: CertificateHeader) -> None:
    with pytest.raises(EvidenceRejected) as refused:
        peer_chain(environ(*headers, kind=kind))
    assert refused.value.reason is Reason.CERTIFICATE_HEADER
    assert str(refused.value)


def rfc_9440_of(*members: bytes) -> tuple[tuple[Header, ...], CertificateHeader]:
    rest = b",".join(map(sequence, members[1:]))
    return (client_cert(sequence(members[0])), *([chain(rest)] if rest else [])), RFC_9440


def xfcc_of(*members: bytes) -> tuple[tuple[Header, ...], CertificateHeader]:
    return (xfcc(b"Chain=" + pem(*members)),), XFCC


@pytest.mark.parametrize("form", [rfc_9440_of, xfcc_of], ids=["RFC 9440", "XFCC"])
def test_the_caps_are_looked_at_before_anything_is_decoded_T_15(
    form: Callable[..., tuple[tuple[Header, ...], CertificateHeader]], monkeypatch: pytest.MonkeyPatch
) -> None:
    five, six = [LEAF] * 5, [LEAF] * 6
    largest, larger = [b"x" * 32 * 1024], [b"x" * (32 * 1024 + 1)]

    def read(*members: bytes) -> tuple[bytes, ...]:
        headers, kind = form(*members)
        return peer_chain(environ(*headers, kind=kind))

    assert read(*five) == tuple(five)
    assert read(*largest) == tuple(largest)
    monkeypatch.setattr(encoded_certificates.base64, "b64decode", lambda *_, **__: pytest.fail("decoded"))
    for members in (six, [*larger, LEAF]):
        with pytest.raises(EvidenceRejected) as refused:
            read(*members)
        assert refused.value.reason is Reason.CREDENTIAL_TOO_LARGE


def test_the_caps_are_those_of_chains_from_handshakes() -> None:
    assert encoded_certificates.MAX_CERTIFICATES == x509_svid.MAX_CERTIFICATES
    assert encoded_certificates.MAX_CHAIN_BYTES == x509_svid.MAX_CHAIN_BYTES


def test_a_certificate_of_the_proxys_own_beside_its_clients_is_one_too_many() -> None:
    told = environ(*GOOD_RFC_9440, kind=RFC_9440) | {"bridge.peer_chain": (CA,)}
    with pytest.raises(InvalidRequest) as refused:
        peer_chain(told)
    assert refused.value.reason is Reason.CREDENTIALS_MIXED
    assert peer_chain(environ(kind=RFC_9440) | {"bridge.peer_chain": (CA,)}) == (CA,)


def test_a_client_with_a_forwarded_certificate_was_where_certificates_are_asked_for_OAS_35() -> None:
    assert listener_asked(environ(*GOOD_RFC_9440, kind=RFC_9440) | {"bridge.listener": "proxy"}) == "mtls"
    assert listener_asked(environ(kind=RFC_9440) | {"bridge.listener": "proxy"}) == "proxy"


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=5))
def test_whatever_a_proxy_encodes_comes_out_as_it_was(members: list[bytes]) -> None:
    for headers, kind in (rfc_9440_of(*members), xfcc_of(*members)):
        assert forwarded_chain(environ(*headers, kind=kind)) == tuple(members)


_PIECES = st.sampled_from(
    [b":", b",", b";", b"=", b'"', b"\\", b"%41", b"%", b"Cert", b"Chain", b"URI", pem(LEAF), _LEAF]
)


@given(
    st.lists(st.one_of(_PIECES, st.binary(max_size=6)), max_size=12).map(b"".join), st.sampled_from([RFC_9440, XFCC])
)
def test_no_value_breaks_the_readers(value: bytes, kind: CertificateHeader) -> None:
    header = client_cert(value) if kind is RFC_9440 else xfcc(value)
    try:
        found = forwarded_chain(environ(header, kind=kind))
    except EvidenceRejected:
        return
    assert all(found)
