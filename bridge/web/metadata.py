"""RFC 8414 metadata: names exactly what is enabled, and everything that has a harmful default."""

from __future__ import annotations

import json

from bridge.grants import pkce
from bridge.jose.algorithms import ALGORITHMS
from bridge.web.services import AUTHORIZE, INTROSPECT, JWKS, PAR, REGISTER, REVOKE, TOKEN, Endpoints, Offered

WELL_KNOWN = "/.well-known/oauth-authorization-server"
GRANT_TYPES = frozenset({"client_credentials"})
CODE_GRANT_TYPES = frozenset({"authorization_code", "refresh_token"})

# Where clients authenticate. RFC 8414 has the same members for each.
_AUTHENTICATED = {"token": TOKEN, "introspection": INTROSPECT, "revocation": REVOKE}
OPENID_CONFIGURATION = "/.well-known/openid-configuration"
PAR_ENDPOINT = "pushed_authorization_request_endpoint"


def metadata(endpoints: Endpoints, offered: Offered, *, registration: bool) -> bytes:
    """The document (OAS-9 to 11, SCA-25, SCA-26, PCR-24, CIMD-23). Empty arrays are left out, and so is what is
    not offered.

    `registration` says whether `/register` is offered; clients with keys of their own come into being there.
    `scopes_supported` is left out too: MCP clients ask for all it lists when a resource names none of its own,
    which no least-privilege rule covers; and the catalogue is nothing for callers who showed no identity.
    """
    paths = {f"{kind}_endpoint": path for kind, path in _AUTHENTICATED.items()}
    if registration:
        paths["registration_endpoint"] = REGISTER
    if offered.code_flow:
        paths[PAR_ENDPOINT] = PAR
    grant_types = GRANT_TYPES | CODE_GRANT_TYPES if offered.code_flow else GRANT_TYPES
    document: dict[str, object] = {
        "issuer": endpoints.issuer,
        # Named also where nobody can sign in: RFC 8414 lets a server leave it out, but the MCP SDK's
        # clients take no document without it, and they are among those who must get in.
        "authorization_endpoint": endpoints.issuer + AUTHORIZE,
        **{name: endpoints.issuer + path for name, path in paths.items()},
        "jwks_uri": endpoints.issuer + JWKS,
        # Required by RFC 8414, which also forbids an empty array; without users no type is offered.
        "response_types_supported": ["code"] if offered.code_flow else ["none"],
        "grant_types_supported": sorted(grant_types),
        **_client_authentication(endpoints, offered, registration=registration),
        "dpop_signing_alg_values_supported": sorted(ALGORITHMS),
        "rofu_registration_supported": True,
        "rofu_grant_types_supported": sorted(grant_types - {"refresh_token"}),
        **_code_flow(offered),
    }
    if offered.documents:
        document["client_id_metadata_document_supported"] = True
    if endpoints.takes_certificates:
        document["tls_client_certificate_bound_access_tokens"] = True
    if endpoints.mtls_base is not None:
        document["mtls_endpoint_aliases"] = {name: endpoints.mtls_base + path for name, path in paths.items()}
    return json.dumps(document, separators=(",", ":")).encode()


def openid_configuration(endpoints: Endpoints, jwks: bytes) -> bytes:
    """What relying parties read that look for an issuer's keys in OpenID Connect Discovery's place alone: issuer, keys
    and algorithms, and of the other members that its section 3 requires those that they look for.

    No claim to be an OpenID provider: no endpoint is named, no response type but `none`. `jwks` is the key set as
    published, whose algorithms these are: what the keys say is true also while they change.
    """
    algorithms = {key["alg"] for key in json.loads(jwks)["keys"]}
    document = {
        "issuer": endpoints.issuer,
        "jwks_uri": endpoints.issuer + JWKS,
        "response_types_supported": ["none"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": sorted(algorithms),
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _code_flow(offered: Offered) -> dict[str, object]:
    """What a client has to know of `/par` and `/authorize`. Everything with a default that bites is said."""
    if not offered.code_flow:
        return {}
    members: dict[str, object] = {
        "response_modes_supported": ["query"],
        "code_challenge_methods_supported": [pkce.METHOD],
        "authorization_response_iss_parameter_supported": True,
        "require_pushed_authorization_requests": not offered.plain_requests,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }
    if offered.pushed:
        members["pushed_client_registration_supported"] = True
    return members


def _client_authentication(endpoints: Endpoints, offered: Offered, *, registration: bool) -> dict[str, object]:
    """How clients authenticate, at each endpoint. A public client may ask nothing, and end its own tokens alone."""
    methods = ["spiffe_jwt"]
    if endpoints.takes_certificates:
        methods.append("spiffe_x509")
    own_keys = registration or offered.documents
    if own_keys:
        methods.append("private_key_jwt")
    public = ["none"] if offered.code_flow and (offered.documents or offered.pushed) else []
    members: dict[str, object] = {
        f"{kind}_endpoint_auth_methods_supported": methods if kind == "introspection" else methods + public
        for kind in _AUTHENTICATED
    }
    if own_keys:
        # Required beside `private_key_jwt` (RFC 8414 section 2).
        algorithms = sorted(ALGORITHMS)
        members |= {f"{kind}_endpoint_auth_signing_alg_values_supported": algorithms for kind in _AUTHENTICATED}
    return members
