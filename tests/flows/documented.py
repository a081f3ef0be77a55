"""A service whose clients have metadata documents on a real TLS server, and short words to publish and to come."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bridge.lab.jws import JwtKey
from tests.flows.client import JWT_BEARER, jwt_fields
from tests.flows.dpop import DpopKey
from tests.flows.enrolling import Office, Registering, Reply, jwks
from tests.flows.stand import LEDGER, ORDERS
from tests.flows.timed import Clock, Timed
from tests.unit.fetch.tls_server import CA, TlsServer, http

DAY = 24 * 3600
NO_STORE = {"cache_control": "no-store"}
WEB = "spiffe://example.org/ns/web/sa"


def document_rules(base: str) -> str:
    """The policy for documents below this origin."""
    return f"""
version = 1
source = "metadata-document"

[[rule]]
id = "agents-read-ledger"
why = "agents of the house"
effect = "allow"
when = {{ url = "{base}/agents/*", spiffe_id = "{WEB}/*" }}
[rule.grant]
resources = ["{LEDGER}"]
scopes = ["ledger.read", "ledger.write"]
grant_types = ["client_credentials", "authorization_code", "refresh_token"]

[[rule]]
id = "machines-read-orders"
why = "no workload acts for these"
effect = "allow"
when = {{ url = "{base}/machines/*" }}
[rule.grant]
resources = ["{ORDERS}"]
scopes = ["orders.read"]
grant_types = ["client_credentials"]
bind = "jkt"

[[rule]]
id = "partners-ask"
why = "an operator looks at each"
effect = "ask"
when = {{ url = "{base}/partners/*", spiffe_id = "{WEB}/*" }}
[rule.grant]
resources = ["{LEDGER}"]
scopes = ["ledger.read"]
grant_types = ["client_credentials"]

[[rule]]
id = "agents-write-orders-once-approved"
why = "more than reading is looked at"
effect = "ask"
when = {{ url = "{base}/agents/asking-more" }}
[rule.grant]
resources = ["{ORDERS}"]
scopes = ["orders.read"]
grant_types = ["client_credentials"]

[[rule]]
id = "no-banned-agent"
why = "INC-9"
effect = "deny"
when = {{ url = "{base}/agents/banned" }}
"""


class Shelf:
    """A web host with documents and key sets, by path."""

    def __init__(self) -> None:
        self.server = TlsServer()
        self.pages: dict[str, bytes] = {}
        self.server.answer = lambda stream: stream.sendall(
            self.pages.get(self.server.requests[-1].split(b" ", 2)[1].decode(), http(b"{}", "404 Not Found"))
        )
        self.server.__enter__()

    def close(self) -> None:
        self.server.__exit__(None, None, None)

    @property
    def base(self) -> str:
        return f"https://127.0.0.1:{self.server.port}"

    @property
    def counts(self) -> Counter[str]:
        """The requests that came, by URL."""
        return Counter(self.base + head.split(b" ", 2)[1].decode() for head in self.server.requests)

    def publish(self, path: str, headers: Mapping[str, str] | None = None, **members: Any) -> str:
        """Put a document there, and give its URL. A member None is left out."""
        url = self.base + path
        said = {"client_id": url, "client_name": "Planner", **members}
        body = json.dumps({name: value for name, value in said.items() if value is not None}).encode()
        self.pages[path] = http(body, **(headers or {}))
        return url

    def keyed(self, path: str, *keys: JwtKey, headers: Mapping[str, str] | None = None, **members: Any) -> str:
        """Publish a document with keys of its own."""
        stated = {"token_endpoint_auth_method": "private_key_jwt", "jwks": jwks(*keys), **members}
        return self.publish(path, headers, **stated)

    def keys(self, path: str, *keys: JwtKey, **headers: str) -> str:
        """Put a key set there, and give its URL."""
        self.pages[path] = http(json.dumps(jwks(*keys)).encode(), **headers)
        return self.base + path


class Documented(Timed):
    """A worker in this process that takes clients by their documents. Without a clock, time goes by itself."""

    def __init__(self, folder: Path, clock: Clock | None = None, *, more: str = "", rules: str = "") -> None:
        self.shelf = Shelf()
        fetch = f'[fetch]\nallow_hosts = ["127.0.0.1:{self.shelf.server.port}"]\nca_file = "trust/docs.pem"\n'

        def make(place: Path) -> Registering:
            stand = Registering(place, more=fetch + more, rules=rules)
            (place / "trust/docs.pem").write_bytes(CA.certificate_pem)
            (stand.policies / "metadata-documents.toml").write_text(document_rules(self.shelf.base))
            return stand

        Office.__init__(self, folder, make)
        self.clock = clock or _Now()
        self.stand.authority.clock = self.clock
        self._keys: dict[str, JwtKey] = {}

    def close(self) -> None:
        super().close()
        self.shelf.close()

    # --- what a client sends --------------------------------------------------------------------

    def assertion(
        self, key: JwtKey, client_id: str, *, header: Mapping[str, object] | None = None, **claims: Any
    ) -> str:
        """What a client with this key authenticates by; claims given replace the right ones, None leaves one out."""
        now = self.clock()
        said = {
            "iss": client_id, "sub": client_id, "aud": self.stand.client.issuer, "iat": now, "exp": now + 60,
            "jti": f"{time.monotonic_ns()}", **claims,
        }  # fmt: skip
        body = {name: value for name, value in said.items() if value is not None}
        head = {"alg": key.alg, "kid": key.kid, "typ": "JWT", **(header or {})}
        return key.sign({n: v for n, v in head.items() if v is not None}, json.dumps(body).encode())

    def by_own_key(self, key: JwtKey, url: str, *, proof: DpopKey | None = None, **claims: Any) -> Reply:
        """A token by `private_key_jwt`."""
        return self.ask(self.keyed_fields(key, url, **claims), key=proof)

    def keyed_fields(self, key: JwtKey, url: str, **claims: Any) -> dict[str, str]:
        return {**jwt_fields(self.assertion(key, url, **claims), client_assertion_type=JWT_BEARER), "client_id": url}

    def acting(self, path: str, url: str, **fields: str) -> Reply:
        """A token by an SVID that acts for the document."""
        return self.ask({**jwt_fields(self.stand.jwt(path)), "client_id": url, **fields})

    def metadata_of(self, url: str) -> dict[str, Any]:
        record = self.process.worker._store.clients.get(url)
        assert record is not None
        return dict(record.metadata)


class _Now(Clock):
    def __call__(self) -> int:
        return int(time.time())


def key_factory() -> Callable[[], JwtKey]:
    """Keys with names of their own."""
    made: list[JwtKey] = []

    def make() -> JwtKey:
        made.append(JwtKey.generate("ES256", kid=f"key-{len(made)}"))
        return made[-1]

    return make
