"""Who vouched for a credential: the CA certificates of the path that was verified, or the key that signed the JWT-SVID.

Named from what was verified and never from what the credential says of its issuer: whoever has the key of one CA can
write the name of another one into a leaf.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache


class AuthorityKind(StrEnum):
    """ANCHOR and JWT stand in a bundle themselves; an INTERMEDIATE is trusted for an anchor above it."""

    ANCHOR = "anchor"
    INTERMEDIATE = "intermediate"
    JWT = "jwt"


@dataclass(frozen=True, slots=True)
class Authority:
    """One authority by its two names.

    A CA: `key_id` is the hex SHA-1 of its public key (RFC 5280 section 4.2.1.2, method 1), which is what SPIRE calls an
    authority by; `digest` the hex SHA-256 of its certificate, by which bundles are shown. A JWT key: its `kid`, empty
    where it has none, and its RFC 7638 thumbprint. Empty: that name is not known.
    """

    kind: AuthorityKind
    key_id: str
    digest: str

    @property
    def name(self) -> str:
        """What `bridge trust show` calls it: a CA by its digest, a JWT key by its `kid`."""
        if self.kind is AuthorityKind.JWT:
            return self.key_id or self.digest
        return self.digest or self.key_id

    @property
    def stands_in_bundles(self) -> bool:
        """Whether a bundle must hold it for what it vouched for to be trusted still."""
        return self.kind is not AuthorityKind.INTERMEDIATE


Authorities = tuple[Authority, ...]


def to_audit(authorities: Iterable[Authority]) -> list[str]:
    """As audit rows and records keep them: a text for each, short because every token's row has them.

    Of a CA `a` (anchor) or `i` (intermediate), its key id, a dot and its digest, both in base64url of the bytes; of a
    JWT key `j`, its thumbprint, a dot and its `kid`.
    """
    return [_entry_of(authority) for authority in authorities]


def of_audit(kept: object) -> Authorities:
    """The inverse of `to_audit`. Raises: ValueError for anything else."""
    if not isinstance(kept, list) or not all(isinstance(entry, str) for entry in kept):
        raise ValueError("authorities are no list of texts")
    return tuple(map(_of_entry, kept))


# Few differ: as many as there are authorities, while what they vouch for is without number.
@lru_cache(maxsize=4096)
def _entry_of(authority: Authority) -> str:
    if authority.kind is AuthorityKind.JWT:
        return f"j{authority.digest}.{authority.key_id}"
    return f"{authority.kind[0]}{_short(authority.key_id)}.{_short(authority.digest)}"


@lru_cache(maxsize=4096)
def _of_entry(entry: str) -> Authority:
    first, dot, second = entry[1:].partition(".")
    if entry[:1] == "j" and dot:
        return Authority(AuthorityKind.JWT, second, first)
    kind = {"a": AuthorityKind.ANCHOR, "i": AuthorityKind.INTERMEDIATE}.get(entry[:1])
    if kind is None or not dot:
        raise ValueError("an authority is a kind and two names")
    return Authority(kind, _unshort(first), _unshort(second))


def text_of(authorities: Authorities) -> str:
    """As a column of the store keeps them."""
    return json.dumps(to_audit(authorities), separators=(",", ":"))


@lru_cache(maxsize=1024)
def of_text(text: str) -> Authorities:
    """The inverse of `text_of`. Raises: ValueError."""
    return of_audit(json.loads(text))


def _short(digits: str) -> str:
    return base64.urlsafe_b64encode(bytes.fromhex(digits)).rstrip(b"=").decode()


def _unshort(text: str) -> str:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).hex()
