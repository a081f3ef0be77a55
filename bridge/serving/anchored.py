"""The TLS context that asks for client certificates, kept in step with any number of trust anchors.

OpenSSL takes a quarter of a millisecond to take in one anchor, so a context for a thousand trust domains is not made
anew for each change of one. What is new goes into the context in use, where the next handshake finds it. Nothing can be
taken out of a context: one without the anchors that are gone is made beside it, little by little, and at most so often
that it costs a hundredth of a core. Until then a handshake passes that could have ended, and no more: whom it is, and
whether the bundle in force still holds that CA, is for the application to say, as with every handshake.
"""

from __future__ import annotations

import logging
import math
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable

from bridge.serving.served import Anchors
from bridge.serving.tls import Shown, asking_context

LOG = logging.getLogger("bridge.serving")

# The CPU time of one step, in seconds: requests wait for it no longer than for one another.
_STEP = 0.005
# A step for new anchors is followed by a rest of the same length, one for those that are gone by a longer one; and
# after such a context is done the next is begun only when so many times has passed what it took.
_RESTS, _LONG_RESTS, _REBUILD_RESTS = 1, 4, 100
# How long to leave a certificate alone that could not be read again, in seconds.
_RETRY = 5.0


class _Holding:
    """A context, the anchors that are in it, and those that are to be."""

    def __init__(self, context: ssl.SSLContext, anchors: Iterable[bytes] = ()) -> None:
        self.context = context
        self.held: set[bytes] = set()
        self.unfit: set[bytes] = set()
        self.left = deque(anchors)
        self.spent = 0.0

    def want(self, anchors: Iterable[bytes]) -> None:
        """Have those of them taken in that are not there yet, in `step`."""
        self.left = deque(anchor for anchor in anchors if anchor not in self.held)

    def step(self, seconds: float | None = None) -> bool:
        """Take in what is left, for so many seconds of CPU time; whether all is in."""
        began = time.thread_time()
        while self.left and (seconds is None or time.thread_time() - began < seconds):
            anchor = self.left.popleft()
            self.held.add(anchor)
            try:
                self.context.load_verify_locations(cadata=anchor)
            except (ssl.SSLError, ValueError):
                self.unfit.add(anchor)
        self.spent += time.thread_time() - began
        return not self.left


class AnchoredContext:
    """Keeps the context. Not thread-safe but for `context`: `follow` belongs to one thread.

    `steady` gives seconds by a clock that nobody sets.
    """

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        self._steady = steady
        self._shown: Shown | None = None
        self._revision: int | None = None
        self._current: _Holding | None = None
        self._next: _Holding | None = None
        self._has_gone = False
        self._rested_at = self._retry_at = -math.inf

    @property
    def context(self) -> ssl.SSLContext | None:
        """What new connections begin with; None before the first `follow`."""
        return None if self._current is None else self._current.context

    def follow(self, shown: Shown, anchors: Anchors) -> float | None:
        """Take a step towards a context that shows this certificate and holds these anchors: revision, and DER
        certificates. The seconds to rest before the next; None when there is nothing more to do now. The first time
        all is done at once.

        Raises: UnfitCertificate, every few seconds at most; the context in use then follows the anchors all the same.
        """
        revision, certificates = anchors
        if shown is not self._shown and self._steady() >= self._retry_at:
            # Whatever is under way would show the former one.
            self._next, self._shown = self._begin(shown, certificates), shown
        if self._current is None:
            self._first(revision, certificates)
            return None
        if revision != self._revision:
            for holding in (self._current, self._next):
                if holding is not None:
                    holding.want(certificates)
            if not self._current.step(_STEP):
                return _STEP * _RESTS
            self._settle(revision, certificates)
        return self._renew(revision, certificates)

    def _begin(self, shown: Shown, certificates: tuple[bytes, ...]) -> _Holding:
        self._retry_at = self._steady() + _RETRY
        begun = _Holding(asking_context(shown), certificates)
        self._retry_at = -math.inf
        return begun

    def _first(self, revision: int, certificates: tuple[bytes, ...]) -> None:
        if self._next is not None:
            self._next.step()
            self._current, self._next = self._next, None
            self._settle(revision, certificates)

    def _renew(self, revision: int, certificates: tuple[bytes, ...]) -> float | None:
        """A step towards another context, if there is to be one."""
        if self._next is None:
            too_soon = self._steady() < max(self._rested_at, self._retry_at)
            if not self._has_gone or self._shown is None or too_soon:
                return None
            self._next = self._begin(self._shown, certificates)
        if not self._next.step(_STEP):
            return _STEP * _LONG_RESTS
        self._rested_at = self._steady() + self._next.spent * _REBUILD_RESTS
        self._current, self._next = self._next, None
        self._settle(revision, certificates)
        return None

    def _settle(self, revision: int, certificates: tuple[bytes, ...]) -> None:
        """All that there is to be is in the context in use."""
        assert self._current is not None
        held, unfit = self._current.held, self._current.unfit
        self._revision, self._has_gone = revision, not held.issubset(certificates)
        if unfit:
            LOG.error("trust anchors that OpenSSL cannot read were left out: %d", len(unfit))
        LOG.info("trust anchors loaded", extra={"revision": revision, "certificates": len(held) - len(unfit)})
