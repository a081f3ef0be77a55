"""How a proxy that ended a client's TLS connection says which certificate the client showed."""

from __future__ import annotations

from enum import StrEnum


class CertificateHeader(StrEnum):
    """Header kinds, as configuration spells them: RFC 9440, or Envoy's `X-Forwarded-Client-Cert`."""

    CLIENT_CERT = "client-cert"
    XFCC = "xfcc"


# In the environ of a request that came from a trusted proxy: the kind of header it may state.
CERTIFICATE_HEADER = "bridge.certificate_header"
