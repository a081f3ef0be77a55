"""`bridge.toml` -> frozen settings, with every fault at once (interface section 2).

Units: every duration is held in whole seconds. Relative paths start at the file's own folder.
Not checked here: that policies load, that bundles can be read, that the store answers; `bridge check`
does those.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bridge.files.toml_lines import line_of, line_of_syntax_error
from bridge.model.errors import StartRefused
from bridge.model.spiffe_id import InvalidSpiffeId, TrustDomain

DRAFTS = {
    "spiffe_client_auth": "02",
    "register_on_first_use": "01",
    "dcr_trusted_issuer": "01",
    "client_id_metadata_document": "02",
    "pushed_client_registration": "00",
}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NOT_BUILT = "not in this version"
# What Kubernetes puts into the environment of every pod beside a Service that is called `bridge`.
_SERVICE_LINK = re.compile(r"BRIDGE_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")


def parse_duration(value: object) -> int:
    """Seconds from `"90s"`, `"5m"`, `"1h"` or `"30d"`. Raises ValueError for all else, zero included."""
    if not isinstance(value, str) or (match := re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", value)) is None:
        raise ValueError('a duration is a string such as "90s", "5m", "1h" or "30d"')
    return int(match[1]) * _UNITS[match[2]]


def _listen_address(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError('a listen address is "host:port", an IPv6 host in brackets')
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        raise ValueError("the host of a listen address is an IP address") from None
    return value


def is_loopback(address: str) -> bool:
    """Whether a checked `host:port` can be reached from this machine alone."""
    return ipaddress.ip_address(address.rpartition(":")[0].strip("[]")).is_loopback


def _base_url(value: str) -> str:
    if re.fullmatch(r"[!-~]+", value) is None:
        raise ValueError("a URL is printable ASCII")
    url = urlsplit(value)
    if url.scheme not in ("https", "http") or not url.hostname or "@" in url.netloc:
        raise ValueError("must be an https URL without user information")
    if url.query or url.fragment or value.endswith(("/", "?", "#")):
        raise ValueError("must have no query, no fragment and no trailing slash")
    if value != value.lower() and url.netloc != url.netloc.lower():
        raise ValueError("the host must be in lower case: the string is compared byte by byte")
    if url.scheme == "http":
        try:
            local = ipaddress.ip_address(url.hostname).is_loopback
        except ValueError:
            local = False
        if not local:
            raise ValueError("http is for development on a loopback address; everything else is https")
    return value


Duration = Annotated[int, BeforeValidator(parse_duration)]
ListenAddress = Annotated[str, AfterValidator(_listen_address)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
Positive = Annotated[int, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TlsSettings(_Section):
    """The server's own certificate chain and private key, PEM files."""

    certificate: str
    private_key: str


class StoreSettings(_Section):
    """Where records are kept."""

    url: str = "sqlite:///bridge.db"


class PolicySettings(_Section):
    """Where the policy files are."""

    directory: str


class TrustDomainLimits(_Section):
    """Limits of one trust domain; what is absent comes from `[limits]`."""

    records_per_trust_domain: Positive | None = None
    registrations_per_second: Positive | None = None
    registration_burst: Positive | None = None
    instances_per_identity: Positive | None = None


class TrustDomainSettings(_Section):
    """One trust domain: where its bundle comes from and how its credentials are judged."""

    source: Literal["file", "workload-api", "https_web", "https_spiffe"]
    path: str | None = None
    socket: str | None = None
    url: str | None = None
    ca_file: str | None = None
    endpoint_spiffe_id: str | None = None
    bootstrap: str | None = None
    max_stale: Duration = 86400
    max_assertion_life: Duration = 3600
    jwt_issuers: Annotated[list[str], Field(min_length=1)] | None = None
    refresh_min: Duration = 30
    refresh_max: Duration = 86400
    limits: TrustDomainLimits = TrustDomainLimits()


class KeySettings(_Section):
    """The file that seals private signing keys in the store."""

    seal_file: str = "secrets/seal.key"


class TokenSettings(_Section):
    """Access tokens: algorithm, life in seconds, and how often the signing key changes."""

    signing_alg: Literal["ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] = "ES256"
    default_ttl: Duration = 300
    max_ttl: Duration = 3600
    rotate_every: Duration = 30 * 86400


class RegistrationSettings(_Section):
    """The life of records, in seconds."""

    idle_expiry: Duration = 30 * 86400
    pending_expiry: Duration = 7 * 86400
    keep_ended: Duration = 30 * 86400
    management: bool = False


class AuditSettings(_Section):
    """How long audit rows are kept, in seconds."""

    keep: Duration = 90 * 86400


class Limits(_Section):
    """Section 7 of the contract; the names appear in refusals."""

    records_per_trust_domain: Positive = 100_000
    registrations_per_second: Positive = 200
    registration_burst: Positive = 2000
    instances_per_identity: Positive = 1000
    anonymous_per_minute: Positive = 60
    outbound_fetches: Positive = 20


class DpopSettings(_Section):
    """Whether a DPoP proof must carry a nonce of ours (RFC 9449 section 8)."""

    require_nonce: bool = False


class Settings(_Section):
    """The whole configuration, checked and with all paths made absolute."""

    issuer: BaseUrl
    listen: ListenAddress | None = None
    mtls_listen: ListenAddress | None = None
    mtls_url: BaseUrl | None = None
    metrics_listen: ListenAddress | None = None
    workers: Annotated[int, Field(ge=1, le=64)] = 2
    threads: Annotated[int, Field(ge=1, le=256)] = 8
    tls: TlsSettings | None = None
    store: StoreSettings = StoreSettings()
    policies: PolicySettings
    trust_domains: dict[str, TrustDomainSettings] = {}
    trusted_proxies: list[dict[str, Any]] = []
    statement_issuers: dict[str, dict[str, Any]] = {}
    fetch: dict[str, Any] = {}
    users: dict[str, Any] | None = None
    keys: KeySettings = KeySettings()
    tokens: TokenSettings = TokenSettings()
    registration: RegistrationSettings = RegistrationSettings()
    audit: AuditSettings = AuditSettings()
    limits: Limits = Limits()
    dpop: DpopSettings = DpopSettings()
    drafts: dict[str, str] = {}

    @property
    def mtls_base(self) -> str | None:
        """The URL under which the endpoints that ask for a certificate stand; None without them."""
        if self.mtls_listen is None:
            return None
        if self.mtls_url is not None:
            return self.mtls_url
        url = urlsplit(self.issuer)
        host = f"[{url.hostname}]" if url.hostname and ":" in url.hostname else url.hostname
        return f"https://{host}:{self.mtls_listen.rpartition(':')[2]}{url.path}"

    @property
    def policy_directory(self) -> Path:
        """The folder of policy files."""
        return Path(self.policies.directory)

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return Path(self.store.url.removeprefix("sqlite:///"))

    @property
    def seal_file(self) -> Path:
        """The file with the seal key."""
        return Path(self.keys.seal_file)


_PATH_KEYS: tuple[tuple[str, ...], ...] = (
    ("tls", "certificate"),
    ("tls", "private_key"),
    ("policies", "directory"),
    ("keys", "seal_file"),
)
_TRUST_DOMAIN_PATHS = ("path", "ca_file", "bootstrap")


def load_settings(path: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read and check a configuration file.

    Raises: StartRefused with every fault, each with file, line where known, key, and what to do.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise StartRefused([f"{path}: cannot be read ({error.strerror}); `bridge init` writes one"]) from error
    except UnicodeDecodeError as error:
        raise StartRefused([f"{path}: is not UTF-8"]) from error
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = line_of_syntax_error(error)
        raise StartRefused([f"{path}:{line or '?'}: not TOML: {error}"]) from error
    where = _Where(path, text)
    faults = _apply_environment(raw, os.environ if environment is None else environment)
    # Not resolved: the file may be a link that is swapped, and its neighbours are where it is found.
    _make_paths_absolute(raw, path.absolute().parent)
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        faults += [where.say(e["loc"], _words(e)) for e in error.errors(include_url=False)]
        raise StartRefused(faults) from error
    faults += [where.say(key, words) for key, words in _cross_checks(settings)]
    if faults:
        raise StartRefused(faults)
    return settings


class _Where:
    """Puts file and line before a fault."""

    def __init__(self, path: Path, text: str) -> None:
        self._path, self._text = path, text

    def say(self, key: tuple[str | int, ...], words: str) -> str:
        line = line_of(self._text, key)
        return f"{self._path}:{line if line else '-'}: {'.'.join(str(part) for part in key)}: {words}"


def _words(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return "unknown key"
    if error["type"] == "missing":
        return "required, and not there"
    message: str = error["msg"]
    return message.removeprefix("Value error, ")


def _apply_environment(raw: dict[str, Any], environment: Mapping[str, str]) -> list[str]:
    """Lay `BRIDGE_<SECTION>__<KEY>` over the file's values. A value is read as TOML where it is TOML
    (`4`, `true`, `["a"]`), else as a string."""
    faults = []
    for name, text in sorted(environment.items()):
        if not name.startswith("BRIDGE_") or name == "BRIDGE_CONFIG" or _SERVICE_LINK.fullmatch(name):
            continue
        keys = name.removeprefix("BRIDGE_").lower().split("__")
        try:
            value: Any = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        table: Any = raw
        for key in keys[:-1]:
            table = table.setdefault(key, {}) if isinstance(table, dict) else {}
        if not isinstance(table, dict) or not all(keys):
            faults.append(f"environment: {name}: names no key of the configuration")
            continue
        table[keys[-1]] = value
    return faults


def _make_paths_absolute(raw: dict[str, Any], folder: Path) -> None:
    for section, key in _PATH_KEYS:
        table = raw.get(section)
        if isinstance(table, dict) and isinstance(table.get(key), str):
            table[key] = str(folder / table[key])
    keys = raw.setdefault("keys", {})
    if isinstance(keys, dict):
        keys.setdefault("seal_file", str(folder / "secrets/seal.key"))
    domains = raw.get("trust_domains")
    for table in domains.values() if isinstance(domains, dict) else ():
        for key in _TRUST_DOMAIN_PATHS:
            if isinstance(table, dict) and isinstance(table.get(key), str):
                table[key] = str(folder / table[key])
    store = raw.setdefault("store", {})
    if isinstance(store, dict):
        url = store.setdefault("url", "sqlite:///bridge.db")
        if isinstance(url, str) and url.startswith("sqlite:///"):
            store["url"] = "sqlite:///" + str(folder / url.removeprefix("sqlite:///"))


def _cross_checks(settings: Settings) -> list[tuple[tuple[str | int, ...], str]]:
    """What no single key can be wrong about alone."""
    return [
        *_listener_faults(settings),
        *_store_faults(settings),
        *_trust_domain_faults(settings),
        *_token_faults(settings),
        *_draft_faults(settings),
        *_not_built_faults(settings),
    ]


Faults = list[tuple[tuple[str | int, ...], str]]


def _listener_faults(settings: Settings) -> Faults:
    faults: Faults = []
    if settings.listen is None and settings.mtls_listen is None:
        faults.append((("listen",), "required: set listen, mtls_listen or both"))
    plain_http = settings.issuer.startswith("http://")
    if settings.tls is None and not plain_http:
        faults.append((("tls",), "required for an https issuer: certificate and private_key"))
    if settings.tls is None and settings.mtls_listen is not None:
        faults.append((("mtls_listen",), "needs [tls]: client certificates come in a TLS handshake"))
    if settings.tls is None and settings.listen is not None and not is_loopback(settings.listen):
        faults.append((("listen",), "without [tls] only a loopback address may listen"))
    if settings.tls is not None:
        if plain_http:
            faults.append((("issuer",), "is http, but [tls] is configured; write https"))
        for key in ("certificate", "private_key"):
            if not Path(getattr(settings.tls, key)).is_file():
                faults.append((("tls", key), f"no such file: {getattr(settings.tls, key)}"))
    if settings.mtls_url is not None and settings.mtls_listen is None:
        faults.append((("mtls_url",), "is for mtls_listen, which is not set"))
    addresses = [a for a in (settings.listen, settings.mtls_listen, settings.metrics_listen) if a]
    if len({a for a in addresses if not a.endswith(":0")}) != len([a for a in addresses if not a.endswith(":0")]):
        faults.append((("listen",), "two listeners have the same address"))
    return faults


def _store_faults(settings: Settings) -> Faults:
    url = settings.store.url
    if url.startswith("postgresql://"):
        return [(("store", "url"), f"postgresql:// is {_NOT_BUILT}; use sqlite:///FILE")]
    if not url.startswith("sqlite:///") or url == "sqlite:///":
        return [(("store", "url"), "must be sqlite:///FILE")]
    if not settings.database.parent.is_dir():
        return [(("store", "url"), f"no such folder: {settings.database.parent}")]
    return []


_SOURCE_KEYS: dict[str, tuple[set[str], set[str]]] = {
    "file": ({"path"}, {"path"}),
    "workload-api": ({"socket"}, {"socket"}),
    "https_web": ({"url"}, {"url", "ca_file"}),
    "https_spiffe": ({"url", "endpoint_spiffe_id"}, {"url", "endpoint_spiffe_id", "bootstrap"}),
}


def _trust_domain_faults(settings: Settings) -> Faults:
    faults: Faults = []
    if not settings.trust_domains:
        faults.append((("trust_domains",), 'at least one is needed: [trust_domains."example.org"]'))
    for name, domain in settings.trust_domains.items():
        key = ("trust_domains", name)
        try:
            TrustDomain.parse(name)
        except InvalidSpiffeId as error:
            faults.append((key, str(error)))
        required, allowed = _SOURCE_KEYS[domain.source]
        given = {
            k for k in ("path", "socket", "url", "ca_file", "endpoint_spiffe_id", "bootstrap") if getattr(domain, k)
        }
        faults += [((*key, k), f'required for source = "{domain.source}"') for k in sorted(required - given)]
        faults += [((*key, k), f'is no key of source = "{domain.source}"') for k in sorted(given - allowed)]
        if domain.source.startswith("https"):
            faults.append(((*key, "source"), f'"{domain.source}" is {_NOT_BUILT}; use file or workload-api'))
        if domain.refresh_min > domain.refresh_max:
            faults.append(((*key, "refresh_min"), "is above refresh_max"))
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


def _not_built_faults(settings: Settings) -> Faults:
    """Sections of the contract whose doors come in a later release. Silence would look like protection."""
    faults: Faults = []
    for name in ("trusted_proxies", "statement_issuers", "fetch", "users"):
        if getattr(settings, name):
            faults.append(((name,), f"is {_NOT_BUILT}; take the section out"))
    if settings.registration.management:
        faults.append((("registration", "management"), f"is {_NOT_BUILT}; set it to false"))
    if "pushed_client_registration" in settings.drafts:
        faults.append((("drafts", "pushed_client_registration"), f"is {_NOT_BUILT}; take the line out"))
    return faults
