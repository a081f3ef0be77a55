"""Bundles that are fetched from endpoints: what all workers remember of each, and who fetches it now."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

# So many keys an audit row names of each kind and way: an endpoint that changes them all again and again is not to fill
# the log that is kept longest.
_MOST_NAMED = 100


@dataclass(frozen=True, slots=True)
class PolledBundle:
    """How the polling of one trust domain stands. `source` says from where it is polled: what was fetched from
    another place than the configuration names now is of no use.

    Units: epoch seconds. `digest` is the hex SHA-256 of the last good body, empty before there was one; `sequence`
    the highest `spiffe_sequence` that this place ever stated; `confirmed_at` when it last said that this is the
    bundle; `asked_at` when it was last asked and `refresh_at` when it will be. `fault` and `reason` say what was
    wrong the last time, `failures` how often in a row; all three are empty when nothing was. `bootstrap` is the hex
    SHA-256 of the bootstrap bundle that was there at the last good answer. `seal`: see `sealed`. `version` grows with
    each change of any trust domain's record; 0 is one that was never written.
    """

    trust_domain: str
    source: str
    digest: str = ""
    etag: str = ""
    sequence: int | None = None
    confirmed_at: int = 0
    asked_at: int = 0
    refresh_at: int = 0
    fault: str = ""
    reason: str = ""
    failures: int = 0
    bootstrap: str = ""
    seal: bytes = field(default=b"", repr=False)
    version: int = 0
    asked_until: int = 0

    def sealed(self, key: bytes) -> PolledBundle:
        """The same, with a seal over all that trust follows from. Whoever can write the database and has not the
        key can so neither bring in keys nor prolong the life of old ones."""
        return replace(self, seal=self._mac(key))

    def is_sealed(self, key: bytes) -> bool:
        """Whether what trust follows from is as it was sealed."""
        return hmac.compare_digest(self.seal, self._mac(key))

    def _mac(self, key: bytes) -> bytes:
        trusted = (self.trust_domain, self.source, self.digest, self.sequence, self.confirmed_at, self.bootstrap)
        return hmac.digest(key, json.dumps(trusted).encode(), hashlib.sha256)


class Wish(StrEnum):
    """Why an endpoint is to be asked. DUE: its time has come. EARLY: somebody named a key that is not in the bundle,
    which anybody can do. ORDERED: an operator said so."""

    DUE = "due"
    EARLY = "early"
    ORDERED = "ordered"


@dataclass(frozen=True, slots=True)
class NotedKeys:
    """The keys of a trust domain as the audit log names them: hex SHA-256 of X.509 authorities' certificates; of JWT
    authorities the `kid` and a hash of the key, since one name may come to mean another key. `shared`: the key that
    another trust domain holds too, with that one's name, while that is so."""

    x509: tuple[str, ...] = ()
    jwt: tuple[tuple[str, str], ...] = ()
    shared: tuple[str, ...] = ()

    def text(self) -> str:
        """As it is stored; equal keys in any order are equal texts."""
        shared = {"shared": sorted(self.shared)} if self.shared else {}
        return json.dumps({"x509": sorted(self.x509), "jwt": sorted(self.jwt), **shared})

    @classmethod
    def of_text(cls, text: str) -> NotedKeys:
        """The inverse of `text`."""
        said = json.loads(text)
        jwt = tuple((kid, digest) for kid, digest in said["jwt"])
        return cls(tuple(said["x509"]), jwt, tuple(said.get("shared", ())))

    def since(self, before: NotedKeys) -> dict[str, object]:
        """What came and went since, by name, and of more than a hundred (`..._more`) how many more; of sharing only
        where there was any."""
        changed = {
            "x509_added": sorted(set(self.x509) - set(before.x509)),
            "x509_removed": sorted(set(before.x509) - set(self.x509)),
            "jwt_added": sorted(kid for kid, _ in set(self.jwt) - set(before.jwt)),
            "jwt_removed": sorted(kid for kid, _ in set(before.jwt) - set(self.jwt)),
        }
        sharing = {
            "shared_begun": sorted(set(self.shared) - set(before.shared)),
            "shared_ended": sorted(set(before.shared) - set(self.shared)),
        }
        return {
            **{way: names[:_MOST_NAMED] for way, names in changed.items()},
            **{f"{way}_more": len(names) - _MOST_NAMED for way, names in changed.items() if len(names) > _MOST_NAMED},
            **{way: names for way, names in sharing.items() if names},
        }


class PolledBundles(Protocol):
    """Where workers share polled bundles. `store.ports.BundleStore` says what each method does."""

    def changed_since(self, version: int, *, limit: int) -> Sequence[PolledBundle]: ...
    def find(self, trust_domain: str, source: str) -> PolledBundle | None: ...
    def body(self, trust_domain: str, source: str) -> bytes | None: ...
    def begin(
        self, trust_domain: str, source: str, *, holder: str, now: int, until: int, wish: Wish
    ) -> PolledBundle | None: ...
    def keep(self, polled: PolledBundle, body: bytes | None, *, holder: str) -> bool: ...
