"""Delivers the queue: one process at a time, one message after the other, at least once each.

Whoever holds the lease sends; it is prolonged before it could end within a try, and ends by itself where its holder
died. A message goes out of the queue after the receiver said yes to it: who is killed between the two leaves it there,
and it is sent again under the same id. Nobody else waits for any of this: requests only ever add to the queue.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from bridge.fetch.delivering import SEND_SECONDS, Answered
from bridge.fetch.failures import DocumentFailure, NetworkFailure
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.observe import metrics
from bridge.store.ports import LeaseStore
from bridge.store.ports.notices import NoticeStore, QueuedNotice
from bridge.webhook.outcomes import MOST_ASKED_SECONDS, Outcome, Tried, backoff, failed, judged
from bridge.webhook.signing import SecretFile, signed_headers

LEASE, TIDY_LEASE = "webhook", "webhook tidy"
# Twice a try and some more: a holder has time to prolong it, and one that died is followed within this time.
LEASE_SECONDS = 30
# While the receiver fails, it is asked again at least so often, whichever message is next.
LONGEST_REST = 60
# What was given up is kept for so long.
KEEP_DEAD_SECONDS = 30 * 86400
GIVEN_UP_AT_ONCE = 100
_MOST_ERROR_LENGTH = 300

_log = logging.getLogger("bridge.webhook")


class Way(Protocol):
    """How messages go out (`fetch.delivering.Deliveries`)."""

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answered:
        """Send one. Raises: DocumentFailure, NetworkFailure."""
        ...


def try_once(way: Way, secrets: SecretFile, notice_id: str, body: str, *, now: int) -> Tried:
    """Sign one message, send it, and say what came of it."""
    said = body.encode("utf-8")
    try:
        return judged(way.post(said, signed_headers(secrets.current(), notice_id, said, now=now)), now)
    except (DocumentFailure, NetworkFailure) as failure:
        return failed(failure)


class Courier:
    """Delivers as far as it has the lease. Used by one thread."""

    def __init__(
        self,
        notices: NoticeStore,
        leases: LeaseStore,
        way: Way,
        secrets: SecretFile,
        *,
        give_up_after: int,
        holder: str,
        new_id: Callable[[], str],
        chance: Callable[[], float],
        clock: Callable[[], int],
    ) -> None:
        """`give_up_after` seconds; `holder` is this process's name among all; `chance` gives 0 to 1,
        `clock` epoch seconds: by it a try is timed that `turn` began at its `now`."""
        self._notices, self._leases, self._way, self._secrets = notices, leases, way, secrets
        self._give_up_after, self._holder = give_up_after, holder
        self._new_id, self._chance, self._clock = new_id, chance, clock
        self._leased_until = 0
        self._failures, self._rests_until = 0, 0

    def turn(self, now: int) -> float | None:
        """Send the next message, if one is due and this process is the one to send. 0: there may be more to do at once.

        Raises: Unavailable.
        """
        # A clock that was set back must not make a rest of an hour.
        if now < self._rests_until <= now + MOST_ASKED_SECONDS:
            # Nobody else asks meanwhile: to a receiver all processes are one.
            if self._leased_until:
                self._leads(now)
            return None
        queued = self._notices.next_due(now)
        if queued is None or not self._leads(now):
            return None
        # Between the first look and the lease somebody else may have delivered it.
        queued = self._notices.next_due(now)
        if queued is None:
            return None
        tried = try_once(self._way, self._secrets, queued.notice.id, queued.notice.body, now=now)
        metrics.webhook_deliveries.labels(tried.outcome.value).inc()
        # The receiver may have taken its time, and a rest begins when that is over.
        self._note(queued, tried, max(now, self._clock()))
        return 0.0

    def release(self, now: int) -> None:
        """Let another process go on at once. Not while `turn` is at work. Raises: Unavailable."""
        if now < self._leased_until:
            self._leases.take(LEASE, holder=self._holder, now=now, until=now)
        self._leased_until = 0

    def tidy(self, now: int) -> None:
        """Give up what nobody took for too long, and forget what was given up long ago.

        Raises: Unavailable.
        """
        if not self._leases.take(TIDY_LEASE, holder=self._holder, now=now, until=now + LEASE_SECONDS):
            return
        late = self._notices.overdue(queued_before=now - self._give_up_after, limit=GIVEN_UP_AT_ONCE)
        if late:
            self._give_up(late, "", now)
        self._notices.tidy(
            dead_before=now - self._give_up_after - KEEP_DEAD_SECONDS, now=now, due_until=now + 2 * MOST_ASKED_SECONDS
        )

    def measure(self, now: int) -> None:
        """Show how the queue stands. Raises: Unavailable."""
        standing = self._notices.standing()
        metrics.webhook_queue.labels("waiting").set(standing.waiting)
        metrics.webhook_queue.labels("dead").set(standing.dead)
        metrics.webhook_dropped.set(standing.dropped)
        metrics.webhook_oldest.set(0 if standing.oldest_at is None else max(0, now - standing.oldest_at))

    def _leads(self, now: int) -> bool:
        """Whether this process is the one to send, for one more try at least."""
        if now + SEND_SECONDS < self._leased_until <= now + LEASE_SECONDS:
            return True
        until = now + LEASE_SECONDS
        leads = self._leases.take(LEASE, holder=self._holder, now=now, until=until)
        self._leased_until = until if leads else 0
        return leads

    def _note(self, queued: QueuedNotice, tried: Tried, now: int) -> None:
        notice = queued.notice
        if tried.outcome is Outcome.DELIVERED:
            if self._failures:
                _log.info("the webhook's receiver takes messages again")
            self._failures = self._rests_until = 0
            self._notices.delivered(notice.id)
            return
        wait = backoff(queued.tries + 1, tried.asked, self._chance)
        if tried.is_of_the_receiver:
            self._rest(tried, now)
        if tried.outcome is Outcome.GONE:
            self._give_up([queued], tried.words, now)
            return
        self._notices.postpone(notice.id, next_at=now + wait, error=tried.words[:_MOST_ERROR_LENGTH])

    def _rest(self, tried: Tried, now: int) -> None:
        """Leave the receiver alone for a moment: other messages would fare no better, and each costs it a try."""
        self._failures += 1
        if self._failures == 1:
            words = "the webhook's receiver does not take messages; they wait: %s"
            _log.warning(words, tried.words, extra={"outcome": tried.outcome.value})
        rest = min(LONGEST_REST, backoff(self._failures, 0, self._chance))
        self._rests_until = now + max(rest, min(tried.asked, MOST_ASKED_SECONDS))

    def _give_up(self, late: list[QueuedNotice], error: str, now: int) -> None:
        """Make them dead, with one audit row and one line."""
        first = late[0]
        event = AuditEvent(
            self._new_id(),
            now,
            AuditEventKind.WEBHOOK_FAILED,
            client_id=first.notice.client_id if len(late) == 1 else "",
            outcome="given_up",
            reason=error or first.error or "not tried in time",
            ask={"messages": [one.notice.id for one in late]},
            count=len(late),
        )
        given_up = self._notices.give_up([one.notice.id for one in late], error=error, event=event)
        if given_up:
            metrics.webhook_given_up.inc(given_up)
            words = "webhook messages were given up; `bridge webhook retry --dead` sends them again"
            _log.error(words, extra={"number": given_up, "first": first.notice.id, "detail": event.reason})
