"""The one way in which a client comes into being: decide, name, ensure.

Every door calls it: the token endpoint by `register`, the registration endpoint through `admit` and
`ensure`. It is idempotent on (kind, subject), so registration on first use is no special path: whoever came
through one door yesterday and another today is one record.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.client import ClientKind, ClientRecord, ClientState, ProposedClient, Provenance, Registration
from bridge.model.errors import (
    ApprovalPending,
    EvidenceRejected,
    IdentityDenied,
    PolicyDenied,
    ProofMissing,
)
from bridge.model.evidence import Door, RequestContext
from bridge.model.identity import BindingMethod, Marker, PolicySubject
from bridge.model.reasons import Reason
from bridge.model.terms import Ask, ClientChoice, ClientMode, Decision, Effect
from bridge.observe.tracing import Stage, note, stage
from bridge.registration.admission import Admission, Policy, assertion_markers, lease_until, transient_record
from bridge.registration.authentication import Authenticated
from bridge.registration.composing import InstanceKey, first_use_metadata
from bridge.registration.denials import require_granted
from bridge.registration.documented import follow, is_current, metadata_of, provenance_of, require_stated_grant
from bridge.registration.known import CAPACITY, KnownClients
from bridge.registration.naming import ClientName, name_of, require_named, thumbprint_of
from bridge.registration.standing_still import until_it_stands
from bridge.store.ports import ClientStore, Ensured, Found, RegistrationLimits


class Registrar:
    """Decides, names and ensures. Holds nothing that the store would not correct (`known`)."""

    def __init__(
        self,
        *,
        policy: Callable[[], Policy],
        clients: ClientStore,
        limits: Callable[[str | None], RegistrationLimits],
        idle_expiry: int,
        on_decision: Callable[[Decision], None] = lambda decision: None,
        on_registered: Callable[[ClientKind], None] = lambda kind: None,
        remembers: bool = True,
    ) -> None:
        """`policy` gives the set in force; `limits` those of a trust domain; `idle_expiry` in seconds.
        `on_decision` and `on_registered` hear of each decision, and of each registration that was written. Without
        `remembers` each record is read anew (see `known`)."""
        self._policy, self._clients = policy, clients
        self._limits, self._idle_expiry = limits, idle_expiry
        self._on_decision, self._on_registered = on_decision, on_registered
        self._known = KnownClients(CAPACITY if remembers else 0)

    def resolve(self, caller: Authenticated) -> tuple[str, tuple[Marker, ...]]:
        """The client this caller is, whether or not a record exists, and the marks to claim before it gets
        an answer; for callers who only ask.

        Whose client is one per instance and who shows no key is nobody's client but its identity: it may ask
        as that. Raises: EvidenceRejected (CLIENT_ID_MISMATCH) when it named another client; PolicyDenied when
        a rule denies the identity, IdentityDenied when an operator did, ApprovalPending while its registration
        waits for one (ROFU-12): all hold at every door.
        """
        subject, policy = caller.identity.subject, self._policy()
        choice = policy.client_for(subject) or ClientChoice()
        try:
            client_id = self._name(caller, choice, None)[0].client_id
        except ProofMissing:
            client_id = caller.identity.name
        standing = policy.standing(subject)
        if standing.denied_by is not None:
            raise PolicyDenied(Reason.POLICY_DENY_RULE, f"{standing.denied_by} denies it", rule=standing.denied_by)
        found = self._clients.find(client_id, subject=caller.identity.name)
        if found.denied:
            raise IdentityDenied(Reason.IDENTITY_DENIED, caller.identity.name)
        if found.record is not None and found.record.state is ClientState.PENDING:
            raise ApprovalPending(Reason.APPROVAL_PENDING, f"{client_id} waits", rule=found.record.rule)
        return client_id, caller.markers + (assertion_markers(caller.identity) if standing.once else ())

    def decide(self, subject: PolicySubject, ask: Ask, *, proved: frozenset[BindingMethod]) -> Decision:
        """What policy says of one ask. Raises: PolicyDenied and its kin. The decision has terms."""
        with stage(Stage.DECIDE):
            decision = self._policy().decide(subject, ask, proved=proved)
            self._on_decision(decision)
            require_granted(decision)
        return decision

    def covers(self, subject: PolicySubject, ask: Ask) -> bool:
        """Whether policy would give all of this ask to a subject that proves every key. Nothing is decided by it."""
        return self._policy().decide(subject, ask, proved=frozenset(BindingMethod)).effect is not Effect.DENY

    def offers(self, subject: PolicySubject, door: Door, grant_type: str) -> tuple[Decision, ...]:
        """All that policy has for this subject at that door, whatever it would name. Nothing is decided by it."""
        return self._policy().offers(subject, door, grant_type)

    def client_of(self, caller: Authenticated) -> ClientName:
        """The client that this caller is, whatever it asks. Raises: EvidenceRejected when it named another one,
        ProofMissing when it is an instance that shows no key. Not checked: policy, and whether there is a record."""
        return self._name(caller, self._policy().client_for(caller.identity.subject) or ClientChoice(), None)[0]

    def admit(
        self,
        caller: Authenticated,
        ask: Ask,
        *,
        key: InstanceKey | None = None,
        proved: frozenset[BindingMethod] | None = None,
    ) -> Admission:
        """Decide what was asked, and name the caller's client. `key`: the instance's, where the request brought
        it otherwise than by a DPoP proof. `proved`: the keys that count as shown, where it is not those of this
        request alone.

        Raises: PolicyDenied and its kin; EvidenceRejected when it named another client.
        """
        shown = caller.identity.proved if proved is None else proved
        decision = self.decide(caller.identity.subject, ask, proved=shown)
        name, key = self._name(caller, decision.client, key)
        if caller.document is not None:
            require_stated_grant(caller.document, ask)
        spiffe_id = caller.identity.subject.spiffe_id
        note(
            client_id=name.client_id,
            trust_domain="" if spiffe_id is None else spiffe_id.trust_domain.name,
            rule=decision.rule or "",
            grant_type=ask.grant_type,
        )
        assert decision.terms is not None, "decide gives terms or raises"
        return Admission(decision, decision.terms, name, key)

    def register(
        self, caller: Authenticated, ask: Ask, context: RequestContext, *, afresh: bool = False
    ) -> Registration:
        """Decide what was asked, and return the live record of the caller, made now if need be.

        The record may be one that was read before: whoever issues on it hears of a change from
        `record_issue` (RegistrationChanged) and then asks again, `afresh`.
        Raises: PolicyDenied and its kin, ApprovalPending, LimitReached, Unavailable. A refusal leaves
        no record (ROFU-9), except a PENDING one when policy says `ask`.
        Spec: ROFU-3, 5, 8, 9, 12, 22, 24.
        """
        return self.settle(self.admit(caller, ask), caller, context, afresh=afresh)

    def settle(
        self, admission: Admission, caller: Authenticated, context: RequestContext, *, afresh: bool = False
    ) -> Registration:
        """The second half of `register`: the live record of a caller that was admitted, made now if need be."""
        with stage(Stage.REGISTER):
            return self._settled(admission, caller, context, afresh=afresh)

    def _settled(
        self, admission: Admission, caller: Authenticated, context: RequestContext, *, afresh: bool
    ) -> Registration:
        ended, live = self._find(admission, caller, context, afresh=afresh)
        if live is not None:
            return live
        name, identity, document = admission.name, caller.identity, caller.document
        if document is not None:
            metadata = metadata_of(document, admission.terms)
        else:
            metadata = first_use_metadata(admission.terms, identity.subject, name, admission.key, ended)
        provenance = provenance_of(identity, document)
        return self.ensure(admission, caller, context, metadata=metadata, provenance=provenance)

    def existing(
        self, admission: Admission, caller: Authenticated, context: RequestContext, *, afresh: bool = False
    ) -> Registration | None:
        """As `settle`, and nothing is made: None when the caller has no live record, or waits for an operator."""
        return self._find(admission, caller, context, afresh=afresh)[1]

    def _find(
        self, admission: Admission, caller: Authenticated, context: RequestContext, *, afresh: bool
    ) -> tuple[ClientRecord | None, Registration | None]:
        """The record whatever its state, and the registration if it is live; that may be one that was read before."""
        name, identity = admission.name, caller.identity
        if name.kind is ClientKind.PUSHED:
            return None, self._transient(admission, caller, context.now)
        if admission.decision.effect is Effect.ALLOW and not afresh:
            known = self._known.recall(name.client_id, identity.name)
            if known is not None and known.record is not None and _is_live(known, name, context.now):
                if is_current(known.record, caller.document):
                    ensured = Ensured(known.record, known.member, False)
                    return known.record, self._registration(admission, caller, ensured, context.now)
        # Two requests may see a new document at once. The other one has put it on the record then.
        return until_it_stands(lambda: self._read(admission, caller, context))

    def _read(
        self, admission: Admission, caller: Authenticated, context: RequestContext
    ) -> tuple[ClientRecord | None, Registration | None]:
        """As `_find`, read now, with what the client's document says now on the record."""
        found, live = self.look(admission, caller, context)
        if live is not None:
            if caller.document is not None and not is_current(live.record, caller.document):
                live = follow(self._clients, live, caller.document, context)
            self._known.note(admission.name.client_id, caller.identity.name, replace(found, record=live.record))
        return found.record, live

    def _transient(self, admission: Admission, caller: Authenticated, now: int) -> Registration:
        """A pushed client has no record: what stands for one is made anew for each request, and never stored."""
        name = admission.name
        if self._clients.find(name.client_id, subject=caller.identity.name).denied:
            raise IdentityDenied(Reason.IDENTITY_DENIED, name.client_id)
        record = transient_record(admission, now)
        return Registration(caller.identity, admission.decision, record, None, created=False)

    def look(
        self, admission: Admission, caller: Authenticated, context: RequestContext
    ) -> tuple[Found, Registration | None]:
        """Read what there is of the caller's client, and the registration if it is live and need not wait for
        an operator. Raises: IdentityDenied; when a caller came by a key of its record and that is not live,
        ApprovalPending while it waits and EvidenceRejected (LEASE_ENDED) after its end: only what vouched for it
        brings it back."""
        name, decision, terms = admission.name, admission.decision, admission.terms
        identity = caller.identity
        found = self._clients.find(
            name.client_id, subject=identity.name, member=name.member, terms=(terms.rule, terms.digest)
        )
        if found.denied:
            raise IdentityDenied(Reason.IDENTITY_DENIED, identity.name)
        live = _is_live(found, name, context.now)
        if caller.record is not None and not live:
            if found.record is not None and found.record.state_at(context.now) is ClientState.PENDING:
                raise ApprovalPending(Reason.APPROVAL_PENDING, f"{name.client_id} waits", rule=found.record.rule)
            raise EvidenceRejected(Reason.LEASE_ENDED, f"{name.client_id} has ended")
        # An approval ends with the record: one that comes back has to be approved anew.
        waits = decision.effect is Effect.ASK and not (found.approved and live)
        if not live or waits or found.record is None:
            return found, None
        return found, self._registration(admission, caller, Ensured(found.record, found.member, False), context.now)

    def ensure(
        self,
        admission: Admission,
        caller: Authenticated,
        context: RequestContext,
        *,
        metadata: dict[str, object],
        provenance: Provenance,
        ask: Ask | None = None,
        markers: tuple[Marker, ...] = (),
    ) -> Registration:
        """Write the record, or bring it back. `ask` is kept in the audit row where no token's row will hold it;
        `markers` are claimed if and only if a registration is written.

        Raises: ApprovalPending, after the record stands as PENDING; LimitReached, IdentityDenied,
        CredentialReplayed, Unavailable.
        """
        identity, name, terms, decision = caller.identity, admission.name, admission.terms, admission.decision
        pending = decision.effect is Effect.ASK
        state = ClientState.PENDING if pending else ClientState.ACTIVE
        ensured = self._clients.ensure(
            ProposedClient(
                client_id=name.client_id,
                kind=name.kind,
                subject=name.subject,
                trust_domain=name.trust_domain,
                state=state,
                rule=terms.rule,
                parent=name.parent,
                member=name.member,
                metadata=metadata,
                provenance=provenance,
                authorities=identity.authorities if name.kind is ClientKind.INSTANCE else (),
            ),
            limits=self._limits(name.trust_domain),
            idle_expiry=self._idle_expiry,
            event=AuditEvent.about(
                identity,
                context,
                AuditEventKind.REGISTERED,
                outcome=state.value,
                ask=ask,
                rule=terms.rule,
                client_id=name.client_id,
                policy_version=decision.policy_version,
            ),
            now=context.now,
            lease_until=lease_until(name.kind, terms, identity, context.now),
            markers=markers,
        )
        if ensured.created:
            self._on_registered(name.kind)
        # An identity that is new under an approved client needs no approval of its own.
        if pending and not self._is_approved(admission, ensured):
            self._clients.await_approval(name.client_id, rule=terms.rule, digest=terms.digest, now=context.now)
            raise ApprovalPending(
                Reason.APPROVAL_PENDING,
                f"{name.client_id} waits: bridge clients approve {name.client_id}",
                rule=terms.rule,
                policy_version=decision.policy_version,
            )
        return self._registration(admission, caller, ensured, context.now)

    def _is_approved(self, admission: Admission, ensured: Ensured) -> bool:
        """Whether an operator approved these terms for the record as it stands."""
        record, terms = ensured.record, admission.terms
        if record.state is not ClientState.ACTIVE:
            return False
        found = self._clients.find(record.client_id, subject=record.subject, terms=(terms.rule, terms.digest))
        return found.approved and found.record is not None and found.record.epoch == record.epoch

    def _registration(self, admission: Admission, caller: Authenticated, ensured: Ensured, now: int) -> Registration:
        record = ensured.record
        return Registration(
            caller.identity,
            admission.decision,
            record,
            ensured.member,
            ensured.created,
            lease_until=lease_until(record.kind, admission.terms, caller.identity, now),
            # A key of its own is worth what was vouched for: it cannot prolong that.
            renews=caller.record is None or record.kind is not ClientKind.INSTANCE,
            document_ends_at=None if caller.document is None else caller.document.value.expires_at,
        )

    def _name(
        self, caller: Authenticated, choice: ClientChoice, key: InstanceKey | None
    ) -> tuple[ClientName, InstanceKey | None]:
        """The caller's client and, of an instance, its key.

        Raises: EvidenceRejected (CLIENT_ID_MISMATCH), ProofMissing, InvalidRequest.
        """
        identity = caller.identity
        if choice.mode is ClientMode.INSTANCE:
            key = key or self._instance_key(caller)
        name = name_of(identity.subject, choice, None if key is None else key.thumbprint)
        if caller.record is not None and caller.record.client_id != name.client_id:
            raise EvidenceRejected(Reason.CLIENT_ID_MISMATCH, f"the rules now give it {name.client_id}")
        require_named(caller.client_id, name, identity.name)
        return name, key

    def _instance_key(self, caller: Authenticated) -> InstanceKey | None:
        """The key that tells the instance: the one its own assertion or DPoP proof was made with, else that of
        the instance it names, which any holder of the identity's SVID may do (interface section 9)."""
        if caller.record is not None:
            return InstanceKey.of_record(caller.record)
        proved = caller.identity.key(BindingMethod.JKT)
        if proved is not None:
            return InstanceKey(proved.thumbprint, proved.jwk)
        if caller.client_id is None or caller.client_id == caller.identity.name:
            return None
        record = self._clients.get(caller.client_id)
        return None if record is None or thumbprint_of(record) is None else InstanceKey.of_record(record)


def _is_live(found: Found, name: ClientName, now: int) -> bool:
    if found.record is None or found.record.state_at(now) is not ClientState.ACTIVE:
        return False
    return name.member is None or (found.member is not None and found.member.state_at(now) is ClientState.ACTIVE)
