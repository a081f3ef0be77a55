"""The contexts in use now: others when a certificate or the trust anchors change.

Connections that are open keep what they began with; each new one takes the newest.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Callable

from bridge.model.errors import StartRefused
from bridge.serving.anchored import AnchoredContext
from bridge.serving.kept_certificate import KeptCertificate
from bridge.serving.served import Anchors
from bridge.serving.tls import UnfitCertificate, single_use_front

LOG = logging.getLogger("bridge.serving")

# How often the trust anchors are looked at, in seconds: their revision is at hand, where files have to be asked for.
_ANCHORS_LOOK = 0.1


class TlsKeeper:
    """Holds the current contexts and looks, in a thread of its own, whether they should be others.

    `plain` is what the listener shows that asks for no certificate, `asking` what the one shows that asks for one;
    `console` what that of operators shows where it asks for one; None where there is no such listener. They may be
    the same. `anchors` gives revision and certificates of those whose clients' certificates are asked for. Units:
    `poll` in seconds.
    """

    def __init__(
        self,
        *,
        plain: KeptCertificate | None,
        asking: KeptCertificate | None,
        anchors: Callable[[], Anchors],
        poll: float,
        console: KeptCertificate | None = None,
    ) -> None:
        self._plain, self._asking, self._console = plain, asking, console
        self._kept = list(dict.fromkeys(kept for kept in (plain, asking, console) if kept is not None))
        self._anchored = {kept: AnchoredContext() for kept in (asking, console) if kept is not None}
        self._anchors = anchors
        self._poll = poll
        self._wake = threading.Event()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="bridge-tls", daemon=True)

    def load(self) -> None:
        """Build the first contexts. A listener whose certificate an agent has yet to give is without one until then.

        Raises: StartRefused.
        """
        try:
            for kept in self._kept:
                kept.load()
        except UnfitCertificate as error:
            raise StartRefused([str(error)]) from error
        self._load_anchors()

    def start(self) -> None:
        """Begin to look for changes."""
        self._thread.start()

    def wake(self) -> None:
        """Look now."""
        self._wake.set()

    def close(self) -> None:
        """End the thread."""
        self._ending = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def plain(self) -> ssl.SSLContext | None:
        """The context for the next connection to the listener that asks for no certificate; None: it has none yet."""
        return None if self._plain is None else self._plain.context

    def mtls(self) -> ssl.SSLContext | None:
        """The context for the next connection to the listener that asks for one; good for one handshake. None: that
        listener has no certificate yet."""
        return self._front(self._asking)

    def console(self) -> ssl.SSLContext | None:
        """The same for the operators' listener, where it asks for a certificate."""
        return self._front(self._console)

    def refresh(self) -> float | None:
        """Look once, and take up what changed. The seconds after which there is more to do; None when there is not."""
        for kept in self._kept:
            kept.refresh()
        return self._load_anchors()

    def _run(self) -> None:
        looked_at, pause = time.monotonic(), self._pause(None)
        while True:
            woken = self._wake.wait(pause)
            self._wake.clear()
            if self._ending:
                return
            if woken or time.monotonic() >= looked_at + self._poll:
                rest, looked_at = self.refresh(), time.monotonic()
            else:
                rest = self._load_anchors()
            pause = self._pause(rest)

    def _pause(self, rest: float | None) -> float:
        return min(_ANCHORS_LOOK, self._poll) if rest is None else rest

    def _front(self, kept: KeptCertificate | None) -> ssl.SSLContext | None:
        context = None if kept is None else self._anchored[kept].context
        return None if context is None else single_use_front(context)

    def _load_anchors(self) -> float | None:
        rests = [self._follow(kept, anchored) for kept, anchored in self._anchored.items()]
        return min((rest for rest in rests if rest is not None), default=None)

    def _follow(self, kept: KeptCertificate, anchored: AnchoredContext) -> float | None:
        if kept.shown is None:
            return None
        try:
            return anchored.follow(kept.shown, self._anchors())
        except UnfitCertificate as error:
            # Files were replaced between the two reads; the next look sees them whole.
            kept.forget()
            LOG.warning("the TLS certificate changed while it was read: %s", error)
            return None
