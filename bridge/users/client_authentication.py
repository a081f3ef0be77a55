"""How this service proves to the provider that it is the client that was registered there."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Protocol
from urllib.parse import quote_plus

from authlib.common.urls import add_params_to_qs
from authlib.oauth2 import ClientAuth
from authlib.oauth2.client import OAuth2Client

from bridge.users.provider import Provider

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_SECONDS = 60
# Header and claims to a signed JWT, with the key whose time it is.
Sign = Callable[[Mapping[str, object], Mapping[str, object], int], str]
_Request = tuple[str, dict[str, str], str]


class Authenticates(Protocol):
    """One way of authenticating."""

    def attach(self, client: OAuth2Client, provider: Provider, *, now: int) -> None:
        """Have the client authenticate so at the token endpoint."""
        ...


class BySecret:
    """By a secret that the provider gave out: in the header where the provider takes that, else in the form."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def attach(self, client: OAuth2Client, provider: Provider, *, now: int) -> None:
        """See `Authenticates`."""
        in_header = "client_secret_basic" in provider.authentication_methods
        client.client_secret = self._secret
        client.token_endpoint_auth_method = "client_secret_basic" if in_header else "client_secret_post"
        client.register_client_auth_method(("client_secret_basic", _basic))


class ByOwnKeys:
    """By an assertion signed with this service's own keys, which the provider finds at `/jwks`
    (`private_key_jwt`; RFC 7523 section 2.2, with the audience and type of its revision)."""

    def __init__(self, sign: Sign, *, new_id: Callable[[], str]) -> None:
        self._sign, self._new_id = sign, new_id

    def attach(self, client: OAuth2Client, provider: Provider, *, now: int) -> None:
        """See `Authenticates`. Signing raises Unavailable when no key signs."""
        claims: dict[str, object] = {
            "iss": client.client_id,
            "sub": client.client_id,
            "aud": provider.issuer,
            "jti": self._new_id(),
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
        }

        def assertion(auth: ClientAuth, method: str, uri: str, headers: dict[str, str], body: str) -> _Request:
            signed = self._sign({"typ": "client-authentication+jwt"}, claims, now)
            fields = [("client_id", auth.client_id), ("client_assertion_type", ASSERTION_TYPE)]
            return uri, headers, str(add_params_to_qs(body, [*fields, ("client_assertion", signed)]))

        client.token_endpoint_auth_method = "private_key_jwt"
        client.register_client_auth_method(("private_key_jwt", assertion))


def _basic(auth: ClientAuth, method: str, uri: str, headers: dict[str, str], body: str) -> _Request:
    """As RFC 6749 section 2.3.1 has it: each part is encoded as in a form before the two are joined."""
    joined = f"{quote_plus(auth.client_id)}:{quote_plus(auth.client_secret)}"
    credentials = base64.b64encode(joined.encode("ascii")).decode("ascii")
    return uri, {**headers, "Authorization": f"Basic {credentials}"}, body
