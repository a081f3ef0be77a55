"""What users gave to one client: who, what, since when and until when; and what they need not be asked again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridge.model.authorization import Consent, Grant
from bridge.model.client import ClientRecord
from bridge.store.ports import LATEST, GrantStore

# Lines of each part.
PAGE = 25


@dataclass(frozen=True, slots=True)
class Given:
    """One grant, with whether its registration is over: then none of its tokens is alive, and nobody can use it."""

    grant: Grant
    is_over: bool

    @property
    def ends_at(self) -> int:
        """Until when the client can get tokens by it, or has some (epoch seconds)."""
        return self.grant.refresh_expires_at or self.grant.ends_at


@dataclass(frozen=True, slots=True)
class ClientGrants:
    """A page of each. `onward` says by list, `grant` and `consent`, before what the next page begins."""

    given: Sequence[Given]
    consents: Sequence[Consent]
    onward: Mapping[str, str]


def client_grants(
    grants: GrantStore, client_id: str, record: ClientRecord | None, *, after: Mapping[str, str], now: int
) -> ClientGrants:
    """Those to one client; at most a page of each is read. `after`: what `onward` said."""
    found = grants.of_client(client_id, before=_place(after.get("grant", "")), limit=PAGE + 1, now=now)
    consents = grants.consents_to(client_id, before=_place(after.get("consent", "")), limit=PAGE + 1)
    onward = {}
    if len(found) > PAGE:
        onward["grant"] = f"{found[PAGE - 1].created_at}-{found[PAGE - 1].grant_id}"
    if len(consents) > PAGE:
        onward["consent"] = f"{consents[PAGE - 1].agreed_at}-{consents[PAGE - 1].user_id}"
    given = [Given(grant, _is_over(grant, record)) for grant in found[:PAGE]]
    return ClientGrants(given, consents[:PAGE], onward)


def _is_over(grant: Grant, record: ClientRecord | None) -> bool:
    """Whether the client was registered anew since. Of a member under it, its own page tells."""
    if record is None or grant.epoch is None:
        return False
    return grant.epoch.partition(".")[0] != str(record.epoch)


def _place(text: str) -> tuple[int, str]:
    """Where a page begins; the beginning for what is no place."""
    time, dash, name = text.partition("-")
    if not dash or not time.isascii() or not time.isdigit() or len(time) > 15:
        return LATEST
    return int(time), name
