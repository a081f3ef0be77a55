"""What holds for every use of a grant, be it by a code or by a refresh token: whose it is, what is left of it, and
that it is over when somebody uses it twice (T-23, T-33)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

from bridge.grants.consent import fingerprint
from bridge.grants.granter import Begun, ForUser, Granter
from bridge.grants.narrowing import narrow
from bridge.grants.promise import PromisedToken, promise
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.authorization import Grant
from bridge.model.client import ClientKind, ClientRecord, Registration
from bridge.model.errors import (
    EvidenceRejected,
    GrantRejected,
    ScopeNotAllowed,
    TargetNotAllowed,
)
from bridge.model.evidence import RequestContext
from bridge.model.reasons import Reason
from bridge.model.terms import Ask, Effect
from bridge.registration.admission import Admission
from bridge.registration.authentication import Authenticated
from bridge.registration.redirects import of_document
from bridge.registration.registrar import Registrar
from bridge.store.ports import GrantStore


class GrantUses:
    """Looks grants up, holds their users to them, and ends them."""

    def __init__(self, *, registrar: Registrar, grants: GrantStore, granter: Granter) -> None:
        self._registrar, self._grants, self._granter = registrar, grants, granter

    def require_owner(self, caller: Authenticated, grant: Grant) -> None:
        """That the caller is the client that the grant is for, and the SPIFFE ID that it began with.

        Raises: GrantRejected (GRANT_FOREIGN), also when the rules now give the caller another client; what
        `Registrar.client_of` raises. Nothing is consumed by it, and nothing ended: whoever got hold of another's
        code must not be able to harm that one (ROFU-17). Spec: OAS-29, PCR-13, 16, CIMD-29.
        """
        try:
            client_id = self._registrar.client_of(caller).client_id
        except EvidenceRejected as named_another:
            if caller.client_id != grant.client_id:
                raise
            raise GrantRejected(Reason.GRANT_FOREIGN, named_another.detail) from named_another
        if client_id != grant.client_id:
            raise GrantRejected(Reason.GRANT_FOREIGN, f"{client_id} came with a grant of {grant.client_id}")
        if grant.actor is not None and grant.actor != actor_of(caller):
            raise GrantRejected(Reason.GRANT_FOREIGN, f"the grant is for {grant.actor}")

    def registration(
        self, caller: Authenticated, grant: Grant, asked: Ask, context: RequestContext, *, afresh: bool
    ) -> tuple[Registration, Ask]:
        """The live registration that the grant was given to, with what policy gives of it now, and the ask that was
        decided. `asked` has what the request names, at the door where the grant began.

        Nobody is registered for a grant but an SVID that acts for a known document. Raises: GrantRejected when the
        registration is not the one of then any more (T-23), when the document says other things of itself than the
        user saw (T-8), and when nothing is left; ScopeNotAllowed, TargetNotAllowed for what is named and gone;
        PolicyDenied and its kin, ApprovalPending, Unavailable.
        """
        _require_as_seen(caller, grant)
        given = replace(asked, scopes=grant.scopes, resources=grant.resources)
        subject = caller.identity.subject
        wanted = narrow(given, asked, lambda ask: self._registrar.covers(subject, ask))
        try:
            admission = self._registrar.admit(caller, wanted)
        except (ScopeNotAllowed, TargetNotAllowed) as gone:
            if asked.scopes or asked.resources:
                raise
            raise GrantRejected(
                Reason.GRANT_ENDED, "nothing is left of it", rule=gone.rule, policy_version=gone.policy_version
            ) from gone
        live = self._live(admission, caller, grant, context, afresh)
        if not afresh and (live is None or not _is_same(live, grant)):
            # This worker may remember the record of before, and the grant be of the one that came back.
            live = self._live(admission, caller, grant, context, afresh=True)
        if live is None or not _is_same(live, grant):
            raise GrantRejected(Reason.GRANT_ENDED, f"{grant.client_id} is not the registration of then")
        if grant.kind is ClientKind.PUSHED:
            # What it said of itself is all that there is of it.
            live = replace(live, record=_described(live.record, grant))
        return live, wanted

    def _live(
        self, admission: Admission, caller: Authenticated, grant: Grant, context: RequestContext, afresh: bool
    ) -> Registration | None:
        live = self._registrar.existing(admission, caller, context, afresh=afresh)
        # Whoever waits for an operator is told so, and noted; an SVID that acts for a document for the first time,
        # where the grant is nobody's yet, comes by first use.
        is_first = admission.name.member is not None and grant.actor is None
        if live is None and (admission.decision.effect is Effect.ASK or is_first):
            return self._registrar.settle(admission, caller, context)
        return live

    def begin(
        self, registration: Registration, ask: Ask, caller: Authenticated, context: RequestContext, user: ForUser
    ) -> Begun:
        """A token of the grant, and its use, on their way to the disk. Raises: as `Granter.begin`."""
        return self._granter.begin(registration, ask, caller.markers, context, user=user)

    def promise(
        self,
        found: Grant | None,
        begin: Callable[[Grant | None, bool], Begun],
        watch: Callable[[], AbstractContextManager[None]],
    ) -> PromisedToken:
        """The token that `begin` makes of the grant, looked up once more where it has to be decided afresh.

        Raises: what `begin` raises, now or from the promise.
        """

        def look(afresh: bool) -> Begun:
            grant = self._grants.get(found.grant_id) if afresh and found is not None else found
            return begin(grant, afresh)

        return promise(self._granter, look, watch)

    def end_reused(self, grant: Grant, caller: Authenticated, what: str, context: RequestContext) -> GrantRejected:
        """End a grant of which something was used twice, with all of its tokens (OAS-14, 15, PCR-17); what to raise
        then. Which of the two was the thief, nobody can tell. Raises: Unavailable."""
        event = AuditEvent.about(
            caller.identity,
            context,
            AuditEventKind.REVOKED,
            outcome=f"{what}_reused",
            client_id=grant.client_id,
            jti=grant.grant_id,
        )
        self._grants.end(grant.grant_id, event=event, now=context.now)
        return GrantRejected(Reason.GRANT_REUSED, f"the {what} was used before: grant {grant.grant_id} is over")


def actor_of(caller: Authenticated) -> str | None:
    """The SPIFFE ID that authenticated, if one did."""
    spiffe_id = caller.identity.subject.spiffe_id
    return None if spiffe_id is None else str(spiffe_id)


def at_door(context: RequestContext, grant: Grant | None) -> RequestContext:
    """The context in which a use of this grant is decided, and written down: at the door where it began
    (interface section 3)."""
    return context if grant is None else replace(context, door=grant.door)


def _require_as_seen(caller: Authenticated, grant: Grant) -> None:
    """That the client's document still says what the user agreed to."""
    if caller.document is None:
        return
    said = of_document(caller.document.value.metadata, None)
    if fingerprint(said.metadata, said.listed) != grant.fingerprint:
        raise GrantRejected(Reason.GRANT_ENDED, "the client's document is not the one that the user agreed to")


def _is_same(live: Registration, grant: Grant) -> bool:
    if grant.kind is ClientKind.PUSHED:
        return True
    if live.record.client_id != grant.client_id:
        return False
    if grant.code_used_at is None and grant.actor is None and live.member is not None:
        # The request came from a browser, before it was known who would act for the document. Whoever redeems the
        # code is bound by its own registration from then on.
        return str(live.record.epoch) == (grant.epoch or "").partition(".")[0]
    return live.epoch == grant.epoch


def _described(record: ClientRecord, grant: Grant) -> ClientRecord:
    return replace(record, metadata=grant.metadata)
