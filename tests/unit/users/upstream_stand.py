"""Sign-in at a real provider over TLS, with the real fetcher between."""

from __future__ import annotations

import time
from urllib.parse import parse_qs, urlsplit

from bridge.fetch.connecting import tls_context
from bridge.fetch.fetcher import Fetcher, Purpose
from bridge.fetch.slots import ThreadShare
from bridge.model.authorization import User
from bridge.users.client_authentication import Authenticates, BySecret
from bridge.users.provider import UpstreamProvider
from bridge.users.upstream import Departure, Posted, Upstream
from bridge.users.user_ids import UserIds
from bridge.wiring_pages import new_secret
from tests.openid_provider import CLIENT_ID, SECRET, OpenIdProvider

IDS = UserIds(bytes(32))


class UpstreamStand:
    """One upstream, as a process of ours has it."""

    def __init__(self, provider: OpenIdProvider, authentication: Authenticates | None = None) -> None:
        self.provider, self.now = provider, int(time.time())
        self.fetcher = Fetcher(at_once=8, threads=ThreadShare(8), context=tls_context(str(provider.ca_file)))
        self.described = UpstreamProvider(provider.issuer, self.get)
        self.upstream = Upstream(
            provider=self.described,
            post=self.post,
            client_id=CLIENT_ID,
            authentication=authentication or BySecret(SECRET),
            redirect_uri=provider.redirect_uri,
            ids=IDS,
            new_secret=new_secret,
        )

    def get(self, url: str, *, max_bytes: int) -> bytes:
        return self.fetcher.get_configured(url, purpose=Purpose.LOGIN, max_bytes=max_bytes).body

    def post(self, url: str, *, form: bytes, authorization: str | None, max_bytes: int) -> Posted:
        answer = self.fetcher.post_configured(
            url, purpose=Purpose.LOGIN, form=form, authorization=authorization, max_bytes=max_bytes
        )
        return Posted(answer.status, answer.body)

    def leave(self) -> tuple[Departure, dict[str, str]]:
        """There and to the way back: what was remembered, and what the browser brings."""
        url, departure = self.upstream.leave(now=self.now)
        back = self.provider.visit(url)
        return departure, {name: values[0] for name, values in parse_qs(urlsplit(back).query).items()}

    def arrive(self, departure: Departure, answer: dict[str, str]) -> User:
        return self.upstream.arrive(
            departure, state=answer["state"], code=answer["code"], issuer=answer.get("iss"), now=self.now
        )

    def sign_in(self) -> User:
        return self.arrive(*self.leave())
