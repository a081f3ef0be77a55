"""SVIDs made with the keys of a real SPIRE server, as whoever stole them would: about anybody, of any trust domain."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey

from tests.live.identities import X509Svid
from tests.live.spire_domain import SpireDomain
from tests.svid_factory import CertificateAuthority, JwtAuthoritySigner, leaf_spec

LIFE_SECONDS = 120
BACKDATE_SECONDS = 10


class StolenKeys:
    """The keys that a server with a self-signed CA has on disk, and whose public halves are in its bundle."""

    def __init__(self, domain: SpireDomain) -> None:
        kept = json.loads((domain.directory / "data" / "keys.json").read_text())["keys"].values()
        keys = [serialization.load_der_private_key(base64.b64decode(each), None) for each in kept]
        self._keys = [key for key in keys if isinstance(key, ec.EllipticCurvePrivateKey)]
        self._bundle: list[dict[str, Any]] = domain.bundle()["keys"]

    def jwt_svid(self, spiffe_id: str, audience: str) -> str:
        """A JWT-SVID as SPIRE makes them, about `spiffe_id`."""
        jwk, key = self._of_use("jwt-svid")
        now = int(time.time())
        signer = JwtAuthoritySigner(jwk["kid"], ECKey.import_key(key), "ES256")
        return signer.svid(sub=spiffe_id, aud=[audience], iat=now, exp=now + LIFE_SECONDS)

    def x509_svid(self, spiffe_id: str) -> X509Svid:
        """An X.509-SVID as SPIRE makes them, about `spiffe_id`."""
        jwk, key = self._of_use("x509-svid")
        now = int(time.time())
        authority = CertificateAuthority(x509.load_der_x509_certificate(base64.b64decode(jwk["x5c"][0])), key)
        leaf = authority.issue(leaf_spec(spiffe_id, not_before=now - BACKDATE_SECONDS, not_after=now + LIFE_SECONDS))
        return X509Svid(spiffe_id, leaf.chain_pem.decode(), leaf.key_pem.decode())

    def _of_use(self, use: str) -> tuple[dict[str, Any], ec.EllipticCurvePrivateKey]:
        """An entry of the bundle and its private key."""
        for jwk in self._bundle:
            for key in self._keys:
                if jwk["use"] == use and _number(jwk["x"]) == key.public_key().public_numbers().x:
                    return jwk, key
        raise AssertionError(f"of no {use} key of the bundle the private half is on disk")


def _number(text: str) -> int:
    """A coordinate of a JWK."""
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
