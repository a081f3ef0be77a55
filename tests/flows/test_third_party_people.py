"""Clients that other people wrote, unmodified, act for people: oauth4webapi, the MCP SDK, Authlib.

Each is known by the URL of its metadata document, which the service fetches over TLS. A person's browser is played by
a driver of forms; the clients' loopback listeners are real, on ports that no document names (OAS-30, CIMD-17).

- oauth4webapi does everything there is: PAR, DPoP with nonces, `iss`, refresh, revocation, `private_key_jwt`.
- The MCP SDK knows neither PAR nor DPoP nor revocation. It comes to `/authorize` with plain parameters, asks for one
  scope more when a tool needs it, and rotates its refresh tokens.
- Authlib's session has no method for PAR; its request is posted with the session, and the rest is its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from joserfc.jwk import ECKey

from tests.flows.client import FORM, decode
from tests.flows.mcp_resource import whoami
from tests.flows.people import Callback, House, Person, house

JS = Path(__file__).with_name("js")
LOOPBACK = "http://127.0.0.1/callback"
SECONDS = 60


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("people") / "stand", dpop_nonces=True) as running:
        yield running


def document(home: House, path: str, **members: Any) -> str:
    """A client with this document; it listens on loopback."""
    stated = {"redirect_uris": [LOOPBACK], "client_name": "Somebody's client", **members}
    return home.shelf.publish(path, **stated)


def keyed(home: House, path: str) -> tuple[str, dict[str, Any]]:
    """A confidential client, and its private key as a JWK."""
    key = ECKey.generate_key("P-256", {"kid": "own-1", "alg": "ES256"})
    public = {"keys": [key.as_dict(private=False)]}
    url = document(home, path, token_endpoint_auth_method="private_key_jwt", jwks=public)
    return url, key.as_dict(private=True)


# --- oauth4webapi -----------------------------------------------------------------------------------------------------


class Oauth4webapi:
    """One run of the flow in node, with a person beside it."""

    def __init__(self, home: House, person: Person, button: str = "approve", **told: Any) -> None:
        if not (JS / "node_modules/.installed").exists() or shutil.which("node") is None:
            pytest.skip("oauth4webapi is not installed: `make test` does it where npm is")
        told = {"issuer": home.stand.client.issuer, "resource": home.resource.identifier, "par": True, **told}
        environment = {"PATH": os.environ["PATH"], "NODE_EXTRA_CA_CERTS": str(home.stand.folder / "tls/ca.pem")}
        self.said: dict[str, Any] = {}
        with subprocess.Popen(
            ["node", str(JS / "code_flow.mjs")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        ) as process:  # fmt: skip
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdin.write(json.dumps(told))
            process.stdin.close()
            for line in process.stdout:
                said = json.loads(line)
                self.said |= said
                if "visit" in said:
                    self.went = person.open(said["visit"], button)
            self.errors = process.stderr.read()
            assert process.wait(SECONDS) == (0 if button == "approve" else 1), self.errors


def test_oauth4webapi_as_a_public_client_with_par_dpop_refresh_and_revocation(home: House) -> None:
    person, url = home.browser(), document(home, "/desktop/public")
    run = Oauth4webapi(home, person, client_id=url, scope="tools.list tools.call", dpop=True)
    assert run.said["pushed"]["expires_in"] == 60
    assert run.said["token"]["token_type"] == "dpop"
    caller = run.said["caller"]
    assert (caller["kind"], caller["client_id"], caller["bound_to"]) == ("user", url, "jkt")
    assert (caller["user"].partition("-")[0], caller["actor"]) == ("user", None)
    assert urlsplit(run.went).port not in (None, 80)
    assert run.said["judged"] == url, "oauth4webapi's own resource server takes the token as well (OAS-19)"
    assert run.said["revoked"] == "invalid_grant"


def test_oauth4webapi_as_a_confidential_client_with_private_key_jwt(home: House) -> None:
    url, jwk = keyed(home, "/service/confidential")
    run = Oauth4webapi(home, home.browser(), client_id=url, jwk=jwk, scope="tools.call", dpop=True)
    assert (run.said["caller"]["client_id"], run.said["revoked"]) == (url, "invalid_grant")
    unbound = Oauth4webapi(home, home.browser(), client_id=url, jwk=jwk, scope="tools.call", par=False)
    assert (unbound.said["token"]["token_type"], unbound.said["caller"]["bound_to"]) == ("bearer", None)
    # A confidential client keeps its refresh token.
    assert unbound.said["refreshed"].get("refresh_token") in (None, unbound.said["token"]["refresh_token"])


def test_oauth4webapi_rotates_the_refresh_token_of_a_public_client_without_a_key_OAS_15(home: House) -> None:
    url = document(home, "/desktop/bearer")
    run = Oauth4webapi(home, home.browser(), client_id=url, scope="tools.call", par=False)
    first, second = run.said["token"]["refresh_token"], run.said["refreshed"]["refresh_token"]
    assert first != second
    assert run.said["revoked"] == "invalid_grant"


def test_oauth4webapi_gets_client_credentials_by_its_document_s_key(home: House) -> None:
    url, jwk = keyed(home, "/service/machine")
    run = Oauth4webapi(home, home.browser(), client_id=url, jwk=jwk, scope="tools.call", dpop=True, credentials=True)
    assert (run.said["caller"]["kind"], run.said["caller"]["actor"]) == ("client", url)


def test_oauth4webapi_reads_a_denial_as_one(home: House) -> None:
    url = document(home, "/desktop/denied")
    run = Oauth4webapi(home, home.browser(), "deny", client_id=url, scope="tools.call", dpop=True)
    assert "access_denied" in run.errors
    assert "token" not in run.said


def test_a_rule_that_wants_pushed_requests_is_met_by_oauth4webapi_and_no_plain_request(home: House) -> None:
    url = document(home, "/pushing/app")
    assert Oauth4webapi(home, home.browser(), client_id=url, scope="tools.call", dpop=True).said["token"]
    plain = {"client_id": url, "response_type": "code", "redirect_uri": LOOPBACK, "state": "s", "scope": "tools.call"}
    with Callback() as callback:
        asked = {**plain, "redirect_uri": callback.uri, "code_challenge": "A" * 43, "code_challenge_method": "S256"}
        went = home.browser().open(f"{home.stand.client.issuer}/authorize?{urlencode(asked)}")
    assert parse_qs(urlsplit(went).query)["error"] == ["invalid_request"]


# --- the MCP SDK ------------------------------------------------------------------------------------------------------


class Storage:
    """What the SDK keeps of one server."""

    def __init__(self) -> None:
        self.tokens: Any = None
        self.info: Any = None

    async def get_tokens(self) -> Any:
        return self.tokens

    async def set_tokens(self, tokens: Any) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> Any:
        return self.info

    async def set_client_info(self, info: Any) -> None:
        self.info = info


def sign_in_provider(home: House, storage: Storage, url: str, person: Person, callback: Callback) -> Any:
    """The SDK's own, with a browser and a listener."""
    from mcp.client.auth import OAuthClientProvider
    from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata

    async def show(visit: str) -> None:
        await asyncio.to_thread(person.open, visit)

    async def answered() -> Any:
        said = parse_qs(urlsplit(callback.came[-1]).query)
        return AuthorizationCodeResult(code=said["code"][0], state=said["state"][0], iss=said["iss"][0])

    metadata = OAuthClientMetadata(redirect_uris=[callback.uri], client_name="Desktop")  # type: ignore[list-item]
    return OAuthClientProvider(home.resource.identifier, metadata, storage, show, answered, client_metadata_url=url)


def test_the_mcp_sdk_signs_in_by_its_document_asks_for_more_when_a_tool_needs_it_and_refreshes(home: House) -> None:
    url = document(home, "/desktop/mcp")
    storage, person = Storage(), home.browser()
    context = ssl.create_default_context(cafile=str(home.stand.folder / "tls/ca.pem"))
    with Callback() as callback:
        provider = sign_in_provider(home, storage, url, person, callback)
        told = whoami(home.resource.identifier, provider, context)
        assert (told["kind"], told["client_id"]) == ("user", url)
        assert told["scopes"] == ["tools.call", "tools.list"]
        # First the list of tools, then calling one: asked twice, since consent is not remembered for loopback.
        assert len(callback.came) == 2
        first = storage.tokens
        # As if its access token had ended: the SDK asks for a new one by itself, and nobody has to sign in.
        provider.context.token_expiry_time = time.time() - 1
        again = whoami(home.resource.identifier, provider, context)
    assert again["user"] == told["user"]
    assert len(callback.came) == 2
    assert storage.tokens.refresh_token not in (None, first.refresh_token)
    assert storage.tokens.access_token != first.access_token
    assert home.shelf.counts[url] == 1


# --- Authlib ----------------------------------------------------------------------------------------------------------


def authlib_session(home: House, client_id: str, key: Any, redirect_uri: str) -> Any:
    from authlib.integrations.requests_client import OAuth2Session

    session = OAuth2Session(
        client_id, key, token_endpoint_auth_method="private_key_jwt", revocation_endpoint_auth_method="private_key_jwt",
        redirect_uri=redirect_uri, scope="tools.call", code_challenge_method="S256",
    )  # fmt: skip
    session.trust_env = False  # Else a variable of the environment goes before the next line.
    session.verify = str(home.stand.folder / "tls/ca.pem")
    return session


def test_authlib_goes_through_the_code_flow_with_par_and_its_own_assertions(home: House) -> None:
    from authlib.common.security import generate_token
    from authlib.oauth2.rfc7523 import PrivateKeyJWT

    url, jwk = keyed(home, "/service/authlib")
    issuer = home.stand.client.issuer
    with Callback() as callback:
        session = authlib_session(home, url, ECKey.import_key(jwk), callback.uri)

        def sign() -> None:
            """Authlib keeps the claims it is given, their `jti` too, so each request has a new one (KBC-33)."""
            claims = {"exp": int(time.time()) + 60}
            session.register_client_auth_method(PrivateKeyJWT(issuer, claims=claims, alg="ES256"))

        verifier = generate_token(48)
        asked, state = session.create_authorization_url(f"{issuer}/authorize", code_verifier=verifier)
        sign()
        auth = session.client_auth("private_key_jwt")
        pushed = session.post(
            f"{issuer}/par", urlsplit(asked).query, headers={"Content-Type": FORM}, withhold_token=True, auth=auth
        )
        assert pushed.status_code == 201, pushed.text
        visit = urlencode({"client_id": url, "request_uri": pushed.json()["request_uri"]})
        went = home.browser().open(f"{issuer}/authorize?{visit}")
        sign()
        token = session.fetch_token(f"{issuer}/token", authorization_response=went, state=state, code_verifier=verifier)
        claims = decode(token["access_token"], 1)
        assert (claims["client_id"], claims["aud"]) == (url, home.resource.identifier)
        sign()
        renewed = session.refresh_token(f"{issuer}/token")
        assert decode(renewed["access_token"], 1)["sub"] == claims["sub"]
        sign()
        assert session.revoke_token(f"{issuer}/revoke", renewed["refresh_token"]).status_code == 200
        sign()
        from authlib.integrations.base_client.errors import OAuthError

        with pytest.raises(OAuthError, match="invalid_grant"):
            session.refresh_token(f"{issuer}/token", renewed["refresh_token"])


def test_what_a_document_does_not_state_no_port_makes_right_OAS_30(home: House) -> None:
    """The loopback port may be any; nothing else may. No answer goes to what the document does not state."""
    url = document(home, "/desktop/strict")
    asked = {
        "client_id": url, "response_type": "code", "state": "s", "scope": "tools.call",
        "code_challenge": "A" * 43, "code_challenge_method": "S256",
    }  # fmt: skip
    with Callback() as callback:
        good = f"{home.stand.client.issuer}/authorize?{urlencode({**asked, 'redirect_uri': callback.uri})}"
        assert home.browser().open(good).startswith(callback.uri + "?code=")
        for wrong in (callback.uri + "/", callback.uri.replace("127.0.0.1", "[::1]"), callback.uri + "?a=b"):
            bad = f"{home.stand.client.issuer}/authorize?{urlencode({**asked, 'redirect_uri': wrong})}"
            with pytest.raises(AssertionError, match="400"):
                home.browser().open(bad)
    assert len(callback.came) == 1
