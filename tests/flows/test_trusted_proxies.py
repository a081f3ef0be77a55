"""Behind a proxy that is trusted, by its Unix socket: what it may state is verified again, and nothing else counts."""

from __future__ import annotations

import base64
import hashlib
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from bridge.lab.broken_x509 import BROKEN_X509, mint_x509
from bridge.lab.x509 import X509Svid
from bridge.web.metadata import metadata
from bridge.web.services import Endpoints, Offered
from tests.flows.client import FORM, Answer, jwt_fields
from tests.flows.dpop import DpopKey
from tests.flows.proxied import FileConnection, Headers, ask, rfc_9440, token_by, xfcc
from tests.flows.stand import Stand
from tests.flows.test_clauses_credentials import is_refused

RFC_9440 = '[[trusted_proxies]]\nunix = "proxy.sock"\nheader = "client-cert"\n'
XFCC = '[[trusted_proxies]]\nunix = "envoy.sock"\nheader = "xfcc"\n'
# As another machine would have one; here it is of loopback, which `bridge check` calls a fault.
PROXYS_ADDRESS = "127.0.0.9"
BY_ADDRESS = f'[[trusted_proxies]]\naddress = "{PROXYS_ADDRESS}/32"\nheader = "client-cert"\n'


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with Stand(tmp_path_factory.mktemp("behind"), more=RFC_9440 + XFCC + BY_ADDRESS, workers=1) as running:
        yield running


def stated(stand: Stand, kind: str, chain: tuple[bytes, ...]) -> tuple[Path, Headers]:
    if kind == "xfcc":
        return stand.folder / "envoy.sock", xfcc(chain)
    return stand.folder / "proxy.sock", rfc_9440(chain)


def logged(stand: Stand, answer: Answer) -> list[dict[str, str]]:
    """The log lines about one request."""
    return [json.loads(line) for line in stand.log.splitlines() if answer.headers["X-Request-Id"] in line]


def thumbprint(svid: X509Svid) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(svid.chain[0]).digest()).decode().rstrip("=")


@pytest.mark.parametrize("kind", ["client-cert", "xfcc"])
def test_a_stated_x509_svid_registers_its_workload_and_binds_the_token(behind: Stand, kind: str) -> None:
    """ROFU-1, SCA-18, SCA-19: the chain has an intermediate, which has to come along."""
    svid = behind.authority.x509_svid(f"/ns/payments/sa/behind-{kind}")
    assert len(svid.chain) > 1, "the chain has an intermediate"
    socket, headers = stated(behind, kind, svid.chain)
    answer = token_by(socket, headers, svid)
    assert answer.claims["cnf"] == {"x5t#S256": thumbprint(svid)}
    assert answer.claims["client_id"] == str(svid.spiffe_id)
    assert is_refused(token_by(socket, stated(behind, kind, svid.chain[:1])[1], svid))


@pytest.mark.parametrize("name", [pytest.param(e.name, id=f"T-18 {e.clause} {e.name}") for e in BROKEN_X509])
def test_what_a_proxy_states_is_verified_again(behind: Stand, name: str) -> None:
    """Its twin, the sound one, is the first test here."""
    broken = mint_x509(behind.authority, name, f"/ns/payments/sa/stated-{name}", other=behind.stranger)
    assert is_refused(token_by(*stated(behind, "client-cert", broken.chain), broken))


def test_a_chain_of_six_is_refused_and_one_of_five_is_not_T_15(behind: Stand) -> None:
    svid = behind.authority.x509_svid("/ns/payments/sa/long")
    padded = (*svid.chain, *[svid.chain[-1]] * 3)[:5]
    for kind in ("client-cert", "xfcc"):
        socket, headers = stated(behind, kind, padded)
        assert token_by(socket, headers, svid).status == 200
        socket, headers = stated(behind, kind, (*padded, svid.chain[-1]))
        assert is_refused(token_by(socket, headers, svid))


def test_a_refused_header_leaves_its_reason_in_log_and_metrics_T_18(behind: Stand) -> None:
    svid = behind.authority.x509_svid("/ns/payments/sa/twice")
    headers = rfc_9440(svid.chain)
    refused = token_by(behind.folder / "proxy.sock", [*headers, headers[0]], svid)
    assert is_refused(refused)
    (line,) = logged(behind, refused)
    assert (line["reason"], line["detail"]) == ("certificate_header", "certificate_header: two client-cert headers")
    with urlopen(f"http://127.0.0.1:{behind.metrics_port}/metrics", timeout=20) as answer:
        assert 'bridge_refusals_total{door="token",reason="certificate_header"}' in answer.read().decode()
    assert token_by(behind.folder / "proxy.sock", headers, svid).status == 200


def test_the_source_address_is_the_last_hop_that_the_proxy_states_and_nobody_elses_word_T_36(behind: Stand) -> None:
    hops = [("X-Forwarded-For", "10.9.9.9, 192.0.2.7")]
    fields = {"grant_type": "client_credentials"}
    (through,) = logged(behind, ask(behind.folder / "proxy.sock", fields, hops))
    (directly,) = logged(behind, behind.client.post("/token", fields, headers=hops))
    assert (through["source_address"], directly["source_address"]) == ("192.0.2.7", "127.0.0.1")


@pytest.mark.parametrize(
    ("kind", "spoof"),
    [
        pytest.param("client-cert", "Client_Cert", id="T-18 underscore"),
        pytest.param("client-cert", "Client-Cert", id="T-18 duplicate"),
        pytest.param("client-cert", "Client-Cert_Chain", id="T-18 underscore in the chain"),
        pytest.param("client-cert", "X-Forwarded-Client-Cert", id="T-18 the other kind"),
        pytest.param("xfcc", "X_Forwarded_Client_Cert", id="T-18 underscore in XFCC"),
        pytest.param("xfcc", "X-Forwarded-Client-Cert", id="T-18 duplicate XFCC"),
        pytest.param("xfcc", "Client-Cert", id="T-18 the other kind, to Envoy's socket"),
    ],
)
def test_a_header_that_a_client_slipped_in_beside_the_proxys_own_is_refused(
    behind: Stand, kind: str, spoof: str
) -> None:
    own, victim = (behind.authority.x509_svid(f"/ns/payments/sa/{name}") for name in ("intruder", "victim"))
    socket, headers = stated(behind, kind, own.chain)
    slipped = dict(rfc_9440(victim.chain) + xfcc(victim.chain))
    value = slipped.get(spoof.replace("_", "-"), rfc_9440(victim.chain)[0][1])
    for order in ([*headers, (spoof, value)], [(spoof, value), *headers]):
        assert is_refused(token_by(socket, order, own))
        assert is_refused(token_by(socket, order, victim))
    assert token_by(socket, headers, own).status == 200


def test_through_a_proxy_without_a_certificate_a_request_is_like_any_other(behind: Stand) -> None:
    proxy = behind.folder / "proxy.sock"
    assert ask(proxy, jwt_fields(behind.jwt("/ns/web/sa/plain"))).status == 200
    assert is_refused(ask(proxy, {"grant_type": "client_credentials"}))


def test_a_stated_certificate_beside_an_assertion_is_one_credential_too_many_SCA_31(behind: Stand) -> None:
    svid = behind.authority.x509_svid("/ns/web/sa/mixed")
    fields = jwt_fields(behind.jwt("/ns/web/sa/mixed"))
    mixed = ask(behind.folder / "proxy.sock", fields, rfc_9440(svid.chain))
    assert (mixed.status, mixed.error) == (400, "invalid_request")
    assert ask(behind.folder / "proxy.sock", fields).status == 200


def test_on_every_other_listener_the_headers_are_ignored_SCA_19_OAS_34(behind: Stand) -> None:
    """T-18: another process of the same machine, by TCP, with every form of the header at once."""
    svid = behind.authority.x509_svid("/ns/payments/sa/tcp")
    fields = {"grant_type": "client_credentials", "client_id": str(svid.spiffe_id)}
    headers = [*rfc_9440(svid.chain), *xfcc(svid.chain), ("X-Forwarded-For", "192.0.2.7")]
    for mtls in (False, True):
        assert is_refused(behind.client.post("/token", fields, mtls=mtls, headers=headers))
    by_jwt = behind.client.by_jwt(behind.jwt("/ns/web/sa/tcp"), headers=headers)
    assert by_jwt.status == 200
    assert behind.audit(by_jwt.headers["X-Request-Id"])[0]["id"] == by_jwt.headers["X-Request-Id"]


@pytest.mark.parametrize("mtls", [False, True], ids=["listen", "mtls_listen"])
def test_a_proxy_that_is_known_by_its_address_comes_by_tls_and_nobody_else_does_T_18(behind: Stand, mtls: bool) -> None:
    svid = behind.authority.x509_svid("/ns/payments/sa/by-address")
    body = urlencode({"grant_type": "client_credentials", "client_id": str(svid.spiffe_id)})

    def ask_from(address: str, identity: X509Svid | None = None) -> Answer:
        connection = behind.client.connect(identity, mtls=mtls)
        connection.source_address = (address, 0)
        headers = [("Content-Type", FORM), *rfc_9440(svid.chain)]
        try:
            return behind.client.exchange(connection, "POST", "/token", body=body, headers=headers)
        finally:
            connection.close()

    assert ask_from(PROXYS_ADDRESS).claims["cnf"] == {"x5t#S256": thumbprint(svid)}
    assert is_refused(ask_from("127.0.0.1"))
    if mtls:
        # A proxy that shows a certificate of its own beside its client's: which of the two asks?
        own = behind.authority.x509_svid("/ns/web/sa/proxy")
        assert ask_from(PROXYS_ADDRESS, own).error == "invalid_request"


def test_the_socket_is_for_the_services_account_and_group_alone_T_18(behind: Stand) -> None:
    for name in ("proxy.sock", "envoy.sock"):
        assert stat.S_IMODE((behind.folder / name).stat().st_mode) == 0o660


FORWARDED = [
    ("Host", "evil.example"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Proto", "http"),
    ("X-Forwarded-Port", "1"),
    ("X-Forwarded-Prefix", "/evil"),
    ("Forwarded", "for=192.0.2.9;host=evil.example;proto=http"),
]


def test_what_a_proxy_says_of_scheme_and_host_moves_nothing_T_36_OAS_35(behind: Stand) -> None:
    """Neither the metadata, nor the `iss` of a token, nor the `htu` of a proof."""
    proxy = behind.folder / "proxy.sock"

    def discovered(*headers: tuple[str, str]) -> bytes:
        connection = FileConnection(proxy)
        connection.putrequest("GET", "/.well-known/oauth-authorization-server", skip_host=bool(headers))
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        try:
            return connection.getresponse().read()
        finally:
            connection.close()

    assert json.loads(discovered())["issuer"] == behind.client.issuer
    assert discovered(*FORWARDED) == discovered()
    key, fields = DpopKey(), jwt_fields(behind.jwt("/ns/edge/sa/proxied"))
    proof = ("DPoP", key.proof("POST", behind.client.issuer + "/token"))
    moved = ("DPoP", key.proof("POST", "http://evil.example/evil/token"))
    assert ask(proxy, fields, [moved, *FORWARDED[1:]]).error == "invalid_dpop_proof"
    assert ask(proxy, fields, [proof, *FORWARDED[1:]]).claims["iss"] == behind.client.issuer


def test_the_metadata_names_certificates_where_only_a_proxy_asks_for_them() -> None:
    def document(endpoints: Endpoints) -> dict[str, object]:
        read: dict[str, object] = json.loads(metadata(endpoints, Offered(), registration=False))
        return read

    issuer, proxied = "https://as.example.org", frozenset[str]()
    nobody, under_issuer = (
        document(Endpoints(issuer, None, proxied)),
        document(Endpoints(issuer, None, proxied, behind_proxy=True)),
    )
    elsewhere = document(Endpoints(issuer, "https://mtls.example.org", proxied, behind_proxy=True))
    assert "spiffe_x509" not in str(nobody)
    for read in (under_issuer, elsewhere):
        assert read["token_endpoint_auth_methods_supported"] == ["spiffe_jwt", "spiffe_x509"]
        assert read["tls_client_certificate_bound_access_tokens"] is True
    assert "mtls_endpoint_aliases" not in under_issuer
    assert dict(elsewhere["mtls_endpoint_aliases"])["token_endpoint"] == "https://mtls.example.org/token"  # type: ignore[call-overload]


def test_the_operators_see_who_is_trusted(behind: Stand) -> None:
    parts = {part["part"]: part for part in json.loads(behind.bridge("check", "--json").stdout)}
    assert [line.partition(" ")[2] for line in parts["proxies"]["found"]] == [
        "states client certificates as client-cert",
        "states client certificates as xfcc",
    ]
    assert parts["proxies"]["faults"][0].startswith(f"{PROXYS_ADDRESS}/32: any process of this machine")
