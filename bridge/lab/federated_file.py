"""Another trust domain's bundle from a file, for federating two labs, or a lab with anything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from bridge.files.paths import FileFingerprint, fingerprint, read_bounded
from bridge.model.bundle import TrustBundle
from bridge.model.spiffe_id import TrustDomain
from bridge.spire.bundle_files import parse_bundle_file
from bridge.spire.parse import MAX_BUNDLE_BYTES


class FederatedFile:
    """A `FederatedBundle` that follows a SPIFFE bundle file, or its part of a bundle map.

    A file that cannot be read leaves the last good bundle, at first an empty one, as it is.
    """

    def __init__(self, trust_domain: str, path: Path) -> None:
        self._trust_domain = TrustDomain.parse(trust_domain)
        self._path = path
        self._seen: FileFingerprint | None = None
        self._bundle = TrustBundle(self._trust_domain)
        self._listeners: list[Callable[[], None]] = []
        self.look()

    @property
    def trust_domain(self) -> TrustDomain:
        """Whose bundle it is; configured, since the file does not say."""
        return self._trust_domain

    def x509_bundle(self) -> bytes:
        """The roots as concatenated DER."""
        return b"".join(self._bundle.x509_authorities)

    def jwt_bundle(self) -> bytes:
        """The JWT keys as a JWK Set without `use`."""
        return json.dumps({"keys": [json.loads(key.jwk) for key in self._bundle.jwt_authorities]}).encode()

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` after every change. The answer takes it off again."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def look(self) -> None:
        """Read the file if it changed."""
        found = fingerprint(self._path)
        if found == self._seen:
            return
        self._seen = found
        try:
            self._bundle = parse_bundle_file(read_bounded(self._path, MAX_BUNDLE_BYTES), self._trust_domain)
        except (OSError, ValueError):
            return
        for listener in list(self._listeners):
            listener()
