"""The `bridge.toml` that `bridge init` writes.

Every key of this version is in it. A line that begins with `# key =` shows the default: taking the `# `
away changes nothing, which a test holds it to. A line that begins with `#   ` is an example.
"""

from __future__ import annotations

import json
from string import Template

# Where `bridge init` writes the keys of the example's statement issuer, and what: none yet.
STATEMENT_KEYS = ("trust/ci.example.org.jwks.json", b'{"keys": []}\n')
# Trust domains of the examples: two that the first one is not.
_OTHERS = ("partner.example", "factory.example", "supplier.example")

_CONFIGURATION = Template("""\
# Configuration of the workload-identity registration bridge.
# Relative paths start at this file's folder. Durations: "90s", "5m", "1h", "30d". An unknown key is no start.
# BRIDGE_<SECTION>__<KEY> in the environment overrides a value: BRIDGE_TOKENS__DEFAULT_TTL="2m".
# Look at it with `bridge check`.

# The one string in tokens, metadata and audiences, compared byte by byte; no trailing slash.
issuer = "https://127.0.0.1:8443"

# The listener that asks for no client certificate: workloads come with a JWT-SVID.
listen = "127.0.0.1:8443"

# The listener that asks for one: workloads come with an X.509-SVID. Its base URL is published in the
# metadata as mtls_endpoint_aliases; by default it is the issuer's host with this port.
mtls_listen = "127.0.0.1:8444"
# mtls_url = "https://127.0.0.1:8444"

# Where operators see /metrics and the detail of /readyz. Without it neither is served.
#   metrics_listen = "127.0.0.1:9464"

# Processes, and threads that answer requests in each.
# workers = 2
# threads = 8

# The server's own certificate. Changed files are taken up without a restart. `bridge init` made a test
# certificate; clients trust it with tls/test-ca.pem.
[tls]
certificate = "tls/server.pem"
private_key = "tls/server.key"
# For callers that verify a server by its SPIFFE ID: mtls_listen shows the service's own X.509-SVID, renewed by the
# agent. Without certificate and private_key both listeners do. The default SVID, or that of a SPIFFE ID.
#   workload_api = $agent
#   spiffe_id = "spiffe://$name/bridge"

# Whether /.well-known/openid-configuration is there too, for relying parties that look for an issuer's keys nowhere
# else, as clouds do. This service is no OpenID provider, and the document names no more than issuer, keys and
# algorithms.
[metadata]
# openid_configuration = false

[store]
# url = "sqlite:///bridge.db"

# Reloaded on change and on SIGHUP; a faulty file keeps its last good version.
[policies]
directory = "policies"

# One section per trust domain whose workloads may come. Its keys vouch for its own SPIFFE IDs only.
$trust_domain
# How long the last good bundle is used when its source can no longer be read; then 503, never 401.
# max_stale = "24h"
# The longest life, from now, of a JWT-SVID that is accepted.
# max_assertion_life = "1h"
# The `iss` its JWT-SVIDs may have. Absent: it is not looked at.
#   jwt_issuers = ["https://spire.$name"]
# Clamps the refresh hint of a bundle that is polled.
# refresh_min = "30s"
# refresh_max = "24h"
# Instead of [limits], for this trust domain.
#   limits = { registrations_per_second = 1000, registration_burst = 10000 }

# Trust domains of others, by their bundle endpoints, which are asked as often as their bundles say. `bridge trust add`
# writes such a section once you have compared the keys. The server proves itself as web servers do; ca_file adds CAs to
# the system's:
#   [trust_domains."$web"]
#   source = "https_web"
#   url = "https://spire.$web:8443"
#   ca_file = "tls/$web.pem"
# ... or by its X.509-SVID: the first time by a bundle that somebody brought, then by the last one that was fetched:
#   [trust_domains."$spiffe"]
#   source = "https_spiffe"
#   url = "https://10.1.2.3:8443"
#   endpoint_spiffe_id = "spiffe://$spiffe/spire/server"
#   bootstrap = "bundles/$spiffe.json"

# Proxies that end TLS in front of this service and state the client's certificate, which is verified again here. A
# socket of its own, rights 0660, or an address; never one of loopback, which every process of the machine has. The
# header is RFC 9440's ("client-cert") or Envoy's ("xfcc"). From everybody else these headers are ignored.
#   [[trusted_proxies]]
#   unix = "run/proxy.sock"
#   header = "client-cert"
#   [[trusted_proxies]]
#   address = "10.0.0.7/32"
#   header = "xfcc"
# With a SPIFFE ID it comes to mtls_listen and has to show that X.509-SVID; then it may be on the same machine too.
#   spiffe_id = "spiffe://$name/proxy"

# Who else may vouch for clients, by software statements (policies/software-statements.toml): the `iss` of the
# statements, and the one set of keys that they are verified with. `bridge init` wrote an empty set, which
# verifies nothing.
[statement_issuers."https://ci.example.org"]
jwks_file = "$jwks_file"
# ... or an https URL that the set is fetched from:
#   jwks_uri = "https://ci.example.org/jwks"

# The documents and keys of clients that are known by a URL are fetched, from public addresses only. A CA beside the
# system's, and for development alone: exact host:port that may be inner ones. Whoever may name a URL reaches these.
#   [fetch]
#   ca_file = "tls/test-ca.pem"
#   allow_hosts = ["127.0.0.1:9443"]

# Who approves what clients ask for: people who sign in at an OpenID provider. Without this section there is no
# /authorize. With no client_secret_file this service authenticates by private_key_jwt with its own keys (/jwks).
# The provider has to send people back to <issuer>/sign-in/callback.
#   [users]
#   source = "oidc"
#   issuer = "https://idp.$name"
#   client_id = "bridge"
#   client_secret_file = "secrets/upstream"
#   session_idle = "30m"
#   session_life = "8h"
# On one machine, to try things out: whoever opens the page signs in as whomever they like.
#   [users]
#   source = "development"

# Pages for operators, in a browser: what is trusted, who waits, what was decided. On a Unix socket whoever can open it
# is an operator: this service's account alone, or a group as well. `ssh -L 8500:/path/of/the/socket host` brings it to
# http://localhost:8500 of the machine where you sit.
#   [console]
#   listen = "unix:run/console.sock"
#   group = "bridge-operators"
# On an address, loopback too, operators show an X.509-SVID of one of these SPIFFE IDs, or sign in at the provider of
# [users] and are one of these `sub`s. `url` is what browsers call it, where the address does not say that.
#   [console]
#   listen = "127.0.0.1:8500"
#   operators = ["spiffe://$name/ns/ops/sa/*"]
#   subjects = ["248289761001"]
#   url = "https://console.$name:8500"

# Who is told when a client waits for an operator, or was let in, kept out, ended or changed: a receiver of yours, by
# https, each message signed under the secret in secret_file (0600). To make one:
# printf 'whsec_%s\\n' "$$(openssl rand -base64 32)". `bridge webhook test` tries the way. Shown are the events that are
# told unless you say which; client.registered and client.expired are two more.
#   [webhook]
#   url = "https://hooks.$name/bridge"
#   secret_file = "secrets/webhook.secret"
#   events = ["client.pending", "client.approved", "client.updated", "client.revoked", "client.denied"]
#   trust_domains = ["$name"]
#   ca_file = "tls/hooks-ca.pem"
#   give_up_after = "3d"

# Traces of requests for a collector of OpenTelemetry (OTLP over HTTP): pip install 'spiffe-oauth-bridge[otel]'. ratio
# is the share of requests; headers_file (0600) holds what the collector wants to be told, a header a line. With
# trust_proxies the `traceparent` of trusted proxies links and decides; nobody else's is ever read.
#   [tracing]
#   endpoint = "https://collector.$name:4318/v1/traces"
#   ratio = 0.05
#   service_name = "spiffe-oauth-bridge"
#   headers_file = "secrets/collector.headers"
#   ca_file = "tls/collector-ca.pem"
#   trust_proxies = true

# Seals the private signing keys in the store and keys the audit log's chains. Back it up apart from the
# store: without it the store's keys are lost.
[keys]
# seal_file = "secrets/seal.key"

[tokens]
# signing_alg = "ES256"
# default_ttl = "5m"
# max_ttl = "1h"
# rotate_every = "30d"

# A client that is not used for so long expires; its next valid request brings it back. Records that
# ended stay listed for keep_ended. Management (RFC 7592) needs mtls_listen or a proxy.
[registration]
# idle_expiry = "30d"
# pending_expiry = "7d"
# keep_ended = "30d"
# management = false

# Older rows are pruned behind a signed checkpoint.
[audit]
# keep = "90d"

# For new things only: a known identity is never held up. The names appear in refusals.
[limits]
# records_per_trust_domain = 100000
# registrations_per_second = 200
# registration_burst = 2000
# instances_per_identity = 1000
# pending_per_trust_domain = 1000
# rule_registrations_per_second = 200
# rule_registration_burst = 2000
# identity_registrations_per_minute = 600
# anonymous_per_minute = 60
# outbound_fetches = 20

# Whether a DPoP proof must carry a nonce of this server (RFC 9449 section 8).
[dpop]
# require_nonce = false

# Pins: a release that knows another number of a draft does not start. Pushed clients are off unless named here.
[drafts]
# spiffe_client_auth = "02"
# register_on_first_use = "01"
# dcr_trusted_issuer = "01"
# client_id_metadata_document = "02"
#   pushed_client_registration = "00"
""")

_FROM_FILE = Template('''\
[trust_domains."$name"]
# The bundle comes from a file (a SPIFFE bundle, as the SPIRE server prints it), reloaded on change ...
source = "file"
path = "bundles/$name.json"
# ... or from the SPIRE agent of this machine, by itself:
#   source = "workload-api"
#   socket = "unix:///run/spire/agent.sock"''')

_FROM_AGENT = Template('''\
[trust_domains."$name"]
# The bundle comes from the SPIRE agent of this machine, by itself ...
source = "workload-api"
socket = $socket
# ... or from a file (a SPIFFE bundle, as the SPIRE server prints it), reloaded on change:
#   source = "file"
#   path = "bundles/$name.json"''')


def configuration(trust_domain: str, *, socket: str | None) -> str:
    """The text of `bridge.toml` for one trust domain, whose bundle comes from the agent at `socket`, or
    from a file when there is none. A trust domain's name needs no escapes in TOML; a path may, and JSON's
    are TOML's."""
    template = _FROM_FILE if socket is None else _FROM_AGENT
    section = template.substitute(name=trust_domain, socket=json.dumps(socket))
    agent = json.dumps(socket or "unix:///run/spire/agent.sock")
    web, spiffe = [name for name in _OTHERS if name != trust_domain][:2]
    return _CONFIGURATION.substitute(
        trust_domain=section, name=trust_domain, agent=agent, jwks_file=STATEMENT_KEYS[0], web=web, spiffe=spiffe
    )
