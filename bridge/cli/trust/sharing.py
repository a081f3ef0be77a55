"""Keys that two trust domains hold, as commands tell of them: with whom, since when each has it, who came by it last.

A command has just begun and saw nobody change; the audit log did.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from bridge.cli.output import timestamp
from bridge.model.audit import AuditEventKind
from bridge.model.bundle import BundleStatus, SharedKey, TrustBundle
from bridge.model.errors import StartRefused, Unavailable

if TYPE_CHECKING:
    from bridge.config import Settings
    from bridge.model.audit import AuditEvent
    from bridge.store.ports import AuditStore

# Changes of keys that are looked through, newest first: years of them, but for whoever changes keys all the time.
_MOST_ROWS = 10_000


def with_history(settings: Settings, statuses: Sequence[BundleStatus]) -> list[BundleStatus]:
    """The same, and where a key is shared, what the store knows of that. One that does not open keeps nothing back."""
    if all(status.shared is None for status in statuses):
        return list(statuses)
    came_by = _history(settings, {side for status in statuses for side in _sides(status)})
    told = []
    for status in statuses:
        shared = status.shared
        if shared is not None:
            here, there = (came_by.get(side) for side in _sides(status))
            last = status.trust_domain if (here or 0) > (there or 0) else shared.other
            known = (here or 0) != (there or 0)
            shared = replace(shared, here_since=here, there_since=there, last=last if known else shared.last)
            status = replace(status, shared=shared, reason=str(shared))
        told.append(status)
    return told


def _history(settings: Settings, sides: set[tuple[str, str]]) -> dict[tuple[str, str], int]:
    from bridge.opening import open_store

    if not settings.database.exists():
        return {}
    try:
        with closing(open_store(settings)) as store:
            return _came_by(store.audit, sides)
    except (StartRefused, Unavailable):
        return {}


def _sides(status: BundleStatus) -> tuple[tuple[str, str], ...]:
    """Both trust domains, each with what it calls the key."""
    shared = status.shared
    if shared is None:
        return ()
    return (status.trust_domain.name, shared.here), (shared.other.name, shared.there)


def _came_by(audit: AuditStore, wanted: set[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """When each of these trust domains last came by the key of that name (epoch seconds), as far as the log goes."""
    found: dict[tuple[str, str], int] = {}
    for row in audit.rows(events=(AuditEventKind.BUNDLE_CHANGED,), newest_first=True, limit=_MOST_ROWS):
        for called in _added(row.event):
            side = (row.event.subject, called)
            if side in wanted:
                found.setdefault(side, row.event.time)
        if len(found) == len(wanted):
            break
    return found


def _added(event: AuditEvent) -> list[str]:
    from bridge.spire.shared_keys import jwt_name, x509_name

    x509, jwt = event.ask.get("x509_added", ()), event.ask.get("jwt_added", ())
    assert isinstance(x509, Iterable)
    assert isinstance(jwt, Iterable)
    return [*(x509_name(str(one)) for one in x509), *(jwt_name(str(one)) for one in jwt)]


def shared_beside(bundle: TrustBundle | None, others: Iterable[BundleStatus]) -> SharedKey | None:
    """A key of this bundle that another trust domain holds as things stand; None when there is none."""
    from bridge.spire.shared_keys import SharedKeys

    if bundle is None:
        return None
    keys = SharedKeys()
    for status in others:
        if status.bundle is not None and status.trust_domain != bundle.trust_domain:
            keys.hold(status.bundle)
    keys.hold(bundle)
    return keys.shared_by(bundle.trust_domain)


def shared_fields(shared: SharedKey | None) -> dict[str, object] | None:
    """As `--json` shows it. `here` and `there` are what `bridge trust show` calls the key in both trust domains."""
    if shared is None:
        return None
    return {
        "key": shared.key,
        "with": shared.other.name,
        "here": shared.here,
        "there": shared.there,
        "here_since": timestamp(shared.here_since),
        "there_since": timestamp(shared.there_since),
        "last": None if shared.last is None else shared.last.name,
        "count": shared.count,
    }
