"""Clients that other people wrote, unmodified, register and get tokens: Authlib, and the MCP SDK where it can.

What each of them does, and where it ends:

- Authlib has no registration client of its own. Its session posts the request, its RFC 7591 model judges the
  answer, and its `PrivateKeyJWT` authenticates, told what its defaults are not: the issuer as audience
  (RFC 7523bis; by default the URL of the token endpoint, T-22), and a life within 10 minutes (KBC-34; an hour).
  With claims of one's own it keeps their `jti`, so each request needs a new `PrivateKeyJWT` (KBC-33).
- The MCP SDK's `OAuthClientMetadata` has no `software_statement`, so its clients register by certificate: with a
  TLS context that holds the SVID, at a server whose issuer is the address that asks for certificates, because
  the SDK reads no `mtls_endpoint_aliases`. It sends `response_types: ["code"]` unless told otherwise, which
  RFC 7591 does not let stand beside `client_credentials` alone (DCR-6).
- The SDK's sign-in flow for people registers by itself, and then gives up a client whose answer names another
  method than `none` or a secret. A workload's method is its SVID, and no secret is issued (DCR-12 to 14): the
  two cannot meet, and the last test says how they part.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from bridge.lab.jws import JwtKey
from bridge.lab.x509 import X509Svid
from tests.flows.client import JWT_SPIFFE, Client, decode
from tests.flows.enrolling import Registering, jwks
from tests.flows.mcp_resource import catalogue_entry, grant, mcp_resource, whoami
from tests.flows.stand import CATALOGUE

CALLBACK = "http://127.0.0.1:3030/callback"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registering]:
    with Registering(tmp_path_factory.mktemp("plain") / "stand") as stand:
        yield stand


def authlib_session(stand: Registering, *names: Any, **options: Any) -> Any:
    from authlib.integrations.requests_client import OAuth2Session

    session = OAuth2Session(*names, **options)
    session.trust_env = False  # Else a variable of the environment goes before the next line.
    session.verify = str(stand.folder / "tls/ca.pem")
    return session


def judged_by_authlib(body: dict[str, Any]) -> dict[str, Any]:
    from authlib.oauth2.rfc7591 import ClientMetadataClaims

    claims = ClientMetadataClaims(body, {}, {}, None)
    claims.validate()
    return dict(claims)


def test_authlib_registers_a_workload_by_its_svid_and_gets_a_token(plain: Registering) -> None:
    path = "/ns/web/sa/authlib-registers"
    session = authlib_session(plain, token_endpoint_auth_method="none")
    body = {"software_statement": plain.svid(path), "client_name": "Authlib", "grant_types": ["client_credentials"]}
    answer = session.post(plain.endpoint, json=body, withhold_token=True)
    assert answer.status_code == 201
    told = judged_by_authlib(answer.json())
    assert (told["client_name"], told["token_endpoint_auth_method"]) == ("Authlib", "spiffe_jwt")
    session.client_id = told["client_id"]
    token = session.fetch_token(
        plain.client.issuer + "/token",
        grant_type="client_credentials",
        client_assertion_type=JWT_SPIFFE,
        client_assertion=plain.jwt(path),
    )
    assert decode(token["access_token"], 1)["client_id"] == told["client_id"]


def test_authlib_registers_by_a_pinned_issuer_s_statement_and_signs_its_own_assertions(plain: Registering) -> None:
    from authlib.integrations.base_client.errors import OAuthError
    from authlib.oauth2.rfc7523 import PrivateKeyJWT
    from joserfc.jwk import ECKey

    key = ECKey.generate_key("P-256", {"kid": "own-1"})
    statement = plain.statement("pipeline", {"jwks": {"keys": [key.as_dict(private=False)]}})
    answer = authlib_session(plain).post(plain.endpoint, json={"software_statement": statement}, withhold_token=True)
    assert answer.status_code == 201
    told = judged_by_authlib(answer.json())
    session = authlib_session(plain, told["client_id"], key, token_endpoint_auth_method="private_key_jwt")

    def fetch(audience: str | None, claims: dict[str, Any] | None) -> str:
        session.register_client_auth_method(PrivateKeyJWT(audience, claims=claims, alg="ES256"))
        return str(session.fetch_token(plain.client.issuer + "/token", grant_type="client_credentials")["access_token"])

    def soon() -> dict[str, Any]:
        return {"exp": int(time.time()) + 60}

    assert decode(fetch(plain.client.issuer, soon()), 1)["client_id"] == told["client_id"]
    for audience, claims in ((None, soon()), (plain.client.issuer, None)):
        with pytest.raises(OAuthError, match="invalid_client"):
            fetch(audience, claims)


# --- the MCP SDK ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Registering, str]]:
    """A service whose one address asks for certificates, with rules for agents, and the MCP server that trusts it."""
    stand = Registering(tmp_path_factory.mktemp("certified") / "stand")
    issuer = stand.mtls_base
    lines = [line for line in stand.config.read_text().splitlines() if not line.startswith(("listen", "issuer"))]
    stand.config.write_text("\n".join([f'issuer = "{issuer}"', *lines]))
    stand.client = Client(port=stand.client.mtls_port, mtls_port=stand.client.mtls_port, ca=stand.folder / "tls/ca.pem")
    with mcp_resource(issuer, stand.folder / "tls/ca.pem") as resource:
        (stand.policies / "catalogue.toml").write_text(CATALOGUE + catalogue_entry(resource))
        instance = 'bind = "if-present", client = "instance", lease = "1h"'
        person = (
            f'bind = "if-present", redirect_uris = ["{CALLBACK}"], '
            'grant_types = ["authorization_code", "refresh_token"]'
        )
        rules = (
            '\n[[rule]]\nid = "agents"\nwhy = "each agent is its own client"\neffect = "allow"\n'
            f'when = {{ path = "/ns/agents/sa/*" }}\n{grant(resource, instance)}'
            '\n[[rule]]\nid = "desktops"\nwhy = "people sign in"\neffect = "allow"\n'
            f'when = {{ path = "/ns/desktops/sa/*" }}\n{grant(resource, person)}'
        )
        file = stand.policies / "example.org.toml"
        stand.write_rules(file.read_text() + rules)
        with stand:
            yield stand, resource.identifier


class Storage:
    """What the SDK keeps; nothing outlives a test."""

    info: Any = None

    async def get_tokens(self) -> None:
        return None

    async def set_tokens(self, tokens: object) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> None:
        return None

    async def set_client_info(self, info: object) -> None:
        self.info = info


def context_of(stand: Registering, folder: Path, svid: X509Svid | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(stand.folder / "tls/ca.pem"))
    if svid is not None:
        context.load_cert_chain(*svid.write(folder))
    return context


async def register_by_the_sdk(stand: Registering, context: ssl.SSLContext, **metadata: Any) -> Any:
    """Discovery, request and reading of the answer as the SDK does them."""
    import httpx2
    from mcp.client.auth import utils
    from mcp.shared.auth import OAuthClientMetadata

    async with httpx2.AsyncClient(verify=context) as client:
        url = stand.client.issuer + "/.well-known/oauth-authorization-server"
        found = await client.send(utils.create_oauth_metadata_request(url))
        _, server = await utils.handle_auth_metadata_response(found)
        asked = utils.create_client_registration_request(server, OAuthClientMetadata(**metadata), stand.client.issuer)
        return await utils.handle_registration_response(await client.send(asked))


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def test_the_mcp_sdk_registers_an_agent_s_instance_and_signs_in_by_its_own_key(
    certified: tuple[Registering, str], tmp_path: Path
) -> None:
    """All of it is the SDK's: discovery, registration, assertion, token. The key is new, and so is the client."""
    from mcp.client.auth.extensions.client_credentials import PrivateKeyJWTOAuthProvider, SignedJWTParameters

    stand, resource = certified
    key = JwtKey.generate("ES256")
    svid = stand.authority.x509_svid("/ns/agents/sa/mcp")
    info = run(
        register_by_the_sdk(
            stand,
            context_of(stand, tmp_path, svid),
            redirect_uris=None,
            grant_types=["client_credentials"],
            response_types=[],
            token_endpoint_auth_method="private_key_jwt",
            client_name="Agent",
            jwks=jwks(key),
        )
    )
    assert info.client_id.startswith("instance-")
    assert (info.token_endpoint_auth_method, info.client_secret) == ("private_key_jwt", None)
    pem = key.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    signed = SignedJWTParameters(
        issuer=info.client_id, subject=info.client_id, signing_key=pem.decode(), signing_algorithm="ES256"
    )
    provider = PrivateKeyJWTOAuthProvider(
        resource, Storage(), info.client_id, signed.create_assertion_provider(), issuer=stand.client.issuer
    )
    told = whoami(resource, provider, context_of(stand, tmp_path))
    assert (told["client_id"], told["actor"]) == (info.client_id, "spiffe://example.org/ns/agents/sa/mcp")
    assert told["audience"] == resource


def test_the_mcp_sdk_s_default_response_type_does_not_fit_a_client_without_codes_DCR_6(
    certified: tuple[Registering, str], tmp_path: Path
) -> None:
    from mcp.client.auth import OAuthRegistrationError

    stand, _ = certified
    context = context_of(stand, tmp_path, stand.authority.x509_svid("/ns/web/sa/mcp-defaults"))
    common: dict[str, Any] = {"redirect_uris": None, "grant_types": ["client_credentials"]}
    with pytest.raises(OAuthRegistrationError, match="response_types"):
        run(register_by_the_sdk(stand, context, **common))
    assert run(register_by_the_sdk(stand, context, **common, response_types=[])).client_id.endswith("/mcp-defaults")


def sign_in_provider(resource: str, storage: Storage) -> Any:
    from mcp.client.auth import OAuthClientProvider
    from mcp.shared.auth import OAuthClientMetadata

    async def nobody(*_: object) -> Any:
        raise AssertionError("nobody is to sign in")

    metadata = OAuthClientMetadata(redirect_uris=[CALLBACK], client_name="Desktop")  # type: ignore[list-item]
    return OAuthClientProvider(resource, metadata, storage, nobody, nobody)


def test_the_mcp_sdk_s_sign_in_flow_has_no_statement_and_is_told_to_send_one(
    certified: tuple[Registering, str], tmp_path: Path
) -> None:
    from mcp.client.auth import OAuthRegistrationError

    stand, resource = certified
    with pytest.raises(OAuthRegistrationError, match="send a software_statement"):
        whoami(resource, sign_in_provider(resource, Storage()), context_of(stand, tmp_path))


def test_the_mcp_sdk_s_sign_in_flow_registers_by_certificate_and_then_gives_up_an_svid_s_method_DCR_13(
    certified: tuple[Registering, str], tmp_path: Path
) -> None:
    """Not to be mended here: `none` beside an SVID is refused (DCR-14), and RFC 7591 wants the method echoed."""
    from mcp.client.auth import OAuthRegistrationError

    stand, resource = certified
    context = context_of(stand, tmp_path, stand.authority.x509_svid("/ns/desktops/sa/mcp"))
    with pytest.raises(OAuthRegistrationError, match="unsupported token_endpoint_auth_method 'spiffe_x509'"):
        whoami(resource, sign_in_provider(resource, Storage()), context)
    recorded = [client for client in stand.clients() if client["subject"].endswith("/ns/desktops/sa/mcp")]
    assert [client["metadata"]["redirect_uris"] for client in recorded] == [[CALLBACK]]


def test_what_a_person_s_client_is_told_can_be_read_by_the_sdk(
    certified: tuple[Registering, str], tmp_path: Path
) -> None:
    stand, _ = certified
    context = context_of(stand, tmp_path, stand.authority.x509_svid("/ns/desktops/sa/reader"))
    info = run(register_by_the_sdk(stand, context, redirect_uris=[CALLBACK], client_name="Reader", scope="tools.call"))
    assert [str(uri) for uri in info.redirect_uris] == [CALLBACK]
    assert (info.grant_types, info.scope) == (["authorization_code", "refresh_token"], "tools.call")
    assert info.application_type == "native"
