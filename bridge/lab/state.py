"""A lab's folder: the authority's keys in one 0600 file, so that `mint` and `rotate` work beside `up`.

The keys lie there in the clear. A lab is for development and tests; nothing of value may trust it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bridge.lab.authority import Authority, Clock, X509Authority
from bridge.lab.jws import JwtKey
from bridge.lab.rotation import KeySlots
from bridge.lab.x509 import CertificateAuthority, private_pem

_VERSION = 1
_SLOTS = ("active", "prepared", "old")
Key = TypeVar("Key")


class LabRefused(Exception):
    """The folder holds no lab, another one, or one that cannot be read. The message says what to do."""


class LabFolder:
    """Where one lab lives. Nothing is read or written before a method is called."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.keys = self.path / "authority.json"
        self.bundle = self.path / "bundle.json"
        self.web_ca = self.path / "web-ca.pem"
        self.log = self.path / "lab.log"
        self.run_lock = self.path / "lab.lock"
        self._keys_lock = self.path / "authority.lock"

    def exists(self) -> bool:
        """Whether there is a lab."""
        return self.keys.is_file()

    def socket(self, name: str) -> Path:
        """The Workload API socket of that name."""
        return self.path / f"{name}.sock"

    def make(self) -> None:
        """Make the folder, for its owner only."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def load(self, clock: Clock) -> Authority:
        """The authority as last saved. Raises: LabRefused."""
        try:
            state = json.loads(self.keys.read_bytes())
            if state["version"] != _VERSION:
                raise LabRefused(f"{self.keys}: of another version of this program; remove {self.path} and start anew")
            return Authority(
                state["trust_domain"],
                clock=clock,
                jwt_alg=state["jwt_alg"],
                intermediate=state["intermediate"],
                jwt_issuer=state["jwt_issuer"],
                refresh_hint=state["refresh_hint"],
                sequence=state["sequence"],
                x509_keys=_load_slots(state["x509"], _load_x509),
                jwt_keys=_load_slots(state["jwt"], _load_jwt),
            )
        except FileNotFoundError as error:
            raise LabRefused(f"{self.path}: no lab here; `bridge lab up --dir {self.path}` starts one") from error
        except (ValueError, KeyError, TypeError) as error:
            raise LabRefused(f"{self.keys}: cannot be read; remove {self.path} and start anew") from error

    def save(self, authority: Authority) -> None:
        """Write the authority's keys, and its bundle beside them for `source = "file"`, each as a whole."""
        state = {
            "version": _VERSION,
            "trust_domain": authority.trust_domain.name,
            "jwt_alg": authority.jwt_alg,
            "intermediate": authority.intermediate,
            "jwt_issuer": authority.jwt_issuer,
            "refresh_hint": authority.refresh_hint,
            "sequence": authority.sequence,
            "x509": _save_slots(authority.x509_keys, _save_x509),
            "jwt": _save_slots(authority.jwt_keys, _save_jwt),
        }
        _replace(self.keys, json.dumps(state, indent=1).encode(), mode=0o600)
        _replace(self.bundle, authority.bundle_json(), mode=0o644)

    @contextmanager
    def change(self, clock: Clock) -> Iterator[Authority]:
        """Load, let the caller rotate, save: one process at a time. Raises: LabRefused."""
        if not self.exists():
            self.load(clock)
        with self._keys_lock.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            authority = self.load(clock)
            yield authority
            self.save(authority)


def _replace(path: Path, content: bytes, *, mode: int) -> None:
    """Put a whole file in the place of another."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.touch(mode=mode)
    draft.chmod(mode)
    draft.write_bytes(content)
    draft.replace(path)


def _save_slots(slots: KeySlots[Key], save: Callable[[Key], dict[str, Any]]) -> dict[str, Any]:
    saved: dict[str, Any] = {"tainted": slots.tainted}
    for name in _SLOTS:
        key = getattr(slots, name)
        saved[name] = None if key is None else save(key)
    return saved


def _load_slots(saved: Mapping[str, Any], load: Callable[[Mapping[str, Any]], Key]) -> KeySlots[Key]:
    prepared, old = (None if saved[name] is None else load(saved[name]) for name in ("prepared", "old"))
    return KeySlots(load(saved["active"]), prepared=prepared, old=old, tainted=bool(saved["tainted"]))


def _save_ca(authority: CertificateAuthority) -> dict[str, str]:
    return {"certificate": authority.pem.decode(), "key": private_pem(authority.key).decode()}


def _load_ca(saved: Mapping[str, str]) -> CertificateAuthority:
    key = load_pem_private_key(saved["key"].encode(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the key is no EC key")
    return CertificateAuthority(x509.load_pem_x509_certificate(saved["certificate"].encode()), key)


def _save_x509(authority: X509Authority) -> dict[str, Any]:
    signer = None if authority.signer is authority.root else _save_ca(authority.signer)
    return {"root": _save_ca(authority.root), "signer": signer}


def _load_x509(saved: Mapping[str, Any]) -> X509Authority:
    root = _load_ca(saved["root"])
    return X509Authority(root, root if saved["signer"] is None else _load_ca(saved["signer"]))


def _save_jwt(key: JwtKey) -> dict[str, Any]:
    return {"kid": key.kid, "alg": key.alg, "key": private_pem(key.key).decode()}


def _load_jwt(saved: Mapping[str, Any]) -> JwtKey:
    key = load_pem_private_key(saved["key"].encode(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ValueError("the key is neither EC nor RSA")
    return JwtKey(saved["kid"], saved["alg"], key)
