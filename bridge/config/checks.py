"""What only several keys of a configuration can be wrong about, and what this release does not have yet."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from bridge.config.console import console_faults, console_file_faults
from bridge.config.listeners import listener_faults
from bridge.config.settings import Settings
from bridge.config.tracing import tracing_faults, tracing_files
from bridge.config.trust_domains import trust_domain_faults
from bridge.config.values import is_loopback
from bridge.config.webhook import webhook_faults, webhook_files

DRAFTS = {
    "spiffe_client_auth": "02",
    "register_on_first_use": "01",
    "dcr_trusted_issuer": "01",
    "client_id_metadata_document": "02",
    "pushed_client_registration": "00",
}
_NOT_BUILT = "not in this version"

# The key that is wrong, and what is wrong with it.
Faults = list[tuple[tuple[str | int, ...], str]]


def cross_checks(settings: Settings) -> Faults:
    """Every such fault, by key."""
    return [
        *listener_faults(settings),
        *console_faults(settings),
        *webhook_faults(settings),
        *tracing_faults(settings),
        *_store_faults(settings),
        *trust_domain_faults(settings),
        *_statement_issuer_faults(settings),
        *_registration_faults(settings),
        *_user_faults(settings),
        *_token_faults(settings),
        *_draft_faults(settings),
    ]


def serving_faults(settings: Settings) -> Faults:
    """What only matters where the service itself starts: files that an operator's account need not see.

    Not checked: what is in them. A trust domain's bundle may come later and is not asked for.
    """
    files: list[tuple[tuple[str | int, ...], str]] = []
    if settings.tls is not None:
        named = {"certificate": settings.tls.certificate, "private_key": settings.tls.private_key}
        files += [(("tls", key), path) for key, path in named.items() if path is not None]
    if settings.fetch.ca_file is not None:
        files.append((("fetch", "ca_file"), settings.fetch.ca_file))
    if settings.users is not None and settings.users.client_secret_file is not None:
        files.append((("users", "client_secret_file"), settings.users.client_secret_file))
    for name, issuer in settings.statement_issuers.items():
        if issuer.jwks_file is not None:
            files.append((("statement_issuers", name, "jwks_file"), issuer.jwks_file))
    files += [*webhook_files(settings), *tracing_files(settings)]
    missing: Faults = [(key, f"no such file: {path}") for key, path in files if not Path(path).is_file()]
    for place, proxy in enumerate(settings.trusted_proxies):
        if proxy.unix is not None and not Path(proxy.unix).parent.is_dir():
            missing.append((("trusted_proxies", place, "unix"), f"no such folder: {Path(proxy.unix).parent}; make it"))
    return [*missing, *console_file_faults(settings)]


def _store_faults(settings: Settings) -> Faults:
    url = settings.store.url
    if url.startswith("postgresql://"):
        return [(("store", "url"), f"postgresql:// is {_NOT_BUILT}; use sqlite:///FILE")]
    if not url.startswith("sqlite:///") or url == "sqlite:///":
        return [(("store", "url"), "must be sqlite:///FILE")]
    if not settings.database.parent.is_dir():
        return [(("store", "url"), f"no such folder: {settings.database.parent}; make it")]
    return []


def _statement_issuer_faults(settings: Settings) -> Faults:
    faults: Faults = []
    for name, issuer in settings.statement_issuers.items():
        key = ("statement_issuers", name)
        if (words := _issuer_name_fault(name, settings.issuer)) is not None:
            faults.append((key, words))
        if issuer.jwks_uri is not None and issuer.jwks_file is not None:
            faults.append((key, "takes one of jwks_file and jwks_uri"))
        elif issuer.jwks_uri is None and issuer.jwks_file is None:
            faults.append((key, "jwks_file or jwks_uri is required: statements are verified by pinned keys"))
    return faults


def _issuer_name_fault(name: str, own: str) -> str | None:
    """What keeps a name from being the `iss` of statements. It is compared byte by byte; records name a
    statement's subject behind it and a space, so it has none."""
    if re.fullmatch(r"[!-~]+", name) is None:
        return "an issuer is a URI of printable ASCII without spaces"
    try:
        url = urlsplit(name)
        is_uri = bool(url.scheme) and bool(url.netloc or url.path) and (url.scheme != "https" or bool(url.hostname))
    except ValueError:
        is_uri = False
    if not is_uri:
        return 'an issuer is a URI such as "https://ci.example.org"'
    if url.scheme == "http":
        return "an issuer is https, or a URI that is no web address"
    if url.scheme == "spiffe":
        return "a trust domain's statements are its JWT-SVIDs: configure it under [trust_domains]"
    return "is this service itself, which vouches for nobody" if name == own else None


def _registration_faults(settings: Settings) -> Faults:
    if settings.registration.management and settings.mtls_listen is None and not settings.trusted_proxies:
        words = (
            "needs mtls_listen or a trusted proxy: a registration is managed under the mTLS base, with the client's"
            " own certificate"
        )
        return [(("registration", "management"), words)]
    return []


def _user_faults(settings: Settings) -> Faults:
    users = settings.users
    if users is None:
        return []
    faults: Faults = []
    given = {key for key in ("issuer", "client_id", "client_secret_file") if getattr(users, key) is not None}
    required = {"issuer", "client_id"} if users.source == "oidc" else set()
    allowed = required | {"client_secret_file"} if users.source == "oidc" else set()
    faults += [(("users", key), f'required for source = "{users.source}"') for key in sorted(required - given)]
    faults += [(("users", key), f'is no key of source = "{users.source}"') for key in sorted(given - allowed)]
    if users.issuer is not None and "?" in users.issuer:
        faults.append((("users", "issuer"), "has a query, which no OpenID provider's issuer has"))
    if users.issuer == settings.issuer:
        faults.append((("users", "issuer"), "is this service itself, which is no OpenID provider"))
    if users.session_idle > users.session_life:
        faults.append((("users", "session_idle"), "is above session_life"))
    console = None if settings.console is None else settings.console.address
    listeners = (settings.listen, settings.mtls_listen, settings.metrics_listen, console)
    if users.source == "development" and not all(is_loopback(address) for address in listeners if address):
        words = '"development" lets anybody be anybody: only where every listener is a loopback address'
        faults.append((("users", "source"), words))
    if users.source == "development" and settings.trusted_proxies:
        words = '"development" lets anybody be anybody: not with trusted_proxies, which bring in others'
        faults.append((("users", "source"), words))
    return faults


def _token_faults(settings: Settings) -> Faults:
    faults: Faults = []
    if settings.tokens.default_ttl > settings.tokens.max_ttl:
        faults.append((("tokens", "default_ttl"), "is above max_ttl"))
    return faults


def _draft_faults(settings: Settings) -> Faults:
    faults: Faults = []
    for name, number in settings.drafts.items():
        if name not in DRAFTS:
            faults.append((("drafts", name), f"unknown draft; known: {', '.join(DRAFTS)}"))
        elif number != DRAFTS[name]:
            faults.append((("drafts", name), f'this release knows "{DRAFTS[name]}", not "{number}"'))
    return faults
