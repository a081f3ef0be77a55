"""Clients' documents in a running service: how often their hosts are asked, and what becomes of copies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from bridge.app import Worker
from bridge.fetch.held_copies import KEEP_SECONDS
from bridge.fetch.shared_copies import REST_SECONDS
from bridge.lab.jws import JwtKey
from bridge.model.document import DocumentCopy, DocumentKind
from bridge.observe import metrics
from tests.flows.enrolling import Reply
from tests.flows.stand import LEDGER
from tests.flows.timed import MINUTE, Timed
from tests.unit.fetch.cache_stand import Site, site
from tests.unit.fetch.tls_server import CA, TlsServer, http, sends

DAY = 24 * 3600
RULE = """
version = 1
source = "metadata-document"

[[rule]]
id = "jobs-by-document"
why = "a partner's jobs"
effect = "allow"
when = { url = "https://127.0.0.1:PORT/*" }
grant = { resources = ["LEDGER"], scopes = ["ledger.read"], grant_types = ["client_credentials"] }
"""


@dataclass
class Served:
    """A service, and the host of a client's document and keys."""

    service: Timed
    host: Site
    key: JwtKey

    def admit(self, port: int) -> None:
        """Let the rules want the documents of this port, and of no other."""
        (self.service.stand.policies / "metadata-documents.toml").write_text(
            RULE.replace("PORT", str(port)).replace("LEDGER", LEDGER)
        )
        self.service.look()

    def says(self, **members: object) -> None:
        """A document of a client that authenticates by a key of its `jwks_uri`."""
        declared = {"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": self.host.jwks_uri, **members}
        self.host.says(body=self.host.body(**declared))

    def token(self, key: JwtKey | None = None, client_id: str | None = None) -> Reply:
        now = self.service.clock()
        return self.service.token_by_key(key or self.key, client_id or self.host.url, iat=now, exp=now + 60)

    def restart(self) -> None:
        process = self.service.process
        process.worker.close()
        process.worker = Worker(process.settings)
        process.worker.start()


@pytest.fixture
def served(timed: Callable[..., Timed], tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "ca.pem").write_bytes(CA.certificate_pem)
    with site("127.0.0.1") as host:
        fetch = f'[fetch]\nallow_hosts = ["127.0.0.1:{host.server.port}"]\nca_file = "{tmp_path / "ca.pem"}"\n'
        made = Served(timed(more=fetch), host, JwtKey.generate("ES256", kid="one"))
        made.says()
        host.has_keys(made.key.public_jwk())
        made.admit(host.server.port)
        yield made


def fetched(purpose: str) -> float:
    return metrics.fetches.labels(purpose, "200")._value.get()


def test_a_thousand_tokens_take_one_fetch_of_the_document_and_one_of_its_keys_CIMD_15_16(served: Served) -> None:
    before = fetched("document"), fetched("client_keys")
    for _ in range(1000):
        assert served.token().status == 200
    assert served.host.counts == {"/client.json": 1, "/jwks.json": 1}
    assert (fetched("document"), fetched("client_keys")) == (before[0] + 1, before[1] + 1)
    text = metrics.exposition().decode()
    assert "127.0.0.1" not in "".join(line for line in text.splitlines() if "fetch" in line or "document" in line)


def test_a_key_that_was_added_works_at_once_and_one_that_is_nowhere_asks_seldom_CIMD_16(served: Served) -> None:
    added, foreign = JwtKey.generate("ES256", kid="two"), JwtKey.generate("ES256", kid="three")
    assert served.token().status == 200
    assert served.token(added).error == (401, "invalid_client")
    served.service.clock.offset += REST_SECONDS
    served.host.has_keys(served.key.public_jwk(), added.public_jwk())
    assert served.token(added).status == 200
    for _ in range(20):
        assert served.token(foreign).error == (401, "invalid_client")
    assert served.host.counts == {"/client.json": 1, "/jwks.json": 2}


def test_a_client_outlives_its_host_for_a_day_also_over_a_restart_CIMD_15(served: Served) -> None:
    assert served.token().status == 200
    served.host.is_cut_off()
    served.service.clock.offset += MINUTE
    assert served.token().status == 200
    served.restart()
    assert served.token().status == 200
    served.service.clock.offset += KEEP_SECONDS - 2 * MINUTE
    assert served.token().status == 200
    served.service.clock.offset += MINUTE
    answer = served.token()
    assert answer.error == (503, "temporarily_unavailable")
    assert int(answer.headers["Retry-After"]) > 0


def test_a_document_that_is_mended_works_at_the_next_request_CIMD_14(served: Served) -> None:
    served.host.says("404 Not Found")
    assert served.token().error == (401, "invalid_client")
    served.says(token_endpoint_auth_method="client_secret_basic")
    assert served.token().error == (401, "invalid_client")
    served.says()
    assert served.token().status == 200
    served.service.clock.offset += MINUTE
    served.host.says("410 Gone")
    assert served.token().error == (401, "invalid_client")


def test_nothing_is_fetched_for_a_url_that_no_rule_wants_CIMD_24(served: Served) -> None:
    served.admit(9)
    assert served.token().error == (401, "invalid_client")
    assert served.host.server.connections == 0
    served.admit(served.host.server.port)
    assert served.token().status == 200


def test_an_inner_listener_hears_nothing_whatever_a_client_names_T_1_T_4_CIMD_12(served: Served) -> None:
    with TlsServer(sends(http(json.dumps({"keys": [served.key.public_jwk()]}).encode()))) as inner:
        inward = inner.url("/jwks.json", host="127.0.0.1")
        served.admit(inner.port)
        assert served.token(client_id=inward).error == (401, "invalid_client")
        served.admit(served.host.server.port)
        served.says(jwks_uri=inward, logo_uri=inward, policy_uri=inward, tos_uri=inward, client_uri=inward)
        assert served.token().error == (401, "invalid_client")
        assert inner.connections == 0
    assert served.host.counts == {"/client.json": 1}
    served.service.clock.offset += MINUTE
    served.says()
    assert served.token().status == 200


def test_copies_that_nobody_may_use_any_more_are_swept(timed: Callable[..., Timed]) -> None:
    service = timed()
    store, at = service.process.worker._store.documents, service.clock()
    body = b"{}"
    for number in range(120):
        url = f"https://{number}.example/"
        copy = DocumentCopy(
            DocumentKind.DOCUMENT, url, body, sha256(body).hexdigest(), "", at - number, at + 60, must_revalidate=False
        )
        assert store.keep(copy, holder="me")

    def left() -> int:
        urls = (f"https://{number}.example/" for number in range(120))
        return sum(store.find(DocumentKind.DOCUMENT, url).copy is not None for url in urls)

    service.clock.offset += KEEP_SECONDS - 20
    sweep = service.process.worker._upkeep._sweep_documents
    rests = []
    while (rest := sweep(service.clock())) is not None:
        rests.append(rest)
    assert (left(), len(rests)) == (20, 2), "in small steps, with rests between them"
    service.clock.offset += 20
    assert sweep(service.clock()) is None
    assert left() == 0
