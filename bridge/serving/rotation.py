"""The contexts in use now: rebuilt when a certificate or the trust anchors change.

Connections that are open keep what they began with; each new one takes the newest.
"""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Callable

from bridge.model.errors import StartRefused
from bridge.serving.kept_certificate import KeptCertificate
from bridge.serving.served import Anchors
from bridge.serving.tls import UnfitCertificate, asking_context, single_use_front

LOG = logging.getLogger("bridge.serving")


class TlsKeeper:
    """Holds the current contexts and looks, in a thread of its own, whether they should be others.

    `plain` is what the listener shows that asks for no certificate, `asking` what the one shows that asks for one;
    None where there is no such listener. Both may be the same. `anchors` gives revision and certificates of those
    whose clients' certificates are asked for. Units: `poll` in seconds.
    """

    def __init__(
        self,
        *,
        plain: KeptCertificate | None,
        asking: KeptCertificate | None,
        anchors: Callable[[], Anchors],
        poll: float,
    ) -> None:
        self._plain, self._asking = plain, asking
        self._kept = list(dict.fromkeys(kept for kept in (plain, asking) if kept is not None))
        self._anchors = anchors
        self._poll = poll
        self._revision: int | None = None
        self._asking_context: ssl.SSLContext | None = None
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
        return None if self._asking_context is None else single_use_front(self._asking_context)

    def refresh(self) -> None:
        """Look once, and rebuild what changed."""
        changed = [kept for kept in self._kept if kept.refresh()]
        self._load_anchors(renew=self._asking in changed)

    def _run(self) -> None:
        while not self._ending:
            self._wake.wait(self._poll)
            self._wake.clear()
            if not self._ending:
                self.refresh()

    def _load_anchors(self, *, renew: bool = False) -> None:
        if self._asking is None or self._asking.shown is None:
            return
        revision, certificates = self._anchors()
        if revision == self._revision and not renew:
            return
        try:
            context, unfit = asking_context(self._asking.shown, certificates)
        except UnfitCertificate as error:
            # Files were replaced between the two reads; the next look sees them whole.
            self._asking.forget()
            LOG.warning("the TLS certificate changed while it was read: %s", error)
            return
        if unfit:
            LOG.error("trust anchors that OpenSSL cannot read were left out: %d", unfit)
        LOG.info("trust anchors loaded", extra={"revision": revision, "certificates": len(certificates) - unfit})
        self._asking_context, self._revision = context, revision
