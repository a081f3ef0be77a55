"""`bridge trust`: what is trusted, why, since when and until when, and what is wrong.

An agent decides by the caller: run it as the service's user, or the agent may have no entry for it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.options import Failure, config_option, json_option, list_options, settings_of, timeout_option
from bridge.cli.output import emit_fields, emit_json, note, printable, say, timestamp
from bridge.cli.trust.add import add
from bridge.cli.trust.impact import impact
from bridge.cli.trust.looking import POLLED, Asking, look
from bridge.cli.trust.sharing import shared_beside, shared_fields
from bridge.cli.trust.table import emit_standing, worst_first
from bridge.model.bundle import BundleHealth

if TYPE_CHECKING:
    from bridge.config import Settings
    from bridge.model.bundle import BundleStatus, SharedKey, TrustBundle
    from bridge.model.spiffe_id import TrustDomain


# What says nothing of the bundle that a running service has in force.
_UNREAD = (BundleHealth.MALFORMED, BundleHealth.UNREACHABLE)
# `trust show` lists the keys below, and the reason says with whom one is shared.
_TOLD_ELSEWHERE = ("x509_authorities", "jwt_authorities", "shared")


@click.group()
def trust() -> None:
    """Show trust bundles: source, state, sequence, keys, age, next refresh. Add a trust domain.

    \b
    Example:
      bridge trust list
    """


trust.add_command(add)
trust.add_command(impact)


@trust.command("list")
@config_option
@list_options
@timeout_option
@json_option
def list_bundles(config: Path, limit: int | None, timeout: float, as_json: bool) -> int:
    """Show every configured trust domain: what is trusted, how old it is, what is wrong. Those come first whose
    workloads are refused.

    `age` is since its source last confirmed the bundle, `next` until it is asked again, `stale in` until nothing of it
    is accepted unless it is confirmed before. A pipe gets the times.

    Run it as the service's user: an agent answers by who asks. `empty` bundles trust nothing. `shared`: another trust
    domain holds one of the keys, and both get 503 until one gives it up. Of a trust domain with an endpoint this is
    what the running service goes by. Files and agents are read now: `malformed` and `unreachable` is said of them as
    they are now, and a running service goes on with its last good bundle until max_stale: only then, like one that
    starts now, it answers 503 for that trust domain.

    \b
    Example:
      bridge trust list --json
    """
    looked = look(settings_of(config), timeout)
    ordered = worst_first(looked.statuses, looked.now)
    _show(ordered[:limit], looked.now, as_json, of=ordered)
    return 0


@trust.command()
@config_option
@timeout_option
@click.argument("trust_domain")
@json_option
def show(config: Path, timeout: float, trust_domain: str, as_json: bool) -> int:
    """Show one trust domain with each of its keys, until when they hold, and a digest of all to compare out of band.

    \b
    Example:
      bridge trust show partner.example
    """
    from bridge.cli.trust.keys import emit_keys
    from bridge.spire.described_keys import describe_keys, digest_of

    settings = settings_of(config)
    wanted = _named(settings, trust_domain)
    status = next(one for one in look(settings, timeout).statuses if one.trust_domain == wanted)
    fields = {**fields_of(status), **_place(settings, trust_domain)}
    keys = [] if status.bundle is None else describe_keys(status.bundle)
    fields["digest"] = None if status.bundle is None else digest_of(status.bundle)
    if as_json:
        emit_json({**fields, "keys": keys})
        return 0
    emit_fields({name: value for name, value in fields.items() if name not in _TOLD_ELSEWHERE})
    say()
    emit_keys(keys)
    return 0


@trust.command()
@config_option
@timeout_option
@click.option(
    "--accept-lower", is_flag=True, help="Take a bundle whose sequence went back, this once; needs TRUST_DOMAIN."
)
@click.argument("trust_domain", required=False)
@json_option
def refresh(config: Path, timeout: float, accept_lower: bool, trust_domain: str | None, as_json: bool) -> int:
    """Fetch the bundles now and say whether that worked: exit 1 when one is missing or out of date.

    What an endpoint answers acts in the running service within a second. A running service needs no push: it follows
    files within a second, agents by their streams, and asks endpoints as often as their bundles say.

    A trust domain that was made anew counts its bundles from the beginning again: compare the keys of `bridge trust
    diff` with its people, then take them over by --accept-lower.

    \b
    Example:
      bridge trust refresh example.org
    """
    settings = settings_of(config)
    only = None if trust_domain is None else _named(settings, trust_domain)
    if accept_lower and only is None:
        raise click.UsageError("--accept-lower needs a TRUST_DOMAIN: say whose sequence may go back")
    looked = look(settings, timeout, asking=Asking.SHARED, only=only, accept_lower=accept_lower)
    asked = (status for status in looked.statuses if only in (None, status.trust_domain))
    wanted = worst_first(asked, looked.now)
    _show(wanted, looked.now, as_json, of=wanted)
    return 0 if all(status.health.value in ("fresh", "empty") for status in wanted) else 1


@trust.command()
@config_option
@timeout_option
@click.argument("trust_domain")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
def diff(config: Path, timeout: float, trust_domain: str, file: Path | None, as_json: bool) -> int:
    """Compare the keys that are trusted with a bundle in FILE, or with what the endpoint says now. Exit 1 when they
    differ, or when another trust domain holds one of the keys. Nothing is taken over.

    `+` is a key that is there and not trusted, `-` one that is trusted and not there. The digests are what people
    compare out of band, as `trust show` says them.

    \b
    Example:
      bridge trust diff partner.example from-their-people.json
    """
    from bridge.spire.bundle_files import parse_bundle_file
    from bridge.spire.parse import MAX_BUNDLE_BYTES, MalformedBundle

    settings = settings_of(config)
    wanted = _named(settings, trust_domain)
    if file is None and settings.trust_domains[trust_domain].source not in POLLED:
        raise click.UsageError(f"{trust_domain} has no endpoint to ask: name a FILE to compare with")
    asking = Asking.APART if file is None else Asking.NO
    looked = look(settings, timeout, asking=asking, only=wanted, accept_lower=True)
    before = next(one for one in looked.before if one.trust_domain == wanted)
    after = next(one for one in looked.statuses if one.trust_domain == wanted)
    bundle = after.bundle
    if file is None and after.fault is not None:
        raise Failure(f"{trust_domain}: {printable(after.reason)}")
    if file is not None:
        from bridge.files.paths import TooLarge, read_bounded

        try:
            bundle = parse_bundle_file(read_bounded(file, MAX_BUNDLE_BYTES), wanted)
        except (TooLarge, MalformedBundle) as error:
            raise Failure(
                f"{printable(file)}: {printable(error)}; it is to be a SPIFFE bundle or a bundle map"
            ) from error
    shared = shared_beside(bundle, looked.statuses)
    return _show_difference(wanted, before.bundle, bundle, shared, as_json)


def _show_difference(
    trust_domain: TrustDomain,
    before: TrustBundle | None,
    after: TrustBundle | None,
    shared: SharedKey | None,
    as_json: bool,
) -> int:
    from bridge.spire.book import difference
    from bridge.spire.described_keys import digest_of

    change = difference(before, after)
    digests = [None if bundle is None else digest_of(bundle) for bundle in (before, after)]
    differs = any(change.values())
    if as_json:
        told = {"shared": shared_fields(shared), "digest": digests[0], "digest_there": digests[1]}
        emit_json({"trust_domain": trust_domain.name, **change, **told})
        return 1 if differs or shared is not None else 0
    for name, keys in change.items():
        kind, _, way = name.partition("_")
        for key in keys:
            say(f"{'+' if way == 'added' else '-'} {kind:<4} {printable(key)}")
    if differs:
        note(f"digest of what is trusted {digests[0] or 'none'}, of what is there {digests[1] or 'none'}")
    else:
        say("the same keys")
    if shared is not None:
        note(f"{trust_domain} then {printable(shared.in_brief)}: requests of both get 503 for as long as both have it")
    return 1 if differs or shared is not None else 0


def _named(settings: Settings, trust_domain: str) -> TrustDomain:
    from bridge.model.spiffe_id import TrustDomain

    if trust_domain not in settings.trust_domains:
        near = difflib.get_close_matches(trust_domain, settings.trust_domains, n=1)
        hint = f"did you mean {near[0]}?" if near else "`bridge trust list --all` names those that are"
        raise click.BadParameter(
            f"no trust domain {printable(trust_domain)} is configured; {hint}", param_hint="TRUST_DOMAIN"
        )
    return TrustDomain.parse(trust_domain)


def _place(settings: Settings, trust_domain: str) -> Mapping[str, object]:
    """Where the bundle comes from, as it is configured."""
    domain = settings.trust_domains[trust_domain]
    return {
        name: value
        for name in ("path", "socket", "url", "ca_file", "endpoint_spiffe_id", "bootstrap")
        if (value := getattr(domain, name)) is not None
    }


def fields_of(status: BundleStatus) -> dict[str, object]:
    """A status as `trust list --json` shows it. X.509 authorities go by the hex SHA-256 of their certificate,
    JWT authorities by their `kid`. `x509_until` is when the last of the former ends."""
    from bridge.spire.book import fingerprint
    from bridge.spire.described_keys import x509_until

    bundle = status.bundle
    return {
        "trust_domain": status.trust_domain.name,
        "source": status.source,
        "state": status.health.value,
        "sequence": None if bundle is None else bundle.sequence,
        "x509_authorities": [] if bundle is None else [fingerprint(der) for der in bundle.x509_authorities],
        "jwt_authorities": [] if bundle is None else [key.key_id for key in bundle.jwt_authorities],
        "fetched_at": timestamp(status.fetched_at),
        "refresh_at": timestamp(status.refresh_at),
        "stale_at": timestamp(status.stale_at),
        "x509_until": None if bundle is None else timestamp(x509_until(bundle)),
        "fault": None if status.fault is None else status.fault.value,
        "reason": status.reason,
        "shared": shared_fields(status.shared),
    }


def _show(shown: Sequence[BundleStatus], now: int, as_json: bool, *, of: Sequence[BundleStatus]) -> None:
    if as_json:
        emit_json([fields_of(status) for status in shown])
        return
    emit_standing(shown, now, of=of)
    if any(status.health in _UNREAD and status.source not in POLLED for status in shown):
        note(
            "this is what files and agents hold now; a running service uses its last good bundle until max_stale: "
            "see /readyz on metrics_listen"
        )
