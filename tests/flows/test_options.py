"""What the configuration may turn on: DPoP nonces, plain HTTP for development, the mTLS listener alone."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from urllib.parse import urlencode

from tests.flows.client import FORM, jwt_fields
from tests.flows.dpop import DpopKey
from tests.flows.stand import RULES, Stand
from tests.live.processes import free_ports


def test_with_nonces_a_proof_without_one_comes_again_and_has_consumed_nothing(fresh: Callable[..., Stand]) -> None:
    stand = fresh(more="[dpop]\nrequire_nonce = true")
    stand.write_rules(RULES.replace('bind = "none", replay = "once"', 'bind = "jkt", replay = "once"'))
    with stand:
        url, key = stand.client.issuer + "/token", DpopKey()
        svid = stand.jwt("/ns/once/sa/nonce")
        asked = stand.client.by_jwt(svid, headers=[("DPoP", key.proof("POST", url))])
        assert (asked.status, asked.error) == (400, "use_dpop_nonce")
        nonce = asked.headers["DPoP-Nonce"]
        stale = stand.client.by_jwt(svid, headers=[("DPoP", key.proof("POST", url, nonce="stale"))])
        assert (stale.status, stale.error) == (400, "use_dpop_nonce")
        granted = stand.client.by_jwt(svid, headers=[("DPoP", key.proof("POST", url, nonce=nonce))])
        assert granted.claims["cnf"] == {"jkt": key.thumbprint}
        assert granted.headers["DPoP-Nonce"]
        again = stand.client.by_jwt(svid, headers=[("DPoP", key.proof("POST", url, nonce=nonce))])
        assert (again.status, again.error) == (401, "invalid_client")


def test_without_nonces_none_is_sent(stand: Stand) -> None:
    proof = DpopKey().proof("POST", stand.client.issuer + "/token")
    assert stand.client.by_jwt(stand.jwt("/ns/edge/sa/f"), headers=[("DPoP", proof)]).headers["DPoP-Nonce"] is None


def test_plain_http_serves_on_loopback_for_development(fresh: Callable[..., Stand]) -> None:
    stand = fresh()
    (port,) = free_ports(1)
    issuer = f"http://127.0.0.1:{port}"
    text = stand.config.read_text()
    kept = text[text.index("workers =") : text.index("[tls]")] + text[text.index("[policies]") :]
    stand.config.write_text(f'issuer = "{issuer}"\nlisten = "127.0.0.1:{port}"\n{kept}')
    with stand:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        body = urlencode(jwt_fields(stand.jwt("/ns/web/sa/plain", audience=issuer)))
        connection.request("POST", "/token", body, {"Content-Type": FORM})
        assert connection.getresponse().status == 200
        connection.close()
        assert "development" in stand.log


def test_the_mtls_listener_can_be_the_only_one(fresh: Callable[..., Stand]) -> None:
    stand = fresh()
    lines = stand.config.read_text().splitlines()
    stand.config.write_text("\n".join(line for line in lines if not line.startswith("listen =")))
    with stand:
        assert stand.client.by_x509(stand.authority.x509_svid("/ns/payments/sa/only")).status == 200
        assert stand.client.post("/token", jwt_fields(stand.jwt("/ns/web/sa/only")), mtls=True).status == 200
