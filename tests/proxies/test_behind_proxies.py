"""First use by X.509-SVID through nginx and HAProxy, and every way to claim somebody else's certificate (T-18)."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import socket
from http.client import HTTPSConnection
from urllib.parse import urlencode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bridge.lab.broken_x509 import mint_x509
from bridge.lab.x509 import CertificateAuthority, X509Svid, certify, leaf_profile, pkcs8
from tests.flows.client import FORM, SECONDS, Answer, Client, jwt_fields
from tests.flows.proxied import rfc_9440, xfcc
from tests.flows.test_clauses_credentials import is_refused
from tests.proxies.conftest import Site
from tests.proxies.running import Proxy

NGINX, HAPROXY, BY_SVID = "nginx-terminating", "haproxy-terminating", "haproxy-svid"
TERMINATING = [NGINX, HAPROXY, BY_SVID]
PASSING = ["nginx-passthrough", "haproxy-passthrough"]
Proxies = dict[str, Proxy]


def svid_for(site: Site, name: str, workload: str) -> X509Svid:
    """One that this proxy can carry: nginx states no intermediates."""
    return (site.single if name == NGINX else site.authority).x509_svid(f"/ns/payments/sa/{workload}")


def thumbprint(svid: X509Svid) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(svid.chain[0]).digest()).decode().rstrip("=")


def lengthened(svid: X509Svid, count: int) -> X509Svid:
    """The same with so many certificates in its chain."""
    return dataclasses.replace(svid, chain=(*svid.chain, *[svid.chain[-1]] * count)[:count])


@pytest.mark.parametrize("name", TERMINATING + PASSING)
def test_a_workload_registers_by_its_x509_svid_at_first_use_ROFU_1_SCA_19(
    site: Site, proxies: Proxies, name: str
) -> None:
    svid = svid_for(site, name, f"first-{name}")
    assert str(svid.spiffe_id) not in {client["subject"] for client in site.clients()}
    answer = proxies[name].token(svid)
    assert (answer.claims["client_id"], answer.claims["iss"]) == (str(svid.spiffe_id), site.client.issuer)
    assert answer.claims["cnf"] == {"x5t#S256": thumbprint(svid)}
    assert str(svid.spiffe_id) in {client["subject"] for client in site.clients()}


@pytest.mark.parametrize("name", [HAPROXY, BY_SVID, *PASSING])
def test_an_intermediate_comes_along_SCA_18(site: Site, proxies: Proxies, name: str) -> None:
    svid = site.authority.x509_svid(f"/ns/payments/sa/middle-{name}")
    assert len(svid.chain) == 2
    assert proxies[name].token(svid).status == 200
    assert proxies[name].token(lengthened(svid, 5)).status == 200


def test_haproxy_is_a_proxy_by_its_own_x509_svid_and_with_another_workloads_it_is_none_T_18(
    site: Site, proxies: Proxies
) -> None:
    svid = site.authority.x509_svid("/ns/payments/sa/stated")
    assert proxies[BY_SVID].token(svid).claims["sub"] == str(svid.spiffe_id)
    assert is_refused(proxies["intruder-svid"].token(svid))
    # Nobody behind the proxy is the proxy, or the intruder whose certificate it shows.
    for name, path in ((BY_SVID, "haproxy"), ("intruder-svid", "intruder")):
        fields = {"grant_type": "client_credentials", "client_id": f"spiffe://example.org/ns/edge/sa/{path}"}
        assert is_refused(proxies[name].post(fields))


def test_haproxy_states_a_chain_of_six_and_the_bridge_refuses_it_T_15(site: Site, proxies: Proxies) -> None:
    svid = site.authority.x509_svid("/ns/payments/sa/six")
    assert is_refused(proxies[HAPROXY].token(lengthened(svid, 6)))
    assert proxies[HAPROXY].token(lengthened(svid, 4)).status == 200


def test_nginx_carries_no_intermediate_so_such_a_svid_is_refused(site: Site, proxies: Proxies) -> None:
    assert is_refused(proxies[NGINX].token(site.authority.x509_svid("/ns/payments/sa/lost")))
    assert proxies[NGINX].token(site.single.x509_svid("/ns/payments/sa/lost")).status == 200


@pytest.mark.parametrize("name", TERMINATING)
def test_without_a_certificate_it_is_a_request_like_any_other(site: Site, proxies: Proxies, name: str) -> None:
    assert proxies[name].post(jwt_fields(site.jwt("/ns/web/sa/plain"))).status == 200
    assert is_refused(proxies[name].post({"grant_type": "client_credentials"}))


@pytest.mark.parametrize("name", [*TERMINATING, *PASSING])
@pytest.mark.parametrize("fault", ["self-signed", "stranger"])
def test_the_bridge_judges_what_the_proxy_lets_through_T_18(
    site: Site, proxies: Proxies, name: str, fault: str
) -> None:
    """The proxies know no bundle and take any certificate; its key is all that they have seen proved."""
    path = "/ns/payments/sa/judged"
    if fault == "stranger":
        broken = site.stranger.x509_svid(path)
    else:
        key = ec.generate_private_key(ec.SECP256R1())
        sound = svid_for(site, name, "judged").leaf
        times = (int(sound.not_valid_before_utc.timestamp()), int(sound.not_valid_after_utc.timestamp()))
        profile = leaf_profile(str(site.single.spiffe_id(path)), not_before=times[0], not_after=times[1])
        alone = CertificateAuthority(certify(None, key, profile), key)
        broken = X509Svid(site.single.spiffe_id(path), (alone.der,), pkcs8(key))
    if name in PASSING:
        with pytest.raises(OSError):
            proxies[name].token(broken)
    else:
        assert is_refused(proxies[name].token(broken))
    assert proxies[name].token(svid_for(site, name, "judged")).status == 200


def test_an_expired_svid_is_refused_through_haproxy_as_it_is_in_a_handshake(site: Site, proxies: Proxies) -> None:
    expired = mint_x509(site.authority, "expired", "/ns/payments/sa/ended", other=site.stranger)
    assert is_refused(proxies[HAPROXY].token(expired))
    assert proxies[HAPROXY].token(site.authority.x509_svid("/ns/payments/sa/ended")).status == 200


def spoofs(victim: X509Svid) -> dict[str, list[tuple[str, str]]]:
    """Headers by which a client claims the victim's certificate."""
    (cert, chain), (envoys,) = rfc_9440(lengthened(victim, 2).chain), xfcc(victim.chain)
    quoted = f'Subject="CN=a\\";Cert=\\"x";{envoys[1]}'
    return {
        "client-cert": [cert],
        "client-cert and its chain": [cert, chain],
        "client-cert twice": [cert, cert, chain],
        "in capitals": [("CLIENT-CERT", cert[1]), ("CLIENT-CERT-CHAIN", chain[1])],
        "underscores": [("Client_Cert", cert[1]), ("Client_Cert_Chain", chain[1])],
        "one underscore": [("Client-Cert_Chain", chain[1]), ("Client_Cert", cert[1])],
        "XFCC": [envoys],
        "XFCC twice": [envoys, envoys],
        "XFCC, two elements": [(envoys[0], f"{envoys[1]},{envoys[1]}")],
        "XFCC, a quoted subject": [(envoys[0], quoted)],
        "XFCC with underscores": [("X_Forwarded_Client_Cert", envoys[1])],
        "X-Forwarded_Client-Cert": [("X-Forwarded_Client-Cert", envoys[1])],
        "both kinds": [cert, envoys],
        "hop by hop": [("Connection", "Client-Cert, Client-Cert-Chain, X-Forwarded-Client-Cert"), cert, envoys],
        "hop by hop alone": [("Connection", "Client-Cert, X-Forwarded-Client-Cert, X-Forwarded-For")],
        "folded white space": [("Client-Cert", f" \t{cert[1]}")],
    }


@pytest.mark.parametrize("name", [*TERMINATING, *PASSING])
def test_no_client_can_claim_anothers_certificate_T_18_OAS_34(site: Site, proxies: Proxies, name: str) -> None:
    """With a certificate of its own it stays who it is, without one it is nobody, whatever it sends along."""
    victim, own = svid_for(site, name, "victim"), svid_for(site, name, "intruder")
    proxy = proxies[name]
    assert proxy.token(victim).claims["sub"] == str(victim.spiffe_id)
    for what, headers in spoofs(victim).items():
        claimed = {"grant_type": "client_credentials", "client_id": str(victim.spiffe_id)}
        assert is_refused(proxy.post(claimed, headers=headers)), what
        assert is_refused(proxy.token(own, headers=headers, client_id=str(victim.spiffe_id))), what
        mine = proxy.token(own, headers=headers)
        assert mine.status == 200, what
        assert (mine.claims["sub"], mine.claims["cnf"]["x5t#S256"]) == (str(own.spiffe_id), thumbprint(own)), what


@pytest.mark.parametrize("mtls", [False, True], ids=["plain", "mtls"])
def test_another_process_of_the_node_states_nothing_by_tcp_T_18(site: Site, proxies: Proxies, mtls: bool) -> None:
    victim = site.single.x509_svid("/ns/payments/sa/victim")
    assert proxies[NGINX].token(victim).status == 200
    fields = {"grant_type": "client_credentials", "client_id": str(victim.spiffe_id)}
    for what, headers in spoofs(victim).items():
        assert is_refused(site.client.post("/token", fields, mtls=mtls, headers=headers)), what


@pytest.mark.parametrize("name", TERMINATING)
def test_a_subject_that_looks_like_a_header_is_only_a_subject_T_18(
    site: Site, proxies: Proxies, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = site.single if name == NGINX else site.authority
    victim = authority.x509_svid("/ns/payments/sa/victim")
    words = f'a";Cert="{xfcc(victim.chain)[0][1][:20]}",Cert=x\r\nClient-Cert: :AAAA:'
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, words)])
    with monkeypatch.context() as patched:
        patched.setattr("bridge.lab.x509._name", lambda text: subject)
        odd = authority.x509_svid("/ns/payments/sa/odd")
    assert odd.leaf.subject == subject
    assert proxies[name].token(odd).claims["sub"] == str(odd.spiffe_id)
    assert is_refused(proxies[name].token(odd, client_id=str(victim.spiffe_id)))


@pytest.mark.parametrize("name", TERMINATING)
def test_clients_that_share_the_proxys_connection_share_nothing_else(site: Site, proxies: Proxies, name: str) -> None:
    """The proxy keeps its connections to the bridge, and each of them serves whoever comes."""
    first, second = svid_for(site, name, "shared-1"), svid_for(site, name, "shared-2")
    for _ in range(3):
        assert proxies[name].token(first).claims["sub"] == str(first.spiffe_id)
        nobody = {"grant_type": "client_credentials", "client_id": str(first.spiffe_id)}
        assert is_refused(proxies[name].post(nobody))
        assert proxies[name].token(second).claims["sub"] == str(second.spiffe_id)


@pytest.mark.parametrize("name", TERMINATING)
def test_no_session_is_resumed_so_each_connection_proves_its_key(site: Site, proxies: Proxies, name: str) -> None:
    svid = svid_for(site, name, "resuming")
    context, session = proxies[name].context(svid), None
    fields = {"grant_type": "client_credentials", "client_id": str(svid.spiffe_id)}
    for _ in range(2):
        raw = socket.create_connection(("127.0.0.1", proxies[name].port), timeout=SECONDS)
        connection = HTTPSConnection("127.0.0.1", proxies[name].port, timeout=SECONDS)
        tls = context.wrap_socket(raw, server_hostname="127.0.0.1", session=session)
        connection.sock = tls
        answer = Client.exchange(connection, "POST", "/token", body=urlencode(fields), headers=[("Content-Type", FORM)])
        assert (answer.status, tls.session_reused) == (200, False)
        session = tls.session
        connection.close()


def logged_address(site: Site, answer: Answer) -> str:
    lines = [json.loads(line) for line in site.log.splitlines() if answer.headers["X-Request-Id"] in line]
    return str(lines[0]["source_address"])


@pytest.mark.parametrize("name", TERMINATING)
def test_the_source_address_is_what_the_proxy_saw_T_36(site: Site, proxies: Proxies, name: str) -> None:
    claims = [("X-Forwarded-For", "10.9.9.9"), ("X_Forwarded_For", "10.9.9.8"), ("Forwarded", "for=10.9.9.7")]
    for headers in ([], claims, [*claims, claims[0]]):
        answer = proxies[name].post({"grant_type": "client_credentials"}, headers=headers)
        assert logged_address(site, answer) == "127.0.0.1"


@pytest.mark.parametrize("name", TERMINATING)
def test_forwarded_scheme_and_host_move_nothing_T_36_OAS_35(site: Site, proxies: Proxies, name: str) -> None:
    path = "/.well-known/oauth-authorization-server"
    claims = [("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Proto", "http"), ("Forwarded", "host=evil.example")]
    metadata = proxies[name].request("GET", path)
    assert metadata.body["issuer"] == site.client.issuer
    assert proxies[name].request("GET", path, headers=claims).content == metadata.content
    assert proxies[name].token(svid_for(site, name, "moved"), headers=claims).claims["iss"] == site.client.issuer
