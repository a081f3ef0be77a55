"""The ports of the code flow: requests between client and user, what came of them, and who is signed in.

As in `ports`: times are epoch seconds, every method may raise `Unavailable` and has written nothing then, and a
write is durable when the method returns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bridge.model.audit import AuditEvent
from bridge.model.authorization import AuthorizationRequest, Consent, Grant, OpenRequest, Session

# Above every time.
LATEST = (2**62, "")


@dataclass(frozen=True, slots=True)
class SweptFlow:
    """What one sweep of the code flow removed."""

    requests: int
    grants: int
    sessions: int
    consents: int


class RequestStore(Protocol):
    """Authorization requests between client and user. `handle` is the hex SHA-256 of what names one on the wire."""

    def push(self, handle: str, request: AuthorizationRequest, *, expires_at: int, now: int) -> None:
        """Keep a request, to be opened before `expires_at`. Raises: LimitReached when there are as many waiting as
        there may be: none is put out for it (T-42)."""
        ...

    def open(self, handle: str, *, client_id: str, browser: str, decide_until: int, now: int) -> OpenRequest | None:
        """Have a request before the browser of that digest, which may come back to it until `decide_until`, as it
        was said the first time. None, always the same: unknown, decided, too late, pushed by another client, or
        the time to open it is over and it was another browser that did (PCR-12, 13, T-32)."""
        ...

    def opened(self, handle: str, *, browser: str, now: int) -> OpenRequest | None:
        """What that browser, the last that opened it, may still decide about."""
        ...

    def decide(
        self,
        handle: str,
        *,
        browser: str,
        grant: Grant | None,
        consent: Consent | None,
        event: AuditEvent | None,
        now: int,
        rests_on: Consent | None = None,
    ) -> bool:
        """Consume the request and write what the user decided: one grant with its code, or None for a no; the
        consent to remember in place of an earlier one of this user and client, and the audit row. `rests_on`: the
        consent by which nobody was asked. False, and nothing written: the request was not there for that browser
        any more, or that consent was taken back or made to another description of the client."""
        ...


class GrantStore(Protocol):
    """What users gave to clients. The uses of a grant are written by `ClientStore.begin_issue` (`Issue.use`)."""

    def by_code(self, code_digest: str) -> Grant | None:
        """The grant of a code, used or not, as long as the row is there."""
        ...

    def get(self, grant_id: str) -> Grant | None:
        """One grant, ended or not."""
        ...

    def is_live(self, grant_id: str) -> bool:
        """Whether the grant is there and has not ended. One read, for every question about a token of it."""
        ...

    def end(self, grant_id: str, *, event: AuditEvent | None, now: int) -> bool:
        """End it: its code, refresh token and access tokens are dead. False: it was over already, no row."""
        ...

    def of_client(self, client_id: str, *, before: tuple[int, str] = LATEST, limit: int, now: int) -> list[Grant]:
        """The live grants to one client, the newest first: those below `before`, a time of beginning and a `grant_id`.
        Not checked: whether the client's registration is still the one that they were given to (`Grant.epoch`)."""
        ...

    def consents_to(self, client_id: str, *, before: tuple[int, str] = LATEST, limit: int) -> list[Consent]:
        """What users agreed to let one client have, the newest first: those below `before`, a time and a `user_id`."""
        ...

    def of_user(self, user_id: str, *, limit: int, now: int) -> list[Grant]:
        """Grants of a user that have not ended and whose `ends_at` is to come, newest first."""
        ...

    def end_of_user(self, user_id: str, client_id: str, *, event: AuditEvent, now: int) -> int:
        """End all grants of a user to a client, and forget the consent, with one audit row if there was anything.
        How many grants."""
        ...

    def consent(self, user_id: str, client_id: str) -> Consent | None:
        """What the user agreed to let this client have."""
        ...

    def consents_of(self, user_id: str, *, limit: int) -> list[Consent]:
        """What a user agreed to let clients have without being asked again, the newest first."""
        ...

    def counts(self) -> dict[str, int]:
        """How many `requests` wait, how many `grants` have not ended and how many `sessions` there are, for metrics.
        Those whose time is over count until they are swept."""
        ...

    def sweep(self, *, now: int, batch: int) -> SweptFlow:
        """Remove at most `batch` requests, grants and sessions each whose time is over (PCR-28), and consents of
        users who were not seen for a long time."""
        ...


class SessionStore(Protocol):
    """Browsers in which somebody is signed in."""

    def begin(self, session: Session) -> None:
        """Keep a new session."""
        ...

    def get(self, digest: str, *, now: int) -> Session | None:
        """The session of a cookie, if it is not over."""
        ...

    def end(self, digest: str) -> Session | None:
        """Sign out: forget it. What it was."""
        ...
