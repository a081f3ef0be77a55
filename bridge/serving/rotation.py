"""The contexts in use now: rebuilt when the certificate files or the trust anchors change.

Connections that are open keep what they began with; each new one takes the newest.
"""

from __future__ import annotations

import datetime
import logging
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

from bridge.files.paths import fingerprint
from bridge.model.errors import StartRefused
from bridge.serving.served import Anchors, ServingObserver
from bridge.serving.tls import (
    ServerCertificate,
    UnfitCertificate,
    asking_context,
    plain_context,
    read_certificate,
    single_use_front,
)

LOG = logging.getLogger("bridge.serving")


class TlsKeeper:
    """Holds the current contexts and looks, in a thread of its own, whether they should be others.

    `anchors` gives revision and certificates, None where no listener asks for certificates; `clock`
    gives epoch seconds. A new certificate that cannot be used, or is past its end while the one in use
    is not, is refused: said in the log once, counted, and tried again when the files change again.
    """

    def __init__(
        self,
        certificate: Path,
        private_key: Path,
        *,
        anchors: Callable[[], Anchors] | None,
        observer: ServingObserver,
        clock: Callable[[], float],
        poll: float,
    ) -> None:
        self._files = (certificate, private_key)
        self._anchors = anchors
        self._observer = observer
        self._clock = clock
        self._poll = poll
        self._seen: object = None
        self._revision: int | None = None
        self._certificate: ServerCertificate | None = None
        self._plain: ssl.SSLContext | None = None
        self._asking: ssl.SSLContext | None = None
        self._wake = threading.Event()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="bridge-tls", daemon=True)

    def load(self) -> None:
        """Build the first contexts. Raises: StartRefused."""
        try:
            self._load_certificate()
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

    def plain(self) -> ssl.SSLContext:
        """The context for the next connection to the listener that asks for no certificate."""
        assert self._plain is not None, "load() comes first"
        return self._plain

    def mtls(self) -> ssl.SSLContext:
        """The context for the next connection to the listener that asks for one; good for one handshake."""
        assert self._asking is not None, "load() comes first"
        return single_use_front(self._asking)

    def refresh(self) -> None:
        """Look once, and rebuild what changed."""
        try:
            changed = self._load_certificate()
        except UnfitCertificate as error:
            self._observer.certificate_refused(str(error))
            LOG.error("the new TLS certificate is not usable, the old one stays: %s", error)
            changed = False
        self._load_anchors(renew=changed)

    def _run(self) -> None:
        while not self._ending:
            self._wake.wait(self._poll)
            self._wake.clear()
            if not self._ending:
                self.refresh()

    def _load_certificate(self) -> bool:
        certificate, private_key = self._files
        seen = (fingerprint(certificate), fingerprint(private_key))
        if seen == self._seen:
            return False
        # Noted before it is read: what changes in between is then seen as another change.
        self._seen = seen
        found = read_certificate(certificate, private_key)
        now = self._clock()
        if self._certificate is not None and found.not_after <= now < self._certificate.not_after:
            raise UnfitCertificate(f"{certificate}: has expired")
        context = plain_context(found)
        if found.not_after <= now:
            LOG.warning("the TLS certificate has expired: %s", certificate)
        LOG.info("TLS certificate loaded", extra={"file": str(certificate), "not_after": _in_words(found.not_after)})
        self._certificate, self._plain = found, context
        self._observer.certificate_loaded(found.not_after)
        return True

    def _load_anchors(self, *, renew: bool = False) -> None:
        if self._anchors is None or self._certificate is None:
            return
        revision, certificates = self._anchors()
        if revision == self._revision and not renew:
            return
        try:
            context, unfit = asking_context(self._certificate, certificates)
        except UnfitCertificate as error:
            # The files were replaced between the two reads; the next look sees them whole.
            self._seen = None
            LOG.warning("the TLS certificate changed while it was read: %s", error)
            return
        if unfit:
            LOG.error("trust anchors that OpenSSL cannot read were left out: %d", unfit)
        LOG.info("trust anchors loaded", extra={"revision": revision, "certificates": len(certificates) - unfit})
        self._asking, self._revision = context, revision


def _in_words(moment: int) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).isoformat().replace("+00:00", "Z")
