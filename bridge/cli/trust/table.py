"""How trust domains stand, at a glance: those first that need somebody, and what is wrong below each."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from bridge.cli.output import aligned, columns, emit_table, note, printable, say, timestamp
from bridge.model.bundle import BundleHealth

if TYPE_CHECKING:
    from bridge.model.bundle import BundleStatus

# Of the table for people, which fits into eighty columns; and of that for pipes.
_BRIEF = ("trust domain", "state", "age", "next", "stale in", "seq", "x509", "jwt", "source")
_EXACT = ("trust domain", "source", "state", "sequence", "x509", "jwt", "age", "refresh", "stale at", "reason")


def worst_first(statuses: Iterable[BundleStatus], now: int) -> list[BundleStatus]:
    """Those first whose workloads are refused, then those that are late or whose authorities have ended, each kind by
    name: `--limit` hides nobody ill."""

    def rank(status: BundleStatus) -> tuple[int, str]:
        if status.health not in (BundleHealth.LATE, BundleHealth.FRESH):
            return 0, status.trust_domain.name
        return 1 if what_is_wrong(status, now) else 2, status.trust_domain.name

    return sorted(statuses, key=rank)


def what_is_wrong(status: BundleStatus, now: int) -> str:
    """The reason of its state; or that nothing is left of what it holds for X.509-SVIDs, however fresh it is: a file
    may be read every second and have been forgotten for days. Empty: nothing is wrong."""
    from bridge.spire.described_keys import x509_until

    until = None if status.reason or status.bundle is None else x509_until(status.bundle)
    if until is None or now < until:
        return status.reason
    return f"the last of its X.509 authorities ended {timestamp(until)}: its X.509-SVIDs get 401; bring a newer bundle"


def emit_standing(shown: Sequence[BundleStatus], now: int, *, of: Sequence[BundleStatus]) -> None:
    """A table for people, of those that are `shown`, and how all stand whom it is chosen `of`; for pipes a line each,
    with times instead of spans."""
    if aligned():
        width = columns()
        below = (_wrapped(what_is_wrong(status, now), width) for status in shown)
        emit_table(_BRIEF, (_brief(status, now) for status in shown), below=below)
    else:
        emit_table(_EXACT, (_exact(status, now) for status in shown))
    if aligned() and len(of) > 1:
        counted = Counter(status.health.value for status in of)
        say(f"\n{len(of)} trust domains: {', '.join(f'{number} {health}' for health, number in counted.items())}")
    if len(shown) < len(of):
        note(f"{len(of) - len(shown)} more, none of them worse off: --all shows them")


def _brief(status: BundleStatus, now: int) -> tuple[object, ...]:
    from bridge.doctor.words import span

    sequence, x509, jwt = _counted(status)
    return (
        status.trust_domain.name,
        status.health.value,
        None if status.fetched_at is None else span(now - status.fetched_at),
        None if status.refresh_at is None else span(max(0, status.refresh_at - now)),
        None if status.stale_at is None else span(status.stale_at - now) if status.stale_at > now else "over",
        sequence,
        x509,
        jwt,
        status.source,
    )


def _exact(status: BundleStatus, now: int) -> tuple[object, ...]:
    return (
        status.trust_domain.name,
        status.source,
        status.health.value,
        *_counted(status),
        None if status.fetched_at is None else f"{now - status.fetched_at}s",
        timestamp(status.refresh_at),
        timestamp(status.stale_at),
        what_is_wrong(status, now),
    )


def _counted(status: BundleStatus) -> tuple[int | None, int | None, int | None]:
    """The sequence, and how many keys there are of each use."""
    bundle = status.bundle
    if bundle is None:
        return None, None, None
    return bundle.sequence, len(bundle.x509_authorities), len(bundle.jwt_authorities)


def _wrapped(reason: str, width: int) -> list[str]:
    """Below a row, indented. A URL or a key is not broken where the line has room for it."""
    return textwrap.wrap(printable(reason), max(40, width - 2), break_on_hyphens=False) if reason else []
