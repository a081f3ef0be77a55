"""Sign-ins that are under way: where to go on afterwards, and the secrets of the way to the login provider.

They are kept by the browser, sealed, and not by the store: whoever is not signed in could fill it (T-42). Each has a
cookie of its own, so that two tabs do not disturb each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from bridge.jose import base64url, strict_json
from bridge.model.errors import InvalidRequest, SignInRejected
from bridge.model.reasons import Reason
from bridge.tokens.sealing import SealBroken, SealKey
from bridge.web.lean import Response
from bridge.web.pages.cookies import MAX_VALUE_LENGTH, SIGN_IN, Cookies

PENDING_SECONDS = 600
# So many tabs at once; the one that was begun first gives way.
MAX_PENDING = 4
_NAME = "pending sign-in"


@dataclass(frozen=True, slots=True)
class PendingSignIn:
    """One sign-in. `state` names it; `return_to` is a path of ours with its query; `expires_at` epoch seconds.
    `nonce` and `verifier` are empty where no provider is asked."""

    state: str
    return_to: str
    expires_at: int
    nonce: str = ""
    verifier: str = ""


class PendingSignIns:
    """Keeps them in cookies that only this service can read and write."""

    def __init__(self, seal: SealKey, cookies: Cookies) -> None:
        """`seal` is for this purpose alone: anybody makes us seal as often as they like."""
        self._seal, self._cookies = seal, cookies

    def keep(self, response: Response, pending: PendingSignIn, cookies: Mapping[str, str], *, now: int) -> None:
        """Have the browser keep one. `cookies` are those that came with the request.

        Raises: InvalidRequest when the request that waits for it is longer than a cookie may be.
        """
        sealed = base64url.encode(self._seal.seal(strict_json.dumps(asdict(pending)), name=_NAME))
        if len(sealed) > MAX_VALUE_LENGTH:
            public = "the authorization request is too long to sign in for; push it (RFC 9126)"
            raise InvalidRequest(Reason.MALFORMED_REQUEST, "too long for a cookie", public=public)
        self._make_room(response, cookies, now)
        self._cookies.give(response, _cookie(pending.state), sealed, seconds=PENDING_SECONDS)

    def find(self, cookies: Mapping[str, str], state: str | None, *, now: int) -> PendingSignIn:
        """The one of this name. Raises: SignInRejected when this browser has none, or its time is over."""
        pending = self._open(cookies.get(_cookie(state or ""), ""))
        if pending is None or pending.state != state or now >= pending.expires_at:
            public = "this sign-in is over, or was begun elsewhere; go back to the application and start again"
            raise SignInRejected(Reason.SIGN_IN_STALE, "this browser has no such sign-in under way", public=public)
        return pending

    def drop(self, response: Response, state: str) -> None:
        """Have the browser forget one that is done."""
        self._cookies.take(response, _cookie(state))

    def _make_room(self, response: Response, cookies: Mapping[str, str], now: int) -> None:
        ends: list[tuple[int, str]] = []
        for name, value in cookies.items():
            if name.startswith(SIGN_IN):
                pending = self._open(value)
                ends.append((0 if pending is None else pending.expires_at, name))
        alive = sorted(one for one in ends if one[0] > now)
        surplus = alive[: max(0, len(alive) - MAX_PENDING + 1)]
        for _, name in [*(one for one in ends if one[0] <= now), *surplus]:
            self._cookies.take(response, name)

    def _open(self, value: str) -> PendingSignIn | None:
        try:
            plain = self._seal.unseal(base64url.decode(value), name=_NAME)
        except (base64url.InvalidBase64Url, SealBroken):
            return None
        # Whatever opens was sealed here, so its shape is known.
        said = strict_json.loads_object(plain, max_bytes=MAX_VALUE_LENGTH)
        return PendingSignIn(
            str(said["state"]),
            str(said["return_to"]),
            int(str(said["expires_at"])),
            str(said["nonce"]),
            str(said["verifier"]),
        )


def _cookie(state: str) -> str:
    return SIGN_IN + hashlib.sha256(state.encode()).hexdigest()[:16]
