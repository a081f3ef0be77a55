"""A client's own keys, as its metadata states them (RFC 7591 `jwks`): judged, counted and cut to what they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from bridge.jose.keys import UnfitKey, VerificationKey, import_public
from bridge.model.errors import InvalidClientMetadata
from bridge.model.reasons import Reason

MAX_KEYS = 8
MAX_KID_LENGTH = 256

# Everything else is gone from what is kept: certificates and URLs in a key (`x5c`, `x5u`) are never looked at,
# and an echo of them would seem to say that they were.
_NUMBERS = {"EC": ("kty", "crv", "x", "y"), "RSA": ("kty", "n", "e")}
_SAID = ("kid", "use", "alg")


def _refused(words: str) -> InvalidClientMetadata:
    return InvalidClientMetadata(Reason.METADATA_INVALID, f"jwks: {words}", public=f"jwks: {words}")


def _entries(value: object) -> list[Mapping[str, object]]:
    if not isinstance(value, Mapping) or not isinstance(value.get("keys"), list):
        raise _refused("not a JWK Set, an object with a list of keys")
    entries = value["keys"]
    if not 1 <= len(entries) <= MAX_KEYS:
        raise _refused(f"holds no key or more than {MAX_KEYS}")
    if not all(isinstance(entry, Mapping) for entry in entries):
        raise _refused("a key is not an object")
    return cast("list[Mapping[str, object]]", entries)


def _import(entry: Mapping[str, object]) -> VerificationKey:
    try:
        key = import_public(entry)
    except UnfitKey as fault:
        raise _refused(str(fault)) from None
    if len(key.kid) > MAX_KID_LENGTH or not key.kid.isprintable():
        raise _refused(f"a 'kid' is longer than {MAX_KID_LENGTH} characters or not printable")
    return key


def read_jwks(value: object) -> tuple[VerificationKey, ...]:
    """Take the keys of a client's JWK Set, all of them or none.

    Raises: InvalidClientMetadata for what is no JWK Set of 1 to 8 keys; for a key that the key policy refuses
    (`bridge.jose.keys.import_public`: RSA and EC only, no private or symmetric member, use `sig`); for one key
    or one `kid` twice, and for a key without `kid` beside another one, since an assertion could not name it.
    Spec: RFC 7517 sections 4.5, 5; RFC 7591 section 2; CIMD-10. Not checked: that the client holds any of them.
    """
    keys = tuple(_import(entry) for entry in _entries(value))
    if len({key.thumbprint for key in keys}) != len(keys):
        raise _refused("one key is there twice")
    if len(keys) > 1 and ("" in (kids := {key.kid for key in keys}) or len(kids) != len(keys)):
        raise _refused("of several keys each has a 'kid' of its own")
    return keys


def public_jwks(value: object) -> dict[str, object]:
    """The same set with nothing but public numbers, `kid`, `use` and `alg`: the form that is kept and echoed.

    Raises: InvalidClientMetadata, as `read_jwks`.
    """
    read_jwks(value)
    kept = []
    for entry in _entries(value):
        numbers = _NUMBERS[str(entry["kty"])]
        kept.append({name: entry[name] for name in (*numbers, *_SAID) if name in entry})
    return {"keys": kept}
