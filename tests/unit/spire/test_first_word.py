"""What a stranger learns of an agent, and what is said of a socket that is none."""

from __future__ import annotations

import os
import socket as sockets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import pytest

from bridge.lab.authority import Authority
from bridge.lab.mute_socket import MuteSocket
from bridge.lab.workload_api import WorkloadApi
from bridge.spire.endpoint import WorkloadEndpoint
from bridge.spire.first_word import first_word
from bridge.spire.workload_client import WorkloadApiFailed

AUTHORITY, PARTNER = Authority("example.org"), Authority("partner.example")
LONG, SHORT = 20.0, 0.5


def said(address: str, timeout: float = LONG) -> tuple[str | None, str | None, list[str]]:
    word = first_word(WorkloadEndpoint.parse(address), timeout=timeout)
    own = None if word.trust_domain is None else word.trust_domain.name
    return own, None if word.identity is None else str(word.identity), [each.name for each in word.bundles]


def why_not(path: Path, timeout: float = LONG) -> str:
    with pytest.raises(WorkloadApiFailed) as failed:
        said(f"unix://{path}", timeout)
    return str(failed.value)


def test_whoever_has_an_entry_learns_its_name_the_trust_domain_and_whose_bundles_there_are(tmp_path: Path) -> None:
    with WorkloadApi(AUTHORITY, tmp_path / "a.sock", identities=["/one", "/two"], federated=[PARTNER]) as api:
        assert said(api.address) == ("example.org", "spiffe://example.org/one", ["example.org", "partner.example"])


@pytest.mark.parametrize(("open_to_all", "own"), [(True, "example.org"), (False, None)], ids=["verifiers", "nobody"])
def test_a_stranger_learns_the_trust_domain_where_strangers_may_verify(
    tmp_path: Path, open_to_all: bool, own: str | None
) -> None:
    """No entry is no failure: it is the first thing that anybody is told."""
    with WorkloadApi(AUTHORITY, tmp_path / "a.sock", federated=[PARTNER], strangers_may_verify=open_to_all) as api:
        assert said(api.address) == (own, None, [] if own is None else [own])


def test_a_socket_that_is_not_there_is_not_taken_for_an_agent_that_refuses(tmp_path: Path) -> None:
    with WorkloadApi(AUTHORITY, tmp_path / "a.sock", identities=["/one"]) as api:
        assert said(api.address)[0] == "example.org"
    assert "there is no socket" in why_not(tmp_path / "a.sock")
    assert "there is no socket" in why_not(tmp_path / "no" / "folder.sock")


def test_a_plain_file_is_no_socket(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "is no socket" in why_not(tmp_path / "file")


def test_a_socket_that_a_killed_agent_left_is_named_as_that(tmp_path: Path) -> None:
    api = WorkloadApi(AUTHORITY, tmp_path / "a.sock", identities=["/one"]).start()
    api.kill()
    assert "left it behind" in why_not(tmp_path / "a.sock")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may connect everywhere")
def test_a_socket_that_one_may_not_use_is_named_as_that(tmp_path: Path) -> None:
    with WorkloadApi(AUTHORITY, tmp_path / "a.sock", identities=["/one"]):
        (tmp_path / "a.sock").chmod(0)
        assert "may not connect" in why_not(tmp_path / "a.sock")


@contextmanager
def grpc_server(path: Path) -> Iterator[None]:
    """Somebody else's gRPC service, as the SPIRE server's own socket is one."""
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        server.add_insecure_port(f"unix:{path}")
        server.start()
        try:
            yield
        finally:
            server.stop(None).wait()


@contextmanager
def rude_server(path: Path) -> Iterator[None]:
    """Takes each connection, answers as a web server would, and ends it, until it is told to stop."""
    with sockets.socket(sockets.AF_UNIX) as listener, ThreadPoolExecutor(1) as pool:
        listener.bind(str(path))
        listener.listen(16)
        listener.settimeout(20)

        def answer() -> None:
            while True:
                caller, _ = listener.accept()
                # Who only looks whether somebody listens is gone by now.
                with caller, suppress(OSError):
                    if caller.recv(4) == b"STOP":
                        return
                    caller.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

        done = pool.submit(answer)
        yield
        with sockets.socket(sockets.AF_UNIX) as last:
            last.connect(str(path))
            last.sendall(b"STOP")
            done.result(20)


def test_another_grpc_service_is_no_workload_api(tmp_path: Path) -> None:
    with grpc_server(tmp_path / "server.sock"):
        assert "is no Workload API" in why_not(tmp_path / "server.sock")


def test_a_service_that_speaks_no_grpc_is_no_agent(tmp_path: Path) -> None:
    with rude_server(tmp_path / "web.sock"):
        assert "speaks no gRPC" in why_not(tmp_path / "web.sock")


def test_somebody_who_says_nothing_is_waited_for_no_longer_than_told(tmp_path: Path) -> None:
    with MuteSocket(tmp_path / "mute.sock"):
        assert "mute.sock" in why_not(tmp_path / "mute.sock", SHORT)
    with WorkloadApi(AUTHORITY, tmp_path / "a.sock", identities=["/one"]) as api:
        api.mute()
        assert "says nothing" in why_not(tmp_path / "a.sock", SHORT)
