"""The keys that sign tokens: published before use, kept until the last token died.

At any time one key signs and one waits, already published, so that a verifier that caches the JWKS has
met every key before the first token under it. All state is in the store; every worker reads it again
every few seconds and picks the signer by time, so that workers change over together.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from bridge.jose.keys import SigningKey, VerificationKey, import_public
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.errors import StartRefused, Unavailable
from bridge.model.reasons import Reason
from bridge.model.signing_key import SigningKeyRow
from bridge.tokens.sealing import SealBroken, SealKey

# A promoted key signs only after every worker has had time to read the store again.
HANDOVER_SECONDS = 5
# After its last token has died a key stays published a little longer, for clocks that differ.
RETIRE_LEEWAY_SECONDS = 60


class KeyRows(Protocol):
    """The part of the store that keeps signing keys; see `store.ports.KeyStore`."""

    def keys(self) -> list[SigningKeyRow]: ...
    def add_first(self, rows: Sequence[SigningKeyRow], *, event: AuditEvent) -> bool: ...
    def rotate(
        self, *, promote: str, signs_from: int, retire_others_at: int, successor: SigningKeyRow, event: AuditEvent
    ) -> bool: ...
    def drop_retired(self, *, now: int) -> int: ...


@dataclass(frozen=True, slots=True)
class _Opened:
    row: SigningKeyRow
    key: SigningKey
    public: VerificationKey


@dataclass(frozen=True, slots=True)
class _Snapshot:
    keys: tuple[_Opened, ...] = ()
    jwks: bytes = b'{"keys":[]}'


def signing_row(rows: Sequence[SigningKeyRow], now: int) -> SigningKeyRow | None:
    """The key that signs at `now`: of those whose time has come and has not passed, the one promoted last.

    When no key's time has come, the clock was set back since: then the one that signed first goes on,
    which every verifier knows best (F-5). A key that only waits never signs.
    """
    usable = [(row.signs_from, row) for row in rows if row.signs_from is not None]
    usable = [(since, row) for since, row in usable if row.retires_at is None or row.retires_at > now]
    come = [(since, row) for since, row in usable if since <= now]
    if come:
        return max(come, key=lambda pair: pair[0])[1]
    return min(usable, key=lambda pair: pair[0])[1] if usable else None


def state_of(row: SigningKeyRow, signing: SigningKeyRow | None, now: int) -> str:
    """How a key stands at `now`: `waiting` (published, not used yet), `signing` (the one that `signing_row` found),
    `retiring` (published until its last token has died), `retired`."""
    if signing is not None and row.kid == signing.kid:
        return "signing"
    if row.retires_at is not None and row.retires_at <= now:
        return "retired"
    return "waiting" if row.signs_from is None or row.signs_from > now else "retiring"


class KeyRing:
    """Signing keys of one process, as last read from the store."""

    def __init__(self, rows: KeyRows, seal: SealKey, *, alg: str, token_life: int, new_id: Callable[[], str]) -> None:
        """`token_life`: the longest life of a token in seconds. `new_id` makes key and correlation ids."""
        self._rows, self._seal, self._alg, self._token_life, self._new_id = rows, seal, alg, token_life, new_id
        self._snapshot = _Snapshot()
        self._opened: dict[str, _Opened] = {}
        self._lock = threading.Lock()

    def start(self, now: int) -> None:
        """Read the keys; in an empty store make the first two.

        Raises: StartRefused when a row does not open with this seal key, or is not what was sealed (T-54).
        """
        if not self._rows.keys():
            first = self._make(now, signs_from=now)
            self._rows.add_first([first, self._make(now, signs_from=None)], event=self._event(now, first.kid))
        try:
            self._read(now)
        except SealBroken as error:
            raise StartRefused(
                [f"signing key {error}; put the seal file back that belongs to this store (keys.seal_file)"]
            ) from error

    def refresh(self, now: int) -> None:
        """Read the keys again. Raises: Unavailable; the former keys stay then."""
        try:
            self._read(now)
        except SealBroken as error:
            # Somebody who can write to the database but has no seal key put it there, or another seal key
            # is in use beside this one. What was read before goes on.
            raise Unavailable(Reason.KEYS_UNAVAILABLE, f"signing key {error}") from error

    def _read(self, now: int) -> None:
        with self._lock:
            opened = []
            stored = self._rows.keys()
            for row in stored:
                if row.retires_at is not None and row.retires_at <= now:
                    continue
                opened.append(self._open(row))
            self._opened = {o.row.kid: o for o in opened}
            public = {"keys": [o.key.public_jwk() for o in opened]}
            self._snapshot = _Snapshot(tuple(opened), json.dumps(public, separators=(",", ":")).encode())

    def _open(self, row: SigningKeyRow) -> _Opened:
        """Unseal a row. What is published comes from the sealed part alone: the rest of the row is text
        that anybody who can write to the database may have put there. Raises: SealBroken."""
        known = self._opened.get(row.kid)
        if known is not None and known.row.sealed == row.sealed:
            key, public = known.key, known.public
        else:
            try:
                key = SigningKey.from_private_json(self._seal.unseal(row.sealed, name=row.kid))
                public = import_public(key.public_jwk())
            except SealBroken:
                raise
            except ValueError as error:
                raise SealBroken(f"{row.kid} holds no private key of this service") from error
        if (key.kid, key.alg) != (row.kid, row.alg) or _parsed(row.public_jwk) != key.public_jwk():
            raise SealBroken(f"{row.kid} was changed: its row is not what was sealed")
        return _Opened(row, key, public)

    def signer(self, now: int) -> tuple[str, str, SigningKey]:
        """Key id, algorithm and key that sign at `now`. Raises: Unavailable when there is none."""
        opened = {o.row.kid: o for o in self._snapshot.keys}
        row = signing_row([o.row for o in opened.values()], now)
        if row is None:
            raise Unavailable(Reason.KEYS_UNAVAILABLE, "no key signs at this time")
        return row.kid, row.alg, opened[row.kid].key

    def verifier(self, kid: object) -> tuple[str, VerificationKey] | None:
        """Algorithm and public key of that id, for tokens that come back to us; None when not published."""
        return next(((o.row.alg, o.public) for o in self._snapshot.keys if o.row.kid == kid), None)

    @property
    def jwks(self) -> bytes:
        """The public keys as a JWK Set (RFC 7517): signing, waiting, and not yet retired."""
        return self._snapshot.jwks

    def rows(self) -> list[SigningKeyRow]:
        """What the store holds, oldest first."""
        return self._rows.keys()

    def rotate(self, now: int) -> str | None:
        """Let the waiting key sign and make the next one wait; the new signer's id.

        None when another process rotated at the same moment. The former signer stays published until
        the last token under it has died.
        """
        stored = self._rows.keys()
        waiting = [row for row in stored if row.signs_from is None]
        if not waiting:
            raise Unavailable(Reason.KEYS_UNAVAILABLE, "no key waits to be used")
        promote = waiting[0].kid
        signs_from = now + HANDOVER_SECONDS
        done = self._rows.rotate(
            promote=promote,
            signs_from=signs_from,
            retire_others_at=signs_from + self._token_life + RETIRE_LEEWAY_SECONDS,
            successor=self._make(now, signs_from=None),
            event=self._event(now, promote),
        )
        self.refresh(now)
        return promote if done else None

    def rotate_if_due(self, now: int, *, every: int) -> str | None:
        """Rotate when the newest signer has signed for `every` seconds; drop keys that have retired."""
        self._rows.drop_retired(now=now)
        stored = self._rows.keys()
        since = [row.signs_from for row in stored if row.signs_from is not None]
        return self.rotate(now) if since and max(since) + every <= now else None

    def _make(self, now: int, *, signs_from: int | None) -> SigningKeyRow:
        kid = self._new_id()
        key = SigningKey.generate(self._alg, kid)
        public = json.dumps(key.public_jwk(), separators=(",", ":"), sort_keys=True)
        return SigningKeyRow(kid, self._alg, public, self._seal.seal(key.private_json(), name=kid), now, signs_from)

    def _event(self, now: int, kid: str) -> AuditEvent:
        return AuditEvent(self._new_id(), now, AuditEventKind.KEYS_ROTATED, outcome="rotated", key_id=kid)


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None
