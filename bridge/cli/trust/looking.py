"""What the commands of `bridge trust` and `bridge check` see of trust bundles, and from where.

Files and agents are read by this process. Of a trust domain with an endpoint the store holds what the service goes by,
so that is what is shown; asking the endpoint is a command of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from bridge.cli.trust.sharing import with_history

if TYPE_CHECKING:
    from bridge.config import Settings
    from bridge.model.bundle import BundleStatus
    from bridge.model.spiffe_id import TrustDomain
    from bridge.spire.book import BundleBook
    from bridge.spire.polled_source import Polling
    from bridge.spire.sources import BundleSources

POLLED = ("https_web", "https_spiffe")


class Asking(Enum):
    """Whether endpoints are asked. SHARED: and what they answer acts in the running service. APART: it does not."""

    NO = "no"
    SHARED = "shared"
    APART = "apart"


@dataclass(frozen=True, slots=True)
class Looked:
    """How trust domains stand, by name, at `now` (epoch seconds), and before their endpoints were asked."""

    statuses: Sequence[BundleStatus]
    before: Sequence[BundleStatus]
    now: int


def look(
    settings: Settings,
    timeout: float,
    *,
    asking: Asking = Asking.NO,
    only: TrustDomain | None = None,
    accept_lower: bool = False,
) -> Looked:
    """Start the sources, wait until each has said something or `timeout` seconds passed, and end them.

    `only` is the trust domain whose endpoint is asked, all when None. Raises: StartRefused, also where what is SHARED
    would be sealed with another key than the store's; Unavailable for the store.
    """
    from bridge.ambient import now

    with _sources(settings, asking) as sources:
        sources.start()
        sources.book.wait_until_reported(timeout)
        before = sources.book.statuses(now())
        if sources.polled is not None and asking is not Asking.NO:
            wanted = [status.trust_domain for status in before if only in (None, status.trust_domain)]
            sources.polled.ask_all(wanted, patience=timeout, accept_lower=accept_lower)
        at = now()
        statuses = sources.book.statuses(at)
    return Looked(with_history(settings, statuses), before, at)


@contextmanager
def reported_bundles(settings: Settings, timeout: float) -> Iterator[BundleBook]:
    """The book of trust bundles after each source has said something or `timeout` seconds passed; nobody is asked who
    would not be asked by looking. Raises: as `look`."""
    with _sources(settings, Asking.NO) as sources:
        sources.start()
        sources.book.wait_until_reported(timeout)
        yield sources.book


@contextmanager
def _sources(settings: Settings, asking: Asking) -> Iterator[BundleSources]:
    from bridge.opening import open_bundles

    with ExitStack() as stack:
        _, sources = open_bundles(settings, _polling(settings, asking, stack))
        with closing(sources):
            yield sources


def _polling(settings: Settings, asking: Asking, stack: ExitStack) -> Polling:
    """With the store where there is one and something in it is wanted."""
    from bridge.opening import copied_bundle_polling, open_polling, open_store, open_store_to_change
    from bridge.tokens.sealing import read_seal_key
    from bridge.wiring_bundles import unshared_polling

    if not any(domain.source in POLLED for domain in settings.trust_domains.values()) or not settings.database.exists():
        return unshared_polling(asks=False)
    seal = read_seal_key(settings.seal_file)
    # What an endpoint answers is sealed with the key that is here: of another one's the service would believe nothing.
    opened = open_store_to_change(settings) if asking is Asking.SHARED else open_store(settings, seal)
    store = stack.enter_context(closing(opened))
    if asking is Asking.APART:
        return copied_bundle_polling(settings, seal, store)
    return open_polling(seal, store, asks=False)
