"""Servers to talk to: one worker in a thread with everything real but the process, or a whole supervisor."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from serving_client import Connection  # noqa: E402
from serving_pki import Issued, authority, client_context  # noqa: E402
from serving_probe import Probe  # noqa: E402

from bridge.serving.balance import LoadBoard  # noqa: E402
from bridge.serving.options import Deadlines, ListenerKind, ServingOptions  # noqa: E402
from bridge.serving.server import WorkerServer, uvicorn_config  # noqa: E402
from bridge.serving.sockets import open_listeners  # noqa: E402

# Short where a test waits for them, long where they must not come into play.
PATIENT = Deadlines(handshake=8, head=8, body=8, keep_alive=8, write=8, linger=0.5, queue=8, drain=8)


@dataclass
class RunningWorker:
    """A worker that serves `app` in a thread of this process."""

    app: Probe
    ports: dict[ListenerKind, int]
    server: WorkerServer
    thread: threading.Thread
    connections: list[Connection] = field(default_factory=list)

    def connect(self, kind: ListenerKind = ListenerKind.PLAIN, *, tls: object = None) -> Connection:
        """A new connection. Closed at the end at the latest."""
        connection = Connection(self.ports[kind], tls)  # type: ignore[arg-type]
        self.connections.append(connection)
        return connection

    def drain(self) -> None:
        """Begin to end; does not wait."""
        self.server.should_exit = True

    def join(self) -> None:
        self.thread.join(15)
        assert not self.thread.is_alive()


@contextmanager
def running_worker(options: ServingOptions, app: Probe) -> Iterator[RunningWorker]:
    """Serve until the end of the block, then drain."""
    listeners = open_listeners(options)
    ready = threading.Event()

    server = WorkerServer(
        uvicorn_config(options), options, app, listeners, board=LoadBoard(1), place=0, ready=ready.set
    )
    thread = threading.Thread(target=server.run, name="worker-under-test")
    thread.start()
    try:
        assert ready.wait(10), "the worker did not start"
        named = [listener for listener in listeners if listener.file is None]
        ports = {listener.kind: listener.socket.getsockname()[1] for listener in named}
        running = RunningWorker(app, ports, server, thread)
        yield running
        for connection in running.connections:
            connection.socket.close()
    finally:
        for gate in app.gates.values():
            gate.set()
        server.should_exit = True
        thread.join(15)
        for listener in listeners:
            listener.close()
        assert not thread.is_alive(), "the worker did not end"


def _without_tls(**options: object) -> ServingOptions:
    chosen = {"deadlines": PATIENT, "plain_http": True, "threads": 2, **options}
    return ServingOptions("", "", "127.0.0.1:0", **chosen)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def shared_worker() -> Iterator[RunningWorker]:
    """The worker of all tests that ask for nothing special."""
    with running_worker(_without_tls(), Probe()) as worker:
        yield worker


@pytest.fixture
def serve(shared_worker: RunningWorker) -> Iterator[Callable[..., RunningWorker]]:
    """A function that gives a worker without TLS: `serve(deadlines=..., caps=..., **options)`. With any
    argument it is one of its own."""
    with ExitStack() as stack:

        def start(*, app: Probe | None = None, **options: object) -> RunningWorker:
            if app is None and not options:
                return shared_worker
            return stack.enter_context(running_worker(_without_tls(**options), app or Probe()))

        yield start


@pytest.fixture(scope="session")
def server_authority() -> Issued:
    """Issues the server's certificates."""
    return authority("server authority")


@pytest.fixture(scope="session")
def workload_authority() -> Issued:
    """Issues the clients' certificates."""
    return authority("workload authority")


@pytest.fixture
def tls_options(tmp_path: Path, server_authority: Issued) -> ServingOptions:
    """A plain and an mTLS listener with a certificate in `tmp_path/tls`."""
    certificate, private_key = server_authority.issue("server").write(tmp_path / "tls")
    return ServingOptions(
        "", "", "127.0.0.1:0", mtls_listen="127.0.0.1:0", certificate=certificate, private_key=private_key,
        threads=2, poll=0.05, deadlines=PATIENT,
    )  # fmt: skip


@pytest.fixture
def client_tls(tmp_path: Path, server_authority: Issued) -> Callable[[Issued | None], object]:
    """TLS contexts of clients."""
    return lambda identity=None: client_context(server_authority, identity, tmp_path)


@dataclass
class RunningService:
    """A whole service in processes of its own."""

    process: subprocess.Popen[str]
    folder: Path
    ready_line: str

    @property
    def port(self) -> int:
        return int(self.ready_line.split()[1].rstrip(",").rsplit(":", 1)[1])

    def marks(self, what: str) -> set[int]:
        """The process ids that left a mark of this name."""
        return {int(path.name.rpartition("-")[2]) for path in self.folder.glob(f"{what}-*")}


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """A function that starts a supervisor in a process of its own; all are killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def start(options: ServingOptions, *more: str) -> subprocess.Popen[str]:
        pickled = tmp_path / "options.pickle"
        pickled.write_bytes(pickle.dumps(options))
        temporary = tmp_path / "temporary"
        temporary.mkdir(exist_ok=True)
        environ = {
            **os.environ,
            "TMPDIR": str(temporary),
            "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[2])]),
            "SERVING_TEST_FOLDER": str(tmp_path),
        }
        command = [sys.executable, str(HERE / "serving_launcher.py"), str(pickled), *more]
        process = subprocess.Popen(
            command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def service(launch: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> Callable[..., RunningService]:
    """A function that starts a service without TLS and waits until it is ready."""

    def start(**options: object) -> RunningService:
        basic = ServingOptions("serving_probe:file_probe", str(tmp_path), "127.0.0.1:0", plain_http=True, threads=2)
        process = launch(replace(basic, **{"deadlines": PATIENT, **options}))  # type: ignore[arg-type]
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ready: "), (line, process.poll())
        return RunningService(process, tmp_path, line.strip())

    return start
