"""One request for a token as a workload: an SVID from the agent goes in, the server's answer comes out."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.cli.options import Failure
from bridge.cli.token.endpoint import Answer, Certificate, Connector, discover
from bridge.cli.token.refusal import refusal_of
from bridge.model.times import LATEST

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from bridge.model.own_svid import OwnSvid
    from bridge.model.spiffe_id import SpiffeId
    from bridge.spire.endpoint import WorkloadEndpoint
    from bridge.spire.workload_client import WorkloadApiFailed

JWT_SPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"


@dataclass(frozen=True, slots=True)
class Granted:
    """A token and what came with it. `svid` is the X.509-SVID that it was asked with, None with a JWT-SVID.

    Units: `lifetime` seconds from when the token was asked for, None when the server did not say.
    """

    body: dict[str, object]
    token: str
    token_type: str
    lifetime: int | None
    svid: OwnSvid | None


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What is asked, of whom, with which of the workload's identities. May be sent any number of times: each time with
    the SVID of that moment. `timeout` in seconds, for each wait."""

    endpoint: WorkloadEndpoint
    identity: SpiffeId | None
    issuer: str
    scope: str | None
    resources: tuple[str, ...]
    client_id: str | None
    x509: bool
    key_file: Path | None
    ca: Path | None
    timeout: float

    def look(self) -> None:
        """Read the files that it needs, before anybody is asked. Raises: Failure, StartRefused, click.BadParameter."""
        Connector(ca=self.ca, timeout=self.timeout)
        self._key()

    def send(self) -> Answer | Granted:
        """Ask once; an `Answer` is a refusal. Raises: Failure when nobody could be asked; as `look`."""
        connector = Connector(ca=self.ca, timeout=self.timeout)
        url = discover(connector, self.issuer, mtls=self.x509)
        form = [("grant_type", "client_credentials"), *(("resource", resource) for resource in self.resources)]
        if self.scope is not None:
            form.append(("scope", self.scope))
        svid, credential = self._credential(connector)
        # Beside a certificate a client has to be named (RFC 8705 section 2); an assertion speaks for itself.
        if self.client_id is not None or svid is not None:
            form.append(("client_id", self.client_id or str(svid.spiffe_id if svid else "")))
        answer = self._post(connector, url, form + credential)
        return _granted(url, answer, svid) if answer.status == 200 else answer

    def granted(self) -> Granted:
        """Ask once. Raises: Failure as `send`, and for a refusal, with when to come again if the server said so."""
        answer = self.send()
        if isinstance(answer, Granted):
            return answer
        raise refusal_of(answer, self.scope)

    def _credential(self, connector: Connector) -> tuple[OwnSvid | None, list[tuple[str, str]]]:
        """The certificate that the connection shows, if it is one, and the form fields that prove who asks. A JWT-SVID
        has one audience, the issuer (SCA-5)."""
        from bridge.spire.workload_client import WorkloadApiFailed, fetch_jwt_svid, fetch_x509_svid

        try:
            if self.x509:
                svid = fetch_x509_svid(self.endpoint, timeout=self.timeout, spiffe_id=self.identity)
                connector.present(Certificate(svid.chain, svid.key))
                return svid, []
            assertion = fetch_jwt_svid(self.endpoint, self.issuer, timeout=self.timeout, spiffe_id=self.identity)
            return None, [("client_assertion_type", JWT_SPIFFE), ("client_assertion", assertion)]
        except WorkloadApiFailed as error:
            raise Failure(f"{error}. {_advice(error, self.identity)}") from error

    def _key(self) -> EllipticCurvePrivateKey | None:
        if self.key_file is None:
            return None
        from bridge.cli.token.dpop_proof import key_in

        return key_in(self.key_file)

    def _post(self, connector: Connector, url: str, form: list[tuple[str, str]]) -> Answer:
        """Send the request; with DPoP once more when the server wants a nonce (RFC 9449 section 8)."""
        key = self._key()
        if key is None:
            return connector.post(url, form, {})
        answer = connector.post(url, form, _dpop(key, url, None))
        nonce = answer.headers.get("dpop-nonce")
        if answer.body.get("error") == "use_dpop_nonce" and nonce is not None:
            return connector.post(url, form, _dpop(key, url, nonce))
        return answer


def _granted(url: str, answer: Answer, svid: OwnSvid | None) -> Granted:
    """Raises: Failure for an answer that is no token (RFC 6749 section 5.1)."""
    token, token_type, lifetime = (answer.body.get(name) for name in ("access_token", "token_type", "expires_in"))
    # What goes into a file or to another program is one line of visible characters, whoever sent it.
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable() or " " in token:
        raise Failure(f"{url}: answered 200 without an access token")
    # A number of a thousand digits can be reckoned with by nobody, and says nothing.
    if isinstance(lifetime, bool) or not isinstance(lifetime, int) or not 0 <= lifetime <= LATEST:
        lifetime = None
    return Granted(dict(answer.body), token, str(token_type), lifetime, svid)


def _advice(error: WorkloadApiFailed, identity: SpiffeId | None) -> str:
    """What to look at next: the agent only where it did not answer."""
    # gRPC is not imported for one name: what it raised knows its code.
    code = getattr(error.__cause__, "code", None)
    if callable(code) and code().name in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
        return "Is the agent up, and is this its socket?"
    if identity is not None:
        return (
            f"Has this process an entry with that ID? On the SPIRE server: spire-server entry show -spiffeID {identity}"
        )
    return "Is there a registration entry for this process?"


def _dpop(key: EllipticCurvePrivateKey, url: str, nonce: str | None) -> dict[str, str]:
    from bridge.cli.token.dpop_proof import proof

    return {"DPoP": proof(key, url, jti=secrets.token_urlsafe(16), now=int(time.time()), nonce=nonce)}
