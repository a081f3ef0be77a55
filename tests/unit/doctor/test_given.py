"""What somebody saved: the SVID in it, and nothing that is none of it."""

from __future__ import annotations

import base64
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.doctor.given import MAX_BYTES, GivenChain, GivenJwt, NothingGiven, read_given
from bridge.lab.authority import Authority

AUTHORITY = Authority("example.org")
TOKEN = AUTHORITY.jwt_svid("/ns/web/sa/a", "https://as.example.org")
SVID = AUTHORITY.x509_svid("/ns/web/sa/a")


def pem(label: str, body: bytes) -> str:
    return f"-----BEGIN {label}-----\n{base64.encodebytes(body).decode()}-----END {label}-----\n"


CHAIN = "".join(pem("CERTIFICATE", der) for der in SVID.chain)
KEY = pem("PRIVATE KEY", SVID.key)
JSON = json.dumps([{"svids": [{"hint": "", "spiffe_id": "x", "svid": TOKEN}]}, {"bundles": {}}])
PRINTED = f"token(spiffe://example.org/ns/web/sa/a):\n\t{TOKEN}\nbundle(spiffe://example.org):\n\t{{}}\n"


@pytest.mark.parametrize(
    ("text", "notes"),
    [(TOKEN, 0), (f"{TOKEN}\n", 1), (f"{TOKEN}\r\n", 1), (JSON, 1), (PRINTED, 1)],
    ids=["alone", "a line", "a line of DOS", "spire-agent -output json", "spire-agent"],
)
def test_a_token_is_found_as_it_is_usually_saved(text: str, notes: int) -> None:
    found = read_given(text.encode())
    assert isinstance(found, GivenJwt)
    assert found.assertion == TOKEN
    assert len(found.notes) == notes


@pytest.mark.parametrize("text", [f" {TOKEN}", f"{TOKEN}\n\n", "[]", "[" * 5000, '[{"svids": 7}]', "hello", "."])
def test_what_is_no_such_thing_is_left_to_the_verification(text: str) -> None:
    found = read_given(text.encode())
    assert isinstance(found, GivenJwt)
    assert found.assertion == text.removesuffix("\n")


@pytest.mark.parametrize("text", [CHAIN, f"junk\n{CHAIN}junk", KEY + CHAIN, CHAIN + KEY + KEY])
def test_a_chain_is_found_and_a_key_beside_it_is_not_read(text: str) -> None:
    found = read_given(text.encode())
    assert isinstance(found, GivenChain)
    assert found.chain == SVID.chain
    assert len(found.notes) == (KEY in text)
    assert all("private key" in note for note in found.notes)
    assert base64.b64encode(SVID.key).decode()[:40] not in repr(found)


def test_a_key_with_headers_is_a_key_too() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"
    found = read_given((key + CHAIN).encode())
    assert isinstance(found, GivenChain)
    assert found.chain == SVID.chain
    assert "private key" in found.notes[0]


def test_a_megabyte_of_beginnings_is_read_at_once() -> None:
    """T-50: quadratic, this would go on for minutes."""
    with pytest.raises(NothingGiven, match="no certificate"):
        read_given(b"-----BEGIN CERTIFICATE-----\n" * 37_000)
    # Each of these has an end, and is looked at for itself.
    found = read_given(b"-----BEGIN A-----\n-----END A-----\n" * 10_000 + CHAIN.encode())
    assert isinstance(found, GivenChain)
    assert found.chain == SVID.chain


def test_a_certificate_that_is_no_base64_is_left_to_the_verification() -> None:
    found = read_given(b"-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n")
    assert isinstance(found, GivenChain)
    assert found.chain == (b"\n%%%\n",)


@pytest.mark.parametrize(
    ("raw", "words"),
    [(b"", "empty"), (b"\n", "empty"), (KEY.encode(), "no certificate"), (b"x" * (MAX_BYTES + 1), "give one SVID")],
)
def test_where_there_is_no_svid_it_says_what_to_give(raw: bytes, words: str) -> None:
    with pytest.raises(NothingGiven, match=words):
        read_given(raw)


@given(st.binary(max_size=400) | st.text(alphabet='-BEGINDCRTFAPVKY \n=.[{"', max_size=200).map(str.encode))
def test_any_bytes_are_an_svid_or_none(raw: bytes) -> None:
    with suppress(NothingGiven):
        assert isinstance(read_given(raw), GivenJwt | GivenChain)
