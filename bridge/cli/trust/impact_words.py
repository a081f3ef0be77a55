"""What rests on an authority, for programs and for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.cli.output import aligned, emit_json_array, emit_table, note, printable, say, timestamp
from bridge.cli.trust.impact_tables import emit_authorities, emit_clients, emit_tokens
from bridge.model.authority import Authority

if TYPE_CHECKING:
    from bridge.registration.impact import Ended, Impact, Share
    from bridge.registration.vouching import Missing
    from bridge.store.ports import RestingToken

_SHARE = ("tokens", "grants", "leases", "last_issued_at", "tokens_end_at")
AUTHORITY_COLUMNS = ("kind", "authority", "key_id", "in_bundle", "clients", *_SHARE)
CLIENT_COLUMNS = ("authority", "client_id", "subject", *_SHARE)
TOKEN_COLUMNS = ("authority", "jti", "client_id", "subject", "issued_at", "expires_at", "grant")
# Enough of a digest to tell the few of one answer apart; all of it stands above.
_SHORT = 12
# So many audit rows still fit a screen.
_ROWS_TO_SHOW = 1000


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found, and where it was looked for. `present` is None where nobody knows what the bundle holds now;
    `since` and `now` in epoch seconds."""

    trust_domain: str
    found: Impact
    present: Missing | None
    since: int
    now: int

    def fields(self, limit: int | None, ended: Ended | None, run: str) -> dict[str, object]:
        """For programs; of clients at most `limit`. `ended` and `run`: what was ended then, and under which id."""
        return {
            "trust_domain": self.trust_domain,
            "issued_since": timestamp(self.since),
            "authorities": self.authorities(),
            "clients": self.clients()[:limit],
            "undecided": _share_fields(self.found.undecided),
            "revoked": None if ended is None else _ended_fields(ended, run),
        }

    def authorities(self) -> list[dict[str, object]]:
        """One entry for each authority that anything rests on, those of most tokens first."""
        totals = sorted(self.found.by_authority().items(), key=lambda item: (-item[1][1].tokens, item[0].name))
        return [
            {
                "kind": authority.kind.value,
                "authority": authority.name,
                "key_id": authority.key_id or None,
                "in_bundle": self.stands(authority),
                "clients": clients,
                **_share_fields(share),
            }
            for authority, (clients, share) in totals
        ]

    def clients(self) -> list[dict[str, object]]:
        """One entry for each authority, client and identity, those of most tokens first."""
        shares = sorted(self.found.clients.items(), key=lambda item: (-item[1].tokens, item[0][1:], item[0][0].name))
        return [
            {"authority": authority.name, "client_id": client_id, "subject": subject, **_share_fields(share)}
            for (authority, client_id, subject), share in shares
        ]

    def stands(self, authority: Authority) -> bool | None:
        """Whether the bundle holds it now; None where that is not known, and for intermediates, which no bundle
        holds."""
        if self.present is None or not authority.stands_in_bundles:
            return None
        return self.present.holds(authority)

    def show(self, limit: int | None) -> None:
        """A line for each authority, then one for each client. At a terminal with times beside now, and no wider than
        that; for pipes with all of every name and time."""
        authorities, clients = self.authorities(), self.clients()
        if not authorities:
            say("nothing rests on it")
        elif aligned():
            emit_authorities(self, self.now)
            say()
            emit_clients(self, limit, self.now)
        else:
            emit_table(AUTHORITY_COLUMNS, (_cells(AUTHORITY_COLUMNS, one) for one in authorities))
            say()
            shown = ({**one, "authority": str(one["authority"])[:_SHORT]} for one in clients[:limit])
            emit_table(CLIENT_COLUMNS, (_cells(CLIENT_COLUMNS, one) for one in shown))
        if limit is not None and len(clients) > limit:
            note(f"{len(clients) - limit} more; --all shows all of them")

    def tell(self) -> None:
        """For people, beside the answer: what nobody can say, and what ending things here does not do."""
        undecided = self.found.undecided
        if undecided:
            note(
                f"undecided: {in_words(undecided)}: an earlier release did not write down on what. Leases and grants "
                "show it from their next use on, tokens expire; `bridge clients revoke` ends a client's at once"
            )
        for authority in self.found.by_authority():
            if self.stands(authority):
                note(
                    f"{printable(authority.name)} is in the bundle of {self.trust_domain} still: more may come of it. "
                    "Have it removed there, then look again"
                )
        until = self.found.total().tokens_end_at
        if until is not None:
            note(
                "introspection refuses a token from its end here on; a server that checks only signatures takes these "
                f"until {timestamp(until)} at the latest"
            )


def show_tokens(tokens: Iterable[tuple[Authority, RestingToken]], *, as_json: bool, now: int) -> None:
    """One line for each token; `now`: epoch seconds."""
    if aligned() and not as_json:
        emit_tokens(tokens, now)
        return
    fields = (_token_fields(authority, token) for authority, token in tokens)
    if as_json:
        emit_json_array(fields)
    else:
        emit_table(TOKEN_COLUMNS, (_cells(TOKEN_COLUMNS, one) for one in fields))


def say_ended(ended: Ended, run: str) -> None:
    """For people: what was ended."""
    say(f"revoked {in_words(ended)}")
    several = ended.tokens + ended.grants + ended.leases
    if several:
        look = f"audit show {run}" if several <= _ROWS_TO_SHOW else f"audit export --event revoked | grep {run}"
        note(f"`bridge {look}` shows the record of each")


def in_words(counted: Share | Ended) -> str:
    """How many of each."""
    kinds = (("token", counted.tokens), ("grant", counted.grants), ("lease", counted.leases))
    return ", ".join(f"{number} {kind}{'' if number == 1 else 's'}" for kind, number in kinds)


def _token_fields(authority: Authority, token: RestingToken) -> dict[str, object]:
    return {
        "authority": authority.name,
        "jti": token.jti,
        "client_id": token.client_id,
        "subject": token.subject,
        "issued_at": timestamp(token.issued_at),
        "expires_at": timestamp(token.expires_at),
        "grant": token.grant_id,
    }


def _share_fields(share: Share) -> dict[str, object]:
    return {
        "tokens": share.tokens,
        "grants": share.grants,
        "leases": share.leases,
        "last_issued_at": timestamp(share.last_issued_at),
        "tokens_end_at": timestamp(share.tokens_end_at),
    }


def _ended_fields(ended: Ended, run: str) -> dict[str, object]:
    return {"id": run, "tokens": ended.tokens, "grants": ended.grants, "leases": ended.leases}


def _cells(columns: Iterable[str], fields: Mapping[str, object]) -> list[object]:
    cells = (fields[name] for name in columns)
    return [{True: "yes", False: "no"}[cell] if isinstance(cell, bool) else cell for cell in cells]
