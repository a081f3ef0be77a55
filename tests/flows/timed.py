"""A service at which time passes when a test says so, and workloads with keys of their own."""

from __future__ import annotations

import io
import json
import secrets
import time
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from joserfc import jwt

from bridge.cli.main import main
from bridge.lab.x509 import X509Svid
from bridge.model.audit import AuditEvent
from tests.flows.client import JWT_BEARER, JWT_SPIFFE, jwt_fields
from tests.flows.dpop import DpopKey
from tests.flows.enrolling import Office, Registering, Reply
from tests.flows.inprocess import TYPED
from tests.flows.stand import LEDGER, ORDERS

ID = "spiffe://example.org"
MINUTE, HOUR = 60, 3600
LEEWAY = 30

INSTANCE_RULES = f"""
[[rule]]
id = "jobs-are-instances"
why = "each job is told apart"
effect = "allow"
when = {{ path = "/ns/jobs/sa/*" }}
grant = {{ resources = ["{LEDGER}"], scopes = ["ledger.read"], bind = "if-present", client = "instance" }}

[[rule]]
id = "agents-are-leased"
why = "agents outlive their SVIDs by a little"
effect = "allow"
when = {{ path = "/ns/agents/sa/*" }}
grant = {{ resources = ["{LEDGER}"], scopes = ["ledger.read"], bind = "if-present", client = "instance", lease = "1h" }}

[[rule]]
id = "drones-ask"
why = "an operator looks at each instance"
effect = "ask"
when = {{ path = "/ns/drones/sa/*" }}
grant = {{ resources = ["{ORDERS}"], scopes = ["orders.read"], bind = "if-present", client = "instance" }}
"""


class Clock:
    """The service's clock and the authority's. It stands still until a test moves it by `offset` seconds, so that
    nothing here depends on how fast the machine is."""

    def __init__(self) -> None:
        self._start, self.offset = int(time.time()), 0

    def __call__(self) -> int:
        return self._start + self.offset


class Timed(Office):
    """An `Office` whose time a test moves. The clock must be in place of `bridge.app.now` before."""

    def __init__(self, folder: Path, clock: Clock, *, more: str = "", rules: str = "", trust: str = "") -> None:
        """`more` is added to `bridge.toml`, `trust` to its trust domain, `rules` to that one's policy."""

        def make(place: Path) -> Registering:
            stand = Registering(place, more=more, rules=INSTANCE_RULES + rules)
            path = 'path = "bundles/example.org.json"\n'
            stand.config.write_text(stand.config.read_text().replace(path, path + trust))
            return stand

        self.clock = clock
        super().__init__(folder, make)
        self.stand.authority.clock = clock

    def after(self, seconds: int) -> None:
        """Let time pass, and what the service does by itself with it."""
        self.clock.offset += seconds
        self.sweep()

    def sweep(self) -> None:
        """What each sweep does, now."""
        self.process.worker._upkeep._sweep(self.clock())

    # --- what a workload sends ------------------------------------------------------------------

    def ask(
        self, fields: Mapping[str, str], *, key: DpopKey | None = None, svid: X509Svid | None = None, at: str = "/token"
    ) -> Reply:
        """POST a form, with a DPoP proof by `key` and over the connection of `svid`, where given."""
        base = self.stand.client.issuer if svid is None else self.stand.mtls_base
        proof = [] if key is None else [(b"dpop", key.proof("POST", base + at, iat=self.clock()).encode())]
        return self.call("POST", at, urlencode(fields).encode(), headers=[TYPED, *proof], svid=svid)

    def by_jwt(self, path: str, *, key: DpopKey | None = None, ttl: int = 300, **fields: str) -> Reply:
        """A token by a new JWT-SVID."""
        return self.ask(jwt_fields(self.stand.jwt(path, ttl=ttl), **fields), key=key)

    def by_x509(self, svid: X509Svid, *, key: DpopKey | None = None, **fields: str) -> Reply:
        """A token by the certificate of the connection."""
        named = {"grant_type": "client_credentials", "client_id": str(svid.spiffe_id), **fields}
        return self.ask(named, key=key, svid=svid)

    def by_key(self, key: DpopKey, client_id: str, *, proof: DpopKey | None = None, **claims: object) -> Reply:
        """A token by `private_key_jwt`; claims given replace the right ones, and go where they are None."""
        return self.ask(self.key_fields(key, client_id, **claims), key=proof)

    def key_fields(self, key: DpopKey, client_id: str, **claims: object) -> dict[str, str]:
        """The form of a request that authenticates by `private_key_jwt`."""
        return jwt_fields(self.own_assertion(key, client_id, **claims), client_assertion_type=JWT_BEARER)

    def own_assertion(self, key: DpopKey, client_id: str, **claims: object) -> str:
        """What an instance authenticates by within its lease (RFC 7523)."""
        now = self.clock()
        said: dict[str, Any] = {
            "iss": client_id, "sub": client_id, "aud": self.stand.client.issuer, "iat": now, "exp": now + 60,
            "jti": secrets.token_urlsafe(12), **claims,
        }  # fmt: skip
        payload = {name: value for name, value in said.items() if value is not None}
        return jwt.encode({"typ": "JWT", "alg": "ES256"}, payload, key._key, algorithms=["ES256"])

    def is_active(self, token: str, *, by: str = "/ns/ledger/sa/api") -> bool:
        """What the ledger hears when it asks about a token, or somebody else."""
        asked = {"client_assertion_type": JWT_SPIFFE, "client_assertion": self.stand.jwt(by)}
        answer = self.ask({**asked, "token": token}, at="/introspect")
        assert answer.status == 200, answer.content
        return bool(answer.body["active"])

    # --- what an operator sees ------------------------------------------------------------------

    def operate(self, *words: str) -> tuple[int, str]:
        """`bridge WORDS` by the clock of the service; exit code and what it says."""
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(io.StringIO()):
            code = main([*words, "--config", str(self.stand.config)])
        return code, said.getvalue()

    def clients(self, *words: str) -> list[dict[str, Any]]:
        """`bridge clients list WORDS --json`."""
        code, said = self.operate("clients", "list", *words, "--all", "--json")
        assert code == 0
        listed: list[dict[str, Any]] = json.loads(said)
        return listed

    def standing(self, client_id: str) -> str:
        """The state of a record by the clock; "absent" without one."""
        record = self.process.worker._store.clients.get(client_id)
        return "absent" if record is None else record.state_at(self.clock()).value

    def lease_of(self, client_id: str) -> int:
        """Seconds until the record ends by itself."""
        record = self.process.worker._store.clients.get(client_id)
        assert record is not None
        assert record.expires_at is not None
        return record.expires_at - self.clock()

    def rows_of(self, client_id: str) -> list[AuditEvent]:
        """The audit rows of a client, in the order of writing."""
        rows = self.process.worker._store.audit.rows(limit=100_000)
        return [row.event for row in rows if row.event.client_id == client_id]

    def events_of(self, client_id: str) -> list[str]:
        return [event.event.value for event in self.rows_of(client_id)]
