"""The keys of the issuers whose software statements are taken: configured, one file each, never looked up
anywhere that a statement says (DCR-10, T-46)."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bridge.files.paths import FileFingerprint, TooLarge, fingerprint, read_bounded
from bridge.jose import strict_json
from bridge.model.errors import EvidenceRejected, IssuerUntrusted, Unavailable
from bridge.model.reasons import Reason
from bridge.verify.claimed import printable
from bridge.verify.key_sets import JwtKeys, MalformedKeySet, keys_of_jwk_set

MAX_FILE_BYTES = 256 * 1024


@dataclass(slots=True)
class _Watch:
    """One issuer's file. `seen` is its fingerprint just before its last read; `keys` the last good set, None
    before there was one; `fault` what is wrong with the file as it stands, empty when nothing is."""

    path: Path
    seen: FileFingerprint | None = None
    keys: JwtKeys | None = None
    fault: str = ""


class PinnedIssuers:
    """The statement issuers of the configuration and their JWK Sets, by the exact `iss` string.

    Each issuer has its own keys; those of one vouch for nothing that names another. A file is the operator's
    word: what a good one no longer holds is trusted no longer from the next look on, and one without keys
    ends all trust in its issuer. A file that is missing or malformed leaves the last good set in force.
    Nothing that was verified with these keys is remembered, so a removed key has no afterlife. Thread-safe.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        """Read every file for the first time. A file that cannot be read is a fault and stops nothing."""
        self._watches = {issuer: _Watch(path) for issuer, path in files.items()}
        self._looking = threading.Lock()
        self.look()

    def keys(self, issuer: str) -> JwtKeys:
        """The keys of exactly this issuer; at least one of them is usable.

        Raises: IssuerUntrusted (STATEMENT_ISSUER) when nobody configured it; EvidenceRejected (BUNDLE_EMPTY)
        when its file holds no usable key; Unavailable (BUNDLE_UNAVAILABLE) when the file could never be read.
        """
        watch = self._watches.get(issuer)
        if watch is None:
            raise IssuerUntrusted(
                Reason.STATEMENT_ISSUER, f"the statement issuer {printable(issuer)} is not configured"
            )
        keys = watch.keys
        if keys is None:
            raise Unavailable(Reason.BUNDLE_UNAVAILABLE, f"the keys of {issuer} could not be read yet")
        if not keys.usable:
            raise EvidenceRejected(Reason.BUNDLE_EMPTY, f"there is no usable key of {issuer}")
        return keys

    def look(self) -> tuple[str, ...]:
        """Read the files that changed, links and ConfigMap swaps included, and those that had a fault.

        The issuers whose keys are other ones now, in the order of the configuration.
        """
        with self._looking:
            return tuple(issuer for issuer, watch in self._watches.items() if _look(watch))

    def faults(self) -> Mapping[str, str]:
        """What is wrong, by issuer: files that are not in force as they stand, or that vouch for nothing."""
        return {issuer: watch.fault for issuer, watch in self._watches.items() if watch.fault}


def _look(watch: _Watch) -> bool:
    """Whether the keys changed."""
    # Taken before the file is read: a change during the read is then seen by the next look.
    found = fingerprint(watch.path)
    if found is not None and found == watch.seen and not watch.fault:
        return False
    watch.seen = found
    try:
        jwk_set = strict_json.loads_object(read_bounded(watch.path, MAX_FILE_BYTES), max_bytes=MAX_FILE_BYTES)
        keys = keys_of_jwk_set(jwk_set)
    except OSError as error:
        watch.fault = f"{watch.path}: cannot be read ({error.strerror})"
        return False
    except (TooLarge, strict_json.InvalidJson, MalformedKeySet) as error:
        watch.fault = f"{watch.path}: is no JWK Set ({error})"
        return False
    before, watch.keys = watch.keys, keys
    watch.fault = "" if keys.usable else f"{watch.path}: holds no usable key, so its issuer is trusted for nothing"
    return before != keys
