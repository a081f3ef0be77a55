"""Credentials at the real door: every broken SVID that the lab can mint, and what may stand beside one."""

from __future__ import annotations

import base64
import json
import socket
import ssl
from collections.abc import Sequence
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import urlencode

import pytest

from bridge.lab.broken_jwt import BROKEN_JWT, mint_jwt
from bridge.lab.broken_x509 import BROKEN_X509, mint_x509
from bridge.lab.x509 import X509Svid
from tests.flows.client import FORM, JWT_SPIFFE, Answer, decode, jwt_fields
from tests.flows.dpop import DpopKey
from tests.flows.stand import Stand

REFUSED = {"error": "invalid_client", "error_description": "client authentication failed"}
# The door opens for them so that the answer says what happened (interface section 9, handshakes).
PAST_THE_HANDSHAKE = {"expired", "not-yet-valid", "expired-intermediate"}
# A root's key is its authority's own: there is nobody who could shake hands with it.
PRESENTABLE = [entry for entry in BROKEN_X509 if entry.name != "signing-certificate"]


def is_refused(answer: Answer) -> bool:
    """The one answer to every credential failure, but for its id."""
    body = answer.body
    same_id = body.pop("error_id") == answer.headers["X-Request-Id"]
    return same_id and answer.status == 401 and body == REFUSED


def broken_jwt(stand: Stand, name: str) -> str:
    return mint_jwt(stand.authority, name, f"/ns/web/sa/jwt-{name}", stand.client.issuer, other=stand.stranger)


def recorded(stand: Stand, prefix: str) -> set[str]:
    return {c["subject"] for c in stand.clients() if c["subject"].startswith(f"spiffe://example.org{prefix}")}


@pytest.mark.parametrize("name", [pytest.param(e.name, id=f"{e.clause} {e.name}") for e in BROKEN_JWT])
def test_a_broken_jwt_svid_gets_the_one_refusal(stand: Stand, name: str) -> None:
    assert is_refused(stand.client.by_jwt(broken_jwt(stand, name)))


def test_no_broken_jwt_svid_leaves_a_record_and_a_sound_one_does_ROFU_1_ROFU_2(stand: Stand) -> None:
    for entry in BROKEN_JWT:
        assert stand.client.by_jwt(broken_jwt(stand, entry.name)).status == 401
    assert stand.client.by_jwt(stand.jwt("/ns/web/sa/jwt-sound")).status == 200
    assert recorded(stand, "/ns/web/sa/jwt-") == {"spiffe://example.org/ns/web/sa/jwt-sound"}
    assert not any("stranger" in c["subject"] or "nowhere" in c["subject"] for c in stand.clients())


def by_certificate(stand: Stand, svid: X509Svid, folder: Path) -> Answer | None:
    """The answer to a token request under this certificate; None when the handshake already refused it.

    The client's own library is told not to mind weak keys: it is the server that has to.
    """
    context = ssl.create_default_context(cafile=str(stand.folder / "tls/ca.pem"))
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.load_cert_chain(*svid.write(folder))
    connection = HTTPSConnection("127.0.0.1", stand.client.mtls_port, timeout=20, context=context)
    fields = {"grant_type": "client_credentials", "client_id": str(svid.spiffe_id)}
    try:
        return stand.client.exchange(
            connection, "POST", "/token", body=urlencode(fields), headers=[("Content-Type", FORM)]
        )
    except (ssl.SSLError, ConnectionError):
        return None
    finally:
        connection.close()


@pytest.mark.parametrize("name", [pytest.param(e.name, id=f"{e.clause} {e.name}") for e in PRESENTABLE])
def test_a_broken_x509_svid_gets_the_one_refusal_or_no_handshake(stand: Stand, name: str, tmp_path: Path) -> None:
    path = f"/ns/web/sa/x509-{name}"
    answer = by_certificate(stand, mint_x509(stand.authority, name, path, other=stand.stranger), tmp_path / "broken")
    assert answer is not None or name not in PAST_THE_HANDSHAKE
    assert answer is None or is_refused(answer)
    sound = by_certificate(stand, stand.authority.x509_svid(path + "-sound"), tmp_path / "sound")
    assert sound is not None
    assert sound.status == 200


def test_no_broken_x509_svid_leaves_a_record_ROFU_1(stand: Stand, tmp_path: Path) -> None:
    for entry in PRESENTABLE:
        svid = mint_x509(stand.authority, entry.name, f"/ns/web/sa/cert-{entry.name}", other=stand.stranger)
        by_certificate(stand, svid, tmp_path / entry.name)
    sound = by_certificate(stand, stand.authority.x509_svid("/ns/web/sa/cert-sound"), tmp_path / "sound")
    assert sound is not None
    assert sound.status == 200
    assert recorded(stand, "/ns/web/sa/cert-") == {"spiffe://example.org/ns/web/sa/cert-sound"}


@pytest.mark.parametrize(
    "typed",
    [
        JWT_SPIFFE.replace("jwt-spiffe", "=jwt-spiffe"),
        JWT_SPIFFE.replace(":jwt-spiffe", "=jwt-spiffe"),
        JWT_SPIFFE + " ",
        " " + JWT_SPIFFE,
        JWT_SPIFFE.replace("jwt-spiffe", "JWT-SPIFFE"),
        JWT_SPIFFE.replace(":", "%3A"),
        "jwt-spiffe",
    ],
    ids=lambda typed: f"SCA-2 {typed!r}",
)
def test_the_assertion_type_is_one_exact_string(stand: Stand, typed: str) -> None:
    fields = jwt_fields(stand.jwt("/ns/web/sa/typed"))
    assert stand.client.post("/token", fields).status == 200
    assert is_refused(stand.client.post("/token", fields | {"client_assertion_type": typed}))


@pytest.mark.parametrize(
    ("client_id", "granted"),
    [
        ("batch", True),
        ("spiffe://example.org/ns/batch/sa/names", True),
        ("Batch", False),
        ("spiffe://example.org/ns/batch/sa/other", False),
        ("spiffe://example.org/ns/batch/sa/names/", False),
        ("SPIFFE://example.org/ns/batch/sa/names", False),
    ],
    ids=lambda value: f"SCA-12 T-13 {value}",
)
@pytest.mark.parametrize("door", ["jwt", "x509"])
def test_a_named_client_is_the_one_that_the_credential_resolves_to(
    stand: Stand, client_id: str, granted: bool, door: str
) -> None:
    path = "/ns/batch/sa/names"
    if door == "jwt":
        answer = stand.client.by_jwt(stand.jwt(path), client_id=client_id)
    else:
        answer = stand.client.by_x509(stand.authority.x509_svid(path), client_id=client_id)
    assert answer.status == 200 if granted else is_refused(answer)


def certificate_headers(svid: X509Svid) -> list[tuple[str, str]]:
    """What a terminating proxy would send for this certificate, in each way that is in use."""
    leaf = base64.b64encode(svid.chain[0]).decode()
    chain = ", ".join(f":{base64.b64encode(der).decode()}:" for der in svid.chain[1:])
    return [
        ("Client-Cert", f":{leaf}:"),
        ("Client-Cert-Chain", chain),
        ("X-Forwarded-Client-Cert", f'Cert="{leaf}";URI={svid.spiffe_id}'),
        ("X-SSL-Client-Cert", leaf),
        ("X-Forwarded-For", "10.9.9.9"),
    ]


@pytest.mark.parametrize("mtls", [False, True], ids=["SCA-19 OAS-34 plain", "SCA-19 OAS-34 mtls"])
def test_a_certificate_in_a_header_is_no_credential_and_one_in_the_handshake_is(stand: Stand, mtls: bool) -> None:
    svid = stand.authority.x509_svid("/ns/payments/sa/header")
    fields = {"grant_type": "client_credentials", "client_id": str(svid.spiffe_id)}
    assert is_refused(stand.client.post("/token", fields, mtls=mtls, headers=certificate_headers(svid)))
    assert stand.client.post("/token", fields, svid=svid).status == 200


def test_a_certificate_in_a_header_beside_a_credential_is_not_even_seen_SCA_19(stand: Stand) -> None:
    other = stand.authority.x509_svid("/ns/payments/sa/injected")
    by_jwt = stand.client.by_jwt(stand.jwt("/ns/web/sa/beside"), headers=certificate_headers(other))
    assert "cnf" not in by_jwt.claims
    mine = stand.authority.x509_svid("/ns/payments/sa/beside")
    plain = stand.client.by_x509(mine)
    headed = stand.client.by_x509(mine, headers=certificate_headers(other))
    assert headed.claims["cnf"] == plain.claims["cnf"]
    assert headed.claims["sub"] == str(mine.spiffe_id)


@pytest.mark.parametrize(
    ("change", "granted"),
    [
        ({"claims": {"iss": "{url}"}}, True),
        ({"header": {"jku": "{url}"}}, False),
        ({"header": {"x5u": "{url}"}}, False),
    ],
    ids=["SCA-29 iss", "SCA-29 jku", "SCA-29 x5u"],
)
def test_no_url_of_an_svid_is_ever_asked(stand: Stand, change: dict[str, dict[str, str]], granted: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        token = _signed(stand, {part: {k: v.format(url=url) for k, v in m.items()} for part, m in change.items()})
        answer = stand.client.by_jwt(token)
        assert answer.status == 200 if granted else is_refused(answer)
        with pytest.raises(BlockingIOError):
            listener.accept()
        # The control: somebody who does ask is seen.
        with socket.create_connection(listener.getsockname(), 5):
            listener.settimeout(5)
            listener.accept()[0].close()


def _signed(stand: Stand, change: dict[str, dict[str, str]]) -> str:
    sound = stand.jwt("/ns/web/sa/urls")
    header, claims = ({**decode(sound, n), **change.get(part, {})} for n, part in enumerate(("header", "claims")))
    return stand.authority.jwt_keys.active.sign(header, json.dumps(claims).encode())


def test_why_a_credential_failed_cannot_be_told_from_the_answer_SCA_33_ROFU_30_OAS_40(stand: Stand) -> None:
    known, denied = "/ns/web/sa/known", "/ns/web/sa/told-denied"
    assert stand.client.by_jwt(stand.jwt(known)).status == 200
    assert stand.bridge("clients", "deny", f"spiffe://example.org{denied}").returncode == 0
    refusals = {
        "bad signature of a registered one": stand.client.by_jwt(stand.jwt(known)[:-6] + "AAAAAA"),
        "bad signature of nobody": stand.client.by_jwt(stand.jwt("/ns/web/sa/unseen")[:-6] + "AAAAAA"),
        "expired, registered": stand.client.by_jwt(stand.jwt(known, ttl=-600)),
        "unknown trust domain": stand.client.by_jwt(stand.stranger.jwt_svid(known, stand.client.issuer)),
        "registered, names another": stand.client.by_jwt(stand.jwt(known), client_id="batch"),
        "no rule": stand.client.by_jwt(stand.jwt("/ns/none/sa/a")),
        "tombstone": stand.client.by_jwt(stand.jwt(denied)),
        "expired certificate": stand.client.by_x509(mint_x509(stand.authority, "expired", known)),
        "no credential": stand.client.post("/token", {"grant_type": "client_credentials"}),
    }
    assert {name for name, answer in refusals.items() if not is_refused(answer)} == set()
    assert {len(answer.content) for answer in refusals.values()} == {len(refusals["no rule"].content)}
    shapes = {tuple(sorted(name.lower() for name in answer.headers)) for answer in refusals.values()}
    assert len(shapes) == 1


CERTIFICATE_AND = {
    "SCA-31 a secret": ({"client_secret": "x"}, []),
    "SCA-31 OAS-5 Basic": ({}, [("Authorization", "Basic YTpi")]),
    "SCA-31 OAS-5 a bearer token": ({}, [("Authorization", "Bearer x")]),
}


@pytest.mark.parametrize(("fields", "headers"), CERTIFICATE_AND.values(), ids=list(CERTIFICATE_AND))
def test_a_certificate_comes_alone(stand: Stand, fields: dict[str, str], headers: Sequence[tuple[str, str]]) -> None:
    svid = stand.authority.x509_svid("/ns/web/sa/alone")
    mixed = stand.client.by_x509(svid, headers=headers, **fields)
    assert (mixed.status, mixed.error) == (400, "invalid_request")
    assert stand.client.by_x509(svid).status == 200


def test_a_jti_is_no_mark_of_use_SPIFFE_20(stand: Stand) -> None:
    """Where policy takes an assertion once, its hash is marked: agents hand one `jti` to several instances."""
    first, second = (stand.jwt("/ns/once/sa/jti", ttl=ttl, claims={"jti": "shared"}) for ttl in (299, 300))
    assert stand.client.by_jwt(first).status == 200
    assert stand.client.by_jwt(second).status == 200
    assert is_refused(stand.client.by_jwt(first))


def test_an_access_token_and_a_proof_are_no_assertion_T_25(stand: Stand) -> None:
    sound = stand.client.by_jwt(stand.jwt("/ns/web/sa/kinds"))
    assert is_refused(stand.client.by_jwt(sound.token))
    proof = DpopKey().proof("POST", stand.client.issuer + "/token")
    assert is_refused(stand.client.by_jwt(proof))
    beside = stand.client.by_jwt(stand.jwt("/ns/edge/sa/kinds"), headers=[("DPoP", stand.jwt("/ns/edge/sa/kinds"))])
    assert (beside.status, beside.error) == (400, "invalid_dpop_proof")
