"""Run as a program: `confined.py CALLS PROGRAM WORDS...` begins PROGRAM as the shipped unit would confine it.

CALLS is a file with the names of the system calls that are let through; any other answers EPERM. Of sockets only
AF_UNIX, AF_INET and AF_INET6 are (RestrictAddressFamilies=), and no memory is ever writable and executable, nor made
executable later (MemoryDenyWriteExecute=), by the rules that systemd itself gives to libseccomp.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
from pathlib import Path

NO_NEW_PRIVILEGES = 38
ALLOW, EPERM = 0x7FFF0000, 0x00050001
EQUAL, MASKED_EQUAL = 4, 7
WRITE, EXECUTE = 0x2, 0x4
FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)


class Comparison(ctypes.Structure):
    """`struct scmp_arg_cmp`."""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


def confine(calls: list[str]) -> None:
    """Let this process and all below it make these calls and no others."""
    seccomp = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    seccomp.seccomp_init.restype = ctypes.c_void_p
    seccomp.seccomp_rule_add_array.argtypes = [
        *(ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(Comparison)),
    ]
    seccomp.seccomp_load.argtypes = [ctypes.c_void_p]
    rules = seccomp.seccomp_init(EPERM)

    def let(name: str, *comparisons: Comparison) -> None:
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        # A negative one is of another machine.
        if number >= 0:
            array = (Comparison * max(1, len(comparisons)))(*comparisons)
            status = seccomp.seccomp_rule_add_array(rules, ALLOW, number, len(comparisons), array)
            assert status == 0, (name, status)

    for name in calls:
        if name == "socket":
            for family in FAMILIES:
                let(name, Comparison(0, EQUAL, family, 0))
        elif name == "mmap":
            let(name, Comparison(2, MASKED_EQUAL, EXECUTE, 0))
            let(name, Comparison(2, MASKED_EQUAL, WRITE, 0))
        elif name in ("mprotect", "pkey_mprotect"):
            let(name, Comparison(2, MASKED_EQUAL, EXECUTE, 0))
        else:
            let(name)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0
    assert seccomp.seccomp_load(rules) == 0


if __name__ == "__main__":
    confine(Path(sys.argv[1]).read_text().split())
    os.execv(sys.argv[2], sys.argv[2:])
