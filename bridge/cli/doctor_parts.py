"""An examiner over this configuration: the service's own verifier, policies and store, without a service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bridge.cli.options import ConfigurationRefused
from bridge.model.errors import StartRefused

if TYPE_CHECKING:
    from bridge.config import Settings
    from bridge.doctor.examination import Examiner
    from bridge.doctor.surroundings import Domain
    from bridge.model.bundle import BundleStatus
    from bridge.policy.evaluate import PolicySet
    from bridge.registration.foresight import Outlook
    from bridge.store.ports import Store

# How long the sources of trust bundles may take to say something, in seconds.
BUNDLE_SECONDS = 10.0


@contextmanager
def store_of(settings: Settings) -> Iterator[Store | None]:
    """The store of a service that was started before; None without one. Raises: ConfigurationRefused when there is
    one that this command cannot open."""
    from bridge.opening import open_store
    from bridge.store.migrations import status

    found = status(settings.database)
    if found.current == 0 and found.pending:
        yield None
        return
    try:
        store = open_store(settings)
    except StartRefused as error:
        raise ConfigurationRefused(error.faults) from error
    try:
        yield store
    finally:
        store.close()


@contextmanager
def examiner_of(settings: Settings, store: Store | None) -> Iterator[tuple[Examiner, int]]:
    """Everything that a diagnosis needs, and the time (epoch seconds) that it goes by.

    Raises: ConfigurationRefused for policies that do not load."""
    from bridge.ambient import now
    from bridge.cli.trust_looking import reported_bundles
    from bridge.doctor.examination import Examiner
    from bridge.doctor.surroundings import Surroundings
    from bridge.opening import trust_rules_of
    from bridge.verify.verifier import SvidVerifier

    policies = _policies(settings)
    with reported_bundles(settings, BUNDLE_SECONDS) as book:
        at = now()
        domains = _domains(settings, {str(status.trust_domain): status for status in book.statuses(at)})
        svids = SvidVerifier(book, issuer=settings.issuer, trust_domains=trust_rules_of(settings))
        around = Surroundings(settings.issuer, domains, at)
        yield Examiner(svids, policies, _outlook(settings, policies, store), around), at


def _policies(settings: Settings) -> PolicySet:
    """The files as they stand, as a service takes them when it starts."""
    from bridge.opening import policy_defaults
    from bridge.policy.folder import PolicyFolder

    try:
        return PolicyFolder(settings.policy_directory, policy_defaults(settings)).load().policy_set
    except StartRefused as error:
        raise ConfigurationRefused(error.faults) from error


def _outlook(settings: Settings, policies: PolicySet, store: Store | None) -> Outlook:
    from bridge.doctor.nobody import NobodyYet
    from bridge.opening import limits_of
    from bridge.registration.foresight import Outlook

    nobody = NobodyYet()
    return Outlook(
        policies,
        nobody if store is None else store.clients,
        nobody if store is None else store.tokens,
        lambda trust_domain: limits_of(settings, trust_domain),
    )


def _domains(settings: Settings, statuses: Mapping[str, BundleStatus]) -> dict[str, Domain]:
    from bridge.doctor.surroundings import Domain

    return {
        name: Domain(
            source=domain.source,
            place=domain.path or domain.socket or domain.url or "",
            max_stale=domain.max_stale,
            status=statuses[name],
        )
        for name, domain in settings.trust_domains.items()
    }
