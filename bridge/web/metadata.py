"""RFC 8414 metadata: names exactly what is enabled, and everything that has a harmful default."""

from __future__ import annotations

import json

from bridge.jose.algorithms import ALGORITHMS
from bridge.web.services import AUTHORIZE, INTROSPECT, JWKS, REVOKE, TOKEN, Endpoints

WELL_KNOWN = "/.well-known/oauth-authorization-server"
GRANT_TYPES = frozenset({"client_credentials"})


def metadata(endpoints: Endpoints) -> bytes:
    """The document (OAS-9, OAS-10, SCA-25, SCA-26). Empty arrays are left out.

    `scopes_supported` too: MCP clients ask for all it lists when a resource names none of its own, which
    no least-privilege rule covers; and the catalogue is nothing for callers who showed no identity.
    """
    methods = ["spiffe_jwt"]
    if endpoints.mtls_base is not None:
        methods.append("spiffe_x509")
    document: dict[str, object] = {
        "issuer": endpoints.issuer,
        # Named although nobody can sign in here: RFC 8414 lets a server leave it out, but the MCP SDK's
        # clients take no document without it, and they are among those who must get in.
        "authorization_endpoint": endpoints.issuer + AUTHORIZE,
        "token_endpoint": endpoints.issuer + TOKEN,
        "jwks_uri": endpoints.issuer + JWKS,
        "introspection_endpoint": endpoints.issuer + INTROSPECT,
        "revocation_endpoint": endpoints.issuer + REVOKE,
        # Required by RFC 8414, which also forbids an empty array; without users no type is offered.
        "response_types_supported": ["none"],
        "grant_types_supported": sorted(GRANT_TYPES),
        "token_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "dpop_signing_alg_values_supported": sorted(ALGORITHMS),
        "rofu_registration_supported": True,
        "rofu_grant_types_supported": ["client_credentials"],
    }
    if endpoints.mtls_base is not None:
        document["tls_client_certificate_bound_access_tokens"] = True
        document["mtls_endpoint_aliases"] = {
            "token_endpoint": endpoints.mtls_base + TOKEN,
            "introspection_endpoint": endpoints.mtls_base + INTROSPECT,
            "revocation_endpoint": endpoints.mtls_base + REVOKE,
        }
    return json.dumps(document, separators=(",", ":")).encode()
