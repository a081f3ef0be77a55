"""The lab's protected resource: what it tells strangers, and which tokens it takes (OAS-19, OAS-20, T-25, T-26)."""

from __future__ import annotations

import ast
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from bridge.cli.lab_resource import _tls
from bridge.lab import resource_tokens
from bridge.lab.authority import Authority
from bridge.lab.resource import ProtectedResource, ResourceOptions
from bridge.lab.web_ca import WebCa
from tests.unit.lab.resource_stage import MESSAGE, NOW, SHOP, Stage, key, sha256


@pytest.fixture(scope="module")
def shared() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


@pytest.fixture
def stage(shared: Stage) -> Stage:
    shared.now = NOW
    return shared


# --- what it says of itself (RFC 9728) --------------------------------------------------------------------------------


def test_a_stranger_is_shown_the_way_to_the_authorization_server(stage: Stage) -> None:
    refused = stage.call()
    assert (refused.status, refused.body) == (401, {})
    expected = f'resource_metadata="{stage.resource.metadata_url}", scope="tools.list"'
    assert refused.challenges == [f"Bearer {expected}", f'DPoP {expected}, algs="ES256 ES384 ES512"']
    metadata = stage.call(method="GET", path=stage.resource.metadata_url.removeprefix(stage.resource.base))
    assert metadata.status == 200
    assert metadata.headers["Content-Type"] == "application/json"
    assert metadata.body["resource"] == stage.resource.identifier
    assert metadata.body["authorization_servers"] == [stage.issuer.url]
    assert metadata.body["scopes_supported"] == ["tools.list", "tools.call"]
    assert metadata.body["bearer_methods_supported"] == ["header"]
    assert metadata.body["dpop_signing_alg_values_supported"] == ["ES256", "ES384", "ES512"]
    assert metadata.body["dpop_bound_access_tokens_required"] is False


def test_the_metadata_is_at_the_inserted_path_alone(stage: Stage) -> None:
    assert stage.resource.metadata_url.endswith("/.well-known/oauth-protected-resource/mcp")
    assert stage.call(method="GET", path="/.well-known/oauth-protected-resource").status == 404
    assert stage.call(method="GET", path="/mcp").status == 405


# --- who calls --------------------------------------------------------------------------------------------------------


def test_a_client_s_own_token_names_the_workload_and_no_person_OAS_20(stage: Stage) -> None:
    answer = stage.bearer(stage.token(client_id="batch"))
    assert answer.status == 200
    assert answer.caller == {
        "kind": "client", "user": None, "actor": SHOP, "client_id": "batch", "scopes": ["tools.call", "tools.list"],
        "bound_to": None, "audience": stage.resource.identifier,
    }  # fmt: skip


def test_a_person_s_token_names_the_person_and_the_workload_that_acts_OAS_29(stage: Stage) -> None:
    person = stage.token(sub="user-1", client_token=None, act={"sub": SHOP})
    told = stage.bearer(person).caller
    assert (told["kind"], told["user"], told["actor"]) == ("user", "user-1", SHOP)


def test_only_a_person_signs_the_guest_book_whatever_the_scopes_say(stage: Stage) -> None:
    sign = {**MESSAGE, "params": {"name": "sign"}}
    person = stage.bearer(stage.token(sub="user-1", client_token=None), message=sign)
    assert person.caller == {"signed_by": "user-1", "through": SHOP}
    client = stage.bearer(stage.token(sub="user-1"), message=sign)
    assert client.body["result"]["isError"] is True


# --- the token itself -------------------------------------------------------------------------------------------------

REFUSED: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://elsewhere.example"},
    "the issuer with a slash": {"iss": "SLASH"},
    "another resource": {"aud": "https://other.example"},
    "several resources, ours not among them": {"aud": ["https://a.example", "https://b.example"]},
    "no audience": {"aud": None},
    "over": {"exp": NOW},
    "no end": {"exp": None},
    "an end in words": {"exp": "1900000000"},
    "an end that is true": {"exp": True},
    "not begun": {"nbf": NOW + 31},
    "made in the future": {"nbf": None, "iat": NOW + 31},
    "no sub": {"sub": None},
    "no client_id": {"client_id": None},
    "bound in an unknown way": {"cnf": {"jwk": {"kty": "EC"}}},
    "bound to a list": {"cnf": ["jkt"]},
    "an ID token's typ": {"header": {"typ": "JWT"}},
    "no kid": {"header": {"kid": None}},
    "a kid nobody published": {"header": {"kid": "two"}},
}


@pytest.mark.parametrize("wrong", REFUSED.values(), ids=REFUSED.keys())
def test_a_token_that_is_wrong_in_one_thing_is_no_token(stage: Stage, wrong: dict[str, Any]) -> None:
    assert stage.bearer(stage.token()).status == 200
    changed = {name: f"{stage.issuer.url}/" if value == "SLASH" else value for name, value in wrong.items()}
    refused = stage.bearer(stage.token(**changed))
    assert (refused.status, refused.error) == (401, "invalid_token")
    assert all('error="invalid_token"' in challenge for challenge in refused.challenges)


@pytest.mark.parametrize(
    "right",
    [
        {"aud": "LIST"}, {"nbf": NOW + 30}, {"exp": NOW + 1}, {"header": {"typ": "application/at+jwt"}},
        {"scope": "tools.call"},
    ],
    ids=["one of two resources", "a clock behind by 30 s", "its last second", "the long typ", "just enough"],
)  # fmt: skip
def test_what_is_at_the_edge_is_taken(stage: Stage, right: dict[str, Any]) -> None:
    if right.get("aud") == "LIST":
        right = {"aud": ["https://a.example", stage.resource.identifier]}
    assert stage.bearer(stage.token(**right)).status == 200


def test_a_foreign_key_of_the_right_name_makes_no_token_T_26(stage: Stage) -> None:
    assert stage.bearer(stage.token(signer=key("one"))).error == "invalid_token"
    assert stage.bearer(stage.token(signer=stage.issuer.keys[0])).status == 200


def test_an_alg_that_is_not_the_key_s_own_makes_no_token_T_26(stage: Stage) -> None:
    rsa = key("three", "RSA")
    stage.issuer.keys.append(rsa)
    stage.now += 400
    assert stage.bearer(stage.token(signer=rsa)).status == 200
    loose = RSAKey.import_key({name: value for name, value in rsa.as_dict(private=True).items() if name != "alg"})
    assert stage.bearer(stage.token(signer=loose, header={"alg": "PS256"})).error == "invalid_token"


@pytest.mark.parametrize(
    "token",
    ["a.b.c", "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.e30.", "....", "\u00e9.\u00e9.\u00e9", "W" * 4000 + ".e30.e30"],
    ids=["nonsense", "none", "dots", "no ASCII", "deep"],
)
def test_nonsense_is_refused_as_a_token_and_never_a_500_T_27(stage: Stage, token: str) -> None:
    assert (stage.bearer(token).status, stage.bearer(stage.token()).status) == (401, 200)


@pytest.mark.parametrize(
    "headers",
    [["Basic abc"], ["Bearer"], ["Bearer "], ["GOOD", "GOOD"], ["Bearer " + "a" * 17000]],
    ids=["another scheme", "no token", "an empty one", "two headers", "too long"],
)
def test_a_request_without_exactly_one_token_is_invalid(stage: Stage, headers: list[str]) -> None:
    good = f"Bearer {stage.token()}"
    assert stage.call(("Authorization", good)).status == 200
    refused = stage.call(*(("Authorization", good if value == "GOOD" else value) for value in headers))
    assert (refused.status, refused.error) == (400, "invalid_request")


def test_a_token_in_the_query_is_none(stage: Stage) -> None:
    assert stage.call(path=f"/mcp?access_token={stage.token()}").status == 404


def test_a_scope_too_few_is_403_and_says_which(stage: Stage) -> None:
    less = stage.token(scope="tools.list")
    listing = {**MESSAGE, "method": "tools/list"}
    assert [tool["name"] for tool in stage.bearer(less, message=listing).body["result"]["tools"]] == ["whoami", "sign"]
    refused = stage.bearer(less)
    assert (refused.status, refused.error) == (403, "insufficient_scope")
    assert all('scope="tools.call"' in challenge for challenge in refused.challenges)


# --- bound to a certificate (RFC 8705) --------------------------------------------------------------------------------


def test_a_certificate_bound_token_counts_with_that_certificate_alone(tmp_path: Path) -> None:
    authority, web_ca = Authority("example.org"), WebCa(now=int(time.time()))
    own, other = authority.x509_svid("/ns/web/sa/shop"), authority.x509_svid("/ns/web/sa/other")
    chain, private = web_ca.issue(["127.0.0.1"])
    (tmp_path / "server.pem").write_bytes(chain + private)
    (tmp_path / "bundle.json").write_bytes(authority.bundle_json())
    tls = _tls(tmp_path / "server.pem", tmp_path / "server.pem", tmp_path / "bundle.json")

    def statuses(make: Callable[[Stage], str]) -> list[int]:
        found = []
        for svid in (own, other, None):
            trust = ssl.create_default_context(cadata=web_ca.certificate_pem.decode())
            if svid is not None:
                trust.load_cert_chain(*svid.write(tmp_path))
            stage = Stage(tls=tls, trust=trust)
            found.append(stage.bearer(make(stage)).status)
            assert stage.resource.metadata()["tls_client_certificate_bound_access_tokens"] is True
            stage.close()
        return found

    thumbprint = sha256(own.chain[0])
    assert statuses(lambda stage: stage.token(cnf={"x5t#S256": thumbprint})) == [200, 401, 401]
    assert statuses(lambda stage: stage.token()) == [200, 200, 200]


# --- the HTTP around it -----------------------------------------------------------------------------------------------


def test_mcp_messages_are_answered_and_notifications_have_no_answer(stage: Stage) -> None:
    token = stage.token()
    hello = {"jsonrpc": "2.0", "id": 7, "method": "initialize", "params": {"protocolVersion": "2025-06-18"}}
    answer = stage.bearer(token, message=hello)
    assert (answer.body["id"], answer.body["result"]["protocolVersion"]) == (7, "2025-06-18")
    told = stage.bearer(token, message={"jsonrpc": "2.0", "method": "notifications/initialized"})
    assert (told.status, told.body) == (202, {})
    assert stage.bearer(token, message={**MESSAGE, "method": "ping"}).body["result"] == {}
    for strange in ({**MESSAGE, "method": "x"}, {**MESSAGE, "params": {"name": "x"}}):
        assert "error" in stage.bearer(token, message=strange).body


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ([], b"[" * 40000, 400),
        ([], b"[]", 400),
        ([], b"\xff", 400),
        ([("Transfer-Encoding", "chunked")], b"0\r\n\r\n", 411),
        ([], b" " * (64 * 1024 + 1), 413),
        ([("Origin", "https://evil.example")], None, 403),
    ],
    ids=["deep", "no object", "no text", "no length", "too large", "a page in a browser"],
)
def test_what_is_no_message_of_a_program_is_refused(
    stage: Stage, headers: list[tuple[str, str]], body: bytes | None, status: int
) -> None:
    assert stage.bearer(stage.token()).status == 200
    assert stage.bearer(stage.token(), *headers, body=body).status == status


def test_what_is_to_be_copied_needs_the_standard_library_and_joserfc_alone() -> None:
    parts = ["resource_keys", "resource_proofs", "resource_tokens"]
    for part in parts:
        tree = ast.parse((Path(resource_tokens.__file__).with_name(f"{part}.py")).read_text(encoding="utf-8"))
        named = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        named += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        foreign = {name for name in named if name.split(".")[0] not in {*sys.stdlib_module_names, "joserfc"}}
        assert foreign <= {f"bridge.lab.{other}" for other in parts}


@pytest.mark.parametrize("options", [{"host": "0.0.0.0"}, {"path": "/a/../b"}, {"path": "/a b"}])
def test_a_resource_needs_a_name_that_a_token_can_be_for(options: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        ProtectedResource(ResourceOptions(issuer="http://127.0.0.1", **options), clock=lambda: NOW)  # type: ignore[arg-type]


def test_the_command_serves_and_ends_and_says_where_it_is() -> None:
    words = [sys.executable, "-m", "bridge", "lab", "resource", "--issuer", "https://127.0.0.1:1", "--listen"]
    with subprocess.Popen([*words, "127.0.0.1:0", "--json"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        process.terminate()
        assert process.wait(20) == 0
    assert told["metadata"].endswith("/.well-known/oauth-protected-resource/mcp")
    done = subprocess.run([*words, "nowhere"], capture_output=True, text=True, check=False)
    assert (done.returncode, "HOST:PORT" in done.stderr) == (2, True)
