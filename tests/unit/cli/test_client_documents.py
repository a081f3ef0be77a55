"""`bridge clients approve URL`: an operator sees a client's document before letting the client in (CIMD-24)."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from bridge.ambient import now
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.client import ClientKind, ClientState, ProposedClient
from bridge.store.ports import Store
from tests.svid_factory import JwtAuthoritySigner
from tests.unit.cli.conftest import LIMITS, Run
from tests.unit.fetch.tls_server import CA, TlsServer, http, sends

SIGNER = JwtAuthoritySigner.make("key-1")


@pytest.fixture
def host(folder: Path) -> Iterator[TlsServer]:
    """A web host that the service of this folder may fetch from."""
    with TlsServer() as server:
        (folder / "ca.pem").write_bytes(CA.certificate_pem)
        with (folder / "bridge.toml").open("a") as config:
            config.write(f'\n[fetch]\nallow_hosts = ["127.0.0.1:{server.port}"]\nca_file = "ca.pem"\n')
        yield server


def url_of(host: TlsServer, path: str = "/client.json") -> str:
    return host.url(path, host="127.0.0.1")


def serve(host: TlsServer, **members: Any) -> bytes:
    """Put a document at the URL, of a public client unless `members` say otherwise."""
    document = {
        "client_id": url_of(host),
        "client_name": "Notes",
        "redirect_uris": ["https://notes.example/cb"],
        "token_endpoint_auth_method": "none",
        **members,
    }
    body = json.dumps(document).encode()
    host.answer = sends(http(body))
    return body


def wait(store: Store, url: str) -> None:
    """A client that came with this URL and was told to wait."""
    at = now()
    proposed = ProposedClient(
        client_id=url,
        kind=ClientKind.METADATA_DOCUMENT,
        subject=url,
        trust_domain=None,
        state=ClientState.PENDING,
        rule="apps",
        metadata={},
    )
    event = AuditEvent("reg", at, AuditEventKind.REGISTERED, subject=url, client_id=url)
    store.clients.ensure(proposed, limits=LIMITS, idle_expiry=10**9, event=event, now=at)
    store.clients.await_approval(url, rule="apps", digest="d1", now=at)


def is_approved(store: Store, url: str) -> bool:
    return store.clients.find(url, subject=url, terms=("apps", "d1")).approved


def test_the_document_is_shown_and_its_digest_is_in_the_audit_log(run: Run, store: Store, host: TlsServer) -> None:
    url, body = url_of(host), serve(host)
    wait(store, url)
    ran = run("clients", "approve", url, "--yes", "--note", "SEC-7")
    assert ran.code == 0
    assert is_approved(store, url)
    for shown in (f"127.0.0.1:{host.port}", "Notes (its own word", "https://notes.example/cb", "none"):
        assert shown in ran.out
    digest = sha256(body).hexdigest()
    assert digest in ran.out
    (row,) = store.audit.rows(events=[AuditEventKind.APPROVED])
    assert (row.event.subject, dict(row.event.ask), row.event.reason) == (url, {"document": digest}, "SEC-7")


def test_programs_get_what_was_seen(run: Run, store: Store, host: TlsServer) -> None:
    url = url_of(host)
    jwks = {"keys": [SIGNER.jwk(use="sig")]}
    serve(host, token_endpoint_auth_method="private_key_jwt", jwks=jwks)
    wait(store, url)
    seen = run("clients", "approve", url, "--yes", "--json").json
    assert seen["client_ids"] == [url]
    assert seen["document"]["token_endpoint_auth_method"] == "private_key_jwt"
    assert [(key["kid"], key["kty"]) for key in seen["document"]["keys"]] == [("key-1", "EC")]
    assert seen["document"]["redirect_uris"] == ["https://notes.example/cb"]


def test_keys_that_are_elsewhere_are_looked_at_too(run: Run, store: Store, host: TlsServer) -> None:
    url = url_of(host)
    body = serve(host, token_endpoint_auth_method="private_key_jwt", jwks_uri=url_of(host, "/keys"))
    keys = json.dumps({"keys": [SIGNER.jwk(use="sig")]}).encode()
    host.answer = lambda stream: stream.sendall(http(keys if b" /keys " in host.requests[-1] else body))
    wait(store, url)
    (key,) = run("clients", "approve", url, "--yes", "--json").json["document"]["keys"]
    assert key["kid"] == "key-1"


def test_without_a_yes_nothing_is_approved(
    run: Run, store: Store, host: TlsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = url_of(host)
    serve(host)
    wait(store, url)
    ran = run("clients", "approve", url)
    assert ran.code == 1
    assert "--yes" in ran.err
    assert "Notes" in ran.out, "it was shown all the same"
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    for answer, code in (("n", 1), ("y", 0)):
        monkeypatch.setattr("click.termui.visible_prompt_func", lambda text, answer=answer: answer)
        assert run("clients", "approve", url).code == code
        assert is_approved(store, url) is (code == 0)


def test_nothing_is_fetched_for_a_url_that_does_not_wait(run: Run, store: Store, host: TlsServer) -> None:
    url = url_of(host)
    serve(host)
    ran = run("clients", "approve", url, "--yes")
    assert (ran.code, host.connections) == (1, 0)
    assert "nothing waits" in ran.err
    wait(store, url)
    assert run("clients", "approve", url, "--yes").code == 0


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(http(b"{}", "404 Not Found"), id="CIMD-6: 404"),
        pytest.param(http(b'{"client_id": "https://other.example/c"}'), id="CIMD-5: another client"),
        pytest.param(b"", id="cut"),
    ],
)
def test_what_cannot_be_seen_is_not_approved(run: Run, store: Store, host: TlsServer, answer: bytes) -> None:
    url = url_of(host)
    host.answer = sends(answer)
    wait(store, url)
    ran = run("clients", "approve", url, "--yes")
    assert (ran.code, ran.out) == (1, "")
    assert "nothing was approved" in ran.err
    assert not is_approved(store, url)
    serve(host)
    assert run("clients", "approve", url, "--yes").code == 0


def test_an_operator_s_own_look_goes_no_further_than_the_service_s_T_1_CIMD_11(
    run: Run, store: Store, host: TlsServer
) -> None:
    with TlsServer() as inner:
        url = url_of(inner)
        wait(store, url)
        ran = run("clients", "approve", url, "--yes")
        assert (ran.code, inner.connections) == (1, 0)
        assert "not public" in ran.err


def test_what_a_document_says_cannot_move_a_cursor_T_43(run: Run, store: Store, host: TlsServer) -> None:
    url = url_of(host)
    serve(host, client_name="Not\u001b[2Jes\u202e")
    wait(store, url)
    ran = run("clients", "approve", url, "--yes")
    assert (ran.code, is_approved(store, url)) == (1, False)
    assert "client_name" in ran.err
    assert "\x1b" not in ran.out + ran.err
    assert "\u202e" not in ran.out + ran.err
