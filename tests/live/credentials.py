"""An SVID of either kind and the requests it is shown in, for tests that are about both kinds alike."""

from __future__ import annotations

from dataclasses import dataclass

from tests.live.client import Answer, Connection, jwt_request, part, x509_request
from tests.live.identities import Workload, X509Svid
from tests.live.pki import key_id_above
from tests.live.service import BridgeService

Credential = str | X509Svid


@dataclass(frozen=True, slots=True)
class Presenter:
    """A workload that presents SVIDs of one kind, "jwt" or "x509", the newest that its agent has."""

    workload: Workload
    kind: str

    def credential(self, service: BridgeService) -> Credential:
        """What it would show to this service now. Raises: NoSvid."""
        return self.workload.jwt_svid(service.issuer) if self.kind == "jwt" else self.workload.x509_svid()

    def ask(self, service: BridgeService) -> Answer:
        """Fetch a credential and ask for a token with it. Raises: NoSvid, RefusedInHandshake."""
        return ask(service, self.credential(service))


def ask(service: BridgeService, credential: Credential, connection: Connection | None = None) -> Answer:
    """Ask for a token, over a new connection unless one is given. Raises: RefusedInHandshake."""
    request = jwt_request(credential) if isinstance(credential, str) else x509_request(credential)
    if connection is not None:
        return connection.post("/token", request)
    return service.client.post("/token", request, None if isinstance(credential, str) else credential)


def signer(credential: Credential) -> str:
    """Which authority of the bundle is above it, by the id that SPIRE has for it; of a JWT-SVID that is the `kid`."""
    if isinstance(credential, str):
        return str(part(credential, 0)["kid"])
    return key_id_above(credential.certificates)
