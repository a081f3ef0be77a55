"""A whole service in processes: ready line, signals, deaths, and starts that cannot be."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import RunningService
from serving_client import Connection

from bridge.serving.options import ServingOptions


def _until(condition, what: str) -> None:
    """Look again until it holds; fail after 20 s. For what other processes do, which no event here can tell."""
    pause, deadline = threading.Event(), time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        pause.wait(0.02)


def _workers(service: RunningService) -> set[int]:
    """The workers that answer. Connections are spread by how many are open, so these stay open."""
    with ExitStack() as stack:
        held = [stack.enter_context(Connection(service.port)) for _ in range(12)]
        return {client.get().json()["pid"] for client in held}


def _end(service: RunningService, sig: int = signal.SIGTERM) -> tuple[int, str]:
    service.process.send_signal(sig)
    _, errors = service.process.communicate(timeout=20)
    return service.process.returncode, errors


def test_one_line_says_ready_and_sigterm_ends_all_in_good_order(service):
    running = service(metrics_listen="127.0.0.1:0")
    assert running.ready_line.startswith(f"ready: http://127.0.0.1:{running.port} (metrics http://127.0.0.1:")
    assert running.ready_line.endswith(f"), 2 workers, pid {running.process.pid}")
    workers = running.marks("start")
    assert len(workers) == 2
    assert _workers(running) == workers
    assert _end(running) == (0, "")
    assert running.marks("close") == workers
    for pid in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_connections_are_spread_over_the_workers(service):
    running = service()
    counts = dict.fromkeys(running.marks("start"), 0)
    with ExitStack() as stack:
        for _ in range(64):
            counts[stack.enter_context(Connection(running.port)).get().json()["pid"]] += 1
            if min(counts.values()) >= 5:
                return
    pytest.fail(f"one worker has nearly all connections: {counts}")


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT], ids=["sigterm", "sigint"])
def test_a_request_in_service_is_answered_before_the_end(service, sig):
    running = service()
    os.mkfifo(running.folder / "pipe")
    with Connection(running.port) as client:
        client.send(b"GET /pipe?name=pipe HTTP/1.1\r\nHost: a\r\n\r\n")
        _until(lambda: running.marks("arrived"), "the request did not arrive")
        running.process.send_signal(sig)
        [idle] = running.marks("start") - running.marks("arrived")
        _until(lambda: running.marks("close") == {idle}, "the idle worker did not end")
        (running.folder / "pipe").write_bytes(b"go")
        assert client.read().status == 200
    running.process.communicate(timeout=20)
    assert running.process.returncode == 0
    assert running.marks("close") == running.marks("start")


def test_a_killed_worker_is_replaced_and_others_serve_meanwhile(service):
    running = service(on_worker_exit="serving_probe:note_exit")
    first = running.marks("start")
    victim = min(first)
    os.kill(victim, signal.SIGKILL)
    assert _workers(running) <= first | running.marks("start")
    _until(lambda: len(running.marks("start")) == 3, "no worker took its place")
    _until(lambda: running.marks("exited") == {victim}, "its end was not told")
    [newcomer] = running.marks("start") - first
    _until(lambda: newcomer in _workers(running), "the new worker does not serve")
    assert _end(running)[0] == 0


def test_when_all_workers_are_killed_clients_wait_for_the_new_ones_and_none_is_refused(service):
    running = service()
    first = running.marks("start")
    for pid in first:
        os.kill(pid, signal.SIGKILL)
    with Connection(running.port) as client:
        assert client.get().json()["pid"] not in first
    assert _end(running)[0] == 0


def test_sighup_reloads_every_worker_and_replaces_none(service):
    running = service()
    before = running.marks("start")
    running.process.send_signal(signal.SIGHUP)
    _until(lambda: running.marks("reload") == before, "not every worker reloaded")
    assert running.marks("start") == before
    assert _end(running) == (0, "")


def test_sighup_looks_at_the_certificate_at_once(service, tls_options, server_authority, client_tls):
    running = service(
        certificate=tls_options.certificate, private_key=tls_options.private_key, plain_http=False, poll=3600
    )
    new = server_authority.issue("new")
    new.write(tls_options.certificate.parent)
    running.process.send_signal(signal.SIGHUP)

    def served() -> bytes:
        with Connection(running.port, client_tls()) as client:
            assert client.get().status == 200
            return client.peer_der()

    _until(lambda: {served() for _ in range(8)} == {new.der}, "the new certificate is not in use")


def test_workers_end_when_their_parent_is_killed(service):
    running = service()
    workers = running.marks("start")
    running.process.kill()
    running.process.wait()
    _until(lambda: running.marks("close") == workers, "orphans go on")


def test_a_worker_that_gives_no_sign_of_life_is_replaced(service):
    running = service(deadlines=replace(ServingOptions("", "", "").deadlines, silence=4))
    victim = min(running.marks("start"))
    os.kill(victim, signal.SIGSTOP)
    _until(lambda: len(running.marks("start")) == 3, "the hung worker was not replaced")
    assert _end(running)[0] == 0


def _fails(launch, **options) -> tuple[int, str, str]:
    basic = ServingOptions("serving_probe:file_probe", "the argument", "127.0.0.1:0", plain_http=True)
    process = launch(replace(basic, **options))
    out, errors = process.communicate(timeout=30)
    return process.returncode, out, errors


def test_faults_of_the_application_end_the_start_and_are_said_once(launch):
    code, out, errors = _fails(launch, factory="serving_probe:refusing")
    assert (code, out, errors) == (2, "", "the argument: first fault\nsecond fault\n")


def test_so_do_faults_that_only_its_start_finds_and_it_is_closed(launch, tmp_path):
    code, out, errors = _fails(launch, factory="serving_probe:refusing_at_start")
    assert (code, out, errors) == (2, "", f"{tmp_path.name}: no certificate\n")
    # The other worker may have been ended anywhere on its way.
    assert list(tmp_path.glob("close-*"))


def test_a_crash_at_the_start_ends_it_too(launch):
    code, out, errors = _fails(launch, factory="serving_probe:crashing")
    assert (code, out) == (1, "")
    assert "RuntimeError: broken" in errors


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param({"listen": "127.0.0.1"}, "not of the form host:port", id="no-port"),
        pytest.param({"listen": "203.0.113.1:0"}, "cannot listen on 203.0.113.1:0", id="foreign-address"),
        pytest.param({"plain_http": False}, "a certificate and its private_key are needed", id="no-certificate"),
        pytest.param({"mtls_listen": "127.0.0.1:0"}, "needs a [tls] certificate", id="mtls-without-certificate"),
        pytest.param(
            {"certificate": Path("absent.pem"), "private_key": Path("absent.key")},
            "absent.pem: cannot be read",
            id="absent-certificate",
        ),
        pytest.param({"factory": "serving_probe:nothing"}, "there is no such callable", id="no-factory"),
        pytest.param({"listen": None}, "listen: name an address", id="no-listener"),
        pytest.param({"workers": 0}, "workers: must be at least 1", id="no-workers"),
    ],
)
def test_a_configuration_that_cannot_be_is_no_start_and_no_traceback(launch, options, words):
    code, out, errors = _fails(launch, **options)
    assert (code, out) == (2, "")
    assert words in errors
    assert "Traceback" not in errors


def test_an_address_in_use_is_named(service, launch):
    running = service(workers=1)
    code, _, errors = _fails(launch, listen=f"127.0.0.1:{running.port}")
    assert code == 2
    assert f"cannot listen on 127.0.0.1:{running.port}" in errors


def test_the_folder_for_shared_numbers_goes_with_the_service(service):
    running = service(workers=1)
    assert len(list(running.folder.glob("temporary/bridge-metrics-*"))) == 1
    assert _end(running) == (0, "")
    assert list(running.folder.glob("temporary/bridge-metrics-*")) == []
