"""Who may speak for others: by socket file, by address, and by nothing else."""

from __future__ import annotations

import http.client
import os
import socket
import stat
import tempfile
from ipaddress import ip_network
from pathlib import Path

import pytest
from serving_client import Connection

from bridge.model.errors import StartRefused
from bridge.model.forwarding import CertificateHeader
from bridge.serving.options import ListenerKind, ServingOptions
from bridge.serving.proxies import Senders, TrustedProxy, source_address
from bridge.serving.sockets import open_listeners

RFC_9440, XFCC = CertificateHeader.CLIENT_CERT, CertificateHeader.XFCC
KEY = "bridge.certificate_header"


def by_socket(path: Path, header: CertificateHeader = RFC_9440) -> TrustedProxy:
    return TrustedProxy(header, unix=path)


def by_address(network: str, header: CertificateHeader = RFC_9440) -> TrustedProxy:
    return TrustedProxy(header, network=ip_network(network))


class FileConnection(Connection):
    """A connection to a socket file."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(10)
        self.socket.connect(str(path))
        self._buffer = b""


def options(**changes: object) -> ServingOptions:
    return ServingOptions("", "", "127.0.0.1:0", plain_http=True, **changes)


def test_a_proxys_socket_says_that_its_peer_is_believed_and_the_others_do_not_SCA_19(serve, tmp_path):
    path = tmp_path / "proxy.sock"
    worker = serve(proxies=(by_socket(path),))
    with FileConnection(path) as proxy, worker.connect() as anybody:
        told = proxy.get(X_Forwarded_For="10.9.9.9, 192.0.2.7").json()
        assert (told[KEY], told["bridge.listener"], told["REMOTE_ADDR"]) == ("client-cert", "proxy", "192.0.2.7")
        assert told["wsgi.url_scheme"] == "http"
        assert proxy.get().json()["REMOTE_ADDR"] == ""
        told = anybody.get(X_Forwarded_For="192.0.2.7").json()
        assert KEY not in told
        assert told["REMOTE_ADDR"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("network", "believed"),
    [("127.0.0.1/32", True), ("127.0.0.0/8", True), ("127.0.0.2/32", False), ("::1/128", False)],
)
def test_a_proxy_is_known_by_its_address_T_18(serve, network, believed):
    with serve(proxies=(by_address(network, XFCC),)).connect() as client:
        told = client.get(X_Forwarded_For="192.0.2.7").json()
    assert told.get(KEY) == ("xfcc" if believed else None)
    assert told["REMOTE_ADDR"] == ("192.0.2.7" if believed else "127.0.0.1")


def test_nobody_is_believed_where_metrics_are_served(serve):
    worker = serve(proxies=(by_address("127.0.0.1/32"),), metrics_listen="127.0.0.1:0")
    with worker.connect(ListenerKind.METRICS) as client:
        assert client.get().body == b"numbers"
    senders = {listener.kind: listener.senders for listener in _opened_and_closed(worker.server._options)}
    assert senders[ListenerKind.METRICS].header_of("127.0.0.1") is None
    assert senders[ListenerKind.PLAIN].header_of("127.0.0.1") is RFC_9440


def _opened_and_closed(chosen):
    listeners = open_listeners(chosen)
    for listener in listeners:
        listener.close()
    return listeners


def test_what_is_no_address_is_no_proxy():
    senders = Senders(networks=(by_address("10.0.0.0/8"), by_address("2001:db8::/32", XFCC)))
    assert senders.header_of("10.1.2.3") is RFC_9440
    assert senders.header_of("2001:db8::7") is XFCC
    assert senders.header_of("11.1.2.3") is None
    assert senders.header_of("") is None


def test_one_that_has_to_show_an_svid_is_not_known_by_its_address_alone_T_18():
    known = [
        TrustedProxy(kind, network=ip_network("10.0.0.0/24"), spiffe_id=f"spiffe://example.org/{name}")
        for name, kind in (("haproxy", RFC_9440), ("envoy", XFCC))
    ]
    senders = Senders(networks=(*known, by_address("2001:db8::/32", XFCC)))
    assert senders.header_of("10.0.0.7") is None
    assert senders.headers_by_id("10.0.0.7") == {
        "spiffe://example.org/haproxy": RFC_9440,
        "spiffe://example.org/envoy": XFCC,
    }
    for address in ("10.0.1.7", "2001:db8::7", ""):
        assert senders.headers_by_id(address) == {}
    assert senders.header_of("2001:db8::7") is XFCC


@pytest.mark.parametrize(
    ("values", "source"),
    [
        pytest.param(["192.0.2.7"], "192.0.2.7", id="one hop"),
        pytest.param(["10.9.9.9, 192.0.2.7"], "192.0.2.7", id="T-36 the client's own word comes first"),
        pytest.param(["192.0.2.8", "10.9.9.9,192.0.2.7"], "192.0.2.7", id="T-36 two fields: the proxy adds behind"),
        pytest.param(["192.0.2.7:5123"], "192.0.2.7", id="with a port"),
        pytest.param(["[2001:db8::7]:5123"], "2001:db8::7", id="IPv6 with a port"),
        pytest.param(["2001:DB8::7"], "2001:db8::7", id="IPv6"),
        pytest.param(["::ffff:192.0.2.7"], "192.0.2.7", id="IPv4 in IPv6"),
        pytest.param([], "peer", id="none"),
        pytest.param(["unknown"], "peer", id="no address"),
        pytest.param(["192.0.2.7,"], "peer", id="an empty last hop"),
        pytest.param(["192.0.2.7\xff"], "peer", id="not ASCII"),
    ],
)
def test_the_source_address_is_the_last_hop_that_a_proxy_states(values, source):
    headers = [(b"x-forwarded-for", value.encode("latin-1")) for value in values]
    assert source_address([(b"host", b"a"), *headers], "peer") == source


def test_a_socket_file_is_for_its_account_and_group_alone_and_goes_with_the_service(tmp_path):
    path = tmp_path / "proxy.sock"
    former = os.umask(0)
    try:
        plain, proxy = open_listeners(options(proxies=(by_socket(path),)))
    finally:
        assert os.umask(former) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert proxy.url == f"unix:{path}"
    for listener in (plain, proxy):
        listener.close()
    assert not path.exists()


def test_another_account_of_the_node_cannot_open_the_proxys_socket_T_18():
    nobody, groups = 65534, os.getgroups()
    try:
        os.setgroups(groups)
    except PermissionError:
        pytest.skip("only root can be another account for a moment")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        _, listener = both = open_listeners(options(proxies=(by_socket(Path(folder) / "p.sock"),)))
        FileConnection(listener.file.path).socket.close()
        os.setgroups([])
        os.setegid(nobody)
        os.seteuid(nobody)
        try:
            with socket.socket(socket.AF_UNIX) as other, pytest.raises(PermissionError):
                other.connect(str(listener.file.path))
        finally:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(groups)
            for each in both:
                each.close()


def test_a_socket_that_nobody_listens_on_any_more_is_replaced_and_anything_else_stays(tmp_path):
    path = tmp_path / "proxy.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    chosen = options(proxies=(by_socket(path),))
    living = open_listeners(chosen)
    with pytest.raises(StartRefused) as refused:
        open_listeners(chosen)
    assert list(refused.value.faults) == [f"cannot listen on {path} (proxy): Address already in use"]
    for listener in living:
        listener.close()
    path.write_text("a file")
    with pytest.raises(StartRefused):
        open_listeners(chosen)
    assert path.read_text() == "a file"


def test_a_service_takes_no_other_services_socket_away(tmp_path):
    path = tmp_path / "proxy.sock"
    plain, first = open_listeners(options(proxies=(by_socket(path),)))
    path.unlink()
    _, second = later = open_listeners(options(proxies=(by_socket(path),)))
    first.close()
    assert path.exists()
    for listener in (plain, *later):
        listener.close()
    assert second.file is not None
    assert not path.exists()


def test_a_service_may_have_nothing_but_a_proxys_socket(service, tmp_path):
    path = tmp_path / "p.sock"
    running = service(listen=None, proxies=(by_socket(path),))
    assert running.ready_line.startswith(f"ready: unix:{path}, 2 workers")
    with FileConnection(path) as proxy:
        assert proxy.get().status == http.client.OK
    running.process.terminate()
    _, errors = running.process.communicate(timeout=20)
    assert (running.process.returncode, errors) == (0, "")
    assert not path.exists()
