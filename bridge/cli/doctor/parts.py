"""An examiner over this configuration: the service's own verifier, policies and store, without a service."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bridge.cli.options import ConfigurationRefused
from bridge.model.errors import StartRefused

if TYPE_CHECKING:
    from bridge.config import Settings
    from bridge.doctor.examination import Examiner
    from bridge.doctor.instruments import Fetch
    from bridge.doctor.surroundings import Domain
    from bridge.fetch.fetcher import Fetcher
    from bridge.model.bundle import BundleStatus
    from bridge.policy.evaluate import PolicySet
    from bridge.registration.foresight import Outlook
    from bridge.store.ports import Store
    from bridge.verify.dpop_nonces import DpopNonces

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

    Raises: ConfigurationRefused for policies that do not load; StartRefused for a `ca_file` that cannot be read.
    """
    from bridge.ambient import now
    from bridge.cli.trust.looking import reported_bundles
    from bridge.doctor.examination import Examiner
    from bridge.doctor.instruments import Instruments
    from bridge.doctor.surroundings import Surroundings
    from bridge.opening import open_fetcher, open_issuers, trust_rules_of
    from bridge.verify.dpop_verifier import DpopVerifier
    from bridge.verify.statements import StatementVerifier
    from bridge.verify.verifier import SvidVerifier
    from bridge.verify.vouching import Vouching

    policies = _policies(settings)
    with reported_bundles(settings, BUNDLE_SECONDS) as book:
        at = now()
        domains = _domains(settings, {str(status.trust_domain): status for status in book.statuses(at)})
        svids = SvidVerifier(book, issuer=settings.issuer, trust_domains=trust_rules_of(settings))
        fetcher = open_fetcher(settings)
        issuers = open_issuers(settings, fetcher)
        instruments = Instruments(
            svids=svids,
            issuers=issuers,
            statements=StatementVerifier(svids, issuers, audience=f"{settings.issuer}/register"),
            vouching=Vouching(svids, issuers),
            proofs=DpopVerifier(nonces=_nonces(settings)),
            policies=policies,
            outlook=_outlook(settings, policies, store),
            fetch=lambda url: _fetched(fetcher, url),
            around=Surroundings(settings.issuer, domains, at),
        )
        yield Examiner(instruments), at


def _nonces(settings: Settings) -> DpopNonces | None:
    """Those that the service takes. Where there is no seal key yet nobody was ever given one."""
    from bridge.tokens.sealing import read_seal_key
    from bridge.verify.dpop_nonces import MIN_KEY_BYTES, DpopNonces

    if not settings.dpop.require_nonce:
        return None
    if not settings.seal_file.exists():
        return DpopNonces(os.urandom(MIN_KEY_BYTES))
    return DpopNonces(read_seal_key(settings.seal_file).derive("dpop-nonce"))


def _fetched(fetcher: Fetcher, url: str) -> Fetch:
    """The guarded fetch of the service, each of its steps in words."""
    from bridge.doctor.instruments import Fetch

    case, looked = fetcher.walk(url)
    reached = {one.step for one in looked if one.holds}
    found: dict[str, str] = {"fetch-url": url}
    if "fetch-url" in reached:
        found["name"] = f"{case.place.host}, port {case.place.port}"
    if "name" in reached:
        found["address"] = found["name"] = f"{case.place.server}: {', '.join(map(str, case.addresses))}"
    if "connection" in reached:
        found["connection"] = f"TLS with {case.place.server}"
    if "answer" not in reached:
        return Fetch(looked, found, None)
    fetched = case.fetched
    found["answer"] = f"{fetched.status}, {fetched.headers.get('content-type', '')}, {len(fetched.body)} bytes"
    return Fetch(looked, found, fetched.body)


def _policies(settings: Settings) -> PolicySet:
    """The files as they stand, as a service takes them when it starts."""
    from bridge.policy.folder import PolicyFolder
    from bridge.policy_defaults import policy_defaults

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
