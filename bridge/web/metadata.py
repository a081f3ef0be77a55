"""RFC 8414 metadata: names exactly what is enabled, and everything that has a harmful default."""

from __future__ import annotations

import json

from bridge.jose.algorithms import ALGORITHMS
from bridge.web.services import AUTHORIZE, INTROSPECT, JWKS, REGISTER, REVOKE, TOKEN, Endpoints

WELL_KNOWN = "/.well-known/oauth-authorization-server"
GRANT_TYPES = frozenset({"client_credentials"})


# Where clients authenticate. RFC 8414 has the same members for each.
_AUTHENTICATED = {"token": TOKEN, "introspection": INTROSPECT, "revocation": REVOKE}


def metadata(endpoints: Endpoints, *, registration: bool) -> bytes:
    """The document (OAS-9, OAS-10, SCA-25, SCA-26). Empty arrays are left out.

    `registration` says whether `/register` is offered; clients with keys of their own come into being there.
    `scopes_supported` is left out too: MCP clients ask for all it lists when a resource names none of its own,
    which no least-privilege rule covers; and the catalogue is nothing for callers who showed no identity.
    """
    paths = {f"{kind}_endpoint": path for kind, path in _AUTHENTICATED.items()}
    if registration:
        paths["registration_endpoint"] = REGISTER
    document: dict[str, object] = {
        "issuer": endpoints.issuer,
        # Named although nobody can sign in here: RFC 8414 lets a server leave it out, but the MCP SDK's
        # clients take no document without it, and they are among those who must get in.
        "authorization_endpoint": endpoints.issuer + AUTHORIZE,
        **{name: endpoints.issuer + path for name, path in paths.items()},
        "jwks_uri": endpoints.issuer + JWKS,
        # Required by RFC 8414, which also forbids an empty array; without users no type is offered.
        "response_types_supported": ["none"],
        "grant_types_supported": sorted(GRANT_TYPES),
        **_client_authentication(mtls=endpoints.mtls_base is not None, own_keys=registration),
        "dpop_signing_alg_values_supported": sorted(ALGORITHMS),
        "rofu_registration_supported": True,
        "rofu_grant_types_supported": ["client_credentials"],
    }
    if endpoints.mtls_base is not None:
        document["tls_client_certificate_bound_access_tokens"] = True
        document["mtls_endpoint_aliases"] = {name: endpoints.mtls_base + path for name, path in paths.items()}
    return json.dumps(document, separators=(",", ":")).encode()


def _client_authentication(*, mtls: bool, own_keys: bool) -> dict[str, object]:
    methods = ["spiffe_jwt"]
    if mtls:
        methods.append("spiffe_x509")
    if own_keys:
        methods.append("private_key_jwt")
    members: dict[str, object] = {f"{kind}_endpoint_auth_methods_supported": methods for kind in _AUTHENTICATED}
    if own_keys:
        # Required beside `private_key_jwt` (RFC 8414 section 2).
        algorithms = sorted(ALGORITHMS)
        members |= {f"{kind}_endpoint_auth_signing_alg_values_supported": algorithms for kind in _AUTHENTICATED}
    return members
