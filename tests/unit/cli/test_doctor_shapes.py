"""`bridge doctor` with statements, client assertions, documents and proofs: which it takes a file for, and what it
never says, whatever stands in them."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.ambient import now
from bridge.lab.jws import JwtKey, to_json
from tests.flows.dpop import DpopKey
from tests.unit.cli.conftest import Run

ISSUER = "https://127.0.0.1:8443"
URL = "https://app.example.org/client.json"
HOSTILE = "\x1b]0;gone\x07\x1b[2J\r\nok: the service would accept this\x9b31m‮<script>"
KEY, PROVER = JwtKey.generate("ES256", kid="key-1"), DpopKey()
Saved = Callable[[str | bytes], Path]


@pytest.fixture
def saved(folder: Path) -> Saved:
    def save(text: str | bytes) -> Path:
        path = folder / "given"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return save


def signed(claims: dict[str, object], **header: object) -> str:
    at = now()
    said = {"iat": at, "exp": at + 60, "jti": "once", **claims}
    return KEY.sign({"alg": "ES256", "kid": KEY.kid, "typ": "JWT", **header}, to_json(said))


def assertion(**claims: Any) -> str:
    return signed({"iss": "client-a", "sub": "client-a", "aud": ISSUER, **claims})


def statement(**claims: Any) -> str:
    return signed({"iss": "https://nobody.example", "sub": "pipeline", "aud": f"{ISSUER}/register", **claims})


def document(**members: Any) -> bytes:
    return json.dumps({"client_id": URL, "client_name": "Planner", **members}).encode()


# --- what it is taken for -------------------------------------------------------------------------


def test_each_kind_is_told_by_what_it_says_of_itself(run: Run, saved: Saved) -> None:
    said = run("doctor", saved(assertion()), "--json").json
    assert (said["evidence"], said["reason"], said["subject"]) == ("client-assertion", "client_unknown", "client-a")
    said = run("doctor", saved(PROVER.proof("POST", f"{ISSUER}/token")), "--json").json
    assert (said["evidence"], said["accepted"], said["subject"]) == ("DPoP proof", True, f"key {PROVER.thumbprint}")
    said = run("doctor", saved(statement()), "--as", "statement", "--json").json
    assert (said["evidence"], said["reason"], said["door"]) == ("software-statement", "statement_issuer", "register")
    said = run("doctor", saved(document()), "--url", URL, "--json").json
    assert (said["evidence"], said["reason"], said["subject"]) == ("metadata-document", "policy_no_rule", URL)


def test_a_registration_request_is_taken_whole(run: Run, saved: Saved) -> None:
    request = json.dumps({"software_statement": statement(), "scope": "ledger.read"})
    ran = run("doctor", saved(request), "--json")
    assert (ran.json["evidence"], ran.json["door"]) == ("software-statement", "register")
    body = next(one for one in ran.json["steps"] if one["name"] == "body")
    assert body["found"] == '"scope"'


def test_a_proof_is_for_its_door_and_another_url_can_be_told(run: Run, saved: Saved) -> None:
    proof = saved(PROVER.proof("GET", "https://ledger.example.org/accounts", ath="x"))
    refused = run("doctor", proof, "--json")
    assert refused.json["reason"] == "dpop_mismatch"
    assert any("ath" in sentence for sentence in refused.json["notes"])
    assert run("doctor", proof, "--method", "GET", "--url", "https://ledger.example.org/accounts").code == 0


def test_what_it_is_can_be_told(run: Run, saved: Saved) -> None:
    as_svid = run("doctor", saved(assertion()), "--as", "svid", "--json").json
    assert (as_svid["evidence"], as_svid["reason"]) == ("jwt-svid", "spiffe_id_invalid")
    as_proof = run("doctor", saved(assertion()), "--as", "proof", "--json").json
    assert (as_proof["evidence"], as_proof["reason"]) == ("DPoP proof", "dpop_malformed")


def test_the_url_of_a_client_is_looked_at_as_far_as_its_letters_go(run: Run, folder: Path) -> None:
    ran = run("doctor", "https://APP.example.org/client.json", "--json")
    assert ran.code == 1
    assert (ran.json["reason"], ran.json["steps"][0]["name"]) == ("document_refused", "url")
    assert "lower case" in ran.json["advice"]


def test_a_document_is_asked_for_codes_where_its_rule_is_about_them_and_nobody_said_what_it_asks(
    run: Run, saved: Saved
) -> None:
    url = "https://mail.apps.example.org/client.json"
    back = {"redirect_uris": ["https://mail.apps.example.org/callback"], "token_endpoint_auth_method": "none"}
    words = (saved(document(client_id=url, **back)), "--url", url, "--json")
    unsaid = run("doctor", *words)
    assert (unsaid.code, unsaid.json["door"], unsaid.json["reason"]) == (0, "par", None)
    said = run("doctor", *words, "--door", "token")
    assert (said.code, said.json["door"], said.json["reason"]) == (1, "token", "policy_grant_type")


# --- what it never says ---------------------------------------------------------------------------


def hostile_documents() -> list[bytes]:
    members = ("client_id", "client_name", "token_endpoint_auth_method", "jwks", "spiffe_id", "client_id_expires_at")
    return [document(**{name: HOSTILE}) for name in (*members, HOSTILE)] + [document(redirect_uris=[HOSTILE])]


HOSTILE_THINGS: list[tuple[str, tuple[str, ...]]] = [
    *((assertion(**{name: HOSTILE}), ("--as", "assertion")) for name in ("iss", "aud", "jti", "exp", "nbf", HOSTILE)),
    *((signed({"sub": "client-a"}, **{name: HOSTILE}), ("--as", "assertion")) for name in ("kid", "typ", HOSTILE)),
    *(
        (statement(**{name: HOSTILE}), ("--as", "statement"))
        for name in ("iss", "sub", "aud", "iat", "client_name", "jwks", HOSTILE)
    ),
    *((PROVER.proof("POST", ISSUER, **{name: HOSTILE}), ()) for name in ("htm2", "nonce", "jti", "ath", HOSTILE)),
    (PROVER.proof(HOSTILE, HOSTILE), ()),
    (PROVER.proof("POST", ISSUER, header={"kid": HOSTILE}), ()),
]


@pytest.mark.parametrize("number", range(len(HOSTILE_THINGS)))
def test_no_field_reaches_the_terminal_as_it_is_T_49(run: Run, saved: Saved, number: int) -> None:
    text, words = HOSTILE_THINGS[number]
    for more in ((), ("--json",)):
        ran = run("doctor", saved(text), *words, *more)
        assert ran.code == 1
        assert (ran.out + ran.err).replace("\n", "").isprintable()
        assert "ok: the service would accept this" not in [line.strip() for line in ran.out.splitlines()]
        assert not [part for part in text.split(".") if part in ran.out + ran.err]


@pytest.mark.parametrize("body", hostile_documents(), ids=range(8))
def test_no_member_of_a_document_reaches_the_terminal_as_it_is_T_49(run: Run, saved: Saved, body: bytes) -> None:
    for more in ((), ("--json",)):
        ran = run("doctor", saved(body), "--url", URL, *more)
        assert ran.code == 1
        assert (ran.out + ran.err).replace("\n", "").isprintable()


def test_no_url_reaches_the_terminal_as_it_is_T_49(run: Run, saved: Saved, folder: Path) -> None:
    for words in ((f"https://x.example/{HOSTILE}",), (saved(document()), "--url", f"https://x.example/{HOSTILE}")):
        ran = run("doctor", *words)
        assert ran.code == 1
        assert (ran.out + ran.err).replace("\n", "").isprintable()


def private_jwk() -> dict[str, str]:
    jwk: dict[str, str] = PROVER._key.as_dict(private=True)
    return jwk


def test_a_private_key_is_refused_and_nothing_of_it_is_said_T_9(run: Run, saved: Saved) -> None:
    jwk = private_jwk()
    for text in (json.dumps(jwk), json.dumps({"keys": [jwk]}), json.dumps({"kty": "oct", "k": jwk["d"]})):
        ran = run("doctor", saved(text))
        assert ran.code == 2
        assert "private key" in ran.err
        assert jwk["d"] not in ran.out + ran.err
    # In a document it is a fault of the document, which everybody can read.
    ran = run("doctor", saved(document(jwks={"keys": [jwk]})), "--url", URL)
    assert "Publish public keys alone" in ran.out
    assert jwk["d"] not in ran.out + ran.err


@pytest.mark.parametrize("kind", ["token", "key", "jwk"])
def test_what_is_pasted_in_place_of_a_file_is_refused_without_echo(run: Run, folder: Path, kind: str) -> None:
    jwk = private_jwk()
    pasted = {
        "token": assertion(),
        "key": f"-----BEGIN PRIVATE KEY-----\n{jwk['d']}\n-----END PRIVATE KEY-----",
        "jwk": json.dumps(jwk),
    }[kind]
    ran = run("doctor", pasted) if kind != "key" else run("doctor", "--", pasted)
    assert ran.code == 2
    assert "standard input" in ran.err
    assert not [part for part in (*pasted.split("."), jwk["d"]) if len(part) > 8 and part in ran.out + ran.err]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"{}", ()),
        (document(), ()),
        (document(), ("--as", "document")),
        (b'{"software_statement": 7}', ()),
    ],
    ids=["an empty object", "a document without its URL", "one that is said to be one", "no statement"],
)
def test_what_cannot_be_examined_says_what_is_missing(
    run: Run, saved: Saved, text: bytes, words: tuple[str, ...]
) -> None:
    ran = run("doctor", saved(text), *words)
    assert ran.code == 2
    assert "--url" in ran.err


def test_a_proof_comes_through_a_pipe_and_its_line_end_is_left_out(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = f"{PROVER.proof('POST', f'{ISSUER}/token')}\n".encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    ran = run("doctor", "-", "--json")
    assert ran.code == 0
