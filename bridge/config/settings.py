"""The shape of `bridge.toml`: every section, key, type and default (interface section 2).

Units: every duration is held in whole seconds. What a value can be wrong about by itself is in `values`;
what only several together can be wrong about is in `checks`.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from bridge.config.values import (
    UNIX,
    BaseUrl,
    CollectorUrl,
    ConsoleAddress,
    Duration,
    HostAndPort,
    HttpsUrl,
    ListenAddress,
    Network,
    NonEmpty,
    Positive,
)
from bridge.model.forwarding import CertificateHeader
from bridge.model.record_change import ChangeKind


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TlsSettings(_Section):
    """The server's own certificate chain and private key, PEM files; or its X.509-SVID from this Workload API, which
    both listeners show, or `mtls_listen` alone where there are files for the other."""

    certificate: str | None = None
    private_key: str | None = None
    workload_api: NonEmpty | None = None
    spiffe_id: str | None = None


class MetadataSettings(_Section):
    """What is published of this service beside its RFC 8414 metadata."""

    openid_configuration: bool = False


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
    pending_per_trust_domain: Positive | None = None
    rule_registrations_per_second: Positive | None = None
    rule_registration_burst: Positive | None = None
    identity_registrations_per_minute: Positive | None = None


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


class TrustedProxySettings(_Section):
    """A proxy that may state whose certificate stands behind a request: the socket it comes by, or where from, and
    then perhaps by which X.509-SVID."""

    header: Annotated[CertificateHeader, Field(strict=False)]
    unix: NonEmpty | None = None
    address: Network | None = None
    spiffe_id: str | None = None

    @property
    def known_by(self) -> str:
        """What it is told from all others by, for people."""
        return f"{self.unix or self.address}{f' as {self.spiffe_id}' if self.spiffe_id else ''}"

    @property
    def network(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
        """Where it connects from; None for one that comes by a socket."""
        return None if self.address is None else ipaddress.ip_network(self.address)

    def may_be_claimed(self, listeners: list[str]) -> bool:
        """Whether a process of this machine that is no proxy can come as it: from an address of loopback, or one that
        we listen on ourselves, without an SVID of the proxy's. Not seen: other addresses of this machine."""
        network = self.network
        if network is None or self.spiffe_id is not None:
            return False
        loopback = ipaddress.ip_network("127.0.0.0/8" if network.version == 4 else "::1/128")
        hosts = [ipaddress.ip_address(address.rpartition(":")[0].strip("[]")) for address in listeners]
        return network.overlaps(loopback) or any(host in network for host in hosts)


class StatementIssuerSettings(_Section):
    """Somebody who makes software statements and is no trust domain: where the pinned keys come from."""

    jwks_file: str | None = None
    jwks_uri: HttpsUrl | None = None


class FetchSettings(_Section):
    """Outbound fetches: hosts exempt from the address guard, for development, and CAs beside the system's."""

    allow_hosts: list[HostAndPort] = []
    ca_file: str | None = None


class UserSettings(_Section):
    """Who approves authorization requests: people who sign in at an OpenID provider, or, in development, whoever
    types a name. Units: seconds; a session ends after `session_life`, or `session_idle` without a page asked for."""

    source: Literal["oidc", "development"]
    issuer: HttpsUrl | None = None
    client_id: Annotated[str, Field(min_length=1, max_length=2048, pattern=r"^[!-~]+$")] | None = None
    client_secret_file: str | None = None
    session_idle: Duration = 1800
    session_life: Duration = 8 * 3600


class ConsoleSettings(_Section):
    """The operators' console: where it listens and, on an address, who the operators are. A Unix socket is its owner's,
    and with `group` that group's; on an address operators are known by `operators`, patterns of SPIFFE IDs, or by
    `subjects`, the `sub` of people at the provider of `[users]`. `url` is what browsers call it."""

    listen: ConsoleAddress
    group: NonEmpty | None = None
    url: HttpsUrl | None = None
    operators: Annotated[list[str], Field(min_length=1)] | None = None
    subjects: Annotated[list[NonEmpty], Field(min_length=1)] | None = None

    @property
    def unix(self) -> Path | None:
        """The socket's file; None for an address."""
        return Path(self.listen.removeprefix(UNIX)) if self.listen.startswith(UNIX) else None

    @property
    def address(self) -> str | None:
        """`host:port`; None for a socket's file."""
        return None if self.listen.startswith(UNIX) else self.listen

    @property
    def origin(self) -> str:
        """What browsers call it: `url`, or the address itself."""
        return self.url or f"https://{self.listen}"


# What asks for somebody, and what somebody did. Records come and go by themselves by the thousand: who wants to be told
# of that, names it.
_TOLD = [ChangeKind.PENDING, ChangeKind.APPROVED, ChangeKind.UPDATED, ChangeKind.REVOKED, ChangeKind.DENIED]


class WebhookSettings(_Section):
    """Who is told of changes of records: where, under which secret, and of what. `secret_file` has one line, or two
    while the secret is replaced; `ca_file` are CAs beside the system's. Units: `give_up_after` seconds."""

    url: HttpsUrl
    secret_file: NonEmpty
    events: Annotated[list[Annotated[ChangeKind, Field(strict=False)]], Field(min_length=1)] = _TOLD
    trust_domains: Annotated[list[str], Field(min_length=1)] | None = None
    ca_file: NonEmpty | None = None
    give_up_after: Duration = 3 * 86400


class TracingSettings(_Section):
    """Traces for a collector of OpenTelemetry: the whole URL where it takes OTLP over HTTP, of which share of requests.
    `headers_file` holds credentials, `ca_file` CAs beside the system's. With `trust_proxies` trusted proxies say by
    `traceparent` which requests are traced."""

    endpoint: CollectorUrl
    ratio: Annotated[float, Field(ge=0, le=1)] = 0.05
    service_name: Annotated[str, Field(min_length=1, max_length=128)] = "spiffe-oauth-bridge"
    headers_file: NonEmpty | None = None
    ca_file: NonEmpty | None = None
    trust_proxies: bool = False


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
    pending_per_trust_domain: Positive = 1000
    rule_registrations_per_second: Positive = 200
    rule_registration_burst: Positive = 2000
    identity_registrations_per_minute: Positive = 600
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
    metadata: MetadataSettings = MetadataSettings()
    store: StoreSettings = StoreSettings()
    policies: PolicySettings
    trust_domains: dict[str, TrustDomainSettings] = {}
    trusted_proxies: list[TrustedProxySettings] = []
    statement_issuers: dict[str, StatementIssuerSettings] = {}
    fetch: FetchSettings = FetchSettings()
    users: UserSettings | None = None
    console: ConsoleSettings | None = None
    webhook: WebhookSettings | None = None
    tracing: TracingSettings | None = None
    keys: KeySettings = KeySettings()
    tokens: TokenSettings = TokenSettings()
    registration: RegistrationSettings = RegistrationSettings()
    audit: AuditSettings = AuditSettings()
    limits: Limits = Limits()
    dpop: DpopSettings = DpopSettings()
    drafts: dict[str, str] = {}

    @property
    def mtls_base(self) -> str | None:
        """The URL under which the endpoints that ask for a certificate stand; None without them, and where only a
        proxy asks for one, under the issuer itself."""
        if self.mtls_url is not None:
            return self.mtls_url
        if self.mtls_listen is None:
            return None
        url = urlsplit(self.issuer)
        host = f"[{url.hostname}]" if url.hostname and ":" in url.hostname else url.hostname
        return f"https://{host}:{self.mtls_listen.rpartition(':')[2]}{url.path}"

    @property
    def claimable_proxies(self) -> list[str]:
        """Addresses of trusted proxies from which any process of this machine may connect."""
        listeners = [address for address in (self.listen, self.mtls_listen) if address]
        return [str(proxy.address) for proxy in self.trusted_proxies if proxy.may_be_claimed(listeners)]

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
