"""A service at which people approve: all kinds of clients, a sign-in for development, and short words for a flow."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

import bridge.ambient
import bridge.app
from bridge.jose import base64url
from bridge.lab.x509 import X509Svid
from bridge.model.authorization import Grant
from tests.flows.browser import Browser, Page, in_process
from tests.flows.client import JWT_SPIFFE, decode
from tests.flows.documented import Documented
from tests.flows.dpop import DpopKey
from tests.flows.enrolling import Reply
from tests.flows.inprocess import TYPED
from tests.flows.stand import LEDGER, ORDERS
from tests.flows.timed import Clock

URN = "urn:ietf:oauth:parameters:dynamic"
USERS = '[users]\nsource = "development"\n[drafts]\npushed_client_registration = "00"\n'
AGENT_CB, SHARED_CB = "https://desk.apps.example.org/cb", "https://fleet.example.org/cb"
APP_CB, LOOPBACK_CB = "https://app.example.org/cb", "http://127.0.0.1/cb"

AGENT_RULES = f"""
[[rule]]
id = "agents-act-for-people"
why = "people's own agents"
effect = "allow"
when = {{ path = "/ns/people/sa/*" }}
[rule.grant]
resources = ["{LEDGER}", "{ORDERS}"]
scopes = ["ledger.read", "ledger.write", "orders.read"]
bind = "if-present"
grant_types = ["client_credentials", "authorization_code", "refresh_token"]
redirect_uris = ["https://{{1}}.apps.example.org/cb", "http://127.0.0.1/{{1}}"]

[[rule]]
id = "fleet-acts-for-people"
why = "one client of many workloads"
effect = "allow"
when = {{ path = "/ns/fleet/sa/*" }}
[rule.grant]
resources = ["{LEDGER}"]
scopes = ["ledger.read"]
bind = "if-present"
client = {{ shared = "fleet" }}
grant_types = ["authorization_code", "refresh_token"]
redirect_uris = ["{SHARED_CB}"]

[[rule]]
id = "crews-are-instances"
why = "each has a key of its own"
effect = "allow"
when = {{ path = "/ns/crews/sa/*" }}
[rule.grant]
resources = ["{LEDGER}"]
scopes = ["ledger.read"]
bind = "if-present"
client = "instance"
grant_types = ["authorization_code", "refresh_token"]
redirect_uris = ["{SHARED_CB}"]

[[rule]]
id = "stated-redirects"
why = "their statement says where"
effect = "allow"
when = {{ path = "/ns/stated/sa/*" }}
[rule.grant]
resources = ["{LEDGER}"]
scopes = ["ledger.read"]
bind = "if-present"
grant_types = ["authorization_code"]
asserts = ["redirect_uris", "grant_types"]

[[rule]]
id = "singles-use-each-svid-once"
why = "each assertion is for one call"
effect = "allow"
when = {{ path = "/ns/singles/sa/*", evidence = ["jwt-svid"] }}
[rule.grant]
resources = ["{LEDGER}"]
scopes = ["ledger.read"]
bind = "none"
replay = "once"
grant_types = ["authorization_code"]
redirect_uris = ["{SHARED_CB}"]

[[rule]]
id = "assistants-ask"
why = "an operator looks at each"
effect = "ask"
when = {{ path = "/ns/assistants/sa/*" }}
[rule.grant]
resources = ["{LEDGER}"]
scopes = ["ledger.read"]
bind = "if-present"
grant_types = ["authorization_code", "refresh_token"]
redirect_uris = ["{SHARED_CB}"]
"""

PUSHED_RULES = f"""
version = 1
source = "pushed"

[[rule]]
id = "tools-read-ledger"
why = "tools that come and go"
effect = "allow"
[rule.grant]
resources = ["{LEDGER}"]
scopes = ["ledger.read", "ledger.write"]
refresh_ttl = "1h"
"""


class Verifier:
    """A PKCE pair."""

    def __init__(self) -> None:
        self.verifier = secrets.token_urlsafe(48)
        self.challenge = base64url.encode(hashlib.sha256(self.verifier.encode()).digest())

    @property
    def fields(self) -> dict[str, str]:
        return {"code_challenge": self.challenge, "code_challenge_method": "S256"}


class Approving(Documented):
    """The service, its documents, and the clients that come."""

    def __init__(self, folder: Path, clock: Clock | None = None, *, more: str = USERS, rules: str = "") -> None:
        super().__init__(folder, clock, more=more, rules=AGENT_RULES + rules)
        self.write("pushed.toml", PUSHED_RULES)
        self.write("metadata-documents.toml", self.document_rules())
        self.look()

    def document_rules(self) -> str:
        base = self.shelf.base
        return f"""
version = 1
source = "metadata-document"
[[rule]]
id = "apps-act-for-people"
why = "applications of the house"
effect = "allow"
when = {{ url = "{base}/apps/*", spiffe_id = "spiffe://example.org/ns/web/sa/*" }}
[rule.grant]
resources = ["{LEDGER}", "{ORDERS}"]
scopes = ["ledger.read", "ledger.write", "orders.read"]
grant_types = ["client_credentials", "authorization_code", "refresh_token"]
[[rule]]
id = "plain-apps-act-for-people"
why = "applications without workloads"
effect = "allow"
when = {{ url = "{base}/plain/*" }}
[rule.grant]
resources = ["{LEDGER}", "{ORDERS}"]
scopes = ["ledger.read", "ledger.write", "orders.read"]
[[rule]]
id = "narrow-apps"
why = "only to the house's own host"
effect = "allow"
when = {{ url = "{base}/narrow/*" }}
grant = {{ resources = ["{LEDGER}"], scopes = ["ledger.read"], redirect_uris = ["{APP_CB}"] }}
[[rule]]
id = "pushing-apps"
why = "these push"
effect = "allow"
when = {{ url = "{base}/pushing/*" }}
grant = {{ resources = ["{LEDGER}"], scopes = ["ledger.read"], require_par = true }}
"""

    def write(self, name: str, text: str) -> None:
        draft = self.stand.policies / ".draft"
        draft.write_text(text)
        draft.replace(self.stand.policies / name)

    def app(self, path: str = "/plain/mail", *, headers: Mapping[str, str] | None = None, **members: Any) -> str:
        """Publish the document of a public application, and give its URL."""
        stated = {"redirect_uris": [APP_CB, LOOPBACK_CB], "client_name": "Mail", **members}
        return self.shelf.publish(path, headers, **stated)

    # --- the steps of a flow --------------------------------------------------------------------

    def agent(self, path: str, **fields: str) -> dict[str, str]:
        """The credential of a workload, as form fields."""
        return {"client_assertion_type": JWT_SPIFFE, "client_assertion": self.stand.jwt(path), **fields}

    def push(
        self,
        who: Mapping[str, str],
        pkce: Verifier,
        *,
        key: DpopKey | None = None,
        svid: X509Svid | None = None,
        **fields: Any,
    ) -> Reply:
        """POST /par. A field None is left out."""
        asked: dict[str, str | None] = {
            "response_type": "code", "redirect_uri": AGENT_CB, "state": "state-of-this-request",
            "scope": "ledger.read", **pkce.fields, **who, **fields,
        }  # fmt: skip
        sent = {name: value for name, value in asked.items() if value is not None}
        return self.ask(sent, key=key, svid=svid, at="/par")

    def pushed(self, *args: Any, **fields: Any) -> str:
        """The `request_uri` of a push that goes well."""
        answer = self.push(*args, **fields)
        assert answer.status == 201, answer.content
        return str(answer.body["request_uri"])

    def browser(self) -> Browser:
        return in_process(self.process)

    def code(self, client_id: str, request_uri: str, *, user: str = "ann", browser: Browser | None = None) -> str:
        """Have a user approve it: the code."""
        browser = browser or self.browser()
        page = browser.authorize(client_id=client_id, request_uri=request_uri, user=user)
        if page.status == 200:
            page = browser.decide(page)
        return page.answer["code"]

    def redeem(
        self, who: Mapping[str, str], code: str, pkce: Verifier | None, *, key: DpopKey | None = None, **fields: str
    ) -> Reply:
        """`grant_type=authorization_code`."""
        verifier = {} if pkce is None else {"code_verifier": pkce.verifier}
        form = {"grant_type": "authorization_code", "code": code, **verifier, **who, **fields}
        return self.ask(form, key=key)

    def refresh(self, who: Mapping[str, str], token: str, *, key: DpopKey | None = None, **fields: str) -> Reply:
        """`grant_type=refresh_token`."""
        return self.ask({"grant_type": "refresh_token", "refresh_token": token, **who, **fields}, key=key)

    def introspect(self, token: str, *, by: str = "/ns/ledger/sa/api") -> dict[str, Any]:
        """What the ledger hears of a token."""
        answer = self.ask({**self.agent(by), "token": token}, at="/introspect")
        assert answer.status == 200, answer.content
        return answer.body

    def revoke(self, who: Mapping[str, str], token: str, *, key: DpopKey | None = None) -> Reply:
        return self.ask({**who, "token": token}, key=key, at="/revoke")

    def grant_of(self, access_token: str) -> Grant:
        """What the store has behind a user's token."""
        found = self.process.worker._store.grants.get(decode(access_token, 1)["grant"])
        assert found is not None
        return found

    def raw(self, method: str, path: str, body: bytes = b"", *headers: tuple[bytes, bytes]) -> Reply:
        """Any request, as it is."""
        return self.call(method, path, body, headers=[TYPED, *headers] if method == "POST" else headers)


def query(**fields: str) -> str:
    return urlencode(fields)


def answered(page: Page, client: str = AGENT_CB) -> dict[str, str]:
    """The response that a client was sent, to where it asked for it."""
    assert (page.location or "").startswith(client + "?"), page.location
    return page.answer


@contextmanager
def running(folder: Path, **options: str) -> Iterator[Approving]:
    """A service whose clock the test moves."""
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bridge.app, "now", clock)
        patch.setattr(bridge.ambient, "now", clock)
        house = Approving(folder, clock, **options)
        try:
            yield house
        finally:
            house.close()
