"""The service as a workload of a real SPIRE: callers verify it by its SPIFFE ID, also while its SVID is replaced."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.live.client import ANSWER_SECONDS, Answer, Connection, OAuthClient
from tests.live.identities import Workload, X509Svid
from tests.live.processes import wait_until
from tests.live.rotation import SPIRE_SECONDS, X509Authority, prepare_root
from tests.live.service import BridgeService
from tests.live.spire_lab import OWN, PARTNER
from tests.live.stage import BATCH, BRIDGE, Stage
from tests.live.traffic import Traffic
from tests.live.trust_sources import agent

SERVICE = f"spiffe://{OWN}{BRIDGE}"
# So many new connections in a row are those of both workers.
BOTH = 8


class WrongServer(Exception):
    """The certificate holds, and is of somebody else."""


class ToSpiffeId(http.client.HTTPSConnection):
    """A connection to whoever proves to be one SPIFFE ID; its host name is not looked at."""

    def __init__(self, port: int, context: ssl.SSLContext, expected: str) -> None:
        super().__init__("127.0.0.1", port, timeout=ANSWER_SECONDS, context=context)
        self._expected = expected

    def connect(self) -> None:
        super().connect()
        names = [value for kind, value in self.sock.getpeercert()["subjectAltName"] if kind == "URI"]
        if names != [self._expected]:
            self.close()
            raise WrongServer(names)


class SpiffeCaller(OAuthClient):
    """A workload that verifies the service as SPIFFE libraries do: by the trust bundle that its agent gives it at that
    moment, and by the SPIFFE ID. All of its calls go to `mtls_listen`."""

    def __init__(self, service: BridgeService, workload: Workload, *, expected: str = SERVICE) -> None:
        known = service.client
        super().__init__(port=known._port, mtls_port=known._mtls_port, ca_file=known._ca_file)
        self._workload, self._expected = workload, expected

    def open(self, svid: X509Svid | None = None) -> Connection:
        context = self._context(svid)
        connection = Connection(self._mtls_port, context)
        connection._connection = ToSpiffeId(self._mtls_port, context, self._expected)
        return connection

    def token(self) -> Answer:
        """A token by the workload's own X.509-SVID."""
        return self.token_by_x509(self._workload.x509_svid())

    def shown(self) -> bytes:
        """The certificate that the service shows to a new connection, DER."""
        with closing(self.open()) as connection:
            connection._connection.connect()
            return leaf_of(connection)

    def _trusting(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(cadata="".join(self._workload.bundles()["x509"][OWN]))
        return context


def leaf_of(connection: Connection) -> bytes:
    leaf: bytes = connection._connection.sock.getpeercert(binary_form=True)
    return leaf


@pytest.fixture
def service(stage: Stage) -> Iterator[BridgeService]:
    """A service that shows its own SVID on `mtls_listen`, and files of the lab's web CA on `listen`."""
    service = stage.service()
    own = {"workload_api": agent(stage.lab)["socket"], "spiffe_id": SERVICE}
    service.configure({OWN: agent(stage.lab), PARTNER: agent(stage.lab)}, tls=own)
    with service.running():
        yield service


def test_its_callers_know_it_by_its_spiffe_id_and_lose_no_request_when_its_svid_is_replaced(
    stage: Stage, service: BridgeService
) -> None:
    workload = stage.workload(BATCH)
    caller = SpiffeCaller(service, workload)
    assert caller.token().granted
    assert caller.get("/jwks").body == service.client.get("/jwks").body
    with pytest.raises(WrongServer):
        SpiffeCaller(service, workload, expected=f"spiffe://{OWN}/ns/payments/sa/other").token()
    with pytest.raises(ssl.SSLCertVerificationError):
        service.client.server_certificate(mtls=True)

    before, authority = caller.shown(), X509Authority(stage.lab.own)
    old_root = authority.upstream()
    with closing(caller.open(workload.x509_svid())) as kept, Traffic(caller.token) as traffic:
        keys = kept.ask("GET", "/jwks").body
        authority.activate(prepare_root(stage.lab, "lab root of the service", stage.probe))
        authority.taint(old_root)
        wait_until(
            lambda: before not in {caller.shown() for _ in range(BOTH)},
            seconds=SPIRE_SECONDS,
            what="both workers show the SVID that the agent renewed",
        )
        traffic.flows()
        assert kept.ask("GET", "/jwks").body == keys
        assert leaf_of(kept) == before
    status = service.readiness()["parts"]["tls"]["svid"]
    assert (status["spiffe_id"], status["reason"]) == (SERVICE, "")
