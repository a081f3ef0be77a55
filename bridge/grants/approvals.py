"""What a user approved, for that user's own eyes, and the end of it."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.authorization import Consent, Grant, User
from bridge.model.client import ClientKind
from bridge.model.evidence import RequestContext
from bridge.store.ports import GrantStore

# More than anybody reads. What is not shown can be ended after what is.
MAX_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Approval:
    """What one client has of a user, from all grants to it that are alive; or, without any, what it may have again
    without asking.

    `since` is the oldest of them, epoch seconds; `redirect_uri` where the newest was answered, None without one.
    `grant_id` is only set for a pushed client, whose every grant is a client of its own. `client_name` is the
    client's own word.
    """

    client_id: str
    scopes: tuple[str, ...]
    resources: tuple[str, ...]
    redirect_uri: str | None
    actors: tuple[str, ...]
    client_name: str | None
    since: int
    grant_id: str | None = None


class Approvals:
    """A user's own view of what they approved."""

    def __init__(self, grants: GrantStore) -> None:
        self._grants = grants

    def of(self, user: User, *, now: int) -> list[Approval]:
        """By client, the newest first; after those that have access, those that only need not ask for it. Raises:
        Unavailable."""
        by_client: dict[tuple[str, str], list[Grant]] = {}
        for grant in self._grants.of_user(user.user_id, limit=MAX_SHOWN, now=now):
            by_client.setdefault((grant.client_id, _own_id(grant) or ""), []).append(grant)
        # A yes that is remembered outlives the tokens of it. It is the user's to take back as long as it stands.
        remembered = self._grants.consents_of(user.user_id, limit=MAX_SHOWN)
        waiting = [_waiting(consent) for consent in remembered if (consent.client_id, "") not in by_client]
        return [_approval(grants) for grants in by_client.values()] + waiting

    def end(self, user: User, *, client_id: str, grant_id: str | None, context: RequestContext) -> None:
        """End all that the client has of this user, and forget that it need not ask; with `grant_id` that one grant.

        Durable with its audit row when this returns. Nothing is there to end: no error, and no row. Another user's
        grant is nothing. Raises: Unavailable.
        """
        event = AuditEvent(
            id=context.correlation_id,
            time=context.now,
            event=AuditEventKind.REVOKED,
            door=context.door.value,
            source_address=context.source_address,
            subject=user.user_id,
            outcome="ended_by_user",
            client_id=client_id,
        )
        if grant_id is None:
            self._grants.end_of_user(user.user_id, client_id, event=event, now=context.now)
            return
        grant = self._grants.get(grant_id)
        if grant is not None and grant.user.user_id == user.user_id and grant.client_id == client_id:
            self._grants.end(grant_id, event=event, now=context.now)


def _own_id(grant: Grant) -> str | None:
    return grant.grant_id if grant.kind is ClientKind.PUSHED else None


def _approval(grants: list[Grant]) -> Approval:
    newest = grants[0]
    name = newest.metadata.get("client_name")
    return Approval(
        client_id=newest.client_id,
        scopes=tuple(sorted({scope for grant in grants for scope in grant.scopes})),
        resources=tuple(sorted({resource for grant in grants for resource in grant.resources})),
        redirect_uri=newest.redirect_uri,
        actors=tuple(sorted({grant.actor for grant in grants if grant.actor is not None})),
        client_name=name if isinstance(name, str) else None,
        since=min(grant.created_at for grant in grants),
        grant_id=_own_id(newest),
    )


def _waiting(consent: Consent) -> Approval:
    return Approval(
        client_id=consent.client_id,
        scopes=consent.scopes,
        resources=consent.resources,
        redirect_uri=None,
        actors=(),
        client_name=None,
        since=consent.agreed_at,
    )
