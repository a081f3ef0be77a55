"""`[[trusted_proxies]]` with a `spiffe_id`: the proxy comes by TLS with its own X.509-SVID, and only then is it one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from http.client import HTTPSConnection
from urllib.parse import urlencode

import pytest

from bridge.lab.broken_x509 import mint_x509
from bridge.lab.x509 import X509Svid
from tests.flows.client import FORM, Answer, jwt_fields
from tests.flows.dpop import DpopKey
from tests.flows.proxied import Headers, rfc_9440, xfcc
from tests.flows.stand import Stand
from tests.flows.test_clauses_credentials import is_refused
from tests.flows.test_trusted_proxies import logged, thumbprint

# Addresses of loopback stand for other machines'.
PROXYS, ELSEWHERE = "127.0.0.9", "127.0.0.1"
# A workload like others too: the rules give it tokens.
PROXY = "/ns/web/sa/proxy"
KNOWN = f"""
[[trusted_proxies]]
address = "{PROXYS}/32"
spiffe_id = "spiffe://example.org{PROXY}"
header = "client-cert"
"""


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with Stand(tmp_path_factory.mktemp("known"), more=KNOWN, workers=1) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(behind: Stand) -> X509Svid:
    return behind.authority.x509_svid(PROXY)


@pytest.fixture(scope="module")
def workload(behind: Stand) -> X509Svid:
    return behind.authority.x509_svid("/ns/payments/sa/behind-known")


def ask(
    stand: Stand,
    fields: dict[str, str],
    headers: Headers = (),
    *,
    shows: X509Svid | None,
    address: str = PROXYS,
    mtls: bool = True,
) -> Answer:
    """A token request on a connection from `address` that shows this certificate."""
    connection = from_address(stand, shows, address, mtls=mtls)
    typed = [("Content-Type", FORM), *headers]
    try:
        return stand.client.exchange(connection, "POST", "/token", body=urlencode(fields), headers=typed)
    finally:
        connection.close()


def from_address(stand: Stand, shows: X509Svid | None, address: str, *, mtls: bool = True) -> HTTPSConnection:
    connection = stand.client.connect(shows, mtls=mtls)
    connection.source_address = (address, 0)
    return connection


def by(svid: X509Svid) -> dict[str, str]:
    return {"grant_type": "client_credentials", "client_id": str(svid.spiffe_id)}


def test_a_proxy_that_shows_its_svid_states_its_clients_certificate(
    behind: Stand, proxy: X509Svid, workload: X509Svid
) -> None:
    """ROFU-1, SCA-19, T-18. The certificate of the connection is the proxy's, and no second credential."""
    answer = ask(behind, by(workload), rfc_9440(workload.chain), shows=proxy)
    assert answer.claims["cnf"] == {"x5t#S256": thumbprint(workload)}
    assert answer.claims["client_id"] == str(workload.spiffe_id)


@pytest.mark.parametrize("spoof", ["another workload", "an ended one", "none", "another address", "the other listener"])
def test_unless_all_of_it_is_right_no_header_counts_T_18(
    behind: Stand, proxy: X509Svid, workload: X509Svid, spoof: str
) -> None:
    """Its twin is above. Whoever comes is then a client like any other, or nobody."""
    intruder = behind.authority.x509_svid("/ns/web/sa/intruder-of-the-node")
    shows, address = proxy, PROXYS
    if spoof == "another workload":
        shows = intruder
    elif spoof == "an ended one":
        shows = mint_x509(behind.authority, "expired", PROXY, other=behind.stranger)
    elif spoof == "another address":
        address = ELSEWHERE
    shown = None if spoof in ("none", "the other listener") else shows
    answer = ask(
        behind,
        by(workload),
        rfc_9440(workload.chain),
        shows=shown,
        address=address,
        mtls=spoof != "the other listener",
    )
    assert is_refused(answer)


def test_an_svid_that_no_bundle_anchors_ends_in_the_handshake_T_12(behind: Stand, workload: X509Svid) -> None:
    with pytest.raises(OSError):
        ask(behind, by(workload), rfc_9440(workload.chain), shows=behind.stranger.x509_svid(PROXY))


def test_nobody_behind_the_proxy_is_the_proxy_T_18(behind: Stand, proxy: X509Svid) -> None:
    """By its own certificate it gets tokens like any workload, from elsewhere; its clients do not get them by it."""
    assert is_refused(ask(behind, by(proxy), shows=proxy))
    assert ask(behind, by(proxy), shows=proxy, address=ELSEWHERE).claims["sub"] == str(proxy.spiffe_id)


def test_a_request_without_a_stated_certificate_is_one_like_any_other(behind: Stand, proxy: X509Svid) -> None:
    fields = jwt_fields(behind.jwt("/ns/web/sa/behind-known"))
    assert ask(behind, fields, shows=proxy).status == 200
    # From elsewhere the certificate is the caller's own, and so a second credential.
    assert ask(behind, fields, shows=proxy, address=ELSEWHERE).error == "invalid_request"


def test_a_stated_certificate_beside_an_assertion_is_one_credential_too_many_SCA_31(
    behind: Stand, proxy: X509Svid, workload: X509Svid
) -> None:
    fields = jwt_fields(behind.jwt("/ns/web/sa/behind-known"))
    assert ask(behind, fields, rfc_9440(workload.chain), shows=proxy).error == "invalid_request"


def slipped_in(workload: X509Svid) -> dict[str, Sequence[tuple[str, str]]]:
    cert = rfc_9440(workload.chain)
    return {
        "twice": [*cert, cert[0]],
        "underscores": [*cert, ("Client_Cert", cert[0][1])],
        "XFCC": xfcc(workload.chain),
    }


@pytest.mark.parametrize("spoof", ["twice", "underscores", "XFCC"])
def test_what_a_client_slipped_in_is_refused_as_from_any_proxy_T_18(
    behind: Stand, proxy: X509Svid, workload: X509Svid, spoof: str
) -> None:
    refused = ask(behind, by(workload), slipped_in(workload)[spoof], shows=proxy)
    assert is_refused(refused)
    assert logged(behind, refused)[0]["reason"] == "certificate_header"


def test_the_source_address_is_the_proxys_word_and_nobody_elses_T_36(behind: Stand, proxy: X509Svid) -> None:
    hops = [("X-Forwarded-For", "10.9.9.9, 192.0.2.7")]
    fields = {"grant_type": "client_credentials"}
    intruder = behind.authority.x509_svid("/ns/web/sa/intruder-of-the-node")
    said = [logged(behind, ask(behind, fields, hops, shows=svid))[0]["source_address"] for svid in (proxy, intruder)]
    assert said == ["192.0.2.7", PROXYS]


def test_proofs_are_about_the_address_that_the_client_used_OAS_35(
    behind: Stand, proxy: X509Svid, workload: X509Svid
) -> None:
    """The issuer's, unless the proxy asked for a certificate and states one."""
    key, issuer = DpopKey(), behind.client.issuer
    base = f"https://127.0.0.1:{behind.client.mtls_port}"
    for stated in (False, True):
        right, wrong = (base, issuer) if stated else (issuer, base)
        headers = rfc_9440(workload.chain) if stated else []
        answers = []
        for url in (right, wrong):
            fields = by(workload) if stated else jwt_fields(behind.jwt("/ns/web/sa/behind-known"))
            proof = ("DPoP", key.proof("POST", f"{url}/token"))
            answers.append(ask(behind, fields, [*headers, proof], shows=proxy))
        assert (answers[0].status, answers[1].error) == (200, "invalid_dpop_proof")


def test_what_everybody_may_read_a_proxy_whose_svid_has_ended_may_read_too(behind: Stand) -> None:
    ended = mint_x509(behind.authority, "expired", PROXY, other=behind.stranger)
    connection = from_address(behind, ended, PROXYS)
    try:
        assert behind.client.exchange(connection, "GET", "/jwks").status == 200
    finally:
        connection.close()


def test_operators_see_by_what_the_proxy_is_known_and_that_nobody_can_claim_its_address(behind: Stand) -> None:
    (part,) = [part for part in json.loads(behind.bridge("check", "--json").stdout) if part["part"] == "proxies"]
    known = f"{PROXYS}/32 as spiffe://example.org{PROXY}"
    assert (part["found"], part["faults"]) == ([f"{known} states client certificates as client-cert"], [])
