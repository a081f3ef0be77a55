"""Sign-in at an OpenID provider: the way there and the way back, through Authlib (authorization code with PKCE).

Nothing of what the provider issues is kept: its ID token says once who it was, and its access token goes nowhere.
What has to be remembered meanwhile is a `Departure`, which the web layer keeps in the browser that left.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlencode

from authlib.oauth2 import ClientAuth, OAuth2Error
from authlib.oauth2.client import OAuth2Client

from bridge.jose import strict_json
from bridge.metadata.texts import UnfitValue, text
from bridge.model.authorization import User
from bridge.model.errors import EvidenceRejected, SignInRejected, Unavailable
from bridge.model.reasons import Reason
from bridge.users.client_authentication import Authenticates
from bridge.users.id_token import verify_id_token
from bridge.users.provider import Provider, UpstreamProvider
from bridge.users.user_ids import UserIds

SCOPE = "openid profile"
MAX_ANSWER_BYTES = 64 * 1024
MAX_NAME_LENGTH = 64
# Of those that the profile scope may bring, the first that is fit to be shown.
_NAMES = ("name", "preferred_username", "nickname", "email")


@dataclass(frozen=True, slots=True)
class Departure:
    """What has to be known when the browser comes back: secrets of this one sign-in."""

    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True)
class Posted:
    """The provider's answer to a form."""

    status: int
    body: bytes


class Post(Protocol):
    """Who sends a form to the provider, once, within bounds of its own."""

    def __call__(self, url: str, *, form: bytes, authorization: str | None, max_bytes: int) -> Posted:
        """Any answer of 200 or 4xx. Raises: EvidenceRejected for another one; Unavailable for what passes."""
        ...


class Upstream:
    """Sign-in at one provider."""

    def __init__(
        self,
        *,
        provider: UpstreamProvider,
        post: Post,
        client_id: str,
        authentication: Authenticates,
        redirect_uri: str,
        ids: UserIds,
        new_secret: Callable[[], str],
    ) -> None:
        """`redirect_uri` is where the provider sends people back to; `new_secret` gives 32 random bytes as
        base64url, 43 characters, which RFC 7636 takes as a verifier."""
        self._provider, self._post, self._ids = provider, post, ids
        self._client_id, self._authentication = client_id, authentication
        self._redirect_uri, self._new_secret = redirect_uri, new_secret

    @property
    def issuer(self) -> str:
        """Who is asked."""
        return self._provider.issuer

    def leave(self, *, now: int) -> tuple[str, Departure]:
        """Where to send the browser, and what to remember. Raises: Unavailable."""
        provider = self._provider.describe(now)
        departure = Departure(self._new_secret(), self._new_secret(), self._new_secret())
        url, _ = self._client(provider, now).create_authorization_url(
            provider.authorization_endpoint,
            state=departure.state,
            code_verifier=departure.verifier,
            nonce=departure.nonce,
        )
        return str(url), departure

    def arrive(self, departure: Departure, *, state: str, code: str, issuer: str | None, now: int) -> User:
        """Who came back with `code`. `issuer` is the answer's `iss`, if it had one (RFC 9207).

        Raises: SignInRejected; Unavailable: the code may not have been used then, and can be tried again.
        """
        if not hmac.compare_digest(state.encode(), departure.state.encode()):
            raise SignInRejected(Reason.SIGN_IN_REJECTED, "the state is not the one that was sent")
        provider = self._provider.describe(now)
        if issuer != provider.issuer and (issuer is not None or provider.names_itself):
            raise SignInRejected(Reason.SIGN_IN_REJECTED, "the answer is another issuer's, or does not say whose")
        tokens = self._redeem(provider, code, departure.verifier, now)
        access_token = tokens.get("access_token")
        claims = verify_id_token(
            tokens.get("id_token"),
            issuer=provider.issuer,
            client_id=self._client_id,
            nonce=departure.nonce,
            access_token=access_token if isinstance(access_token, str) else None,
            algorithms=provider.id_token_algorithms,
            keys=self._provider.key,
            now=now,
        )
        return User(self._ids.of(provider.issuer, str(claims["sub"])), _name(claims))

    def _redeem(self, provider: Provider, code: str, verifier: str, now: int) -> Mapping[str, object]:
        try:
            token: Mapping[str, object] = self._client(provider, now).fetch_token(
                provider.token_endpoint, grant_type="authorization_code", code=code, code_verifier=verifier
            )
        except OAuth2Error as error:
            raise SignInRejected(Reason.SIGN_IN_REJECTED, f"the provider answers {error.error} to the code") from error
        except strict_json.InvalidJson as error:
            raise _unavailable(f"the answer to the code: {error}") from error
        except EvidenceRejected as error:
            raise _unavailable(error.detail) from error
        return token

    def _client(self, provider: Provider, now: int) -> OAuth2Client:
        client = OAuth2Client(
            _Transport(self._post),
            client_id=self._client_id,
            scope=SCOPE,
            redirect_uri=self._redirect_uri,
            code_challenge_method="S256",
        )
        self._authentication.attach(client, provider, now=now)
        return client


class _Transport:
    """What Authlib's client takes for a `requests` session: one method of it, over the guarded exchange."""

    def __init__(self, post: Post) -> None:
        self._post = post

    def post(self, url: str, *, data: Mapping[str, str], headers: Mapping[str, str], auth: ClientAuth) -> _Answer:
        _, sent, body = auth.prepare("POST", url, dict(headers), urlencode(data))
        answer = self._post(
            url, form=body.encode("ascii"), authorization=sent.get("Authorization"), max_bytes=MAX_ANSWER_BYTES
        )
        return _Answer(answer)


class _Answer:
    """What Authlib's client reads of a response."""

    def __init__(self, answer: Posted) -> None:
        self.status_code, self._body = answer.status, answer.body

    def json(self) -> dict[str, object]:
        """No more of it than is used: Authlib trips over members of a wrong type, and over an error's description
        in another language. Raises: InvalidJson, also for JSON that is no object."""
        said = strict_json.loads_object(self._body, max_bytes=MAX_ANSWER_BYTES)
        if "error" in said:
            return {"error": _code(said["error"])}
        return {name: said[name] for name in ("id_token", "access_token") if isinstance(said.get(name), str)}

    def raise_for_status(self) -> None:
        """Called for an answer without a JSON object; `Post` has let no 5xx through."""
        raise strict_json.InvalidJson("no JSON object")


def _code(value: object) -> str:
    """An error code as a log may have it (RFC 6749 section 5.2)."""
    said = str(value)
    return said[:40] if said.isascii() and said.isprintable() else "something that is no error code"


def _name(claims: Mapping[str, object]) -> str:
    """What to call the user on the pages that only the user sees (T-43)."""
    for claim in _NAMES:
        try:
            return text(claims.get(claim), MAX_NAME_LENGTH)
        except UnfitValue:
            continue
    return "a user without a name"


def _unavailable(words: str) -> Unavailable:
    return Unavailable(Reason.SIGN_IN_UNAVAILABLE, f"the login provider: {words}")
