"""Writes down that an authenticated identity was refused, wherever in the spine it happened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.errors import BridgeError, Claimed, Unavailable
from bridge.model.evidence import RequestContext
from bridge.model.identity import VerifiedIdentity
from bridge.model.terms import Ask
from bridge.registration.refusals import RefusalLog


class Refusals:
    """Hands refusals to the `RefusalLog` with everything the audit row needs to be decided again."""

    def __init__(self, log: RefusalLog) -> None:
        self._log = log

    @contextmanager
    def watch(self, identity: VerifiedIdentity, ask: Ask, context: RequestContext) -> Iterator[None]:
        """Note any domain error that leaves the block, then let it go on; it then says whom it befell.

        `Unavailable` is none of the identity's refusals: it is ours, and goes to metrics and the log. Whoever
        comes as a public client proved nothing, so its refusals are noise: they go there too (section 8).
        """
        try:
            yield
        except BridgeError as error:
            if identity.is_public:
                error.claimed = error.claimed or Claimed(identity.name)
                raise
            error.subject, error.evidence = identity.name, identity.subject.evidence.value
            error.asked = ask.to_audit()
            if isinstance(error, Unavailable):
                raise
            error.row = self._log.note(
                AuditEvent.about(
                    identity,
                    context,
                    AuditEventKind.REFUSED,
                    outcome="deny",
                    ask=ask,
                    rule=error.rule,
                    reason=error.reason.value,
                    # With an SVID the subject is a SPIFFE ID; this is for which document it came.
                    client_id=identity.subject.url or "",
                    policy_version=error.policy_version,
                )
            )
            raise
