"""Puts in place what a service needs before its first worker starts."""

from __future__ import annotations

import logging

from bridge.ambient import now
from bridge.config import Settings
from bridge.opening import (
    Clock,
    open_bundles,
    open_fetcher,
    open_ring,
    open_store,
    upstream_secret,
)
from bridge.own_certificate import own_endpoint
from bridge.policy.folder import PolicyFolder
from bridge.policy_defaults import policy_defaults
from bridge.store.migrations import create_if_empty
from bridge.tokens.sealing import create_seal_key, read_seal_key
from bridge.wiring_tracing import require_traceable
from bridge.wiring_webhook import open_way

_log = logging.getLogger("bridge.preparing")


def prepare(settings: Settings, *, clock: Clock = now) -> None:
    """What must be in place before a worker starts: seal key, schema, signing keys, sound policies.

    Raises: StartRefused with what is wrong and what to do.
    """
    # A seal key is made only for a store that does not exist yet: beside an existing one a new key
    # would be the wrong key.
    if not settings.seal_file.exists() and not settings.database.exists() and create_seal_key(settings.seal_file):
        _log.info("made a new seal key", extra={"path": str(settings.seal_file)})
    if settings.tls is None and settings.listen is not None:
        _log.warning(
            "no [tls]: plain HTTP on %s, for development: whoever is on this machine may use it", settings.listen
        )
    for address in settings.claimable_proxies:
        _log.warning(
            "[[trusted_proxies]] %s: any process of this machine can connect from there and claim any SVID; "
            "use a unix socket",
            address,
        )
    if settings.fetch.allow_hosts:
        hosts = ", ".join(settings.fetch.allow_hosts)
        _log.warning("[fetch] allow_hosts: whoever may name a URL reaches %s from here; never in production", hosts)
    if settings.users is not None and settings.users.source == "development":
        _log.warning(
            "[users] development: whoever reaches %s signs in as anybody; never in production", settings.issuer
        )
    seal = read_seal_key(settings.seal_file)
    if settings.users is not None:
        upstream_secret(settings.users)
    if settings.webhook is not None:
        open_way(settings.webhook)
    if settings.tracing is not None:
        require_traceable(settings.tracing)
    create_if_empty(settings.database)
    open_bundles(settings)
    own_endpoint(settings)
    open_fetcher(settings)
    PolicyFolder(settings.policy_directory, policy_defaults(settings)).load()
    store = open_store(settings, seal, clock=clock)
    try:
        open_ring(settings, store, seal, clock=clock)
    finally:
        store.close()
