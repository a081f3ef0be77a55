"""What a pushed client says of itself: `client_registration`, a form field that holds JSON (draft-richer-oauth-
pushed-client-registration-00). It is that client's whole registration, and good for one transaction.
"""

from __future__ import annotations

from bridge.jose.strict_json import InvalidJson, loads_object
from bridge.metadata import members
from bridge.metadata.uris import UnfitUri, require_secure
from bridge.model.errors import InvalidClientMetadata
from bridge.model.metadata import NO_METADATA, ClientMetadata
from bridge.model.reasons import Reason

MAX_BYTES = 5120

# Secrets are never made here, and a statement is an issuer's word that nobody has named for such clients.
_REFUSED = frozenset({"client_secret", "client_secret_expires_at", "software_statement"})
# Keys and URLs by which nothing is ever looked up: a pushed client is the key of its DPoP proof and no other.
_DROPPED = frozenset({"jwks", "jwks_uri", "logo_uri", "spiffe_id", "contacts"})


def read_registration(text: str | None) -> ClientMetadata:
    """The metadata in this field; none where there is no field.

    Nothing that it names is fetched (PCR-9). Raises: InvalidClientMetadata for what is no JSON object of at most
    5120 bytes without repeated names (PCR-6); for secrets, statements, private or symmetric keys, and for an
    authentication method other than `none` (PCR-7); for grants and responses that no such client has;
    InvalidRedirectUri. Members that nobody knows are ignored. Not checked: policy, and that the request's redirect
    URI is among those that are listed (PCR-8).
    """
    if text is None:
        return NO_METADATA
    try:
        raw = loads_object(text, max_bytes=MAX_BYTES)
    except InvalidJson as fault:
        raise _refused(f"client_registration: {fault}") from fault
    for name in sorted(_REFUSED & raw.keys()):
        raise _refused(f"{name} is not taken from a pushed client")
    metadata = members.read(raw)
    _check_method(metadata)
    _check_flow(metadata)
    for uri in metadata.texts("redirect_uris") or ():
        check_redirect(uri)
    return ClientMetadata({name: value for name, value in metadata.members.items() if name not in _DROPPED})


def check_redirect(uri: str) -> None:
    """That a pushed client may be answered there at all: https, or http to a loopback host; a scheme of one's own
    would be anybody's (PCR-26). Raises: InvalidClientMetadata."""
    try:
        require_secure(uri)
    except UnfitUri as fault:
        raise _refused(f"a redirect URI {fault}") from None


def _check_method(metadata: ClientMetadata) -> None:
    method = metadata.text("token_endpoint_auth_method")
    if method not in (None, "none"):
        raise _refused("token_endpoint_auth_method: a pushed client is public, and bound to its DPoP key")


def _check_flow(metadata: ClientMetadata) -> None:
    grants, responses = metadata.texts("grant_types"), metadata.texts("response_types")
    if grants is not None and (
        "authorization_code" not in grants or not {"authorization_code", "refresh_token"} >= set(grants)
    ):
        raise _refused("grant_types: authorization_code, and refresh_token beside it")
    if responses not in (None, ("code",)):
        raise _refused("response_types: only 'code' is offered here")


def _refused(words: str) -> InvalidClientMetadata:
    return InvalidClientMetadata(Reason.METADATA_INVALID, words, public=words)
