"""The parent: binds, starts workers, replaces dead ones, hands signals on, ends them in good order."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import wait

from uvicorn.supervisors.multiprocess import Multiprocess

from bridge.model.errors import StartRefused
from bridge.serving.balance import LoadBoard
from bridge.serving.notify import Notifier
from bridge.serving.options import ServingOptions
from bridge.serving.served import resolve
from bridge.serving.server import uvicorn_config
from bridge.serving.sockets import Listener, open_listeners
from bridge.serving.tls import UnfitCertificate, plain_context, read_certificate
from bridge.serving.worker import WorkerProcess

LOG = logging.getLogger("bridge.serving")

# How often workers are looked at when nothing happens, in seconds, and asked for a sign of life, as a part
# of how long they may be silent.
_LOOK = 1.0
_ASK = 0.25
# Workers that end before they serve are replaced with growing delay, up to this, in seconds.
_LONGEST_DELAY = 15.0
# What a worker gets beyond its drain before it is killed, in seconds.
_AFTER_DRAIN = 5.0
# How often it is asked whether a preparation that takes long is to go on, in seconds.
_PREPARED_LOOK = 0.2

# Waits so many seconds at most for what workers need to be in place. None: it is not yet. 0: it is. Else it will not
# be, and this is the exit code.
Prepared = Callable[[float], int | None]


class Supervisor(Multiprocess):
    """uvicorn's supervisor, with three differences: SIGHUP reloads the workers instead of replacing them,
    a worker that cannot start at first ends the whole with its faults, and it waits for events, so that a
    dead worker is replaced at once and no hung one holds up a signal."""

    processes: list[WorkerProcess]  # type: ignore[assignment]

    def __init__(
        self,
        options: ServingOptions,
        listeners: list[Listener],
        announce: Callable[[str], None],
        notifier: Notifier,
        prepared: Prepared,
    ) -> None:
        super().__init__(uvicorn_config(options), [])
        self._options = options
        self._listeners = listeners
        self._announce, self._notifier, self._prepared = announce, notifier, prepared
        self._board = LoadBoard(options.workers)
        self._announced = False
        self._status = ""
        self._reloading = False
        self._code = 0
        self._failed_starts = 0
        self._due: dict[int, float] = {}
        self._reload_when_ready: set[int] = set()
        self._asked_at = 0.0
        self._wake_read, self._wake_write = socket.socketpair()
        for end in (self._wake_read, self._wake_write):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)
        self._on_exit = resolve(options.on_worker_exit) if options.on_worker_exit else None

    def init_processes(self) -> None:
        """Start all workers at once: a start waits until the worker has read its options, and those may be long."""
        self.processes = [self._worker(place) for place in range(self.processes_num)]
        with ThreadPoolExecutor(self.processes_num) as starters:
            for _ in starters.map(WorkerProcess.start, self.processes):
                pass

    def _worker(self, place: int) -> WorkerProcess:
        return WorkerProcess(self.config, self._options, self._listeners, self._board, place)

    def serve(self) -> int:
        """Run until told to end. Gives the exit code."""
        self.init_processes()
        try:
            if not self._is_prepared():
                return self._code
            while not self.should_exit.is_set():
                self._sleep()
                self.handle_signals()
                self.keep_subprocess_alive()
        finally:
            self._end()
        return self._code

    def _is_prepared(self) -> bool:
        """Let the workers go on as soon as they may. True also when all is to end: that is handled with the signals."""
        code = None
        while code is None and not self._is_told_to_end():
            code = self._prepared(_PREPARED_LOOK)
        if self._is_told_to_end():
            return True
        self._code = code or 0
        if code == 0:
            for worker in self.processes:
                worker.release()
        return code == 0

    def _is_told_to_end(self) -> bool:
        return not {signal.SIGTERM, signal.SIGINT}.isdisjoint(self.signal_queue)

    def _sleep(self) -> None:
        """Until a signal comes, a worker says something or dies, or a second has passed."""
        living = [worker for place, worker in enumerate(self.processes) if place not in self._due]
        pipes = [worker.parent_conn for worker in living if not worker.mute]
        look = min(_LOOK, self._notifier.sign_seconds or _LOOK)
        wait([self._wake_read, *pipes, *(worker.process.sentinel for worker in living)], look)
        try:
            self._wake_read.recv(4096)
        except BlockingIOError:
            return

    def keep_subprocess_alive(self) -> None:
        """Look at every worker: take in what it says, replace it when it is dead or silent."""
        now = time.monotonic()
        ask = now - self._asked_at > _ASK * self._options.deadlines.silence
        if ask:
            self._asked_at = now
        for place, worker in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            if place in self._due:
                self._restart_when_due(place, now)
                continue
            worker.read_signs()
            if worker.process.is_alive() and worker.is_hung(now):
                LOG.error("worker %s gives no sign of life and is killed", worker.pid)
                worker.process.kill()
                worker.process.join()
            if not worker.process.is_alive():
                self._bury(place, worker, now)
            elif ask:
                worker.ask_for_sign()
        self._announce_once()
        self._hand_on_reloads()
        self._notice_reloaded()
        self._notifier.alive(now)

    def _bury(self, place: int, worker: WorkerProcess, now: float) -> None:
        worker.join()
        worker.read_signs()  # its last words may have come after the last look
        worker.parent_conn.close()
        self._board.vacate(place)
        if self._on_exit is not None:
            self._on_exit(worker.pid)
        if not self._announced:
            self._give_up(worker)
            return
        # One that has served is replaced at once. One that could not even begin would fail again at once.
        self._failed_starts = 0 if worker.ready else self._failed_starts + 1
        delay = min(_LONGEST_DELAY, 0.5 * 2 ** (self._failed_starts - 1)) if self._failed_starts else 0.0
        LOG.error(
            "worker %s ended (exit code %s)%s; another starts in %.1f s",
            worker.pid,
            worker.exitcode,
            f": {'; '.join(worker.faults)}" if worker.faults else "",
            delay,
        )
        self._due[place] = now + delay
        self._restart_when_due(place, now)

    def _restart_when_due(self, place: int, now: float) -> None:
        if now >= self._due[place]:
            del self._due[place]
            self.processes[place] = worker = self._worker(place)
            worker.start()
            worker.release()

    def _give_up(self, worker: WorkerProcess) -> None:
        """At the first start a worker that fails would fail again: end, and say why once."""
        self._code = 2 if worker.faults else 1
        for fault in worker.faults:
            sys.stderr.write(f"{fault}\n")
        if not worker.faults:
            sys.stderr.write(f"a worker could not start (exit code {worker.exitcode}); the log says why\n")
        self.should_exit.set()

    def _announce_once(self) -> None:
        if self._announced or not all(worker.ready for worker in self.processes):
            return
        self._announced = True
        first, *others = self._listeners
        beside = ", ".join(f"{listener.kind} {listener.url}" for listener in others)
        self._status = f"ready: {first.url}{f' ({beside})' if beside else ''}, {len(self.processes)} workers"
        self._announce(f"{self._status}, pid {os.getpid()}")
        self._notifier.ready(self._status)

    # Signals. The others are uvicorn's: INT and TERM end.

    def handle_hup(self) -> None:
        """Have every worker reload. One that is still starting does so when it is ready."""
        self._reload_when_ready = {worker.pid for worker in self.processes if worker.pid is not None}
        # Before the first announcement systemd waits for READY, and would take a reload's end for it.
        if self._announced:
            self._reloading = True
            self._notifier.reloading(time.monotonic_ns() // 1000)
        self._hand_on_reloads()

    def _hand_on_reloads(self) -> None:
        for worker in self.processes:
            if worker.ready and worker.pid in self._reload_when_ready and worker.process.is_alive():
                self._reload_when_ready.discard(worker.pid)
                worker.reloading = True
                os.kill(worker.pid, signal.SIGHUP)

    def _notice_reloaded(self) -> None:
        """Say that a reload is over, once every worker has said so. One that came in the place of a dead one has read
        everything anew; one that died is asked no more."""
        if not self._reloading:
            return
        waited_for = self._reload_when_ready & {worker.pid for worker in self.processes if worker.process.is_alive()}
        if not waited_for and not any(worker.reloading and worker.process.is_alive() for worker in self.processes):
            self._reloading = False
            self._notifier.ready(self._status)

    def handle_ttin(self) -> None:
        """Nothing: the number of workers is configuration."""

    def handle_ttou(self) -> None:
        """Nothing: the number of workers is configuration."""

    def _end(self) -> None:
        self._notifier.stopping()
        living = [worker for place, worker in enumerate(self.processes) if place not in self._due]
        for worker in living:
            worker.terminate()
        deadline = time.monotonic() + self._options.deadlines.drain + _AFTER_DRAIN
        for worker in living:
            while worker.process.is_alive() and time.monotonic() < deadline:
                worker.process.join(0.1)
                self._notifier.alive(time.monotonic())
                if signal.SIGINT in self.signal_queue:
                    # Pressed again: do not wait for the drain.
                    deadline = 0.0
            if worker.process.is_alive():
                LOG.error("worker %s did not end in time and is killed", worker.pid)
                worker.process.kill()
                worker.process.join()
            # One that was still starting has no handler for SIGTERM, and nothing to drain.
            if worker.exitcode not in (0, -signal.SIGTERM):
                self._code = self._code or 1
        signal.set_wakeup_fd(-1)
        self._wake_read.close()
        self._wake_write.close()


def _announce_on_stdout(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _check(options: ServingOptions) -> list[Listener]:
    faults = options.faults()
    if options.certificate is not None and options.private_key is not None:
        try:
            plain_context(read_certificate(options.certificate, options.private_key))
        except UnfitCertificate as error:
            faults.append(str(error))
    if faults:
        raise StartRefused(faults)
    return open_listeners(options)


def serve(
    options: ServingOptions,
    announce: Callable[[str], None] = _announce_on_stdout,
    prepared: Prepared = lambda _: 0,
) -> int:
    """Run the service in the foreground until SIGTERM or SIGINT, and give the exit code.

    0: ended as told, all requests answered. 1: a worker crashed at its start, or could not answer all by
    the end of its drain. 2: the configuration is not usable; every fault is on stderr, once. `announce`
    gets one line when all workers serve, and so does systemd, if it wants to know. While `prepared` is waited for, the
    workers load their code; what it says instead of 0 is the exit code. Must be called in the
    main thread of a process that has no other use for signals.
    """
    try:
        listeners = _check(options)
    except StartRefused as refused:
        for fault in refused.faults:
            sys.stderr.write(f"{fault}\n")
        return 2
    # prometheus_client decides at its import, in the workers, whether numbers are shared between processes.
    notifier = Notifier.from_environment(os.environ, os.getpid())
    shared_numbers = tempfile.mkdtemp(prefix="bridge-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = shared_numbers
    try:
        return Supervisor(options, listeners, announce, notifier, prepared).serve()
    finally:
        for listener in listeners:
            listener.close()
        shutil.rmtree(shared_numbers, ignore_errors=True)
