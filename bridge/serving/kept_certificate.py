"""The certificate that listeners show now, and whether it should be another: files that change, or an SVID that an
agent renews."""

from __future__ import annotations

import datetime
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from bridge.files.paths import fingerprint
from bridge.model.own_svid import OwnSvid
from bridge.serving.served import ServingObserver
from bridge.serving.tls import Shown, UnfitCertificate, plain_context, read_certificate

LOG = logging.getLogger("bridge.serving")


class CertificateOrigin(Protocol):
    """Where a certificate comes from. `kind` is a word for metrics: `file` or `svid`."""

    kind: str

    def look(self) -> Shown | None:
        """What is there, if it is another than at the last look. Raises: UnfitCertificate."""
        ...

    def forget(self) -> None:
        """Take what the next look finds for new."""
        ...


class CertificateFiles:
    """A chain and its key, PEM files."""

    kind = "file"

    def __init__(self, certificate: Path, private_key: Path) -> None:
        self._files = (certificate, private_key)
        self._seen: object = None

    def look(self) -> Shown | None:
        certificate, private_key = self._files
        seen = (fingerprint(certificate), fingerprint(private_key))
        if seen == self._seen:
            return None
        # Noted before it is read: what changes in between is then seen as another change.
        self._seen = seen
        return read_certificate(certificate, private_key)

    def forget(self) -> None:
        self._seen = None


class CertificateFromAgent:
    """The X.509-SVID of this process. `current` gives the one in hand, None before the first; it must be cheap."""

    kind = "svid"

    def __init__(self, current: Callable[[], OwnSvid | None]) -> None:
        self._current = current
        self._seen: OwnSvid | None = None

    def look(self) -> Shown | None:
        svid = self._current()
        if svid is self._seen:
            return None
        self._seen = svid
        return svid

    def forget(self) -> None:
        self._seen = None


class KeptCertificate:
    """The newest good certificate of one origin, and a context that shows it.

    One that cannot be used, or is past its end while the one in use is not, is refused: said in the log once,
    counted, and looked at again when it changes again. `clock` gives epoch seconds.
    """

    def __init__(self, origin: CertificateOrigin, observer: ServingObserver, clock: Callable[[], float]) -> None:
        self._origin, self._observer, self._clock = origin, observer, clock
        self.shown: Shown | None = None
        self.context: ssl.SSLContext | None = None

    def load(self) -> bool:
        """Look, and take what changed. Raises: UnfitCertificate, and keeps the former one."""
        found = self._origin.look()
        if found is None:
            return False
        now = self._clock()
        if self.shown is not None and found.not_after <= now < self.shown.not_after:
            raise UnfitCertificate(f"{_name(found)}: has expired")
        context = plain_context(found)
        if found.not_after <= now:
            LOG.warning("the TLS certificate has expired: %s", _name(found))
        LOG.info("TLS certificate loaded", extra={"file": _name(found), "not_after": _in_words(found.not_after)})
        self.shown, self.context = found, context
        self._observer.certificate_loaded(self._origin.kind, found.not_after)
        return True

    def refresh(self) -> bool:
        """As `load`, but a fault is said and counted."""
        try:
            return self.load()
        except UnfitCertificate as error:
            self._observer.certificate_refused(self._origin.kind, str(error))
            rest = "the old one stays" if self.shown is not None else "there is no other"
            LOG.error("the new TLS certificate is not usable, %s: %s", rest, error)
            return False

    def forget(self) -> None:
        """Look again, as if it had changed."""
        self._origin.forget()


def _name(shown: Shown) -> str:
    return str(shown.spiffe_id) if isinstance(shown, OwnSvid) else str(shown.certificate)


def _in_words(moment: int) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).isoformat().replace("+00:00", "Z")
