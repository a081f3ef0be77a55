"""Clients that other people wrote, unmodified: curl, Authlib, and the MCP SDK's workload-identity provider."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.flows.client import JWT_SPIFFE, decode
from tests.flows.mcp_resource import catalogue_entry, grant, mcp_resource, whoami
from tests.flows.stand import CATALOGUE, LEDGER, RULES, Stand


def test_curl_gets_a_token_with_a_jwt_svid(stand: Stand) -> None:
    assert shutil.which("curl"), "curl is one of the programs that this machine must have"
    done = subprocess.run(
        [
            "curl", "-sS", "--fail-with-body", "--cacert", str(stand.folder / "tls/ca.pem"),
            stand.client.issuer + "/token", "-d", "grant_type=client_credentials",
            "--data-urlencode", f"client_assertion_type={JWT_SPIFFE}",
            "--data-urlencode", f"client_assertion={stand.jwt('/ns/web/sa/curl')}",
        ],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["scope"] == "ledger.read"


def test_curl_gets_a_token_with_an_x509_svid(stand: Stand, tmp_path: Path) -> None:
    svid = stand.authority.x509_svid("/ns/payments/sa/curl")
    chain, key = svid.write(tmp_path)
    done = subprocess.run(
        [
            "curl", "-sS", "--fail-with-body", "--cacert", str(stand.folder / "tls/ca.pem"),
            "--cert", str(chain), "--key", str(key),
            f"https://127.0.0.1:{stand.client.mtls_port}/token", "-d", "grant_type=client_credentials",
            "--data-urlencode", f"client_id={svid.spiffe_id}",
        ],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "x5t#S256" in decode(json.loads(done.stdout)["access_token"], 1)["cnf"]


def test_authlib_takes_our_metadata_for_valid_RFC_8414(stand: Stand) -> None:
    from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url

    url = get_well_known_url(stand.client.issuer)
    AuthorizationServerMetadata(stand.client.request("GET", url).body).validate()


def test_authlib_gets_a_token_with_a_jwt_svid(stand: Stand) -> None:
    from authlib.integrations.requests_client import OAuth2Session

    client = OAuth2Session("spiffe://example.org/ns/web/sa/authlib", token_endpoint_auth_method="none")
    token = client.fetch_token(
        stand.client.issuer + "/token",
        grant_type="client_credentials",
        client_assertion_type=JWT_SPIFFE,
        client_assertion=stand.jwt("/ns/web/sa/authlib"),
        verify=str(stand.folder / "tls/ca.pem"),
    )
    assert token["token_type"] == "Bearer"


@pytest.fixture
def served(fresh: Callable[..., Stand]) -> Iterator[tuple[Stand, str]]:
    """A service with a rule for an agent, and the MCP server that trusts it."""
    stand = fresh()
    with mcp_resource(stand.client.issuer, stand.folder / "tls/ca.pem") as resource:
        rule = '\n[[rule]]\nid = "mcp"\nwhy = "an agent"\neffect = "allow"\nwhen = { path = "/ns/agents/sa/*" }\n'
        (stand.policies / "catalogue.toml").write_text(CATALOGUE + catalogue_entry(resource))
        stand.write_rules(RULES + rule + grant(resource))
        with stand:
            yield stand, resource.identifier


def test_the_mcp_clients_workload_identity_provider_signs_in_by_itself(served: tuple[Stand, str]) -> None:
    """The first call is refused for want of a scope; the SDK asks for it as well and comes again."""
    from mcp.client.auth.extensions.client_credentials import PrivateKeyJWTOAuthProvider

    stand, resource = served

    class Storage:
        async def get_tokens(self) -> None:
            return None

        async def set_tokens(self, tokens: object) -> None:
            self.tokens = tokens

        async def get_client_info(self) -> None:
            return None

        async def set_client_info(self, info: object) -> None:
            return None

    async def assertion(audience: str) -> str:
        return stand.jwt("/ns/agents/sa/mcp", audience=audience)

    agent = "spiffe://example.org/ns/agents/sa/mcp"
    provider = PrivateKeyJWTOAuthProvider(resource, Storage(), agent, assertion, issuer=stand.client.issuer)
    told = whoami(resource, provider, ssl.create_default_context(cafile=str(stand.folder / "tls/ca.pem")))
    assert (told["kind"], told["actor"], told["client_id"]) == ("client", agent, agent)
    assert told["scopes"] == ["tools.call", "tools.list"]
    assert told["audience"] == resource != LEDGER
