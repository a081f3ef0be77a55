"""What the parent does for the metrics of its workers. It makes no metric of its own: in a directory that
several processes share, the zeros of a process that measures nothing would count."""

from __future__ import annotations


def forget_worker(pid: int) -> None:
    """Drop the gauges of a worker that ended, so that they do not speak for ever."""
    # Imported when first needed: the parent of a healthy service never needs it.
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]
