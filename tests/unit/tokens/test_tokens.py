"""Sealing, the key ring, and access tokens that are read back."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.jose.keys import SigningKey
from bridge.model.audit import AuditEvent
from bridge.model.errors import StartRefused, Unavailable
from bridge.model.identity import BindingMethod, KeyBinding
from bridge.model.signing_key import SigningKeyRow
from bridge.tokens.access_token import AccessTokenClaims, AccessTokens
from bridge.tokens.key_ring import HANDOVER_SECONDS, RETIRE_LEEWAY_SECONDS, KeyRing
from bridge.tokens.sealing import SealBroken, SealKey, create_seal_key, read_seal_key

NOW = 1_800_000_000
TOKEN_LIFE = 3600
SEAL = SealKey(bytes(range(32)))


class Rows:
    """Signing keys in a list; the real ones are held to the same in tests/contract."""

    def __init__(self) -> None:
        self.stored: list[SigningKeyRow] = []

    def keys(self) -> list[SigningKeyRow]:
        return list(self.stored)

    def add_first(self, rows: Sequence[SigningKeyRow], *, event: AuditEvent) -> bool:
        if self.stored:
            return False
        self.stored = list(rows)
        return True

    def rotate(
        self, *, promote: str, signs_from: int, retire_others_at: int, successor: SigningKeyRow, event: AuditEvent
    ) -> bool:
        if not any(row.kid == promote and row.signs_from is None for row in self.stored):
            return False
        self.stored = [
            replace(row, signs_from=signs_from) if row.kid == promote else replace(row, retires_at=retire_others_at)
            for row in self.stored
        ] + [successor]
        return True

    def drop_retired(self, *, now: int) -> int:
        kept = [row for row in self.stored if row.retires_at is None or row.retires_at > now]
        dropped = len(self.stored) - len(kept)
        self.stored = kept
        return dropped


def ring(rows: Rows, seal: SealKey = SEAL) -> KeyRing:
    numbers = itertools.count(len(rows.stored))
    return KeyRing(rows, seal, alg="ES256", token_life=TOKEN_LIFE, new_id=lambda: f"k{next(numbers)}")


def started(rows: Rows) -> KeyRing:
    keys = ring(rows)
    keys.start(NOW)
    return keys


def claims(**changes: object) -> AccessTokenClaims:
    plain = AccessTokenClaims(
        jti="j1",
        client_id="spiffe://example.org/a",
        sub="spiffe://example.org/a",
        aud=("https://ledger.example.org",),
        scope=("ledger.read",),
        issued_at=NOW,
        expires_at=NOW + 300,
        epoch="7",
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def published(keys: KeyRing) -> list[str]:
    return [key["kid"] for key in json.loads(keys.jwks)["keys"]]


def test_an_empty_store_gets_a_key_that_signs_and_one_that_waits() -> None:
    rows = Rows()
    keys = started(rows)
    assert len(rows.stored) == 2
    assert keys.signer(NOW)[0] == rows.stored[0].kid
    assert published(keys) == [row.kid for row in rows.stored]


def test_the_key_set_has_no_private_member() -> None:
    for key in json.loads(started(Rows()).jwks)["keys"]:
        assert set(key) == {"kty", "crv", "x", "y", "kid", "alg", "use"}


def test_a_second_process_takes_the_keys_that_are_there() -> None:
    rows = Rows()
    assert started(rows).signer(NOW)[0] == started(rows).signer(NOW)[0]
    assert len(rows.stored) == 2


def test_rotation_changes_over_after_every_worker_could_read_it_and_to_a_key_already_published() -> None:
    rows = Rows()
    keys = started(rows)
    old, waiting = [row.kid for row in rows.stored]
    assert waiting in published(keys)
    assert keys.rotate(NOW + 10) == waiting
    assert keys.signer(NOW + 10 + HANDOVER_SECONDS - 1)[0] == old
    assert keys.signer(NOW + 10 + HANDOVER_SECONDS)[0] == waiting


def test_the_former_key_is_published_until_its_last_token_has_died() -> None:
    rows = Rows()
    keys = started(rows)
    old = rows.stored[0].kid
    keys.rotate(NOW)
    last = NOW + HANDOVER_SECONDS + TOKEN_LIFE + RETIRE_LEEWAY_SECONDS
    keys.refresh(last - 1)
    assert old in published(keys)
    keys.refresh(last)
    assert old not in published(keys)


def test_rotation_comes_when_it_is_due_and_not_before() -> None:
    keys = started(Rows())
    assert keys.rotate_if_due(NOW + 99, every=100) is None
    assert keys.rotate_if_due(NOW + 100, every=100) is not None


def test_another_seal_key_does_not_start_T_54() -> None:
    rows = Rows()
    started(rows)
    ring(rows).start(NOW)
    with pytest.raises(StartRefused, match="seal"):
        ring(rows, SealKey(bytes(32))).start(NOW)


def test_what_is_sealed_is_tied_to_its_name() -> None:
    sealed = SEAL.seal(b"private", name="k1")
    assert b"private" not in sealed
    assert SEAL.unseal(sealed, name="k1") == b"private"
    with pytest.raises(SealBroken):
        SEAL.unseal(sealed, name="k2")


def test_a_seal_file_that_was_made_is_read_and_a_broken_one_refused(tmp_path: Path) -> None:
    file = tmp_path / "seal.key"
    assert create_seal_key(file)
    assert read_seal_key(file).derive("a") == read_seal_key(file).derive("a") != read_seal_key(file).derive("b")
    file.write_text("short")
    with pytest.raises(StartRefused, match="not a seal key"):
        read_seal_key(file)


def test_a_token_is_read_back_as_it_was_signed() -> None:
    tokens = AccessTokens(started(Rows()), issuer="https://as.example")
    for said in (
        claims(),
        claims(aud=("https://a.example", "https://b.example")),
        claims(binding=KeyBinding(BindingMethod.JKT, "t" * 43)),
        claims(binding=KeyBinding(BindingMethod.X5T_S256, "t" * 43), scope=("a", "b")),
    ):
        assert tokens.read(tokens.sign(said, now=NOW).raw, now=NOW + 299) == said


def test_a_token_that_is_expired_foreign_or_changed_is_read_as_nothing() -> None:
    rows = Rows()
    tokens = AccessTokens(started(rows), issuer="https://as.example")
    raw = tokens.sign(claims(), now=NOW).raw
    assert tokens.read(raw, now=NOW) is not None
    assert tokens.read(raw, now=NOW + 300) is None
    assert AccessTokens(started(rows), issuer="https://other.example").read(raw, now=NOW) is None
    assert AccessTokens(started(Rows()), issuer="https://as.example").read(raw, now=NOW) is None
    assert tokens.read(raw[:-8] + "AAAAAAAA", now=NOW) is None
    assert tokens.read("not.a.token", now=NOW) is None


def test_only_an_access_token_is_read_as_one_T_25() -> None:
    keys = started(Rows())
    tokens = AccessTokens(keys, issuer="https://as.example")
    kid, alg, key = keys.signer(NOW)
    body = {"iss": "https://as.example", "aud": "a", "exp": NOW + 9, "iat": NOW, "jti": "j", "client_id": "c"}
    body |= {"sub": "s", "scope": "", "epoch": "1"}
    assert tokens.read(key.sign({"alg": alg, "kid": kid, "typ": "at+jwt"}, body), now=NOW) is not None
    assert tokens.read(key.sign({"alg": alg, "kid": kid, "typ": "JWT"}, body), now=NOW) is None


def test_what_is_published_comes_from_what_was_sealed_T_54() -> None:
    rows = Rows()
    keys = started(rows)
    keys.refresh(NOW)
    before = keys.jwks
    sound = list(rows.stored)
    stranger = SigningKey.generate("ES256", sound[1].kid).public_jwk()
    for change in (
        {"public_jwk": json.dumps(stranger)},
        {"public_jwk": "{"},
        {"public_jwk": sound[0].public_jwk},
        {"alg": "none"},
        {"sealed": b"\x00"},
        {"sealed": sound[0].sealed},
    ):
        rows.stored = [sound[0], replace(sound[1], **change)]  # type: ignore[arg-type]
        with pytest.raises(Unavailable, match="signing key"):
            keys.refresh(NOW)
        assert keys.jwks == before
        with pytest.raises(StartRefused, match="signing key"):
            ring(rows).start(NOW)
    rows.stored = sound
    keys.refresh(NOW)
    assert keys.jwks == before
