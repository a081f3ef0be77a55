"""The bundle endpoint, asked over real TLS."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from bridge.lab.authority import Authority
from bridge.lab.bundle_endpoint import BundleEndpoint
from bridge.lab.web_ca import WebCa

AUTHORITY = Authority("example.org")
WEB_CA = WebCa(now=int(time.time()))


@pytest.fixture(scope="module")
def endpoint() -> Iterator[BundleEndpoint]:
    with BundleEndpoint(AUTHORITY, WEB_CA) as endpoint:
        yield endpoint


def ask(
    endpoint: BundleEndpoint, method: str = "GET", path: str = "/", *, ca: WebCa = WEB_CA, host: str | None = None
) -> tuple[int, str, bytes]:
    url = urlsplit(endpoint.url)
    assert url.hostname is not None
    context = ssl.create_default_context(cadata=ca.certificate_pem.decode())
    connection = http.client.HTTPSConnection(host or url.hostname, url.port, timeout=10, context=context)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_bundle_is_served_with_a_certificate_for_its_name(endpoint: BundleEndpoint, host: str) -> None:
    status, content_type, body = ask(endpoint, host=host)
    assert (status, content_type) == (200, "application/json")
    assert json.loads(body) == AUTHORITY.bundle()


def test_a_rotation_shows_at_once(endpoint: BundleEndpoint) -> None:
    before = json.loads(ask(endpoint)[2])["spiffe_sequence"]
    AUTHORITY.rotate_jwt()
    assert json.loads(ask(endpoint)[2])["spiffe_sequence"] == before + 3


def test_other_paths_are_not_found_and_other_methods_not_allowed(endpoint: BundleEndpoint) -> None:
    assert ask(endpoint, path="/x")[0] == 404
    assert [ask(endpoint, method)[0] for method in ("HEAD", "POST")] == [405, 405]


def test_a_client_that_trusts_another_ca_gets_nothing_and_the_next_one_is_served(endpoint: BundleEndpoint) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        ask(endpoint, ca=WebCa(now=int(time.time())))
    assert ask(endpoint)[0] == 200
