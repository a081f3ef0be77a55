"""The nine signature algorithms, and which key fits which (RFC 7518 section 3.1, JWT-SVID section 2.1).

There is no `none`, no HMAC and no EdDSA in this service, for no token kind: what is not in the table
cannot be asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, SECP521R1
from joserfc.jws import JWSRegistry

RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
CURVE_ALGORITHM: Mapping[str, str] = MappingProxyType({"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"})
ALGORITHMS = RSA_ALGORITHMS | frozenset(CURVE_ALGORITHM.values())

# The group orders of the curves, by algorithm.
CURVE_ORDER: Mapping[str, int] = MappingProxyType(
    {"ES256": SECP256R1().group_order, "ES384": SECP384R1().group_order, "ES512": SECP521R1().group_order}
)

# joserfc looks algorithms up, and checks header registries, on each call. What it finds never changes,
# so it is asked once.
_REGISTRY = JWSRegistry(algorithms=sorted(ALGORITHMS))
IMPLEMENTATIONS = MappingProxyType({name: _REGISTRY.get_alg(name) for name in sorted(ALGORITHMS)})
