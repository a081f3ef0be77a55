"""The keys of the issuers whose software statements are taken: configured, one file or URL each, never looked up
anywhere that a statement says (DCR-10, T-46)."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from bridge.files.paths import FileFingerprint, TooLarge, fingerprint, read_bounded
from bridge.jose import strict_json
from bridge.model.errors import EvidenceRejected, IssuerUntrusted, Unavailable
from bridge.model.reasons import Reason
from bridge.verify.claimed import printable
from bridge.verify.issuer_urls import UrlKeySet
from bridge.verify.key_sets import JwtKeys, MalformedKeySet, keys_of_jwk_set

MAX_FILE_BYTES = 256 * 1024
_NO_URLS: Mapping[str, UrlKeySet] = MappingProxyType({})


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

    Each issuer has its own keys; those of one vouch for nothing that names another. A file, and what its URL
    answers, is the operator's word: what a good one no longer holds is trusted no longer from the next look on,
    and one without keys ends all trust in its issuer. One that is missing or malformed leaves the last good set
    in force, a URL's for a day. Nothing that was verified with these keys is remembered, so a removed key has no
    afterlife. Thread-safe.
    """

    def __init__(self, files: Mapping[str, Path], urls: Mapping[str, UrlKeySet] = _NO_URLS) -> None:
        """Read every file for the first time. A file that cannot be read is a fault and stops nothing. URLs are
        not asked here: see `refresh`."""
        self._watches = {issuer: _Watch(path) for issuer, path in files.items()}
        self._urls = dict(urls)
        self._looking = threading.Lock()
        self.look()

    def require_pinned(self, issuer: str) -> None:
        """That somebody configured exactly this issuer. Raises: IssuerUntrusted (STATEMENT_ISSUER)."""
        if issuer not in self._watches and issuer not in self._urls:
            raise IssuerUntrusted(
                Reason.STATEMENT_ISSUER, f"the statement issuer {printable(issuer)} is not configured"
            )

    def keys(self, issuer: str, *, now: int) -> JwtKeys:
        """The keys of exactly this issuer; at least one of them is usable.

        Raises: IssuerUntrusted (STATEMENT_ISSUER) when nobody configured it; EvidenceRejected (BUNDLE_EMPTY)
        when it has no usable key; Unavailable (BUNDLE_UNAVAILABLE) when its keys could never be read, or not
        for so long that they are no longer believed.
        """
        self.require_pinned(issuer)
        keys = self._watches[issuer].keys if issuer in self._watches else self._urls[issuer].keys(now)
        if keys is None:
            raise Unavailable(Reason.BUNDLE_UNAVAILABLE, f"the keys of {issuer} could not be read")
        if not keys.usable:
            raise EvidenceRejected(Reason.BUNDLE_EMPTY, f"there is no usable key of {issuer}")
        return keys

    def keys_for(self, issuer: str, kid: str | None, *, now: int) -> JwtKeys:
        """As `keys`, for a statement that names this key. An unknown name makes a URL be asked again, once in
        5 s at most; its answer is waited for.

        Raises: as `keys`; Unavailable also while it cannot be known whether the issuer has such a key: it is
        being asked, or its URL is at fault.
        """
        keys = self.keys(issuer, now=now)
        url = self._urls.get(issuer)
        if url is None or kid is None or keys.named(kid) or kid in keys.unfit:
            return keys
        url.refresh_early(now)
        keys = self.keys(issuer, now=now)
        if not keys.named(kid) and kid not in keys.unfit and url.is_unsettled:
            raise Unavailable(Reason.BUNDLE_UNAVAILABLE, f"the keys of {issuer} may have changed: {url.fault}")
        return keys

    @property
    def names(self) -> tuple[str, ...]:
        """All issuers of the configuration."""
        return (*self._watches, *self._urls)

    @property
    def by_url(self) -> tuple[str, ...]:
        """The issuers whose keys are fetched."""
        return tuple(self._urls)

    def refresh(self, issuer: str, *, now: int) -> bool:
        """Fetch the keys of an issuer of `by_url` if that is due, which may take as long as a fetch. Whether they
        are other ones now."""
        return self._urls[issuer].refresh(now)

    def look(self) -> tuple[str, ...]:
        """Read the files that changed, links and ConfigMap swaps included, and those that had a fault.

        The issuers whose keys are other ones now, in the order of the configuration.
        """
        with self._looking:
            return tuple(issuer for issuer, watch in self._watches.items() if _look(watch))

    def faults(self) -> Mapping[str, str]:
        """What is wrong, by issuer: files and URLs that are not in force as they stand, or that vouch for nothing,
        unless that is what a file says (`without_keys`)."""
        found = {issuer: watch.fault for issuer, watch in self._watches.items()}
        found |= {issuer: url.fault for issuer, url in self._urls.items()}
        return {issuer: fault for issuer, fault in found.items() if fault}

    def without_keys(self) -> tuple[str, ...]:
        """The issuers whose file in force is an empty set: trusted for nothing, as its author wants it or until keys
        arrive. It is no fault, where an answer of a URL or a file with unusable keys alone is one."""
        return tuple(
            issuer
            for issuer, watch in self._watches.items()
            if not watch.fault and watch.keys is not None and watch.keys.is_empty
        )


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
    is_fit = bool(keys.usable) or keys.is_empty
    watch.fault = "" if is_fit else f"{watch.path}: holds no usable key, so its issuer is trusted for nothing"
    return before != keys
