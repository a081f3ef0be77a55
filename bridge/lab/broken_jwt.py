"""JWT-SVIDs that nobody may accept: a catalogue by name, each with the rule it breaks.

Each differs from a good token in one thing, so that a refusal proves that very check.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from bridge.lab.authority import DEFAULT_TTL, Authority
from bridge.lab.jws import JwtKey, decode, encode, to_json


@dataclass(frozen=True, slots=True)
class JwtOrder:
    """What a broken JWT-SVID is made of, before it is broken."""

    authority: Authority
    other: Authority
    key: JwtKey
    header: dict[str, object]
    claims: dict[str, object]
    now: int


@dataclass(frozen=True, slots=True)
class BrokenJwt:
    """One entry: `why` in words, `clause` the checklist item or threat that demands the refusal."""

    name: str
    why: str
    clause: str
    make: Callable[[JwtOrder], str]


def _claims(order: JwtOrder, **changes: object) -> str:
    """Signed properly, with these claims changed; None takes one out."""
    claims = {name: value for name, value in {**order.claims, **changes}.items() if value is not None}
    return order.key.sign(order.header, to_json(claims))


def _header(order: JwtOrder, **changes: object) -> str:
    """Signed properly, with these header members changed; None takes one out."""
    header = {name: value for name, value in {**order.header, **changes}.items() if value is not None}
    return order.key.sign(header, to_json(order.claims))


def _payload(order: JwtOrder, old: str, new: str) -> str:
    """Signed properly over a payload that no JSON library would write."""
    text = to_json(order.claims).decode()
    assert old in text
    return order.key.sign(order.header, text.replace(old, new, 1).encode())


def _signed_by(order: JwtOrder, key: JwtKey, kid: str) -> str:
    return key.sign({**order.header, "alg": key.alg, "kid": kid}, to_json(order.claims))


def _unsigned(order: JwtOrder) -> str:
    return f"{encode(to_json({**order.header, 'alg': 'none'}))}.{encode(to_json(order.claims))}."


def _hmac_with_public_key(order: JwtOrder) -> str:
    """The classic confusion: the public key's PEM taken as an HMAC secret."""
    secret = order.key.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signing_input = f"{encode(to_json({**order.header, 'alg': 'HS256'}))}.{encode(to_json(order.claims))}"
    return f"{signing_input}.{encode(hmac.digest(secret, signing_input.encode(), hashlib.sha256))}"


def _embedded_key(order: JwtOrder) -> str:
    """Signed by a key that the token itself brings along."""
    key = JwtKey.generate("ES256", kid=order.key.kid)
    return key.sign({**order.header, "alg": key.alg, "jwk": key.public_jwk()}, to_json(order.claims))


def _eddsa(order: JwtOrder) -> str:
    signing_input = f"{encode(to_json({**order.header, 'alg': 'EdDSA'}))}.{encode(to_json(order.claims))}"
    signature = ed25519.Ed25519PrivateKey.generate().sign(signing_input.encode())
    return f"{signing_input}.{encode(signature)}"


def _tampered(order: JwtOrder) -> str:
    """A signature that was good for other claims."""
    header, _, signature = _claims(order).split(".")
    return f"{header}.{encode(to_json({**order.claims, 'sub': str(order.claims['sub']) + '2'}))}.{signature}"


def _flipped_signature(order: JwtOrder) -> str:
    head, _, signature = _claims(order).rpartition(".")
    raw = bytearray(decode(signature))
    raw[0] ^= 1
    return f"{head}.{encode(bytes(raw))}"


def _json_serialization(order: JwtOrder) -> str:
    header, payload, signature = _claims(order).split(".")
    return to_json({"protected": header, "payload": payload, "signature": signature}).decode()


def _root(order: JwtOrder) -> str:
    return order.authority.trust_domain.id


BROKEN_JWT: tuple[BrokenJwt, ...] = (
    BrokenJwt("wrong-aud", "meant for somebody else", "SPIFFE-16", lambda o: _claims(o, aud=["https://other.example"])),
    BrokenJwt(
        "two-auds",
        "meant for somebody else too",
        "T-22",
        lambda o: _claims(o, aud=[*_list(o.claims["aud"]), "https://other.example"]),
    ),
    BrokenJwt("no-aud", "no audience", "SPIFFE-15", lambda o: _claims(o, aud=None)),
    BrokenJwt("empty-aud", "an empty list of audiences", "SPIFFE-15", lambda o: _claims(o, aud=[])),
    BrokenJwt("aud-number", "the audience is a number", "T-28", lambda o: _claims(o, aud=[1])),
    BrokenJwt("alg-none", "not signed", "SPIFFE-12", _unsigned),
    BrokenJwt("hs256-public-key", "HMAC with the public key as secret", "SPIFFE-12", _hmac_with_public_key),
    BrokenJwt("eddsa", "an algorithm outside the nine", "SPIFFE-12", _eddsa),
    BrokenJwt("embedded-jwk", "brings its own key", "SPIFFE-14", _embedded_key),
    BrokenJwt(
        "jku",
        "says where to fetch the key",
        "SPIFFE-14",
        lambda o: _header(o, jku="https://keys.example/jwks"),
    ),
    BrokenJwt("x5u", "says where to fetch a chain", "SPIFFE-14", lambda o: _header(o, x5u="https://keys.example/c")),
    BrokenJwt("x5c", "brings a chain", "SPIFFE-14", lambda o: _header(o, x5c=["MA=="])),
    BrokenJwt("unknown-crit", "a critical header nobody knows", "SPIFFE-14", lambda o: _header(o, crit=["x"], x=1)),
    BrokenJwt("b64", "an unencoded payload (RFC 7797)", "SPIFFE-14", lambda o: _header(o, b64=False, crit=["b64"])),
    BrokenJwt("json-serialization", "JSON instead of compact form", "SPIFFE-14", _json_serialization),
    BrokenJwt("typ-at-jwt", "an access token by its type", "SPIFFE-13", lambda o: _header(o, typ="at+jwt")),
    BrokenJwt("typ-wit", "a WIT-SVID by its type", "SPIFFE-13", lambda o: _header(o, typ="wit+jwt")),
    BrokenJwt("unknown-kid", "names a key that is not there", "SPIFFE-17", lambda o: _header(o, kid="nobody")),
    BrokenJwt("kid-number", "the key's name is a number", "T-28", lambda o: _header(o, kid=7)),
    BrokenJwt(
        "foreign-key",
        "signed by a key no bundle has, under a known name",
        "SPIFFE-17",
        lambda o: _signed_by(o, JwtKey.generate("ES256"), o.key.kid),
    ),
    BrokenJwt(
        "other-trust-domain",
        "signed by another trust domain's key",
        "SCA-27",
        lambda o: _signed_by(o, o.other.jwt_keys.active, o.other.jwt_keys.active.kid),
    ),
    BrokenJwt("tampered", "another subject under a signature that was good", "T-26", _tampered),
    BrokenJwt("bad-signature", "one bit of the signature flipped", "T-26", _flipped_signature),
    BrokenJwt("expired", "ended an hour ago", "SPIFFE-15", lambda o: _claims(o, iat=o.now - 7200, exp=o.now - 3600)),
    BrokenJwt("not-yet-valid", "begins in an hour", "SPIFFE-15", lambda o: _claims(o, nbf=o.now + 3600)),
    BrokenJwt("too-long-life", "lives for thirty days", "SCA-35", lambda o: _claims(o, exp=o.now + 30 * 86400)),
    BrokenJwt("no-exp", "never ends", "SPIFFE-15", lambda o: _claims(o, exp=None)),
    BrokenJwt("exp-string", "its end is a string", "T-28", lambda o: _claims(o, exp=str(o.claims["exp"]))),
    BrokenJwt("exp-true", "its end is a boolean", "T-28", lambda o: _claims(o, exp=True)),
    BrokenJwt("exp-infinite", "its end is 1e400", "T-28", lambda o: _payload(o, str(o.claims["exp"]), "1e400")),
    BrokenJwt("exp-huge", "its end has 5000 digits", "T-27", lambda o: _payload(o, str(o.claims["exp"]), "9" * 5000)),
    BrokenJwt(
        "duplicate-claim", "two subjects", "T-28", lambda o: _payload(o, '"sub"', f'"sub":"{_root(o)}/admin","sub"')
    ),
    BrokenJwt("deep-json", "a claim nested 1000 deep", "T-27", lambda o: _payload(o, "{", '{"x":' + _DEEP + ",")),
    BrokenJwt("no-sub", "nobody's", "SPIFFE-15", lambda o: _claims(o, sub=None)),
    BrokenJwt(
        "root-path", "the ID names the trust domain, not a workload", "SPIFFE-15", lambda o: _claims(o, sub=_root(o))
    ),
    BrokenJwt("sub-newline", "the ID ends in a newline", "SPIFFE-1", lambda o: _claims(o, sub=f"{o.claims['sub']}\n")),
    BrokenJwt("sub-array", "the subject is a list", "T-28", lambda o: _claims(o, sub=[o.claims["sub"]])),
    BrokenJwt(
        "unknown-trust-domain",
        "a subject of a trust domain nobody configured",
        "SCA-33",
        lambda o: _claims(o, sub="spiffe://nowhere.example/app"),
    ),
    BrokenJwt("dots", "ten thousand dots", "T-27", lambda _: "." * 10_000),
    BrokenJwt("too-large", "above 16 KiB", "T-27", lambda o: _claims(o, padding="x" * 16_384)),
    BrokenJwt("not-a-token", "a word", "T-27", lambda _: "hello"),
)
_DEEP = "[" * 1000 + "]" * 1000


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else [value]


def mint_jwt(
    authority: Authority,
    name: str,
    path: str,
    audience: str,
    *,
    other: Authority | None = None,
    ttl: int = DEFAULT_TTL,
) -> str:
    """The broken JWT-SVID of that name.

    `other` is another trust domain's authority, for tokens signed by the wrong one; a new one if absent.
    Raises: KeyError for an unknown name.
    """
    broken = {entry.name: entry for entry in BROKEN_JWT}[name]
    now = authority.clock()
    key = authority.jwt_keys.active
    other = Authority("other.example", clock=authority.clock) if other is None else other
    header: dict[str, object] = {"alg": key.alg, "kid": key.kid, "typ": "JWT"}
    claims: dict[str, object] = {
        "aud": [audience],
        "exp": now + ttl,
        "iat": now,
        "sub": str(authority.spiffe_id(path)),
    }
    return broken.make(JwtOrder(authority, other, key, header, claims, now))
