"""Opens the parts that the service and the commands have in common, each from the configuration alone: the store, the
signing keys, the book of trust bundles, what fetches from outside. Nothing is started here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bridge.ambient import new_id, now
from bridge.config import Settings
from bridge.config.settings import UserSettings
from bridge.fetch.connecting import tls_context
from bridge.fetch.fetcher import Fetcher
from bridge.fetch.slots import ThreadShare
from bridge.files.paths import read_secret
from bridge.model.errors import StartRefused
from bridge.observe import metrics
from bridge.serving.crew import standing_aside
from bridge.spire.book import BundleBook
from bridge.spire.polled_source import Polling
from bridge.spire.sources import BundleSources
from bridge.store.migrations import require_current
from bridge.store.ports import RegistrationLimits, Store
from bridge.store.sqlite import SqliteStore
from bridge.tokens.key_ring import KeyRing
from bridge.tokens.sealing import SealKey, read_seal_key
from bridge.verify.issuer_urls import UrlKeySet
from bridge.verify.jwt_svid import TrustDomainRules
from bridge.verify.pinned_issuers import PinnedIssuers
from bridge.wiring_bundles import bundle_options, bundle_polling, copied_polling, unshared_polling
from bridge.wiring_fetch import key_set_fetch
from bridge.wiring_webhook import open_outbox

Clock = Callable[[], int]

BUNDLE_SEAL = "polled-bundles"


def trust_rules_of(settings: Settings) -> dict[str, TrustDomainRules]:
    """How each trust domain's JWT-SVIDs are judged, by its name."""
    return {
        name: TrustDomainRules(
            max_assertion_life=domain.max_assertion_life,
            jwt_issuers=None if domain.jwt_issuers is None else frozenset(domain.jwt_issuers),
        )
        for name, domain in settings.trust_domains.items()
    }


def limits_of(settings: Settings, trust_domain: str | None) -> RegistrationLimits:
    """The limits of one trust domain: its own where it has some, the general ones elsewhere."""
    domain = settings.trust_domains.get(trust_domain or "")
    own = None if domain is None else domain.limits

    def limit(name: str) -> int:
        value = getattr(own, name, None) or getattr(settings.limits, name)
        assert isinstance(value, int), "every limit has a default"
        return value

    return RegistrationLimits(
        records=limit("records_per_trust_domain"),
        per_second=limit("registrations_per_second"),
        burst=limit("registration_burst"),
        instances=limit("instances_per_identity"),
        pending=limit("pending_per_trust_domain"),
        rule_per_second=limit("rule_registrations_per_second"),
        rule_burst=limit("rule_registration_burst"),
        identity_per_minute=limit("identity_registrations_per_minute"),
    )


def open_store(settings: Settings, seal: SealKey | None = None, *, clock: Clock = now) -> Store:
    """The store of this configuration. Raises: StartRefused when its schema is not this release's."""
    seal = seal or read_seal_key(settings.seal_file)
    require_current(settings.database)
    return SqliteStore.open(
        settings.database,
        audit_key=seal.derive("audit"),
        clock=clock,
        aside=standing_aside,
        outbox=open_outbox(settings, new_id),
    )


def open_ring(settings: Settings, store: Store, seal: SealKey | None = None, *, clock: Clock = now) -> KeyRing:
    """The signing keys, made now if the store has none. Raises: StartRefused when they do not open."""
    seal = seal or read_seal_key(settings.seal_file)
    ring = KeyRing(store.keys, seal, alg=settings.tokens.signing_alg, token_life=settings.tokens.max_ttl, new_id=new_id)
    ring.start(clock())
    return ring


def open_store_to_change(settings: Settings) -> Store:
    """The store, for a command that writes an audit row. Reading it needs no particular seal key, and a store whose key
    was lost should be readable; but what is written under another key than its own can never be verified again.

    Raises: StartRefused as `open_store`, and when the seal file is not the one that belongs to this store.
    """
    seal = read_seal_key(settings.seal_file)
    store = open_store(settings, seal)
    try:
        open_ring(settings, store, seal)
    except BaseException:
        store.close()
        raise
    return store


def open_bundles(
    settings: Settings, polling: Polling | None = None, *, clock: Clock = now
) -> tuple[BundleBook, BundleSources]:
    """The book of trust bundles and the sources that fill it, not started. Without `polling` nothing that is fetched
    from endpoints is shared with a service. Raises: StartRefused."""
    sources = BundleSources(bundle_options(settings), clock=clock, polling=polling or unshared_polling())
    return sources.book, sources


def open_polling(seal: SealKey, store: Store, *, asks: bool = True) -> Polling:
    """How a service's processes poll bundle endpoints together. One that only looks on does not ask by itself."""
    return bundle_polling(store.bundles, seal_key=seal.derive(BUNDLE_SEAL), holder=new_id(), asks=asks)


def copied_bundle_polling(settings: Settings, seal: SealKey, store: Store) -> Polling:
    """How a command looks at bundle endpoints as the service would, without a change to what that goes by."""
    return copied_polling(settings, store.bundles, seal.derive(BUNDLE_SEAL))


def open_fetcher(settings: Settings) -> Fetcher:
    """What fetches from outside, within this process's part of `outbound_fetches`. Raises: StartRefused."""
    try:
        context = tls_context(settings.fetch.ca_file)
    except OSError as error:
        raise StartRefused(
            [f"fetch.ca_file: {settings.fetch.ca_file}: holds no certificate that can be read"]
        ) from error
    return Fetcher(
        at_once=max(1, settings.limits.outbound_fetches // settings.workers),
        threads=ThreadShare(settings.threads, aside=standing_aside),
        context=context,
        allow_hosts=frozenset(settings.fetch.allow_hosts),
        observe=lambda purpose, outcome, seconds: metrics.fetched(purpose.value, outcome, seconds),
    )


def open_issuers(settings: Settings, fetcher: Fetcher) -> PinnedIssuers:
    """The pinned statement issuers, their files read, their URLs not asked yet."""
    issuers, fetch = settings.statement_issuers, key_set_fetch(fetcher)
    return PinnedIssuers(
        {name: Path(own.jwks_file) for name, own in issuers.items() if own.jwks_file is not None},
        {name: UrlKeySet(own.jwks_uri, fetch) for name, own in issuers.items() if own.jwks_uri is not None},
    )


def upstream_secret(users: UserSettings) -> str | None:
    """The secret that the login provider gave out; None where our own keys are used.

    Raises: StartRefused when its file cannot be read, may be read by others, or holds no secret.
    """
    if users.client_secret_file is None:
        return None
    path = Path(users.client_secret_file)
    try:
        secret = read_secret(path).decode("utf-8").strip()
    except UnicodeDecodeError:
        secret = ""
    if not secret or not secret.isprintable():
        raise StartRefused([f"{path}: holds no secret: one line of text"])
    return secret
