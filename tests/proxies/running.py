"""The proxies as processes: the shipped configuration, with this test's addresses and files put in."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import tempfile
from collections.abc import Mapping, Sequence
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import urlencode

from bridge.lab.x509 import X509Svid
from tests.flows.client import FORM, SECONDS, Answer, Client
from tests.live.processes import Program

SHIPPED = Path(__file__).resolve().parents[2] / "spire-dev/proxies"
START_SECONDS = 20.0

_NGINX = """\
daemon off;
master_process on;
worker_processes 1;
{user}
pid {folder}/nginx.pid;
error_log {folder}/nginx.log info;
{modules}
events {{}}
{context} {{
{temporary}
include {folder}/shipped.conf;
}}
"""
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def fitted(name: str, changes: Mapping[str, str]) -> str:
    """A shipped configuration in which each of these strings, all of which it has, is another."""
    text = (SHIPPED / name).read_text()
    for shipped, here in changes.items():
        assert shipped in text, f"{name} has no {shipped}"
        text = text.replace(shipped, here)
    return text


class Proxy:
    """One proxy that listens on `port` of 127.0.0.1, and a client that comes by it."""

    def __init__(self, name: str, folder: Path, port: int, ca: Path) -> None:
        self.name, self.folder, self.port, self._ca = name, folder, port, ca
        folder.mkdir()
        self._program = Program(name, folder / "output.log")

    def start(self, command: Sequence[str]) -> None:
        self._program.start(command, death_signal="TERM")
        self._program.ready_when(self._listens, seconds=START_SECONDS)

    def _listens(self) -> bool:
        with socket.socket() as caller:
            return caller.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        self._program.stop(seconds=20)

    # --- its clients ----------------------------------------------------------------------------

    def context(self, svid: X509Svid | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self._ca))
        if svid is not None:
            with tempfile.TemporaryDirectory() as folder:
                context.load_cert_chain(*svid.write(Path(folder)))
        return context

    def request(
        self,
        method: str,
        path: str,
        *,
        body: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        svid: X509Svid | None = None,
    ) -> Answer:
        """One request on a connection of its own."""
        connection = HTTPSConnection("127.0.0.1", self.port, timeout=SECONDS, context=self.context(svid))
        try:
            return Client.exchange(connection, method, path, body=body, headers=headers)
        finally:
            connection.close()

    def post(
        self, fields: Mapping[str, str], *, headers: Sequence[tuple[str, str]] = (), svid: X509Svid | None = None
    ) -> Answer:
        """A token request."""
        typed = [("Content-Type", FORM), *headers]
        return self.request("POST", "/token", body=urlencode(fields), headers=typed, svid=svid)

    def token(self, svid: X509Svid, *, headers: Sequence[tuple[str, str]] = (), client_id: str | None = None) -> Answer:
        """`client_credentials` with an X.509-SVID, shown in the handshake with the proxy."""
        fields = {"grant_type": "client_credentials", "client_id": client_id or str(svid.spiffe_id)}
        return self.post(fields, headers=headers, svid=svid)


def start_nginx(proxy: Proxy, shipped: str, context: str) -> None:
    """nginx with this configuration in its `http` or `stream` context."""
    (proxy.folder / "shipped.conf").write_text(shipped)
    temporary = [f"{name}_temp_path {proxy.folder}/{name};" for name in _TEMPORARY]
    module = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
    text = _NGINX.format(
        folder=proxy.folder,
        # Started by root its workers would change to an account that is not in the group of the test's socket.
        user="user root;" if os.geteuid() == 0 else "",
        modules=f"load_module {module};" if context == "stream" and module.exists() else "",
        context=context,
        temporary="\n".join(["access_log off;", *temporary]) if context == "http" else "",
    )
    (proxy.folder / "nginx.conf").write_text(text)
    proxy.start([program("nginx"), "-e", str(proxy.folder / "early.log"), "-c", str(proxy.folder / "nginx.conf")])


def start_haproxy(proxy: Proxy, shipped: str) -> None:
    """HAProxy with this configuration, in the foreground."""
    (proxy.folder / "haproxy.cfg").write_text(shipped)
    proxy.start([program("haproxy"), "-db", "-f", str(proxy.folder / "haproxy.cfg")])


def program(name: str) -> str:
    """Where it is. Debian has servers where only root looks."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    assert path is not None, f"no {name}: `make test-proxies` installs Debian's"
    return path
