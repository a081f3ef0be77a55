"""`bridge trust`: the trust bundles, as this process reads them from the configured sources.

Each process keeps its own bundles, so what is shown is what a service that starts now would see. An agent
decides by the caller: run it as the service's user, or the agent may have no entry for it.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.options import config_option, json_option, list_options, settings_of
from bridge.cli.output import emit_json, emit_table, note, timestamp
from bridge.model.bundle import BundleHealth

if TYPE_CHECKING:
    from bridge.config import Settings
    from bridge.model.bundle import BundleStatus


def timeout_option(command: Any) -> Any:
    """`--timeout SECONDS`, given to the command as `timeout: float`."""
    return click.option(
        "--timeout",
        type=click.FloatRange(min=0.1, max=300),
        default=5.0,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for agents.",
    )(command)


@click.group()
def trust() -> None:
    """Show trust bundles: source, state, sequence, keys, age, next refresh.

    \b
    Example:
      bridge trust list
    """


@trust.command("list")
@config_option
@list_options
@timeout_option
@json_option
def list_bundles(config: Path, limit: int | None, timeout: float, as_json: bool) -> int:
    """Read every configured source once and show what it holds.

    Run it as the service's user: an agent answers by who asks. `empty` bundles trust nothing. `malformed` and
    `unreachable` is said of the source as it is now: a running service goes on with its last good bundle
    until max_stale, and only then, like one that starts now, answers 503 for that trust domain.

    \b
    Example:
      bridge trust list --json
    """
    statuses, now = read_once(settings_of(config), timeout)
    _show(statuses[:limit], now, as_json)
    return 0


@trust.command()
@config_option
@timeout_option
@click.argument("trust_domain", required=False)
@json_option
def refresh(config: Path, timeout: float, trust_domain: str | None, as_json: bool) -> int:
    """Fetch the bundles now and say whether that worked: exit 1 when one is missing or out of date.

    A running service needs no push: it follows files within a second and agents by their streams.

    \b
    Example:
      bridge trust refresh example.org
    """
    settings = settings_of(config)
    if trust_domain is not None and trust_domain not in settings.trust_domains:
        raise click.BadParameter(f"no trust domain {trust_domain} is configured", param_hint="TRUST_DOMAIN")
    statuses, now = read_once(settings, timeout)
    wanted = [status for status in statuses if trust_domain in (None, status.trust_domain.name)]
    _show(wanted, now, as_json)
    return 0 if all(status.health.value in ("fresh", "empty") for status in wanted) else 1


def read_once(settings: Settings, timeout: float) -> tuple[list[BundleStatus], int]:
    """Start the sources, wait until each has said something or `timeout` seconds passed, and end them."""
    from bridge.app import now, open_bundles

    book, sources = open_bundles(settings)
    with closing(sources):
        sources.start()
        book.wait_until_reported(timeout)
        at = now()
        return book.statuses(at), at


def fields_of(status: BundleStatus) -> dict[str, object]:
    """A status as `trust list --json` shows it. X.509 authorities go by the hex SHA-256 of their certificate,
    JWT authorities by their `kid`."""
    bundle = status.bundle
    return {
        "trust_domain": status.trust_domain.name,
        "source": status.source,
        "state": status.health.value,
        "sequence": None if bundle is None else bundle.sequence,
        "x509_authorities": []
        if bundle is None
        else [hashlib.sha256(der).hexdigest() for der in bundle.x509_authorities],
        "jwt_authorities": [] if bundle is None else [key.key_id for key in bundle.jwt_authorities],
        "fetched_at": timestamp(status.fetched_at),
        "refresh_at": timestamp(status.refresh_at),
        "stale_at": timestamp(status.stale_at),
        "reason": status.reason,
    }


def _show(statuses: list[BundleStatus], now: int, as_json: bool) -> None:
    if as_json:
        emit_json([fields_of(status) for status in statuses])
        return
    headers = ("trust domain", "source", "state", "sequence", "x509", "jwt", "age", "refresh", "stale at", "reason")
    emit_table(headers, (_row(status, now) for status in statuses))
    if any(status.health is not BundleHealth.FRESH for status in statuses):
        note(
            "this is what the sources hold now; a running service uses its last good bundle until max_stale: "
            "see /readyz on metrics_listen"
        )


def _row(status: BundleStatus, now: int) -> tuple[object, ...]:
    bundle = status.bundle
    return (
        status.trust_domain.name,
        status.source,
        status.health.value,
        None if bundle is None else bundle.sequence,
        None if bundle is None else len(bundle.x509_authorities),
        None if bundle is None else len(bundle.jwt_authorities),
        None if status.fetched_at is None else f"{now - status.fetched_at}s",
        timestamp(status.refresh_at),
        timestamp(status.stale_at),
        status.reason,
    )
