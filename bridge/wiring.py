"""How one worker's objects are put together into what the web layer calls. Beside `app`, the composition root."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bridge.ambient import new_id
from bridge.config import Settings
from bridge.fetch.document_cache import DocumentCache
from bridge.fetch.fetcher import Fetcher
from bridge.grants.client_credentials import ClientCredentials
from bridge.grants.code_flow import CodeFlow
from bridge.grants.grant_questions import GrantQuestions
from bridge.grants.granter import Granter
from bridge.grants.introspection import TokenQuestions
from bridge.grants.refresh_tokens import RefreshTokens
from bridge.model.errors import EvidenceRejected
from bridge.model.evidence import Presented, SvidEvidence, X509Evidence
from bridge.model.identity import Source, VerifiedIdentity, VerifiedProof
from bridge.model.reasons import Reason
from bridge.model.terms import Decision
from bridge.observe import metrics
from bridge.observe.observer import RequestObserver
from bridge.observe.readiness import Readiness
from bridge.observe.tracing import Stage, Tracing, stage
from bridge.opening import limits_of
from bridge.policy.in_force import PolicyInForce
from bridge.registration.authentication import Authentication, VerifyAssertion
from bridge.registration.document_clients import DocumentClients
from bridge.registration.enrolment import Enrolment
from bridge.registration.held_back import HeldBack
from bridge.registration.introduction import Introduction
from bridge.registration.management import Management, RegistrationTokens
from bridge.registration.noise import NoiseLimit
from bridge.registration.refusals import RefusalLog
from bridge.registration.refused import Refusals
from bridge.registration.registrar import Registrar
from bridge.registration.weakening import Weakening
from bridge.store.ports import Store
from bridge.tokens.access_token import AccessTokens
from bridge.tokens.key_ring import KeyRing
from bridge.tokens.sealing import SealKey
from bridge.verify.assertion_verifier import VerifiedAssertion, verify_client_assertion
from bridge.verify.dpop_verifier import DpopNonces, DpopVerifier
from bridge.verify.key_sets import JwtKeys
from bridge.verify.metadata_documents import VerifiedDocument, read_document, read_keys
from bridge.verify.pinned_issuers import PinnedIssuers
from bridge.verify.statements import StatementVerifier
from bridge.verify.verifier import SvidVerifier
from bridge.verify.vouching import Vouching
from bridge.web.services import REGISTER, Endpoints, Offered, PageServices, Services
from bridge.wiring_flow import Spine, code_flow_of
from bridge.wiring_pages import page_services

# The draft that lets pushed clients in, as `[drafts]` names it.
PUSHED_DRAFT = "pushed_client_registration"


@dataclass(frozen=True, slots=True)
class Parts:
    """What a worker holds, from which its services are made. `nonces` is None where none are asked for; `clock`
    gives epoch seconds."""

    settings: Settings
    seal: SealKey
    store: Store
    ring: KeyRing
    policies: PolicyInForce
    svids: SvidVerifier
    issuers: PinnedIssuers
    fetcher: Fetcher
    refusals: RefusalLog
    nonces: DpopNonces | None
    clock: Callable[[], int]


def services_of(parts: Parts, readiness: Callable[[], Readiness], tracing: Tracing | None = None) -> Services:
    """Everything the views call. `tracing`: where requests are traced."""
    settings, store = parts.settings, parts.store
    dpop = DpopVerifier(nonces=parts.nonces)
    spine = _spine(parts, dpop)
    code_flow = None
    if settings.users is not None:
        code_flow = code_flow_of(spine, store, words=lambda: _words(parts), new_id=new_id)
    registration_tokens = RegistrationTokens(parts.seal.derive("registration-access-token"), store.management)
    management = Management(
        tokens=registration_tokens,
        chain=parts.svids.verify_chain,
        registrar=spine.registrar,
        clients=store.clients,
        refusals=spine.refusals,
    )
    is_managed = settings.registration.management
    statements = StatementVerifier(parts.svids, parts.issuers, audience=settings.issuer + REGISTER)
    nonces = parts.nonces
    return Services(
        endpoints=_endpoints(settings),
        client_credentials=ClientCredentials(spine.authentication, spine.registrar, spine.granter, spine.refusals),
        questions=_questions(parts, spine),
        code_flow=code_flow,
        pages=None if code_flow is None else _pages(parts, code_flow),
        offered=lambda: _offered(parts),
        verify_chain=parts.svids.verify_chain if any(p.spiffe_id for p in settings.trusted_proxies) else None,
        openid_configuration=settings.metadata.openid_configuration,
        enrolment=Enrolment(
            introduction=Introduction(statement=statements.verify, chain=parts.svids.verify_chain, prove=dpop.verify),
            registrar=spine.registrar,
            clients=store.clients,
            refusals=spine.refusals,
            noise=spine.noise,
            idle_expiry=settings.registration.idle_expiry,
            access=registration_tokens.offer if is_managed else lambda record: None,
        ),
        management=management if is_managed else None,
        jwks=lambda: parts.ring.jwks,
        readiness=readiness,
        exposition=metrics.exposition,
        tracing=tracing,
        observer=RequestObserver(),
        new_id=new_id,
        fresh_nonce=lambda at: None if nonces is None else nonces.fresh(at),
        clock=parts.clock,
    )


def _spine(parts: Parts, dpop: DpopVerifier) -> Spine:
    """What every way to a token is made of."""
    settings, store = parts.settings, parts.store
    refusals = Refusals(parts.refusals)
    registrar = Registrar(
        policy=lambda: parts.policies.current,
        clients=store.clients,
        limits=lambda trust_domain: limits_of(settings, trust_domain),
        idle_expiry=settings.registration.idle_expiry,
        on_decision=_count_decision,
        on_registered=lambda kind: metrics.registrations.labels(kind.value).inc(),
        # Where clients update themselves, what they promise is read with each request.
        remembers=not settings.registration.management,
    )
    noise = NoiseLimit(store.buckets, per_minute=settings.limits.anonymous_per_minute)
    known_by_url = DocumentClients(
        policy=lambda: parts.policies.current,
        documents=documents_of(parts, noise),
        assertion=_assertions(settings),
        hold_back=HeldBack(registrar, store.clients, noise),
        notice=Weakening(store.clients).notice,
        refusals=refusals,
    )
    tokens = AccessTokens(parts.ring, issuer=settings.issuer)
    granter = Granter(
        clients=store.clients,
        tokens=tokens,
        new_id=new_id,
        idle_expiry=settings.registration.idle_expiry,
        observe_write=metrics.store_seconds.observe,
    )
    return Spine(
        authentication=_authentication(parts, dpop, known_by_url, refusals),
        registrar=registrar,
        refusals=refusals,
        granter=granter,
        tokens=tokens,
        refresh_tokens=RefreshTokens(parts.seal.derive("refresh-token")),
        known_by_url=known_by_url,
        noise=noise,
    )


def _questions(parts: Parts, spine: Spine) -> TokenQuestions:
    store = parts.store
    return TokenQuestions(
        authentication=spine.authentication,
        registrar=spine.registrar,
        tokens=spine.tokens,
        clients=store.clients,
        revoked=store.tokens,
        refusals=spine.refusals,
        may_introspect=lambda: parts.policies.current.may_introspect,
        issuer=parts.settings.issuer,
        grants=GrantQuestions(store.grants, spine.refresh_tokens),
    )


def _words(parts: Parts) -> Mapping[str, str]:
    """What the catalogue in force says that scopes and resources are."""
    return parts.policies.current.catalogue.words


def _pages(parts: Parts, code_flow: CodeFlow) -> PageServices | None:
    return page_services(
        parts.settings,
        seal=parts.seal,
        ring=parts.ring,
        fetcher=parts.fetcher,
        authorizing=code_flow.authorizing,
        grants=parts.store.grants,
        sessions=parts.store.sessions,
        words=lambda: _words(parts),
        home=lambda: parts.policies.current.catalogue.home,
        new_id=new_id,
    )


def _takes_pushed(parts: Parts) -> bool:
    """Off unless the configuration names the draft and a rule admits such clients."""
    return PUSHED_DRAFT in parts.settings.drafts and parts.policies.current.takes(Source.PUSHED)


def _offered(parts: Parts) -> Offered:
    """What the metadata names, under the policy in force."""
    code_flow, policy = parts.settings.users is not None, parts.policies.current
    return Offered(
        code_flow=code_flow,
        documents=policy.takes(Source.METADATA_DOCUMENT),
        pushed=code_flow and _takes_pushed(parts),
        plain_requests=policy.takes_plain_requests,
    )


def _assertions(settings: Settings) -> VerifyAssertion:
    """How clients' own assertions are checked."""

    def check(assertion: str, *, client_id: str, keys: JwtKeys, now: int) -> VerifiedAssertion:
        with stage(Stage.VERIFY, evidence="client-assertion"):
            return verify_client_assertion(assertion, client_id=client_id, keys=keys, audience=settings.issuer, now=now)

    return check


def _authentication(parts: Parts, dpop: DpopVerifier, documents: DocumentClients, refusals: Refusals) -> Authentication:
    svids = parts.svids

    def prove(presented: Presented, *, now: int) -> VerifiedProof | None:
        if presented.dpop is None:
            return None
        with stage(Stage.VERIFY, evidence="dpop"):
            return dpop.verify(presented.dpop, now=now)

    def svid(evidence: SvidEvidence, *, now: int) -> VerifiedIdentity:
        if isinstance(evidence, X509Evidence):
            with stage(Stage.VERIFY, evidence="x509-svid"):
                return svids.verify_x509(evidence, now=now)
        with stage(Stage.VERIFY, evidence="jwt-svid"):
            return svids.verify_jwt(evidence, now=now)

    return Authentication(
        prove=prove,
        svid=svid,
        assertion=_assertions(parts.settings),
        clients=parts.store.clients,
        still_trusted=Vouching(svids, parts.issuers).require,
        documents=documents,
        takes_pushed=lambda: _takes_pushed(parts),
        refusals=refusals,
    )


def documents_of(parts: Parts, noise: NoiseLimit) -> DocumentCache[VerifiedDocument, JwtKeys]:
    """The documents and keys of clients, as all workers share them."""
    unknown = EvidenceRejected(Reason.CLIENT_UNKNOWN, "nobody has come with this URL before")
    return DocumentCache(
        parts.fetcher,
        parts.store.documents,
        read_document=read_document,
        read_keys=read_keys,
        pay=lambda source_address, at: noise.spend(source_address, noise=unknown, now=at),
        holder=new_id(),
        observe=lambda kind, outcome: metrics.document_uses.labels(kind.value, outcome.value).inc(),
    )


def _endpoints(settings: Settings) -> Endpoints:
    listeners = {"plain": settings.listen, "mtls": settings.mtls_listen, "metrics": settings.metrics_listen}
    named = frozenset(kind for kind, address in listeners.items() if address)
    return Endpoints(settings.issuer, settings.mtls_base, named, behind_proxy=bool(settings.trusted_proxies))


def _count_decision(decision: Decision) -> None:
    metrics.decisions.labels(decision.rule or "none", decision.effect.value).inc()
