"""How signing in and the pages are put together. Beside `wiring`, a part of the composition root."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

from bridge.config.settings import Settings, UserSettings
from bridge.fetch.fetcher import Fetcher, Purpose
from bridge.fetch.guarded import place_of
from bridge.grants.approvals import Approvals
from bridge.opening import upstream_secret
from bridge.store.ports import GrantStore, SessionStore
from bridge.tokens.key_ring import KeyRing
from bridge.tokens.sealing import SealKey
from bridge.users.client_authentication import Authenticates, ByOwnKeys, BySecret
from bridge.users.development import UnprovedSignIn
from bridge.users.provider import UpstreamProvider
from bridge.users.sessions import Sessions
from bridge.users.upstream import Posted, Upstream
from bridge.users.user_ids import UserIds
from bridge.web.services import CALLBACK, Authorizing, CatalogueWords, PageServices


def new_secret() -> str:
    """32 random bytes as base64url, 43 characters."""
    return secrets.token_urlsafe(32)


def page_services(
    settings: Settings,
    *,
    seal: SealKey,
    ring: KeyRing,
    fetcher: Fetcher,
    authorizing: Authorizing,
    grants: GrantStore,
    sessions: SessionStore,
    words: CatalogueWords,
    home: CatalogueWords,
    new_id: Callable[[], str],
) -> PageServices | None:
    """What the pages call; None without `[users]`. Raises: StartRefused for a secret that cannot be read."""
    users = settings.users
    if users is None:
        return None
    ids = UserIds(seal.derive("user-id"))
    if users.source == "development":
        sign_in: UnprovedSignIn | Upstream = UnprovedSignIn(ids)
    else:
        redirect_uri = settings.issuer + CALLBACK
        sign_in = upstream_of(users, ids=ids, ring=ring, fetcher=fetcher, new_id=new_id, redirect_uri=redirect_uri)
    return PageServices(
        authorizing=authorizing,
        approvals=Approvals(grants),
        sign_in=sign_in,
        sessions=Sessions(
            sessions,
            key=seal.derive("session-cookie"),
            idle=users.session_idle,
            life=users.session_life,
            new_secret=new_secret,
        ),
        cookie_seal=SealKey(seal.derive("sign-in-cookie")),
        form_key=seal.derive("form-token"),
        words=words,
        home=home,
        new_secret=new_secret,
    )


def login_provider(users: UserSettings, fetcher: Fetcher) -> UpstreamProvider:
    """The OpenID provider of this configuration; nothing is asked yet."""
    assert users.issuer is not None, "the configuration was checked"
    own_server = place_of(users.issuer).server

    def get(url: str, *, max_bytes: int) -> bytes:
        # The operator named the issuer's host, which may be an inner one. Where its metadata leads elsewhere, that
        # has to be a public place.
        if place_of(url).server == own_server:
            return fetcher.get_configured(url, purpose=Purpose.LOGIN, max_bytes=max_bytes, in_request=True).body
        return fetcher.get(url, purpose=Purpose.LOGIN, max_bytes=max_bytes).body

    return UpstreamProvider(users.issuer, get)


def upstream_of(
    users: UserSettings,
    *,
    ids: UserIds,
    ring: KeyRing,
    fetcher: Fetcher,
    new_id: Callable[[], str],
    redirect_uri: str,
) -> Upstream:
    """Sign-in at the provider of this configuration, which sends people back to `redirect_uri`.

    Raises: StartRefused for a secret that cannot be read.
    """
    assert users.issuer is not None, "the configuration was checked"
    assert users.client_id is not None, "the configuration was checked"
    own_server = place_of(users.issuer).server

    def post(url: str, *, form: bytes, authorization: str | None, max_bytes: int) -> Posted:
        send = fetcher.post_configured if place_of(url).server == own_server else fetcher.post
        fetched = send(url, purpose=Purpose.LOGIN, form=form, authorization=authorization, max_bytes=max_bytes)
        return Posted(fetched.status, fetched.body)

    def sign(header: Mapping[str, object], claims: Mapping[str, object], now: int) -> str:
        _, _, key = ring.signer(now)
        return key.sign(header, claims)

    secret = upstream_secret(users)
    authentication: Authenticates = ByOwnKeys(sign, new_id=new_id) if secret is None else BySecret(secret)
    return Upstream(
        provider=login_provider(users, fetcher),
        post=post,
        client_id=users.client_id,
        authentication=authentication,
        redirect_uri=redirect_uri,
        ids=ids,
        new_secret=new_secret,
    )
