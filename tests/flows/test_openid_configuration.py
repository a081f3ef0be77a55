"""`[metadata] openid_configuration`: where clouds look for an issuer's keys, and no claim to be an OpenID provider."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from authlib.oidc.discovery import get_well_known_url
from joserfc import jwt
from joserfc.jwk import KeySet

from bridge.serving.answers import Answer
from tests.flows.client import jwt_fields
from tests.flows.inprocess import InProcess
from tests.flows.stand import Stand

ON = "[metadata]\nopenid_configuration = true\n"
RFC_8414 = "/.well-known/oauth-authorization-server"


@contextmanager
def served(folder: Path, *, more: str, path: str) -> Iterator[tuple[InProcess, str]]:
    """A worker, and its issuer, which has this path."""

    def make(place: Path) -> Stand:
        stand = Stand(place, more=more)
        issuer = stand.client.issuer
        stand.config.write_text(stand.config.read_text().replace(f'"{issuer}"', f'"{issuer}{path}"'))
        return stand

    process = InProcess(folder, make)
    try:
        yield process, process.settings.issuer
    finally:
        process.close()


def said(answer: Answer) -> dict[str, str]:
    """Its headers, but for how long it is."""
    return {name: value for name, value in answer.headers if name != "Content-Length"}


def get(process: InProcess, url: str, method: str = "GET") -> Answer:
    return process.call(method=method, path=urlsplit(url).path.encode(), headers=())


@pytest.mark.parametrize("path", ["", "/tenant"], ids=["the root", "a path"])
def test_switched_on_the_keys_are_found_as_openid_connect_discovery_says(tmp_path: Path, path: str) -> None:
    """And a relying party that knows nothing but the issuer verifies a token by what it finds there."""
    with served(tmp_path / "on", more=ON, path=path) as (process, issuer):
        where = get_well_known_url(issuer, external=True)
        answer = get(process, where)
        document = json.loads(answer.body)
        assert document == {
            "issuer": issuer,
            "jwks_uri": f"{issuer}/jwks",
            "response_types_supported": ["none"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }
        metadata = get(process, f"{RFC_8414}{path}")
        assert (answer.status, said(answer)) == (metadata.status, said(metadata))
        head = get(process, where, "HEAD")
        assert (head.status, head.headers, head.body) == (answer.status, answer.headers, b"")
        assert get(process, where, "POST").status.startswith("405")

        svid = process.stand.jwt("/ns/web/sa/cloud", audience=issuer)
        issued = process.call(urlencode(jwt_fields(svid)).encode(), path=f"{path}/token".encode())
        keys = KeySet.import_key_set(json.loads(get(process, document["jwks_uri"]).body))
        algorithms = document["id_token_signing_alg_values_supported"]
        token = jwt.decode(json.loads(issued.body)["access_token"], keys, algorithms=algorithms)
        assert (token.claims["iss"], token.claims["sub"]) == (issuer, "spiffe://example.org/ns/web/sa/cloud")


def test_unless_switched_on_it_is_not_there_and_the_metadata_of_RFC_8414_is_the_same(tmp_path: Path) -> None:
    """OAS-10: this is no OpenID provider."""
    answers = []
    for name, more in (("on", ON), ("off", ""), ("said", ON.replace("true", "false"))):
        with served(tmp_path / name, more=more, path="") as (process, issuer):
            found = get(process, get_well_known_url(issuer, external=True)).status.startswith("200")
            assert found == (name == "on")
            own = {issuer: "issuer", process.settings.mtls_base: "mtls"}
            text = get(process, RFC_8414).body.decode()
            for url, word in own.items():
                text = text.replace(str(url), word)
            answers.append(text)
    assert len(set(answers)) == 1
    assert "openid" not in answers[0]


def test_the_algorithms_are_those_of_the_keys_that_are_published(tmp_path: Path) -> None:
    with served(tmp_path / "rsa", more=ON + '[tokens]\nsigning_alg = "RS256"\n', path="") as (process, issuer):
        document = json.loads(get(process, get_well_known_url(issuer, external=True)).body)
        published = {key["alg"] for key in json.loads(get(process, document["jwks_uri"]).body)["keys"]}
        assert document["id_token_signing_alg_values_supported"] == sorted(published) == ["RS256"]
