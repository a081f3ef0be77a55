"""`bridge check`: would this service work? Every part is looked at, and all faults come at once."""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.before_start import seal_faults, tls_faults
from bridge.cli.failures import EXPECTED, describe
from bridge.cli.options import ConfigurationRefused, config_option, json_option
from bridge.cli.output import emit_json, note, paint, printable, say, timestamp
from bridge.model.errors import StartRefused, Unavailable

if TYPE_CHECKING:
    from bridge.config import Settings

# How long the sources of trust bundles may take to say something, in seconds.
_BUNDLE_SECONDS = 10.0
# A server certificate that ends so soon is worth a word, in seconds.
_CERTIFICATE_SOON = 7 * 86400

_WRITE_BUNDLE = "on the SPIRE server: spire-server bundle show -format spiffe"


@dataclass(slots=True)
class _Part:
    """What was found about one part. `hints` are no faults."""

    name: str
    found: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.faults


@click.command()
@config_option
@json_option
def check(config: Path, as_json: bool) -> int:
    """Look at configuration, TLS, policies, store, keys and bundles; name all faults. Exit 1 when there are any.

    Changes nothing: what `bridge serve` makes at its first start need not be there yet.

    \b
    Example:
      bridge check --config /etc/bridge/bridge.toml
    """
    parts = list(_all_parts(config))
    faulty = [part for part in parts if not part.ok]
    if as_json:
        emit_json([{"part": p.name, "ok": p.ok, "found": p.found, "faults": p.faults, "hints": p.hints} for p in parts])
        return 1 if faulty else 0
    for part in parts:
        spoken = (("ok", "green", part.found), ("hint", "yellow", part.hints), ("fault", "red", part.faults))
        for word, colour, lines in spoken:
            for line in lines:
                say(f"{paint(f'{word:<5}', colour)} {part.name:<14} {printable(line)}")
    if faulty:
        number = sum(len(part.faults) for part in faulty)
        note(f"{number} {'fault' if number == 1 else 'faults'}; next: mend them and run `bridge check` again")
        return 1
    return 0


def _all_parts(config: Path) -> Iterator[_Part]:
    _require_readable(config)
    from bridge.config import load_settings

    configuration = _Part("configuration")
    try:
        settings = load_settings(config, serving=True)
    except StartRefused as error:
        # Everything else follows from the configuration.
        configuration.faults += error.faults
        yield configuration
        return
    configuration.found.append(f"{config}, issuer {settings.issuer}")
    yield configuration
    looks = {"tls": _tls, "policies": _policies, "store": _store, "bundles": _bundles}
    looks |= {"statements": _statements, "fetches": _fetches, "users": _users, "proxies": _proxies, "console": _console}
    looks |= {"webhook": _webhook, "tracing": _tracing}
    for name, look in looks.items():
        yield _looked_at(name, look, settings)


def _looked_at(name: str, look: Callable[[Settings, _Part], None], settings: Settings) -> _Part:
    part = _Part(name)
    try:
        look(settings, part)
    except EXPECTED as error:
        part.faults += describe(error)[1]
    return part


def _require_readable(config: Path) -> None:
    """Raises: ConfigurationRefused when there is no TOML to find faults in."""
    try:
        tomllib.loads(config.read_bytes().decode("utf-8"))
    except OSError as error:
        fault = f"{config}: cannot be read ({error.strerror}); name one with --config, or write one with `bridge init`"
        raise ConfigurationRefused([fault]) from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationRefused([f"{config}: is not TOML: {error}"]) from error


def _tls(settings: Settings, part: _Part) -> None:
    if settings.tls is None:
        on = f"plain HTTP on {settings.listen}" if settings.listen else "TLS ends at the trusted proxy"
        words = on if settings.trusted_proxies else "for development on a loopback address only"
        part.hints.append(f"no [tls]: {words}")
        return
    if settings.tls.certificate is not None:
        _certificate_files(settings, part)
    if settings.tls.workload_api is not None:
        _own_svid(settings, part)


def _certificate_files(settings: Settings, part: _Part) -> None:
    from bridge.ambient import now
    from bridge.serving.tls import read_certificate

    if faults := tls_faults(settings):
        part.faults += faults
        return
    assert settings.tls is not None
    assert settings.tls.certificate is not None
    assert settings.tls.private_key is not None
    found = read_certificate(Path(settings.tls.certificate), Path(settings.tls.private_key))
    ends = f"{settings.tls.certificate}, ends {timestamp(found.not_after)}"
    if found.not_after <= now():
        part.faults.append(f"{ends}: it has expired; put a new one there, a running service takes it up by itself")
    elif found.not_after <= now() + _CERTIFICATE_SOON:
        part.hints.append(f"{ends}: soon")
    else:
        part.found.append(ends)


def _own_svid(settings: Settings, part: _Part) -> None:
    """The service's own identity, as the agent gives it to whoever runs this command."""
    from bridge.own_certificate import own_endpoint, own_spiffe_id
    from bridge.spire.workload_client import WorkloadApiFailed, fetch_x509_svid

    endpoint = own_endpoint(settings)
    assert endpoint is not None
    try:
        svid = fetch_x509_svid(endpoint, timeout=_BUNDLE_SECONDS, spiffe_id=own_spiffe_id(settings))
    except WorkloadApiFailed as error:
        words = "needs a registration entry, and so does the one that runs this command"
        part.faults.append(f"own X.509-SVID: {error}; if that is its agent's socket, the account that serves {words}")
        return
    part.found.append(f"own X.509-SVID {svid.spiffe_id}, ends {timestamp(svid.not_after)}, renewed by itself")


def _policies(settings: Settings, part: _Part) -> None:
    from bridge.policy.folder import PolicyFolder
    from bridge.policy_defaults import policy_defaults

    loaded = PolicyFolder(settings.policy_directory, policy_defaults(settings)).load()
    part.faults += [str(finding) for finding in loaded.findings]
    if part.ok:
        part.found.append(f"{settings.policy_directory}, version {loaded.policy_set.version}")


def _store(settings: Settings, part: _Part) -> None:
    from bridge.opening import open_ring, open_store
    from bridge.store.migrations import status
    from bridge.tokens.sealing import read_seal_key

    found = status(settings.database)
    fresh = found.current == 0 and found.pending
    if fresh and not settings.seal_file.exists() and not settings.database.exists():
        part.hints.append(f"{settings.database} and {settings.seal_file}: not there yet; `bridge serve` makes them")
        return
    if faults := seal_faults(settings):
        part.faults += faults
        return
    read_seal_key(settings.seal_file)
    part.found.append(f"{settings.seal_file}, rights 0600")
    if fresh:
        part.hints.append(f"{settings.database}: not there yet; `bridge serve` makes it")
        return
    with closing(open_store(settings)) as store:
        store.ping()
        part.found.append(f"{settings.database}, schema at step {found.current} of {found.latest}")
        if keys := store.keys.keys():
            open_ring(settings, store)
            part.found.append(f"{len(keys)} signing keys, opened by the seal key")
        else:
            part.hints.append("no signing key yet; `bridge serve` makes the first ones")


def _bundles(settings: Settings, part: _Part) -> None:
    from bridge.cli.trust.looking import Asking, look
    from bridge.cli.trust.table import what_is_wrong
    from bridge.model.bundle import BundleHealth

    looked = look(settings, _BUNDLE_SECONDS, asking=Asking.APART)
    for status in looked.statuses:
        if status.health is BundleHealth.FRESH and (wrong := what_is_wrong(status, looked.now)):
            part.faults.append(f"{status.trust_domain}: {wrong}")
        elif status.health is BundleHealth.FRESH and status.bundle is not None:
            keys = (
                f"{len(status.bundle.x509_authorities)} X.509 and {len(status.bundle.jwt_authorities)} JWT authorities"
            )
            part.found.append(f"{status.trust_domain}: {keys}")
        else:
            path = settings.trust_domains[status.trust_domain.name].path
            advice = "" if path is None or Path(path).exists() else f"; {_WRITE_BUNDLE} > {path}"
            part.faults.append(f"{status.trust_domain}: {status.health.value}: {status.reason}{advice}")


def _statements(settings: Settings, part: _Part) -> None:
    from bridge.ambient import now
    from bridge.opening import open_fetcher, open_issuers

    at = now()
    issuers = open_issuers(settings, open_fetcher(settings))
    for name in issuers.by_url:
        issuers.refresh(name, now=at)
    faults, without_keys = issuers.faults(), issuers.without_keys()
    for name, own in settings.statement_issuers.items():
        place = own.jwks_file or own.jwks_uri
        if name in without_keys:
            words = "put its public keys there, as a JWK Set; until then none of its statements holds"
            part.hints.append(f"{name}: no keys in {place}; {words}")
        elif name in faults:
            part.faults.append(f"{name}: {faults[name]}")
        else:
            part.found.append(f"{name}: {len(issuers.keys(name, now=at).usable)} keys in {place}")


def _fetches(settings: Settings, part: _Part) -> None:
    """An exemption from the address guard is for development: here it is a fault as soon as anybody but this machine
    can reach the service (CIMD-13)."""
    from bridge.config.values import is_loopback
    from bridge.opening import open_fetcher

    open_fetcher(settings)
    if not settings.fetch.allow_hosts:
        part.found.append("clients' documents and keys come from public addresses only")
        return
    words = f"allow_hosts: whoever may name a URL reaches {', '.join(settings.fetch.allow_hosts)} from here"
    listeners = (settings.listen, settings.mtls_listen, settings.metrics_listen)
    if all(is_loopback(address) for address in listeners if address):
        part.hints.append(f"{words}; for development only")
    else:
        part.faults.append(f"{words}, and this service listens beyond loopback; never in production, take it out")


def _folder_faults(path: Path) -> list[str]:
    """What is wrong with where a socket of ours is."""
    if path.parent.stat().st_mode & stat.S_IWOTH:
        return [f"{path.parent}: everybody may write there, and put a socket of their own in place of ours"]
    return []


def _proxies(settings: Settings, part: _Part) -> None:
    """Who may say whose certificate stands behind a request. An address that every process here has is a warning at
    each start, and so a fault here (T-18). Whether a socket can be bound is found by the start."""
    claimable = settings.claimable_proxies
    for proxy in settings.trusted_proxies:
        part.faults += [] if proxy.unix is None else _folder_faults(Path(proxy.unix))
        if proxy.spiffe_id is None and proxy.address in claimable:
            words = "any process of this machine can connect from there and claim any SVID; use a unix socket"
            part.faults.append(f"{proxy.address}: {words}")
        else:
            part.found.append(f"{proxy.known_by} states client certificates as {proxy.header}")
    if not settings.trusted_proxies:
        part.found.append("none: certificate and forwarding headers are ignored")


def _users(settings: Settings, part: _Part) -> None:
    """Who signs people in: asked as at the first sign-in."""
    from bridge.ambient import now
    from bridge.opening import open_fetcher, upstream_secret
    from bridge.wiring_pages import login_provider

    users = settings.users
    if users is None:
        part.found.append("no [users]: nobody signs in, and there is no /authorize")
        return
    if users.source == "development":
        part.hints.append(f"development: whoever reaches {settings.issuer} signs in as anybody")
        return
    by = "private_key_jwt" if upstream_secret(users) is None else "a secret"
    try:
        provider = login_provider(users, open_fetcher(settings)).describe(now())
    except Unavailable as error:
        advice = "nobody can sign in; look at [users] issuer, and at [fetch] ca_file if its CA is your own"
        raise StartRefused([f"{users.issuer}: {error}; {advice}"]) from error
    part.found.append(f"{provider.issuer} signs people in; this service is {users.client_id} there, by {by}")


def _webhook(settings: Settings, part: _Part) -> None:
    """Who is told of changes, and whether a message could be signed. Nobody is asked: that is `bridge webhook test`."""
    from bridge.fetch.guarded import place_of
    from bridge.wiring_webhook import open_way

    webhook = settings.webhook
    if webhook is None:
        part.found.append("no [webhook]: nobody is told of changes of records")
        return
    number = len(open_way(webhook)[1].current())
    events = ", ".join(kind.value for kind in webhook.events)
    part.found.append(f"{place_of(webhook.url).server} is told of {events}; `bridge webhook test` tries it")
    if number > 1:
        part.hints.append(
            f"{webhook.secret_file}: {number} secrets; take the old one out when the receiver has the new"
        )


def _tracing(settings: Settings, part: _Part) -> None:
    """Where traces go, and whether they could be made. Nobody is asked."""
    from bridge.wiring_tracing import require_traceable

    tracing = settings.tracing
    if tracing is None:
        part.found.append("no [tracing]: no request is traced")
        return
    require_traceable(tracing)
    part.found.append(f"{tracing.ratio:.2%} of the requests are traced for {tracing.endpoint}")


def _console(settings: Settings, part: _Part) -> None:
    """Who the operators are that may open the console."""
    from bridge.operator_faults import operator_faults

    console = settings.console
    if console is None:
        part.found.append("no [console]: operators have commands, and no pages")
        return
    part.faults += operator_faults(settings)
    if console.unix is not None:
        part.faults += _folder_faults(console.unix)
        group = f" and the group {console.group}" if console.group is not None else ""
        part.found.append(f"{console.unix}: for this service's account{group}")
    elif console.operators is not None:
        part.found.append(f"{console.origin}: for {', '.join(console.operators)}, by X.509-SVID")
    else:
        part.found.append(f"{console.origin}: for {len(console.subjects or ())} people who sign in")
