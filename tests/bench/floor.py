"""What nothing can be faster than: one ES256 verification and one ES256 signature, and one durable write."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jws
from joserfc.jwk import ECKey

from tests.bench.figure import Figure, Report
from tests.bench.service import FOLDER

_ROUNDS = 5
_TIMES = 400
_CLAIMS = b'{"aud":"https://127.0.0.1:8443","exp":1800000000,"sub":"spiffe://example.org/ns/web/sa/w1"}' * 3


def measure(report: Report) -> float:
    """Report the floors; the answer is the CPU of one verification and one signature in OpenSSL, in seconds."""
    floor = _openssl()
    report(Figure("floor: ES256 verify + sign, OpenSSL", floor * 1e3, "ms", note="CPU, one thread, nothing else"))
    report(Figure("floor: ES256 verify + sign, joserfc", _joserfc() * 1e3, "ms", note="compact JWS in and out"))
    report(Figure("floor: one fdatasync of 4 KiB", _fdatasync() * 1e3, "ms", note="median, where the store is"))
    return floor


def _openssl() -> float:
    key, algorithm = ec.generate_private_key(ec.SECP256R1()), ec.ECDSA(hashes.SHA256())
    public, signature = key.public_key(), key.sign(_CLAIMS, algorithm)

    def once() -> None:
        public.verify(signature, _CLAIMS, algorithm)
        key.sign(_CLAIMS, algorithm)

    return _cpu(once)


def _joserfc() -> float:
    key = ECKey.generate_key("P-256")
    header = {"alg": "ES256", "kid": "one"}
    token = jws.serialize_compact(header, _CLAIMS, key)

    def once() -> None:
        jws.deserialize_compact(token, key)
        jws.serialize_compact(header, _CLAIMS, key)

    return _cpu(once)


def _cpu(once: Callable[[], object]) -> float:
    """The CPU of one call in seconds: the best of several rounds, which others disturbed least."""
    rounds = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        for _ in range(_TIMES):
            once()
        rounds.append((time.process_time() - began) / _TIMES)
    return min(rounds)


def _fdatasync() -> float:
    path = FOLDER / "floor"
    FOLDER.mkdir(exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        took = []
        for page in range(200):
            os.pwrite(file, b"x" * 4096, page * 4096)
            began = time.perf_counter()
            os.fdatasync(file)
            took.append(time.perf_counter() - began)
        return statistics.median(took)
    finally:
        os.close(file)
        path.unlink()
