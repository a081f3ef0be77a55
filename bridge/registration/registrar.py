"""The one way in which a client comes into being: verify, decide, name, ensure.

Every door calls `Registrar.register`. It is idempotent on (kind, subject), so registration on first use
is no special path: whoever came through one door yesterday and another today is one record.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.client import ClientState, Registration
from bridge.model.errors import (
    ApprovalPending,
    BridgeError,
    EvidenceRejected,
    GrantNotAllowed,
    IdentityDenied,
    PolicyDenied,
    ProofMissing,
    ScopeNotAllowed,
    TargetNotAllowed,
)
from bridge.model.evidence import EvidenceKind, Presented, RequestContext, X509Evidence
from bridge.model.identity import BindingMethod, Marker, PolicySubject, VerifiedIdentity
from bridge.model.reasons import Reason
from bridge.model.terms import Ask, ClientChoice, Decision, Denial, Effect, Standing, Terms
from bridge.registration.known import KnownClients
from bridge.registration.naming import client_id_for, propose
from bridge.store.ports import ClientStore, Found, RegistrationLimits

# How long after its end a once-only assertion's mark is kept: the leeway under which it is still taken.
ASSERTION_LEEWAY = 30


class Policy(Protocol):
    """The questions the registrar asks of the policy set in force."""

    def decide(self, subject: PolicySubject, ask: Ask, *, proved: frozenset[BindingMethod]) -> Decision: ...
    def client_for(self, subject: PolicySubject) -> ClientChoice | None: ...
    def standing(self, subject: PolicySubject) -> Standing: ...


class Verifier(Protocol):
    """Turns what was presented into who it is; raises EvidenceRejected, ProofRejected or Unavailable."""

    def __call__(self, presented: Presented, *, now: int) -> tuple[VerifiedIdentity, tuple[Marker, ...]]: ...


@dataclass(frozen=True, slots=True)
class Authenticated:
    """A verified caller, and the marks (DPoP proofs) to claim together with whatever it causes."""

    identity: VerifiedIdentity
    markers: tuple[Marker, ...]
    client_id: str | None


_DENIALS: dict[Denial, type[BridgeError]] = {
    Denial.IDENTITY: PolicyDenied,
    Denial.GRANT_TYPE: GrantNotAllowed,
    Denial.SCOPE: ScopeNotAllowed,
    Denial.RESOURCE: TargetNotAllowed,
    Denial.PROOF: ProofMissing,
}


class Registrar:
    """Verifies, decides, names and ensures. Holds nothing that the store would not correct (`known`)."""

    def __init__(
        self,
        *,
        verify: Verifier,
        policy: Callable[[], Policy],
        clients: ClientStore,
        limits: Callable[[str | None], RegistrationLimits],
        idle_expiry: int,
        on_decision: Callable[[Decision], None] = lambda decision: None,
    ) -> None:
        """`policy` gives the set in force; `limits` those of a trust domain; `idle_expiry` in seconds."""
        self._verify, self._policy, self._clients = verify, policy, clients
        self._limits, self._idle_expiry, self._on_decision = limits, idle_expiry, on_decision
        self._known = KnownClients()

    def authenticate(self, presented: Presented, *, now: int) -> Authenticated:
        """Who the caller is. Makes no record and decides nothing.

        Raises: EvidenceRejected, ProofRejected, Unavailable. Spec: SCA-15 (a certificate needs
        `client_id`), T-13 (the identity is the credential's alone; see `resolve`).
        """
        client_id = presented.evidence.client_id
        if isinstance(presented.evidence, X509Evidence) and client_id is None:
            raise EvidenceRejected(Reason.CLIENT_ID_MISSING, "a certificate must come with client_id")
        identity, markers = self._verify(presented, now=now)
        return Authenticated(identity, markers, client_id)

    def resolve(self, caller: Authenticated) -> tuple[str, tuple[Marker, ...]]:
        """The client this caller is, whether or not a record exists, and the marks to claim before it gets
        an answer; for callers who only ask.

        Raises: EvidenceRejected (CLIENT_ID_MISMATCH) when it named another client; PolicyDenied when a rule
        denies the identity, IdentityDenied when an operator did: both hold at every door.
        """
        subject, policy = caller.identity.subject, self._policy()
        client_id = client_id_for(subject, policy.client_for(subject) or ClientChoice())
        self._check_named_client(caller, client_id)
        standing = policy.standing(subject)
        if standing.denied_by is not None:
            raise PolicyDenied(Reason.POLICY_DENY_RULE, f"{standing.denied_by} denies it", rule=standing.denied_by)
        if self._clients.find(client_id, subject=subject.name).denied:
            raise IdentityDenied(Reason.IDENTITY_DENIED, subject.name)
        return client_id, caller.markers + (assertion_markers(caller.identity) if standing.once else ())

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
        identity = caller.identity
        decision = self._policy().decide(identity.subject, ask, proved=identity.proved)
        self._on_decision(decision)
        if decision.terms is None or decision.effect is Effect.DENY:
            raise _refusal(decision)
        terms = decision.terms
        client_id = client_id_for(identity.subject, decision.client)
        self._check_named_client(caller, client_id)
        member = identity.name if client_id != identity.name else None
        if decision.effect is Effect.ALLOW and not afresh:
            known = self._known.recall(client_id, identity.name)
            if known is not None and known.record is not None and _is_live(known, member, context.now):
                return Registration(identity, decision, known.record, known.member, created=False)
        found = self._clients.find(client_id, subject=identity.name, member=member, terms=(terms.rule, terms.digest))
        if found.denied:
            raise IdentityDenied(Reason.IDENTITY_DENIED, identity.name)
        live = _is_live(found, member, context.now)
        # An approval ends with the record: one that comes back has to be approved anew.
        pending = decision.effect is Effect.ASK and not (found.approved and live)
        if live and not pending and found.record is not None:
            self._known.note(client_id, identity.name, found)
            return Registration(identity, decision, found.record, found.member, created=False)
        return self._ensure(caller, decision, terms, context, pending=pending)

    def _ensure(
        self, caller: Authenticated, decision: Decision, terms: Terms, context: RequestContext, *, pending: bool
    ) -> Registration:
        identity = caller.identity
        proposed = propose(identity.subject, decision.client, terms, pending=pending)
        ensured = self._clients.ensure(
            proposed,
            limits=self._limits(proposed.trust_domain),
            idle_expiry=self._idle_expiry,
            event=AuditEvent.about(
                identity,
                context,
                AuditEventKind.REGISTERED,
                outcome=proposed.state.value,
                rule=terms.rule,
                client_id=proposed.client_id,
                policy_version=decision.policy_version,
            ),
            now=context.now,
        )
        if pending:
            self._clients.await_approval(proposed.client_id, rule=terms.rule, digest=terms.digest, now=context.now)
            raise ApprovalPending(
                Reason.APPROVAL_PENDING,
                f"{proposed.client_id} waits: bridge clients approve {proposed.client_id}",
                rule=terms.rule,
                policy_version=decision.policy_version,
            )
        return Registration(identity, decision, ensured.record, ensured.member, ensured.created)

    @staticmethod
    def _check_named_client(caller: Authenticated, client_id: str) -> None:
        if caller.client_id not in (None, client_id, caller.identity.name):
            raise EvidenceRejected(Reason.CLIENT_ID_MISMATCH, f"the credential is that of {client_id}")


def assertion_markers(identity: VerifiedIdentity) -> tuple[Marker, ...]:
    """The mark on a JWT-SVID that may be used once, wherever it was (T-21). Other evidence has none."""
    if identity.subject.evidence is not EvidenceKind.JWT_SVID:
        return ()
    return (Marker("jwt-svid", identity.replay_digest, identity.not_after + ASSERTION_LEEWAY),)


def _is_live(found: Found, member: str | None, now: int) -> bool:
    if found.record is None or found.record.state_at(now) is not ClientState.ACTIVE:
        return False
    return member is None or (found.member is not None and found.member.state_at(now) is ClientState.ACTIVE)


def _refusal(decision: Decision) -> BridgeError:
    """The error for a decision that denies. Words of policy reach the client only where they tell it which
    proof or which parameter to send; everything else is for the log."""
    denial = decision.denial or Denial.IDENTITY
    public = None
    if denial is Denial.PROOF:
        public = decision.because
    elif denial is Denial.RESOURCE and decision.because.startswith("name a resource"):
        public = "name a resource"
    return _DENIALS[denial](
        decision.reason or Reason.POLICY_NO_RULE,
        decision.because,
        public=public,
        rule=decision.rule or "",
        policy_version=decision.policy_version,
    )
