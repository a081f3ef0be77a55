"""Listeners that show the X.509-SVID of the service itself: which, from when on, and what never takes its place."""

from __future__ import annotations

import dataclasses
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from conftest import running_worker
from serving_pki import Issued
from serving_probe import Probe

from bridge.lab.authority import Authority
from bridge.lab.x509 import X509Svid
from bridge.model.own_svid import OwnSvid
from bridge.serving.kept_certificate import CertificateFromAgent, KeptCertificate
from bridge.serving.options import ListenerKind, ServingOptions
from tests.live.processes import wait_until

PLAIN, MTLS = ListenerKind.PLAIN, ListenerKind.MTLS
AUTHORITY = Authority("example.org")
CLOSED = (ssl.SSLError, OSError, EOFError)


def own(svid: X509Svid | None = None) -> OwnSvid:
    made = svid or AUTHORITY.x509_svid("/bridge")
    return OwnSvid(made.spiffe_id, made.chain, made.key, made.not_after)


def trusting() -> ssl.SSLContext:
    """A client of SPIFFE's: the trust domain's roots, and no host name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=AUTHORITY.x509_bundle())
    return context


@pytest.fixture
def app(workload_authority: Issued) -> Iterator[Probe]:
    app = Probe()
    app.trusted = (1, (workload_authority.der,))
    return app


def shown(worker, kind: ListenerKind, context: ssl.SSLContext) -> bytes:
    with worker.connect(kind, tls=context) as client:
        assert client.get().status == 200
        return client.peer_der()


def until(condition: Callable[[], object], what: str) -> None:
    wait_until(condition, seconds=20, what=what)


def test_beside_files_the_listener_that_asks_for_certificates_shows_the_svid(tls_options, app, client_tls):
    app.svid = own()
    with running_worker(replace(tls_options, own_svid=True), app) as worker:
        assert shown(worker, MTLS, trusting()) == app.svid.chain[0]
        assert shown(worker, PLAIN, client_tls()) != app.svid.chain[0]
        ends = {kind for what, kind, *_ in app.serving_observer.seen if what == "certificate"}
        assert ends == {"file", "svid"}


def test_without_files_both_listeners_show_it(tls_options, app, client_tls, workload_authority):
    app.svid = own()
    alone = replace(tls_options, own_svid=True, certificate=None, private_key=None)
    assert alone.faults() == []
    assert replace(alone, own_svid=False).faults()
    with running_worker(alone, app) as worker:
        assert {shown(worker, kind, trusting()) for kind in (PLAIN, MTLS)} == {app.svid.chain[0]}
        workload = workload_authority.issue("workload")
        context = trusting()
        context.load_cert_chain(*workload.write(tls_options.certificate.parent / "workload"))
        with worker.connect(MTLS, tls=context) as client:
            assert client.get().json()["chain"] == [workload.der.hex()]


def test_before_the_first_svid_its_listener_closes_and_the_other_serves(tls_options, app, client_tls):
    with running_worker(replace(tls_options, own_svid=True), app) as worker:
        with pytest.raises(CLOSED), worker.connect(MTLS, tls=trusting()) as client:
            client.get()
        app.serving_observer.wait_for("handshake", "mtls", "no_certificate")
        assert shown(worker, PLAIN, client_tls())
        app.svid = own()
        until(lambda: _is_shown(worker, app.svid), "the SVID is shown")


def _is_shown(worker, svid: OwnSvid) -> bool:
    try:
        return shown(worker, MTLS, trusting()) == svid.chain[0]
    except CLOSED:
        return False


def test_a_renewed_svid_is_for_new_connections_and_open_ones_go_on(tls_options, app):
    first = app.svid = own()
    with (
        running_worker(replace(tls_options, own_svid=True), app) as worker,
        worker.connect(MTLS, tls=trusting()) as kept,
    ):
        assert kept.get().status == 200
        app.svid = own()
        until(lambda: _is_shown(worker, app.svid), "the renewed SVID is shown")
        assert kept.get().status == 200
        assert kept.peer_der() == first.chain[0]


def kept(current: Callable[[], OwnSvid | None], observer: object, now: float) -> KeptCertificate:
    return KeptCertificate(CertificateFromAgent(current), observer, lambda: now)  # type: ignore[arg-type]


def test_one_that_has_ended_or_does_not_fit_its_key_takes_no_place(app, caplog):
    observer, good, now = app.serving_observer, own(), time.time()
    hand = [good]
    held = kept(lambda: hand[0], observer, now)
    assert held.refresh()
    for unfit in (
        dataclasses.replace(good, not_after=int(now) - 1),
        dataclasses.replace(good, key=AUTHORITY.x509_svid("/other").key),
        dataclasses.replace(good, chain=(b"no certificate",)),
    ):
        hand[0] = unfit
        assert not held.refresh()
        assert not held.refresh()
        assert held.shown is good
    assert observer.seen.count(("certificate refused", "svid")) == 3
    assert "the old one stays" in caplog.text
    hand[0] = renewed = own()
    assert held.refresh()
    assert held.shown is renewed


def test_one_that_has_ended_is_shown_where_there_is_no_other(app):
    """Whoever is shown it is told that it has ended, which says more than a closed connection."""
    ended = dataclasses.replace(own(), not_after=0)
    held = kept(lambda: ended, app.serving_observer, time.time())
    assert held.refresh()
    assert held.shown is ended


def test_nothing_of_the_key_is_said(tls_options: ServingOptions, app, caplog):
    bad = dataclasses.replace(own(), key=b"not a key, but as secret as one")
    held = kept(lambda: bad, app.serving_observer, time.time())
    assert not held.refresh()
    assert "secret" not in caplog.text
    assert "there is no other" in caplog.text
