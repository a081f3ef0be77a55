"""How the code flow is put together. Beside `wiring`, a part of the composition root."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bridge.grants.authorization_code import AuthorizationCode
from bridge.grants.authorizing import Authorizing
from bridge.grants.code_flow import CodeFlow
from bridge.grants.grant_uses import GrantUses
from bridge.grants.granter import Granter
from bridge.grants.pushed_requests import PushedRequests
from bridge.grants.refresh import Refresh
from bridge.grants.refresh_tokens import RefreshTokens
from bridge.grants.refreshing import Refreshing
from bridge.model.errors import EvidenceRejected
from bridge.model.evidence import RequestContext
from bridge.model.reasons import Reason
from bridge.model.terms import Ask
from bridge.registration.authentication import Authenticated, Authentication, DocumentCall
from bridge.registration.document_clients import DocumentClients
from bridge.registration.noise import NoiseLimit
from bridge.registration.refused import Refusals
from bridge.registration.registrar import Registrar
from bridge.store.ports import Store
from bridge.tokens.access_token import AccessTokens
from bridge.wiring_pages import new_secret


@dataclass(frozen=True, slots=True)
class Spine:
    """What every way to a token is made of: who comes, what policy says, which record, which token."""

    authentication: Authentication
    registrar: Registrar
    refusals: Refusals
    granter: Granter
    tokens: AccessTokens
    refresh_tokens: RefreshTokens
    known_by_url: DocumentClients
    noise: NoiseLimit


def code_flow_of(
    spine: Spine, store: Store, *, words: Callable[[], Mapping[str, str]], new_id: Callable[[], str]
) -> CodeFlow:
    """What there is only where people can approve. `words`: what the catalogue says of scopes and resources."""
    authentication, registrar, refusals = spine.authentication, spine.registrar, spine.refusals
    uses = GrantUses(registrar=registrar, grants=store.grants, granter=spine.granter)
    refreshing = Refreshing(spine.refresh_tokens, registrar)
    return CodeFlow(
        pushed_requests=PushedRequests(
            authentication=authentication,
            registrar=registrar,
            refusals=refusals,
            requests=store.requests,
            tokens=store.tokens,
            spend=_spend(spine.noise),
            new_secret=new_secret,
            new_id=new_id,
        ),
        authorization_code=AuthorizationCode(
            authentication=authentication, refusals=refusals, grants=store.grants, uses=uses, refreshing=refreshing
        ),
        refresh=Refresh(
            authentication=authentication,
            refusals=refusals,
            grants=store.grants,
            uses=uses,
            tokens=spine.refresh_tokens,
            refreshing=refreshing,
        ),
        authorizing=Authorizing(
            requests=store.requests,
            grants=store.grants,
            registrar=registrar,
            documents=_named(spine.known_by_url),
            words=words,
            new_secret=new_secret,
            new_id=new_id,
        ),
    )


def _spend(noise: NoiseLimit) -> Callable[[str, int], None]:
    """What a request that nobody in particular pushes costs the address it comes from."""
    anybody = EvidenceRejected(Reason.CREDENTIAL_MISSING, "a request pushed by a public client, which anybody can be")
    return lambda source_address, at: noise.spend(source_address, noise=anybody, now=at)


def _named(known_by_url: DocumentClients) -> Callable[[str, Ask, RequestContext], Authenticated]:
    return lambda url, ask, context: known_by_url.named(DocumentCall(url, context, None, ask))
