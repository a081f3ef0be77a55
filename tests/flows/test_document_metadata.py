"""What the server's metadata says of clients with documents, and what their document has to say before a code."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from bridge.lab.jws import JwtKey
from tests.flows.documented import Documented

USERS = '[users]\nsource = "development"\n'
WELL_KNOWN = "/.well-known/oauth-authorization-server"
CALLBACK = "http://127.0.0.1:4711/cb"
CODE = {
    "response_type": "code",
    "redirect_uri": CALLBACK,
    "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    "code_challenge_method": "S256",
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Documented]:
    running = Documented(tmp_path_factory.mktemp("library") / "service", more=USERS)
    yield running
    running.close()


def test_a_code_needs_a_redirect_uri_in_the_document_and_a_token_of_ones_own_does_not_CIMD_19(
    library: Documented,
) -> None:
    key = JwtKey.generate("ES256", kid="own-1")
    without = library.shelf.keyed("/agents/no-redirect", key)
    listed = library.shelf.keyed("/agents/redirect", key, redirect_uris=[CALLBACK])
    assert library.ask({**library.keyed_fields(key, without), **CODE}, at="/par").error == (400, "invalid_request")
    assert library.ask({**library.keyed_fields(key, listed), **CODE}, at="/par").status == 201
    assert library.by_own_key(key, without).status == 200


def test_documents_are_named_in_the_metadata_while_a_rule_lets_some_in_CIMD_23(library: Documented) -> None:
    def named() -> tuple[object, bool, bool]:
        document = json.loads(library.call("GET", WELL_KNOWN).content)
        methods = document["token_endpoint_auth_methods_supported"]
        # Who may only end its own tokens is not told that it could ask about others.
        assert "none" not in document["introspection_endpoint_auth_methods_supported"]
        return document.get("client_id_metadata_document_supported"), "none" in methods, "private_key_jwt" in methods

    rules = library.stand.policies / "metadata-documents.toml"
    text = rules.read_text()
    assert named() == (True, True, True)
    header, _, _ = text.partition("[[rule]]")
    denies = header + "[[rule]]" + text.rpartition("[[rule]]")[2]
    rules.write_text(denies)
    library.look()
    assert named() == (None, False, True)
    rules.write_text(text)
    library.look()
    assert named() == (True, True, True)
