"""The ports of what all workers remember together: buckets, single tokens, keys, leases, fetched documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from bridge.model.audit import AuditEvent
from bridge.model.document import DocumentCopy, DocumentKind, FoundDocument
from bridge.model.identity import Marker
from bridge.model.polled_bundle import NotedKeys, PolledBundle, Wish
from bridge.model.signing_key import SigningKeyRow


class BucketStore(Protocol):
    """Token buckets that all workers share. Those of registrations are spent by `ClientStore.ensure`."""

    def spend(self, kind: str, key: str, *, per_minute: int, burst: int, now: int) -> int:
        """Take one token of the bucket of that kind (a limit's name) and key. 0, or the number of seconds until
        there will be one; nothing is taken then."""
        ...

    def use(self, *, now: int) -> list[tuple[str, str, int, int]]:
        """(limit, key, level, burst) of buckets that are not full, in whole tokens, for metrics; of each
        limit a bounded number, those that will be full last."""
        ...


class TokenStore(Protocol):
    """What must be remembered of single tokens."""

    def claim(self, marker: Marker, *, now: int) -> bool:
        """Mark something as used. False: it was already."""
        ...

    def is_claimed(self, marker: Marker) -> bool:
        """Whether it is marked as used. Marks nothing."""
        ...

    def revoke_token(self, jti: str, *, expires_at: int, event: AuditEvent, now: int) -> None:
        """End one token. Idempotent; the audit row is written the first time only."""
        ...

    def is_revoked(self, jti: str) -> bool:
        """Whether that one token was ended."""
        ...


class KeyStore(Protocol):
    """Token signing keys."""

    def keys(self) -> list[SigningKeyRow]:
        """All keys that still have a row, oldest first."""
        ...

    def add_first(self, rows: Sequence[SigningKeyRow], *, event: AuditEvent) -> bool:
        """Insert `rows` if there is no key at all. False: somebody was faster."""
        ...

    def rotate(
        self, *, promote: str, signs_from: int, retire_others_at: int, successor: SigningKeyRow, event: AuditEvent
    ) -> bool:
        """Let the waiting key `promote` sign from `signs_from`, give every key that signs until then its
        end, and insert the next waiting key. False, and nothing written, if `promote` no longer waits."""
        ...

    def drop_retired(self, *, now: int) -> int:
        """Remove keys whose `retires_at` has passed."""
        ...


class LeaseStore(Protocol):
    """Chores that one process at a time should do."""

    def take(self, name: str, *, holder: str, now: int, until: int) -> bool:
        """Get or prolong the lease. False: another holder has it until later than `now`."""
        ...


class DocumentStore(Protocol):
    """Documents fetched from outside, shared by all workers, and who fetches which of them now."""

    def find(self, kind: DocumentKind, url: str) -> FoundDocument:
        """The copy, however old, and who asks. One read, no write."""
        ...

    def begin(self, kind: DocumentKind, url: str, *, holder: str, now: int, until: int) -> bool:
        """Get the right to ask a URL, until then at most. False: somebody has it, be it the same holder."""
        ...

    def keep(self, copy: DocumentCopy, *, holder: str) -> bool:
        """Put this copy in place of an older one, and give the right to ask back. False: there are as many as
        there may be, and it is not kept; none is put out for it, so that nobody's URLs can wash out another's."""
        ...

    def drop(self, copy: DocumentCopy, *, holder: str) -> None:
        """Forget this copy, if it is still the one that is there, and give the right to ask back."""
        ...

    def release(self, kind: DocumentKind, url: str, *, holder: str, until: int | None = None) -> None:
        """Give the right to ask back, at once, or keep it until then: nobody is to ask before."""
        ...

    def sweep(self, *, before: int, ended_before: int, batch: int) -> int:
        """Remove at most `batch` copies fetched before that, and rights to ask that ended before that and were
        never given back. How many copies."""
        ...


class BundleStore(Protocol):
    """Bundles fetched from endpoints, shared by all workers, and who asks which of the endpoints now."""

    def changed_since(self, version: int, *, limit: int) -> Sequence[PolledBundle]:
        """Records written since, of all trust domains, oldest change first and `limit` of them at most."""
        ...

    def find(self, trust_domain: str, source: str) -> PolledBundle | None:
        """The record of this trust domain and this place; None when nobody ever asked there."""
        ...

    def body(self, trust_domain: str, source: str) -> bytes | None:
        """The last good body of that place, as it came; None when there was none."""
        ...

    def begin(
        self, trust_domain: str, source: str, *, holder: str, now: int, until: int, wish: Wish
    ) -> PolledBundle | None:
        """Get the right to ask a place, until then at most, and the record as it was. None: somebody has it, or it is
        not time: DUE not before `refresh_at`; EARLY not within 5 s of the last that was; ORDERED always."""
        ...

    def keep(self, polled: PolledBundle, body: bytes | None, *, holder: str) -> bool:
        """Write what came of asking, under the next version, and give the right back. `body` None leaves the one
        that is there. False, and nothing is written: `holder` has not the right any more."""
        ...

    def noted(self, trust_domains: Sequence[str]) -> Mapping[str, NotedKeys]:
        """The keys that were last noted of these, by trust domain; those of which there are none are left out."""
        ...

    def note(self, notes: Sequence[tuple[NotedKeys, AuditEvent]]) -> int:
        """Note which keys trust domains, each the subject of its event, have now. Where they are others than were
        noted before, the event is written with what came and went as its `ask`. How many were."""
        ...

    def sweep(self, *, before: int, batch: int) -> int:
        """Remove at most `batch` records of places that nobody has asked since `before`. How many."""
        ...
