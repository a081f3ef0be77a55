"""A place for audit rows that are durable the moment they are begun, or never."""

from __future__ import annotations

from collections.abc import Callable

from bridge.model.audit import AuditEvent
from bridge.model.errors import Unavailable
from bridge.model.reasons import Reason


class Written:
    """Rows that are durable the moment they are begun, or never."""

    def __init__(self) -> None:
        self.rows: list[AuditEvent] = []
        self.fails = False

    def begin(self, event: AuditEvent) -> Written.Write:
        if not self.fails:
            self.rows.append(event)
        return Written.Write(failed=self.fails)

    class Write:
        def __init__(self, *, failed: bool) -> None:
            self.is_durable = not failed

        def then(self, call: Callable[[], None]) -> None:
            call()

        def result(self) -> object:
            if not self.is_durable:
                raise Unavailable(Reason.STORE_UNAVAILABLE)
            return None
