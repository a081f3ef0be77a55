"""What the kernel says about a tree of processes: CPU, memory, cores. Linux only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
ALL_CORES = frozenset(os.sched_getaffinity(0))


class ProcessTree:
    """A process and everything below it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def pids(self) -> list[int]:
        """All that live now."""
        found = [self._pid]
        for pid in found:
            try:
                threads = list(Path(f"/proc/{pid}/task").iterdir())
                for thread in threads:
                    found += [int(child) for child in (thread / "children").read_text().split()]
            except FileNotFoundError:
                continue
        return found

    def cpu_seconds(self) -> float:
        """User and system time of all of them, threads that ended included. Counted in ticks of 10 ms."""
        return sum(self._cpu(pid) for pid in self.pids())

    @staticmethod
    def _cpu(pid: int) -> float:
        # The name, in parentheses, may hold blanks.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def resident_bytes(self) -> int:
        """The sum of what each holds resident: pages that several share count for each of them."""
        return sum(size for name, size in self._memory() if name == "Rss")

    def proportional_bytes(self) -> int:
        """The same with shared pages divided among those who share them."""
        return sum(size for name, size in self._memory() if name == "Pss")

    def _memory(self) -> Iterator[tuple[str, int]]:
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
                name, _, rest = line.partition(":")
                yield name, int(rest.split()[0]) * 1024

    def pin(self, cores: frozenset[int]) -> None:
        """Have every thread run on these cores only; threads and processes made later inherit it."""
        for pid in self.pids():
            for thread in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), cores)


def split_cores() -> tuple[frozenset[int], frozenset[int]]:
    """One core for the service and one for the load tool; the same one twice where there is only one."""
    cores = sorted(ALL_CORES)
    return frozenset(cores[:1]), frozenset(cores[-1:])
