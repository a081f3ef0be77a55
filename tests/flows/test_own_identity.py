"""`[tls] workload_api`: the service shows callers its own X.509-SVID, and they verify it by its SPIFFE ID."""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

import bridge.own_certificate
from bridge.app import Worker
from bridge.config import load_settings
from bridge.lab.authority import Authority
from bridge.lab.rotation import Stage
from bridge.lab.workload_api import WorkloadApi
from bridge.lab.x509 import X509Svid
from bridge.model.errors import StartRefused
from bridge.preparing import prepare
from tests.flows.client import FORM, SECONDS, Answer, Client, jwt_fields
from tests.flows.stand import Stand
from tests.live.processes import wait_until

BRIDGE, WORKLOAD = "spiffe://example.org/bridge", "/ns/payments/sa/internal"
DEADLINE = 30.0


class House:
    """A service that has files for `listen` and its own SVID for `mtls_listen`, and the agent beside it."""

    def __init__(self, folder: Path, *, with_files: bool = True, **options: Any) -> None:
        self.stand = Stand(folder / "s", **options)
        self.agent = WorkloadApi(self.stand.authority, folder / "a.sock", identities=["/other", "/bridge"])
        self.roots = {self.stand.authority.x509_keys.active.root.der}
        own = f'[tls]\nworkload_api = "{self.agent.address}"\nspiffe_id = "{BRIDGE}"\n'
        text = self.stand.config.read_text().replace("[tls]\n", own)
        if not with_files:
            text = "".join(line for line in text.splitlines(keepends=True) if "server." not in line)
        self.stand.config.write_text(text)

    @property
    def authority(self) -> Authority:
        return self.stand.authority

    def close(self) -> None:
        self.stand.stop()
        self.agent.stop()

    # --- a caller that verifies the server by its SPIFFE ID, as SPIFFE libraries do -------------

    def connect(
        self, svid: X509Svid | None = None, *, expected: str = BRIDGE, mtls: bool = True
    ) -> http.client.HTTPSConnection:
        """A connection whose server was verified against the trust bundle and has exactly this SPIFFE ID."""
        context = spiffe_context(self.roots, svid)
        port = self.stand.client.mtls_port if mtls else self.stand.client.port
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=SECONDS, context=context)
        connection.connect()
        names = [value for kind, value in connection.sock.getpeercert()["subjectAltName"] if kind == "URI"]
        if names != [expected]:
            connection.close()
            raise AssertionError(f"the server is {names}")
        return connection

    def get(self, path: str, **options: Any) -> Answer:
        with closing(self.connect(**options)) as connection:
            return Client.exchange(connection, "GET", path)

    def token(self, svid: X509Svid | None, fields: dict[str, str]) -> Answer:
        with closing(self.connect(svid)) as connection:
            return Client.exchange(
                connection, "POST", "/token", body=urlencode(fields), headers=[("Content-Type", FORM)]
            )

    def shown(self) -> bytes:
        """The certificate that a new connection gets, DER."""
        with closing(self.connect()) as connection:
            return leaf_of(connection)

    # --- its operators --------------------------------------------------------------------------

    def readiness(self) -> tuple[int, dict[str, Any]]:
        connection = HTTPConnection("127.0.0.1", self.stand.metrics_port, timeout=SECONDS)
        with closing(connection):
            connection.request("GET", "/readyz")
            response = connection.getresponse()
            return response.status, json.loads(response.read())["parts"]["tls"]

    def rotate(self) -> None:
        """Another CA, and the present one tainted, so that the agent renews at once."""
        self.authority.rotate_x509(Stage.PREPARE)
        self.roots.add(self.authority.x509_keys.prepared.root.der)  # type: ignore[union-attr]
        self.stand.publish_bundle()
        self.authority.rotate_x509(Stage.ACTIVATE, Stage.TAINT)


def spiffe_context(roots: Iterable[bytes], svid: X509Svid | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # No host name: the SPIFFE ID is compared instead.
    context.check_hostname = False
    context.load_verify_locations(cadata=b"".join(roots))
    if svid is not None:
        with tempfile.TemporaryDirectory() as folder:
            context.load_cert_chain(*svid.write(Path(folder)))
    return context


def leaf_of(connection: http.client.HTTPSConnection) -> bytes:
    assert isinstance(connection.sock, ssl.SSLSocket)
    return connection.sock.getpeercert(binary_form=True) or b""


def until(condition: Any, what: str) -> None:
    wait_until(condition, seconds=DEADLINE, what=what)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("own"))
    try:
        made.agent.start()
        made.stand.start()
        yield made
    finally:
        made.close()


def test_a_workload_verifies_the_service_by_its_spiffe_id_and_gets_a_token_either_way(house: House) -> None:
    svid = house.authority.x509_svid(WORKLOAD)
    named = {"grant_type": "client_credentials", "client_id": str(svid.spiffe_id)}
    assert "x5t#S256" in house.token(svid, named).claims["cnf"]
    assert house.token(None, jwt_fields(house.stand.jwt("/ns/web/sa/internal"))).status == 200
    with pytest.raises(AssertionError, match=r"the server is \['spiffe://example.org/bridge'\]"):
        house.connect(svid, expected="spiffe://example.org/other")


def test_the_other_listener_shows_its_files_and_both_give_the_same_keys(house: House) -> None:
    by_web = house.stand.client.request("GET", "/jwks")
    by_spiffe = house.get("/jwks")
    assert (by_web.status, by_web.content) == (200, by_spiffe.content)
    metadata = "/.well-known/oauth-authorization-server"
    assert house.stand.client.request("GET", metadata).content == house.get(metadata).content
    with pytest.raises(ssl.SSLCertVerificationError):
        house.connect(mtls=False)
    with pytest.raises(ssl.SSLCertVerificationError):
        house.stand.client.request("GET", "/jwks", mtls=True)


def test_a_renewed_svid_is_shown_to_new_connections_and_no_request_is_lost(house: House) -> None:
    keys, before = house.get("/jwks").content, house.shown()
    stop, answers, lost = threading.Event(), list[bytes](), list[BaseException]()

    def keep_asking() -> None:
        while not stop.is_set():
            try:
                with closing(house.connect()) as connection:
                    assert Client.exchange(connection, "GET", "/jwks").content == keys
                    answers.append(leaf_of(connection))
            except BaseException as error:  # noqa: BLE001 - whatever it is, a request was lost
                lost.append(error)
                return

    asking = threading.Thread(target=keep_asking)
    with closing(house.connect()) as kept:
        assert Client.exchange(kept, "GET", "/jwks").content == keys
        asking.start()
        try:
            until(lambda: answers or lost, "somebody asks")
            house.rotate()
            # Each worker has a stream of its own: as many in a row as make it sure that both show it.
            until(lambda: lost or before not in {house.shown() for _ in range(8)}, "both workers show the new SVID")
        finally:
            stop.set()
            asking.join(DEADLINE)
        assert lost == []
        assert before in answers
        assert Client.exchange(kept, "GET", "/jwks").content == keys
        assert leaf_of(kept) == before


def test_an_agent_that_is_gone_is_said_and_the_svid_in_hand_serves_on(house: House) -> None:
    _, before = house.readiness()
    assert (before["svid"]["spiffe_id"], before["svid"]["reason"]) == (BRIDGE, "")
    house.agent.kill()
    until(lambda: "cannot be reached" in house.readiness()[1]["svid"]["reason"], "readiness names the agent")
    status, part = house.readiness()
    assert (status, part["ready"]) == (200, True)
    assert 0 < part["svid"]["ends_in_seconds"] <= 300
    until(lambda: "bridge_own_svid_fault 1.0" in metrics(house), "so do metrics")
    assert house.get("/jwks").status == 200
    house.agent.start()
    until(lambda: all(house.readiness()[1]["svid"]["reason"] == "" for _ in range(8)), "both workers hear it again")


def metrics(house: House) -> str:
    connection = HTTPConnection("127.0.0.1", house.stand.metrics_port, timeout=SECONDS)
    with closing(connection):
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()


def test_metrics_say_when_each_certificate_ends(house: House) -> None:
    text = metrics(house)
    for kind in ("file", "svid"):
        assert f'bridge_tls_certificate_not_after_seconds{{kind="{kind}"}}' in text
    assert BRIDGE not in text


def test_the_key_is_in_no_file_and_in_no_log(house: House) -> None:
    """T-54: the agent gave it over a socket; it stays in memory."""
    key = house.agent._cache.x509_svid("/bridge", 300, ()).key
    words = {key, base64.b64encode(key), base64.encodebytes(key).splitlines()[1]}
    files = [path for path in house.stand.folder.rglob("*") if path.is_file()]
    assert house.stand.folder / "bridge.log" in files
    assert not [path for path in files if any(word in path.read_bytes() for word in words)]
    for pid in house.stand.worker_pids():
        until(lambda pid=pid: not [name for name in open_files(pid) if "memfd:svid" in name], "its memory has no file")


def open_files(pid: int) -> Iterator[str]:
    """What a process has open; what it closes meanwhile is left out."""
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            yield os.readlink(entry)
        except FileNotFoundError:
            continue


def test_without_an_agent_the_listener_with_files_serves_alone_and_without_files_there_is_no_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a listener without a certificate does is in `tests/unit/serving`."""
    monkeypatch.setattr(bridge.own_certificate, "FIRST_SVID_SECONDS", 0.3)
    for with_files in (True, False):
        house = House(tmp_path / str(with_files), with_files=with_files)
        prepare(settings := load_settings(house.stand.config))
        worker = Worker(settings)
        try:
            if with_files:
                worker.start()
                readiness = worker._readiness()
                assert not readiness.ready
                assert "cannot be reached" in str(readiness.parts["tls"]["svid"])
                house.agent.start()
                until(worker.own_svid, "the SVID is here")
            else:
                with pytest.raises(StartRefused, match=r"no listener has a certificate: .*cannot be reached"):
                    worker.start()
        finally:
            worker.close()
            house.close()
