"""Handshakes: who gets through, what the application learns of it, and rotation while connections go on."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from dataclasses import replace

import pytest
from conftest import running_worker
from serving_client import Connection
from serving_pki import authority
from serving_probe import Probe

from bridge.model.errors import StartRefused
from bridge.serving.kept_certificate import CertificateFiles, KeptCertificate
from bridge.serving.options import Deadlines, ListenerKind
from bridge.serving.rotation import TlsKeeper
from bridge.serving.served import SilentObserver

MTLS = ListenerKind.MTLS


@pytest.fixture
def app(workload_authority):
    probe = Probe()
    probe.trusted = (1, (workload_authority.der,))
    return probe


@pytest.fixture
def worker(tls_options, app):
    with running_worker(tls_options, app) as running:
        yield running


def test_the_plain_listener_serves_over_tls_and_asks_for_no_certificate(worker, client_tls, workload_authority):
    with worker.connect(tls=client_tls(workload_authority.issue("workload"))) as client:
        told = client.get().json()
    assert told["wsgi.url_scheme"] == "https"
    assert told["bridge.listener"] == "plain"
    assert told["chain"] == []


def test_the_chain_arrives_with_its_intermediates_leaf_first(worker, client_tls, workload_authority):
    intermediate = workload_authority.issue("intermediate", authority=True)
    workload = intermediate.issue("workload")
    with worker.connect(MTLS, tls=client_tls(workload)) as client:
        told = [client.get().json() for _ in range(2)]
    assert told[0]["bridge.listener"] == "mtls"
    assert [bytes.fromhex(each) for each in told[0]["chain"]] == list(workload.chain)
    assert len(workload.chain) == 2
    assert told[1]["chain"] == told[0]["chain"]


def test_a_client_without_a_certificate_reaches_the_application_on_the_mtls_listener(worker, client_tls):
    with worker.connect(MTLS, tls=client_tls()) as client:
        assert client.get().json()["chain"] == []


@pytest.mark.parametrize("days", [(-3, -1), (1, 3)], ids=["expired", "not-yet-valid"])
def test_time_is_not_looked_at_in_the_handshake(worker, client_tls, workload_authority, days):
    workload = workload_authority.issue("workload", days=days)
    with worker.connect(MTLS, tls=client_tls(workload)) as client:
        assert client.get().json()["chain"] == [workload.der.hex()]


def test_an_intermediate_alone_is_an_anchor(worker, app, client_tls, workload_authority):
    intermediate = authority("unknown root").issue("known intermediate", authority=True)
    app.trusted = (2, (workload_authority.der, intermediate.der))
    _wait_until_trusted(worker, client_tls(intermediate.issue("workload")))


def test_an_unknown_anchor_ends_in_the_handshake_counted_and_logged(worker, app, client_tls, caplog):
    caplog.set_level("INFO", "bridge.serving")
    stranger = authority("stranger").issue("workload")
    with pytest.raises((ssl.SSLError, OSError, EOFError)), worker.connect(MTLS, tls=client_tls(stranger)) as client:
        client.get()
    app.serving_observer.wait_for("handshake", "mtls", "unable_to_get_local_issuer_certificate")
    record = next(each for each in caplog.records if each.message == "TLS handshake failed")
    assert (record.listener, record.peer) == ("mtls", "127.0.0.1")


def test_without_any_anchor_a_certificate_is_still_asked_for(tls_options, client_tls, workload_authority):
    with running_worker(tls_options, Probe()) as worker:
        with worker.connect(MTLS, tls=client_tls()) as client:
            assert client.get().status == 200
        workload = workload_authority.issue("workload")
        with pytest.raises((ssl.SSLError, OSError, EOFError)):
            with worker.connect(MTLS, tls=client_tls(workload)) as client:
                client.get()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["tls-1.2", "tls-1.3"])
def test_no_session_can_be_resumed_on_the_mtls_listener(worker, client_tls, workload_authority, version):
    context = client_tls(workload_authority.issue("workload"))
    context.maximum_version = context.minimum_version = version
    session = None
    for _ in range(3):
        with Connection(worker.ports[MTLS], context, session=session) as client:
            assert len(client.get().json()["chain"]) == 1
            assert not client.socket.session_reused
            session = client.socket.session
            # A clean end on both sides: otherwise OpenSSL itself would forget the session.
            client.socket.unwrap()


def test_older_versions_of_tls_are_not_spoken(worker, app, client_tls):
    context = client_tls()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, OSError)):
        worker.connect(tls=context)
    app.serving_observer.wait_for("handshake", "plain", "unsupported_protocol")


def test_plain_http_on_a_tls_port_is_counted_as_that(worker, app):
    with worker.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.wait_until_closed()
    app.serving_observer.wait_for("handshake", "plain", "http_request")


def test_a_handshake_that_stalls_ends_at_its_deadline(tls_options, app):
    with running_worker(replace(tls_options, deadlines=Deadlines(handshake=0.3)), app) as worker:
        with worker.connect() as client:
            assert client.wait_until_closed() == b""
        app.serving_observer.wait_for("handshake", "plain", "timeout")


def test_hundreds_of_stalled_handshakes_hold_no_one_up(worker, client_tls, workload_authority):
    held = [
        socket.create_connection(("127.0.0.1", worker.ports[kind])) for kind in ("plain", "mtls") for _ in range(150)
    ]
    for connection in held[::2]:
        connection.send(b"\x16\x03\x01\x02\x00\x01")
    for kind, identity in ((ListenerKind.PLAIN, None), (MTLS, workload_authority.issue("workload"))):
        with worker.connect(kind, tls=client_tls(identity)) as client:
            assert [client.get().status for _ in range(20)] == [200] * 20
    for connection in held:
        connection.close()


def test_when_the_cap_is_reached_those_go_that_never_asked_for_anything(tls_options, app, client_tls):
    options = replace(tls_options, caps=replace(tls_options.caps, connections=32))
    with running_worker(options, app) as worker, worker.connect(tls=client_tls()) as good:
        assert good.get().status == 200
        held = [socket.create_connection(("127.0.0.1", worker.ports[MTLS])) for _ in range(100)]
        with worker.connect(tls=client_tls()) as late:
            assert late.get().status == 200
        assert good.get().status == 200
        app.serving_observer.wait_for("handshake", "mtls", "closed", times=60)
        for connection in held:
            connection.close()


def _served_certificate(worker, context) -> bytes:
    with worker.connect(tls=context) as client:
        assert client.get().status == 200
        return client.peer_der()


def _wait_until_trusted(worker, context) -> None:
    """Ask until a handshake passes; bounded by the number of tries, each a full handshake."""
    for _ in range(500):
        try:
            with worker.connect(MTLS, tls=context) as client:
                assert client.get().json()["chain"]
                return
        except (ssl.SSLError, OSError, EOFError):
            continue
    pytest.fail("the new anchor was never used")


def test_a_new_certificate_is_used_by_new_connections_and_no_request_is_lost(
    tmp_path, tls_options, app, client_tls, server_authority
):
    old, new = server_authority.issue("old"), server_authority.issue("new")
    old.write(tmp_path / "old")
    new.write(tmp_path / "new")
    current = tmp_path / "current"
    current.symlink_to("old")
    options = replace(tls_options, certificate=current / "server.pem", private_key=current / "server.key")
    with running_worker(options, app) as worker, worker.connect(tls=client_tls()) as kept:
        assert kept.get().status == 200
        assert _served_certificate(worker, client_tls()) == old.der
        swapped = threading.Event()
        seen: list[list[bytes]] = [[], []]

        def keep_asking(mine: list[bytes]) -> None:
            while not swapped.is_set() or mine[-1] != new.der:
                mine.append(_served_certificate(worker, client_tls()))

        threads = [threading.Thread(target=keep_asking, args=(mine,)) for mine in seen]
        for thread in threads:
            thread.start()
        # What `ln -sfn` does: another link, renamed over the old one.
        (tmp_path / "next").symlink_to("new")
        os.replace(tmp_path / "next", current)
        swapped.set()
        for thread in threads:
            thread.join(15)
            assert not thread.is_alive()
        assert all(set(mine) <= {old.der, new.der} and mine[-1] == new.der for mine in seen)
        assert kept.get().status == 200
        assert kept.peer_der() == old.der


def test_changed_anchors_hold_for_new_connections(worker, app, client_tls, workload_authority):
    newcomer = authority("another trust domain")
    context = client_tls(newcomer.issue("workload"))
    with pytest.raises((ssl.SSLError, OSError, EOFError)), worker.connect(MTLS, tls=context) as client:
        client.get()
    with worker.connect(MTLS, tls=client_tls(workload_authority.issue("workload"))) as kept:
        assert kept.get().status == 200
        app.trusted = (2, (newcomer.der, b"not a certificate"))
        _wait_until_trusted(worker, context)
        assert kept.get().status == 200


def _keeper(tls_options, observer=None, now=0.0):
    files = CertificateFiles(tls_options.certificate, tls_options.private_key)
    kept = KeptCertificate(files, observer or SilentObserver(), lambda: now)
    return TlsKeeper(plain=kept, asking=None, anchors=lambda: (0, ()), poll=3600)


def test_a_new_certificate_that_does_not_fit_its_key_leaves_the_old_one_in_use(tls_options, server_authority, caplog):
    observer = Probe().serving_observer
    keeper = _keeper(tls_options, observer)
    keeper.load()
    before = keeper.plain()
    tls_options.certificate.write_bytes(server_authority.issue("new").chain_pem())
    keeper.refresh()
    keeper.refresh()
    assert keeper.plain() is before
    assert observer.seen.count(("certificate refused", "file")) == 1
    assert "the old one stays" in caplog.text
    server_authority.issue("whole again").write(tls_options.certificate.parent)
    keeper.refresh()
    assert keeper.plain() is not before


@pytest.mark.parametrize(
    "content", [b"", b"no PEM", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"],
    ids=["empty", "text", "broken"],
)  # fmt: skip
def test_a_certificate_file_that_cannot_be_read_leaves_the_old_one_in_use(tls_options, content):
    keeper = _keeper(tls_options)
    keeper.load()
    before = keeper.plain()
    tls_options.certificate.write_bytes(content)
    keeper.refresh()
    tls_options.certificate.unlink()
    keeper.refresh()
    assert keeper.plain() is before


def test_an_expired_certificate_does_not_replace_one_that_is_not(tls_options, server_authority):
    import time

    keeper = _keeper(tls_options, now=time.time())
    keeper.load()
    before = keeper.plain()
    server_authority.issue("old", days=(-3, -1)).write(tls_options.certificate.parent)
    keeper.refresh()
    assert keeper.plain() is before
    server_authority.issue("new").write(tls_options.certificate.parent)
    keeper.refresh()
    assert keeper.plain() is not before


def test_a_missing_certificate_is_no_start_and_names_the_file(tls_options):
    tls_options.certificate.unlink()
    with pytest.raises(StartRefused, match=r"server\.pem: cannot be read"):
        _keeper(tls_options).load()


def test_an_encrypted_key_is_no_start_and_nobody_is_asked(tls_options, server_authority):
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

    keeper = _keeper(tls_options)
    keeper.load()
    key = server_authority.issue("server").key
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    tls_options.private_key.write_bytes(encrypted)
    with pytest.raises(StartRefused, match="the key must be unencrypted PEM"):
        _keeper(tls_options).load()
