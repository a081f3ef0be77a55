"""Which public keys are strong enough to vouch for anything: one policy for JWKs and certificates (T-16).

RSA of 2048 to 8192 bits, and the curves P-256, P-384 and P-521. Nothing else: no DSA, no other curve, no
Edwards curve, since no SVID may be signed with one.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

MIN_RSA_BITS = 2048
# Proofs bring their own key, so the cost of using one needs an upper end too.
MAX_RSA_BITS = 8192
MIN_RSA_EXPONENT = 65537
MAX_RSA_EXPONENT = 2**32
CURVES = frozenset({"secp256r1", "secp384r1", "secp521r1"})

# A library of a chip maker chose primes k * M + (65537 ** a mod M), M the product of the first small
# primes (CVE-2017-15361, "ROCA"). Such a modulus lies, modulo each of these, in the subgroup that 65537
# generates; a sound one does so for all of them with a probability below 2 ** -27.
_ROCA_PRIMES = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)


class UnfitKey(ValueError):
    """The key is malformed, of a forbidden kind or too weak. The message says which."""


def _subgroup(prime: int) -> frozenset[int]:
    members, value = set(), 1
    while value not in members:
        members.add(value)
        value = value * 65537 % prime
    return frozenset(members)


_ROCA_SUBGROUPS = tuple((prime, _subgroup(prime)) for prime in _ROCA_PRIMES)


def check_rsa(modulus: int, exponent: int) -> None:
    """Judge the numbers of an RSA key before any library touches them. Raises: UnfitKey.

    Spec: RFC 7518 section 3.3 (2048 bits or more); FIPS 186-5 section 5.4 (exponent).
    """
    bits = modulus.bit_length()
    if bits < MIN_RSA_BITS:
        raise UnfitKey(f"an RSA key has at least {MIN_RSA_BITS} bits, this one {bits}")
    if bits > MAX_RSA_BITS:
        raise UnfitKey(f"an RSA key has at most {MAX_RSA_BITS} bits, this one {bits}")
    if modulus % 2 == 0:
        raise UnfitKey("the RSA modulus is even")
    if not MIN_RSA_EXPONENT <= exponent < MAX_RSA_EXPONENT or exponent % 2 == 0:
        raise UnfitKey("the RSA exponent is not an odd number from 65537 up to 32 bits")
    if all(modulus % prime in subgroup for prime, subgroup in _ROCA_SUBGROUPS):
        raise UnfitKey("the RSA key was made by a generator with a known flaw (ROCA)")


def check_public_key(key: object) -> None:
    """Judge a public key as the cryptography library has it. Raises: UnfitKey.

    Not checked: that the key belongs to anybody.
    """
    if isinstance(key, RSAPublicKey):
        # The size alone is asked first: it is cheap, and a size out of range ends the matter.
        if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            raise UnfitKey(f"an RSA key has {MIN_RSA_BITS} to {MAX_RSA_BITS} bits, this one {key.key_size}")
        numbers = key.public_numbers()
        check_rsa(numbers.n, numbers.e)
    elif isinstance(key, EllipticCurvePublicKey):
        if key.curve.name not in CURVES:
            raise UnfitKey(f"the curve {key.curve.name} is not one of P-256, P-384 and P-521")
    else:
        raise UnfitKey(f"a key is RSA or EC, not {type(key).__name__}")
