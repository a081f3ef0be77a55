"""A trusted proxy that is known by its X.509-SVID: its own certificate is verified, and then it is a proxy and nobody
else.

The server knows addresses; whose certificate a connection has shown only verification knows, which needs a bundle and
so may fail. From then on a request of the proxy is as one that came by a proxy's socket: its header counts, and the
certificate of the connection is no credential. Were it one, every client behind the proxy would be the proxy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from bridge.model.errors import BridgeError, EvidenceRejected, Unavailable
from bridge.model.forwarding import CERTIFICATE_HEADER, PROXY_CLAIM, ProxyClaim
from bridge.model.identity import VerifiedIdentity

# Why nobody knows whether this is a proxy, for whoever asks for the credential of the request.
_NOT_BELIEVED = "bridge.proxy_not_believed"


class VerifyChain(Protocol):
    """Who has the key of this chain's leaf. Raises: EvidenceRejected, Unavailable."""

    def __call__(self, chain: tuple[bytes, ...], *, now: int) -> VerifiedIdentity: ...


def recognise(environ: dict[str, Any], verify: VerifyChain, clock: Callable[[], int]) -> None:
    """Settle whether this request comes from a trusted proxy, where its address leaves that open.

    Only an X.509-SVID that holds by its trust domain's bundle now, of exactly a configured SPIFFE ID, makes it one.
    Anybody else who comes from there is a client like all others, and its headers are not read. Raises nothing: a
    document that everybody may read needs no credential.
    Spec: interface section 9, "Proxies"; T-18.
    """
    claim: ProxyClaim | None = environ.get(PROXY_CLAIM)
    if claim is None:
        return
    try:
        identity = verify(environ["bridge.peer_chain"], now=clock())
    except (EvidenceRejected, Unavailable) as error:
        environ[_NOT_BELIEVED] = error
        return
    header = claim.headers.get(str(identity.subject.spiffe_id))
    if header is None:
        return
    environ[CERTIFICATE_HEADER] = header
    environ["bridge.peer_chain"] = ()
    environ["bridge.listener"] = "proxy"
    environ["REMOTE_ADDR"] = claim.source_address


def require_believed(environ: Mapping[str, Any]) -> None:
    """That it is settled whether a proxy is behind this request; else nobody knows whose credential it brings.

    Raises: EvidenceRejected, Unavailable as verification of the connection's certificate did.
    """
    error: BridgeError | None = environ.get(_NOT_BELIEVED)
    if error is not None:
        raise error
