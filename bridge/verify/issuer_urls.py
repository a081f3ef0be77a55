"""A pinned issuer's keys at an https URL: fetched before they are due, early for an unknown `kid`, the last good
set kept for a day (DCR-10, T-46). The configuration names the URL; nothing in a statement can.

Kept in memory, each process its own: after a restart an issuer is unavailable until its URL has answered once.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Protocol

from bridge.jose import strict_json
from bridge.model.errors import EvidenceRejected, Unavailable
from bridge.verify.key_sets import JwtKeys, MalformedKeySet, keys_of_jwk_set

# The same as of a file: sets with certificate chains in them are far above the size of a client's document.
MAX_KEY_SET_BYTES = 256 * 1024
# As for bundles: an unknown `kid`, which anybody can write, has the URL asked at most so often.
EARLY_SECONDS = 5
# So long a set that could not be confirmed is believed; the bundles' `max_stale` has the same default.
KEEP_SECONDS = 24 * 3600
_RETRY_SECONDS = 5
_MAX_RETRY_SECONDS = 60


@dataclass(frozen=True, slots=True)
class FetchedKeySet:
    """What a URL answered: `body` None when the set that `etag` named before still holds. `fresh_until`: epoch
    seconds, when to ask again. `etag` empty when the answer had none."""

    body: bytes | None
    etag: str
    fresh_until: int


class KeySetFetch(Protocol):
    """Whoever can fetch a JWK Set, within bounds of its own."""

    def __call__(self, url: str, *, etag: str, in_request: bool, now: int) -> FetchedKeySet:
        """`etag` is of the set that is there, or empty. `in_request`: a request waits for the answer.

        Raises: EvidenceRejected or Unavailable, whose text says why there is no answer.
        """
        ...


class UrlKeySet:
    """One issuer's set. Thread-safe; whoever comes while it is being fetched goes on with the one that is there."""

    def __init__(self, url: str, fetch: KeySetFetch) -> None:
        self._url, self._fetch = url, fetch
        self._keys: JwtKeys | None = None
        self._etag = ""
        self._confirmed_at = self._asked_at = self._due_at = 0
        self._failures = 0
        self._fault = f"{url}: was not fetched yet"
        self._lock = threading.Lock()
        self._is_asking = False

    def keys(self, now: int) -> JwtKeys | None:
        """The last good set; None before there was one, and when it was not confirmed for a day."""
        return None if now >= self._confirmed_at + KEEP_SECONDS else self._keys

    @property
    def fault(self) -> str:
        """What is wrong with the URL as it last answered; empty when nothing is."""
        if self._fault or self._keys is None or self._keys.usable:
            return self._fault
        return f"{self._url}: holds no usable key, so its issuer is trusted for nothing"

    @property
    def is_unsettled(self) -> bool:
        """Whether there may be a newer set than the one that is there: the last question got no good answer, or
        has none yet."""
        return self._is_asking or bool(self._fault)

    def refresh(self, now: int) -> bool:
        """Fetch it if that is due. Whether the keys are other ones now."""
        return self._ask(now, not_before=self._due_at, in_request=False)

    def refresh_early(self, now: int) -> bool:
        """Fetch it although it is not due, unless that was tried within 5 s. Whether the keys are other ones now."""
        return self._ask(now, not_before=self._asked_at + EARLY_SECONDS, in_request=True)

    def _ask(self, now: int, *, not_before: int, in_request: bool) -> bool:
        with self._lock:
            if self._is_asking or now < not_before:
                return False
            self._is_asking, self._asked_at = True, now
        try:
            return self._take(self._fetch(self._url, etag=self._etag, in_request=in_request, now=now), now)
        except (EvidenceRejected, Unavailable) as error:
            self._fail(error.detail, now)
        except (strict_json.InvalidJson, MalformedKeySet) as error:
            self._fail(f"is no JWK Set ({error})", now)
        finally:
            self._is_asking = False
        return False

    def _take(self, answer: FetchedKeySet, now: int) -> bool:
        before, keys = self._keys, self._keys
        if answer.body is not None:
            keys = keys_of_jwk_set(strict_json.loads_object(answer.body, max_bytes=MAX_KEY_SET_BYTES))
        elif keys is None:
            raise MalformedKeySet("the answer says that nothing changed, and there was nothing")
        # In this order a reader without the lock never sees a set as older than it is.
        self._confirmed_at, self._keys = now, keys
        self._etag, self._due_at = answer.etag or (self._etag if answer.body is None else ""), answer.fresh_until
        self._failures, self._fault = 0, ""
        return before != keys

    def _fail(self, words: str, now: int) -> None:
        self._fault = f"{self._url}: {words}"
        self._due_at = now + min(_MAX_RETRY_SECONDS, _RETRY_SECONDS << min(self._failures, 8))
        self._failures += 1
