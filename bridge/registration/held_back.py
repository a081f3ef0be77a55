"""Clients whose document nobody may fetch before an operator has looked at them (CIMD-24, interface section 9)."""

from __future__ import annotations

from bridge.model.client import ClientState, Provenance
from bridge.model.errors import ApprovalPending
from bridge.model.evidence import RequestContext
from bridge.model.identity import BindingMethod
from bridge.model.reasons import Reason
from bridge.model.terms import Ask, ClientChoice, Effect
from bridge.registration.authentication import Authenticated
from bridge.registration.naming import name_of
from bridge.registration.noise import NoiseLimit
from bridge.registration.registrar import Registrar
from bridge.store.ports import ClientStore


class HeldBack:
    """Keeps out who waits, and notes that it does, so that `bridge clients approve` finds it.

    Whoever comes is as a rule not authenticated: what it would be authenticated by is in the document. So a new
    record is paid for by its source address, and says nothing but the URL.
    """

    def __init__(self, registrar: Registrar, clients: ClientStore, noise: NoiseLimit) -> None:
        self._registrar, self._clients, self._noise = registrar, clients, noise

    def __call__(self, caller: Authenticated, ask: Ask | None, context: RequestContext) -> None:
        """Return when the client may be looked at.

        With an `ask`: when its terms were approved, or need no approval. Without one, at doors that decide about
        nothing or only later: when there is a live record.
        Raises: ApprovalPending, after the record stands as PENDING where there is an `ask`; PolicyDenied and its kin,
        IdentityDenied, LimitReached (`anonymous_per_minute`, or those of registrations), Unavailable.
        """
        if ask is None:
            self._require_live(caller, context)
            return
        # Which key it will show is no matter before anybody knows who it is.
        admission = self._registrar.admit(caller, ask, proved=frozenset(BindingMethod))
        if admission.decision.effect is not Effect.ASK:
            return
        found, _ = self._registrar.look(admission, caller, context)
        if found.approved and found.record is not None and found.record.state_at(context.now) is ClientState.ACTIVE:
            return
        if found.record is None:
            pending = ApprovalPending(Reason.APPROVAL_PENDING, f"{admission.name.client_id} would wait")
            self._noise.spend(context.source_address, noise=pending, now=context.now)
        self._registrar.ensure(
            admission, caller, context, metadata={}, provenance=Provenance(caller.identity.subject.evidence)
        )

    def _require_live(self, caller: Authenticated, context: RequestContext) -> None:
        client_id = name_of(caller.identity.subject, ClientChoice(), None).client_id
        record = self._clients.get(client_id)
        if record is None or record.state_at(context.now) is not ClientState.ACTIVE:
            raise ApprovalPending(Reason.APPROVAL_PENDING, f"{client_id} waits: bridge clients approve {client_id}")
