"""How a proxy that ended a client's TLS connection says which certificate the client showed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class CertificateHeader(StrEnum):
    """Header kinds, as configuration spells them: RFC 9440, or Envoy's `X-Forwarded-Client-Cert`."""

    CLIENT_CERT = "client-cert"
    XFCC = "xfcc"


# In the environ of a request that came from a trusted proxy: the kind of header it may state.
CERTIFICATE_HEADER = "bridge.certificate_header"
# In that of one that comes from where trusted proxies come who have to show a certificate of their own too.
PROXY_CLAIM = "bridge.proxy_claim"


@dataclass(frozen=True, slots=True)
class ProxyClaim:
    """What a request may state if the certificate of its connection turns out to be a trusted proxy's.

    `headers` has the header kind by the proxy's SPIFFE ID; `source_address` is whom the request says it answers.
    Nothing of it holds before the certificate was verified.
    """

    headers: Mapping[str, CertificateHeader]
    source_address: str
