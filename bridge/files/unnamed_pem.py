"""Certificate and key where the `ssl` module can open them, and nobody else finds them.

That module takes both from files only. A key that came over a socket is not to reach a disk for that.
"""

from __future__ import annotations

import base64
import errno
import os
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def unnamed_pem(chain: Sequence[bytes], key: bytes) -> Iterator[str]:
    """A path to `chain` (DER, leaf first) and `key` (PKCS#8 DER) as PEM, good within the block.

    It leads to memory that has no name in any folder and is gone at the end of the block.
    Raises: OSError where the system has no such memory.
    """
    if not hasattr(os, "memfd_create"):
        raise OSError(errno.ENOSYS, "there are no files without a name here (memfd_create, Linux)")
    with open(os.memfd_create("svid", os.MFD_CLOEXEC), "wb") as memory:
        memory.write(pem_of(chain, key))
        memory.flush()
        yield f"/proc/self/fd/{memory.fileno()}"


def pem_of(chain: Sequence[bytes], key: bytes) -> bytes:
    """Both as PEM, the chain first."""
    certificates = "".join(ssl.DER_cert_to_PEM_cert(der) for der in chain)
    encoded = base64.encodebytes(key).decode()
    return f"{certificates}-----BEGIN PRIVATE KEY-----\n{encoded}-----END PRIVATE KEY-----\n".encode()
