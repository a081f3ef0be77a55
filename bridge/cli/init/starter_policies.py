"""The policies that `bridge init` writes: a catalogue, one example rule per source, and their cases."""

from __future__ import annotations

from string import Template

_CATALOGUE = """\
#:schema ./schema.json
# The resources and scopes that exist. A rule that names another is a load error.
version = 1

[resources."https://ledger.example.org"]
description = "The ledger"
scopes = { "ledger.read" = "Read entries", "ledger.write" = "Post entries" }
# Who may introspect this resource's tokens:
# introspect_by = ["spiffe://$name/ns/ledger/sa/api"]
"""

_SPIFFE = """\
#:schema ./schema.json
# Workloads of $name. Nothing is allowed but what one rule allows; a matching deny always wins; the order
# never matters. `*` is one path segment, `**` at the end one or more. Look: bridge policy check; bridge policy test
version = 1
source = "spiffe"
trust_domain = "$name"

[[rule]]
id = "example-workloads-read-ledger"
why = "example of bridge init: replace it with your own"
effect = "allow"
when = { path = "/ns/example/sa/*" }
# A JWT-SVID proves no key: "if-present" binds the token to the certificate, or to the DPoP key that comes along.
grant = { resources = ["https://ledger.example.org"], scopes = ["ledger.read"], token_ttl = "5m", bind = "if-present" }

[[rule]]
id = "example-retired-is-out"
why = "example of a deny: it wins over every allow"
effect = "deny"
when = { path = "/ns/example/sa/retired" }
"""

_DOCUMENTS = """\
#:schema ./schema.json
# Clients that name themselves by the URL of a metadata document.
version = 1
source = "metadata-document"

[[rule]]
id = "example-apps-read-ledger"
why = "example of bridge init: replace it with your own"
effect = "allow"
when = { url = "https://*.apps.example.org/client.json" }
grant = { resources = ["https://ledger.example.org"], scopes = ["ledger.read"] }
"""

_STATEMENTS = """\
#:schema ./schema.json
# Clients registered by a software statement of an issuer that is no trust domain ([statement_issuers] in bridge.toml).
version = 1
source = "software-statement"

[[rule]]
id = "example-ci-posts-entries"
why = "example of bridge init: replace it with your own"
effect = "allow"
when = { issuer = "https://ci.example.org", subject = "release-pipeline" }
grant = { resources = ["https://ledger.example.org"], scopes = ["ledger.write"], asserts = ["client_name", "jwks"] }
"""

_PUSHED = """\
#:schema ./schema.json
# Clients that live for one transaction, pushed with their authorization request. Off unless [drafts] names
# pushed_client_registration.
version = 1
source = "pushed"

[[rule]]
id = "example-pushed-read-ledger"
why = "example of bridge init: replace it with your own"
effect = "allow"
grant = { resources = ["https://ledger.example.org"], scopes = ["ledger.read"] }
"""

_CASES = """\
#:schema ../schema.json
# What the rules are expected to decide; `bridge policy test` runs these. A rule that no case reaches fails, and so
# does a refusal without an accepted twin that differs in one field.

[[case]]
name = "a workload of the example namespace reads the ledger"
subject = "spiffe://$name/ns/example/sa/api"
evidence = "jwt-svid"
scope = "ledger.read"
expect = "allow"
rule = "example-workloads-read-ledger"
ttl = "5m"
client_id = "spiffe://$name/ns/example/sa/api"

[[case]]
name = "the retired workload does not"
subject = "spiffe://$name/ns/example/sa/retired"
evidence = "jwt-svid"
scope = "ledger.read"
expect = "deny"

[[case]]
name = "nobody there posts entries"
subject = "spiffe://$name/ns/example/sa/api"
evidence = "jwt-svid"
scope = "ledger.write"
expect = "deny"

[[case]]
name = "an application of our own hosts reads the ledger for its user"
subject = "https://mail.apps.example.org/client.json"
evidence = "metadata-document"
door = "par"
grant_type = "authorization_code"
scope = "ledger.read"
expect = "allow"
rule = "example-apps-read-ledger"

[[case]]
name = "the release pipeline posts entries"
issuer = "https://ci.example.org"
subject = "release-pipeline"
evidence = "software-statement"
scope = "ledger.write"
expect = "allow"
rule = "example-ci-posts-entries"

[[case]]
name = "a pushed client reads the ledger for its user"
evidence = "pushed"
door = "par"
grant_type = "authorization_code"
scope = "ledger.read"
expect = "allow"
rule = "example-pushed-read-ledger"
"""


_OTHERS = {
    "catalogue.toml": _CATALOGUE,
    "metadata-documents.toml": _DOCUMENTS,
    "software-statements.toml": _STATEMENTS,
    "pushed.toml": _PUSHED,
}
# Names that no trust domain's file can have.
OTHER_FILES = frozenset(_OTHERS)
_LONGEST_NAME = 200


def policy_file(trust_domain: str) -> str:
    """The name of a trust domain's file: its own, unless that is too long for a file system."""
    return f"{trust_domain if len(trust_domain) <= _LONGEST_NAME else 'long-trust-domain'}.toml"


def policies(trust_domain: str) -> dict[str, str]:
    """File name below the policies folder -> text, for one trust domain whose name is none of OTHER_FILES."""
    own = policy_file(trust_domain)
    files = {own: _SPIFFE, **_OTHERS, f"tests/{own.removesuffix('.toml')}.cases.toml": _CASES}
    return {name: Template(text).substitute(name=trust_domain) for name, text in files.items()}
