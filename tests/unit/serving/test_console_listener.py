"""The console's listener: whose socket it is, whose process connects, and threads of its own."""

from __future__ import annotations

import os
import socket
import stat
from dataclasses import replace

import pytest
from conftest import running_worker
from serving_client import Connection
from serving_probe import Probe

from bridge.model.errors import StartRefused
from bridge.serving.options import Caps, ConsoleListener, ListenerKind, ServingOptions
from bridge.serving.sockets import open_listeners

CONSOLE = ListenerKind.CONSOLE


class FileConnection(Connection):
    """A connection to a socket file."""

    def __init__(self, path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(20)
        self.socket.connect(str(path))
        self._buffer = b""


def options(console, **changes):
    return ServingOptions("", "", "127.0.0.1:0", plain_http=True, console=console, **changes)


def test_whoever_connects_to_the_socket_is_named_by_the_kernel(serve, tmp_path):
    path = tmp_path / "console.sock"
    worker = serve(console=ConsoleListener(unix=path))
    with FileConnection(path) as operator, worker.connect() as anybody:
        told = operator.get().json()
        assert (told["bridge.listener"], told["served"], told["uid"]) == ("console", "console", os.getuid())
        told = anybody.get(Bridge_Peer_Uid="0").json()
        assert told["bridge.listener"] == "plain"
        assert "bridge.peer_uid" not in told


@pytest.mark.parametrize(("group", "rights"), [(None, 0o600), (os.getgid(), 0o660)], ids=["own", "group"])
def test_the_socket_is_its_owner_s_alone_or_a_group_s_too(tmp_path, group, rights):
    listeners = open_listeners(options(ConsoleListener(unix=tmp_path / "console.sock", group=group)))
    try:
        there = (tmp_path / "console.sock").stat()
        assert (stat.S_IMODE(there.st_mode), there.st_uid, there.st_gid) == (rights, os.getuid(), os.getgid())
    finally:
        for listener in listeners:
            listener.close()
    assert not (tmp_path / "console.sock").exists()


def test_a_link_that_took_the_socket_s_place_has_nothing_of_others_opened(tmp_path, monkeypatch):
    """T-54: where others may write in the folder, a file that is not theirs could be made readable by the group."""
    path, secret = tmp_path / "console.sock", tmp_path / "seal.key"
    secret.write_bytes(b"x")
    secret.chmod(0o600)

    class Raced(socket.socket):
        def bind(self, address):
            super().bind(address)
            path.unlink()
            path.symlink_to(secret)

    monkeypatch.setattr("bridge.serving.unix_sockets.socket.socket", Raced)
    with pytest.raises(StartRefused, match="in the socket's place"):
        open_listeners(options(ConsoleListener(unix=path, group=os.getgid())))
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_something_else_at_the_place_of_the_socket_stays_there(tmp_path):
    (tmp_path / "console.sock").write_text("notes")
    with pytest.raises(StartRefused) as refused:
        open_listeners(options(ConsoleListener(unix=tmp_path / "console.sock")))
    assert refused.value.faults[0].startswith(f"cannot listen on {tmp_path}/console.sock (console)")
    assert (tmp_path / "console.sock").read_text() == "notes"


def test_an_address_speaks_tls_or_there_is_no_start():
    without = options(ConsoleListener(address="127.0.0.1:0"))
    assert any(fault.startswith("console: needs a [tls] certificate") for fault in without.faults())
    assert options(ConsoleListener(unix="console.sock")).faults() == []


@pytest.mark.parametrize("asks", [True, False])
def test_a_console_on_an_address_asks_for_certificates_only_where_operators_have_them(
    tls_options, client_tls, workload_authority, asks
):
    app = Probe()
    app.trusted = (1, (workload_authority.der,))
    # No other listener asks for one, or shows the certificate in the same way.
    own = replace(
        tls_options,
        listen="127.0.0.1:0",
        mtls_listen=None,
        console=ConsoleListener(address="127.0.0.1:0", asks_certificate=asks),
    )
    with running_worker(own, app) as worker:
        with worker.connect(CONSOLE, tls=client_tls(workload_authority.issue("operator"))) as operator:
            told = operator.get().json()
        assert (told["served"], told["scheme"], told["chain"]) == ("console", "https", 1 if asks else 0)
        assert told["uid"] is None


def test_pages_that_wait_keep_no_token_waiting(serve, tmp_path):
    path = tmp_path / "console.sock"
    worker = serve(threads=1, caps=Caps(waiting=0), console=ConsoleListener(unix=path))
    gate = worker.app.gate("console")
    slow = [FileConnection(path) for _ in range(4)]
    for connection in slow:
        connection.send(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
    # Both threads of the console are at work, and more wait for them.
    for _ in range(2):
        assert worker.app.arrived.acquire(timeout=20)
    with worker.connect() as client:
        assert client.get().status == 200
    gate.set()
    for connection in slow:
        with connection:
            # Those that had to wait may have been told that it took too long.
            assert connection.read().status in (200, 503)
