"""How the operators' console is put together. Beside `wiring`, a part of the composition root."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bridge.ambient import new_id
from bridge.config import Settings
from bridge.config.settings import ConsoleSettings
from bridge.console.operators import Access, ByCertificate, BySocket
from bridge.console.origins import LoopbackOrigin, NamedOrigin, Origins
from bridge.console.services import ConsoleServices
from bridge.console.sign_in import CALLBACK, BySignIn, SignInParts
from bridge.model.bundle import BundleStatus
from bridge.model.errors import StartRefused
from bridge.model.identity import PolicySubject
from bridge.observe.observer import RequestObserver
from bridge.observe.readiness import Readiness
from bridge.opening import limits_of
from bridge.operator_faults import operator_faults
from bridge.policy.pattern import spiffe_id_pattern
from bridge.registration.seen_documents import look_at
from bridge.tokens.sealing import SealKey
from bridge.users.sessions import Sessions
from bridge.users.user_ids import UserIds
from bridge.wiring import Parts
from bridge.wiring_fetch import document_getter
from bridge.wiring_pages import new_secret, upstream_of


def console_services(
    parts: Parts, *, readiness: Callable[[], Readiness], bundles: Callable[[int], Sequence[BundleStatus]]
) -> ConsoleServices | None:
    """What the console calls; None without `[console]`. Raises: StartRefused."""
    settings, console = parts.settings, parts.settings.console
    if console is None:
        return None
    sign_in = None if console.subjects is None else _sign_in(parts, console, console.subjects)
    return ConsoleServices(
        issuer=settings.issuer,
        access=sign_in or _access(parts, console),
        sign_in=sign_in,
        origins=_origins(console),
        store=parts.store,
        policies=parts.policies,
        bundles=bundles,
        places=_places(settings),
        limits=lambda trust_domain: limits_of(settings, trust_domain),
        periods={
            "rotate_every": settings.tokens.rotate_every,
            "pending_expiry": settings.registration.pending_expiry,
            "idle_expiry": settings.registration.idle_expiry,
        },
        readiness=readiness,
        look_at=lambda url: look_at(url, document_getter(parts.fetcher)),
        observer=RequestObserver(),
        form_key=parts.seal.derive("console-form-token"),
        new_id=new_id,
        clock=parts.clock,
    )


def _origins(console: ConsoleSettings) -> Origins:
    return LoopbackOrigin() if console.unix is not None else NamedOrigin(console.origin)


def _access(parts: Parts, console: ConsoleSettings) -> Access:
    if console.unix is not None:
        return BySocket()
    if faults := operator_faults(parts.settings):
        raise StartRefused(faults)
    clients, policies = parts.store.clients, parts.policies

    def is_denied(subject: PolicySubject) -> bool:
        """As at every door: by a tombstone, or by a deny rule of the trust domain's file."""
        name = str(subject.spiffe_id)
        return clients.find(name, subject=name).denied or policies.current.standing(subject).denied_by is not None

    patterns = [spiffe_id_pattern(text) for text in console.operators or ()]
    return ByCertificate(patterns, verify=parts.svids.verify_chain, is_denied=is_denied)


def _sign_in(parts: Parts, console: ConsoleSettings, subjects: Sequence[str]) -> BySignIn:
    users, seal = parts.settings.users, parts.seal
    assert users is not None, "the configuration was checked"
    # Not the ids that tokens call people by: a session of one place means nothing at the other.
    ids = UserIds(seal.derive("console-user-id"))
    return BySignIn(
        SignInParts(
            url=console.origin,
            upstream=upstream_of(
                users,
                ids=ids,
                ring=parts.ring,
                fetcher=parts.fetcher,
                new_id=new_id,
                redirect_uri=console.origin + CALLBACK,
            ),
            sessions=Sessions(
                parts.store.sessions,
                key=seal.derive("console-session-cookie"),
                idle=users.session_idle,
                life=users.session_life,
                new_secret=new_secret,
            ),
            ids=ids,
            subjects=tuple(subjects),
            cookie_seal=SealKey(seal.derive("console-sign-in-cookie")),
            form_key=seal.derive("console-sign-in-form"),
            new_secret=new_secret,
            clock=parts.clock,
        )
    )


def _places(settings: Settings) -> dict[str, str]:
    """Where each trust domain's bundle comes from, as it is configured."""
    return {name: domain.url or domain.socket or domain.path or "" for name, domain in settings.trust_domains.items()}
