"""On which of the authorities that an operator asks about something rests."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from bridge.model.authority import Authorities, Authority, AuthorityKind
from bridge.model.evidence import EvidenceKind
from bridge.registration.naming import INSTANCE
from bridge.store.ports import RestingGrant, RestingLease, RestingToken

Resting = RestingToken | RestingLease | RestingGrant

# A shorter beginning of a name is a slip; one that is asked for in full may be of any length.
SHORTEST_PREFIX = 4
_COLONS = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2})+:?")
_HEX = re.compile(r"[0-9A-Fa-f]+")


class Undecided(Exception):
    """Nobody can say on which authority this rests: an earlier release wrote it down, and not that."""


class Ambiguous(ValueError):
    """Several authorities have names that begin so. `names` are some of them."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = sorted(names)
        super().__init__(", ".join(self.names))


class Question(Protocol):
    """Which authorities are asked about."""

    def of(self, one: Resting) -> Authority | None:
        """The first of them that this rests on; None when it rests on others alone. Raises: Undecided."""
        ...


def names_of(authority: Authority) -> frozenset[str]:
    """All that an authority goes by."""
    return frozenset({authority.key_id, authority.digest}) - {""}


@dataclass(frozen=True, slots=True)
class Named:
    """Authorities with one of these names or, where `is_prefix`, a name that begins so."""

    names: frozenset[str]
    is_prefix: bool = False

    @classmethod
    def beginning(cls, key: str) -> Named:
        """Whatever may be meant by what an operator typed: in full or the beginning of it; hexadecimal digits also as
        other tools print them, in capitals and with colons."""
        typed = key.replace(":", "") if _COLONS.fullmatch(key) else key
        return cls(frozenset({key, typed.lower() if _HEX.fullmatch(typed) else typed}), is_prefix=True)

    def matched(self, authority: Authority) -> frozenset[str]:
        """The names of this authority that are asked for."""
        own = names_of(authority)
        exact = own & self.names
        if exact or not self.is_prefix:
            return exact
        starts = tuple(name for name in self.names if len(name) >= SHORTEST_PREFIX)
        return frozenset(name for name in own if name.startswith(starts))

    def choose(self, found: Iterable[Authority]) -> Named:
        """Those of `found` that are meant, by their full names; no names when there is none.

        Raises: Ambiguous when several begin so, and none is called exactly so.
        """
        matched = {authority: self.matched(authority) for authority in found}
        names = frozenset[str]().union(*matched.values())
        exact = names & self.names
        if exact:
            return Named(exact)
        if len(names) > 1 and sum(map(bool, matched.values())) > 1:
            raise Ambiguous(names)
        return Named(names)

    def of(self, one: Resting) -> Authority | None:
        """As `Question`. What a credential named as its key counts as well: it is what the audit log shows first."""
        known = one.authorities or ()
        found = next((authority for authority in (*known, *_claimed(one)) if self.matched(authority)), None)
        if found is None and not known and not _names_its_key(one):
            raise Undecided
        return found


@dataclass(frozen=True, slots=True)
class Missing:
    """Every authority that would have to stand in the bundle and does not. `present` are those that do.

    A CA that only got another certificate is there still. A `kid` that came to mean another key is not.
    """

    present: frozenset[Authority]

    def of(self, one: Resting) -> Authority | None:
        """As `Question`."""
        if one.authorities:
            return next((each for each in one.authorities if each.stands_in_bundles and not self.holds(each)), None)
        if not _names_its_key(one):
            raise Undecided
        return next((claimed for claimed in _claimed(one) if not self.holds(claimed)), None)

    def holds(self, authority: Authority) -> bool:
        """Whether it stands in the bundle. Of a key that is known by its `kid` alone: whether one of that name does."""
        of_kind = [each for each in self.present if each.kind is authority.kind]
        if authority.kind is AuthorityKind.ANCHOR or not authority.digest:
            if any(authority.key_id in names_of(each) for each in of_kind):
                return True
        return any(authority.digest == each.digest != "" for each in of_kind)


def _claimed(one: Resting) -> Authorities:
    """What the credential of a token named as its key: of a certificate that is the word of whoever signed it."""
    if not isinstance(one, RestingToken) or not one.key_id:
        return ()
    is_jwt = one.evidence == EvidenceKind.JWT_SVID
    return (Authority(AuthorityKind.JWT if is_jwt else AuthorityKind.INTERMEDIATE, one.key_id, ""),)


def _names_its_key(one: Resting) -> bool:
    """Whether a row that says no more than the key id says enough: that of a JWT-SVID is the key that verified it. An
    instance's row may have the id of its own key there."""
    if not isinstance(one, RestingToken) or one.authorities is not None:
        return False
    return one.evidence == EvidenceKind.JWT_SVID and bool(one.key_id) and not one.client_id.startswith(INSTANCE)
