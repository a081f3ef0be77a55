"""RFC 7592: a client reads, replaces and deletes its own registration.

By two things in one request: the registration access token, which says which record, and the client's own
SVID over mTLS, which says that it is the client and not somebody who read its logs (interface section 9).

Tokens are derived and not drawn: whoever registers again is told the token in force, although the store
keeps its digest alone (DCR-32, 33). A token is for one record, one epoch and one generation of it.
"""

from __future__ import annotations

import hashlib
import hmac
import json

from bridge.jose import base64url
from bridge.metadata.members import base_name
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.client import ClientKind, ClientRecord, ClientState
from bridge.model.errors import (
    ApprovalPending,
    EvidenceRejected,
    IdentityDenied,
    InvalidClientMetadata,
    ManagementForbidden,
    PolicyDenied,
    RegistrationTokenRejected,
)
from bridge.model.evidence import Door, RequestContext
from bridge.model.identity import VerifiedIdentity
from bridge.model.metadata import ClientMetadata
from bridge.model.reasons import Reason
from bridge.model.terms import Ask
from bridge.registration.admission import Admission
from bridge.registration.authentication import Authenticated
from bridge.registration.composing import InstanceKey, Said, code_explained, compose
from bridge.registration.enrolment import Enrolled, RegistrationAccess
from bridge.registration.hearing import GRANT_TYPES, asked, first_terms
from bridge.registration.introduction import VerifyChain
from bridge.registration.naming import identity_name_of
from bridge.registration.refused import Refusals
from bridge.registration.registrar import Registrar
from bridge.store.ports import Access, ClientStore, ManagementStore, Rotation

# Whose record is nobody's alone, or who has no SVID to come with, cannot manage it.
_MANAGED = frozenset({ClientKind.SPIFFE, ClientKind.INSTANCE})
# What is written down of a refusal before it is known what an update asks of policy: nothing.
_WHOSE = Ask(Door.REGISTER, "")


class RegistrationTokens:
    """Registration access tokens: derived under a key of the service, kept as digests (DCR-33)."""

    def __init__(self, key: bytes, store: ManagementStore) -> None:
        """`key`: 32 bytes that only this service has."""
        self._key, self._store = key, store

    def offer(self, record: ClientRecord) -> RegistrationAccess | None:
        """The token in force for this record; None for a kind of client that cannot manage itself."""
        if record.kind not in _MANAGED:
            return None
        handle = base64url.encode(self._derive("handle", record.client_id)[:16])
        token = self._token(record.client_id, record.epoch, 0)
        row = self._store.open(Access(record.client_id, handle, record.epoch, 0, _digest(token)))
        return RegistrationAccess(row.handle, self._token(row.client_id, row.epoch, row.generation))

    def check(self, handle: str, token: str) -> Access:
        """The row that handle and token both name (DCR-26, 27). Raises: RegistrationTokenRejected. Not checked:
        that the record is still what it was."""
        row = self._store.by_handle(handle)
        if row is None or not hmac.compare_digest(row.digest, _digest(token)):
            raise RegistrationTokenRejected(Reason.REGISTRATION_TOKEN, "the token is not the one in force")
        return row

    def after(self, row: Access) -> tuple[RegistrationAccess, Rotation]:
        """The token that comes after the one of `row` (DCR-32), and what puts it in force."""
        token = self._token(row.client_id, row.epoch, row.generation + 1)
        return RegistrationAccess(row.handle, token), Rotation(row, _digest(token))

    def renew(self, row: Access, *, event: AuditEvent) -> RegistrationAccess:
        """Put the next token in force, and `event` beside it. Raises: RegistrationTokenRejected when the one of
        `row` was not."""
        access, rotation = self.after(row)
        if self._store.rotate(rotation, event=event) is None:
            raise RegistrationTokenRejected(Reason.REGISTRATION_TOKEN, "the token was rotated meanwhile")
        return access

    def _token(self, client_id: str, epoch: int, generation: int) -> str:
        return base64url.encode(self._derive("token", client_id, epoch, generation))

    def _derive(self, *parts: str | int) -> bytes:
        return hmac.new(self._key, json.dumps(parts).encode(), "sha256").digest()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class Management:
    """What a client may do with its own registration."""

    def __init__(
        self,
        *,
        tokens: RegistrationTokens,
        chain: VerifyChain,
        registrar: Registrar,
        clients: ClientStore,
        refusals: Refusals,
    ) -> None:
        self._tokens, self._chain = tokens, chain
        self._registrar, self._clients, self._refusals = registrar, clients, refusals

    def read(self, handle: str, token: str, chain: tuple[bytes, ...], context: RequestContext) -> Enrolled:
        """RFC 7592 section 2.1: the registration as recorded, and a new token.

        Raises: RegistrationTokenRejected, ManagementForbidden, Unavailable. A refusal of an authenticated identity
        is in the audit log before this raises, as with the other two operations.
        """
        identity = self._identify(chain, context)
        with self._refusals.watch(identity, _WHOSE, context):
            row, record = self._open(handle, token, identity, context)
            # A token leaves with this answer, and ends the one before.
            event = AuditEvent.about(
                identity,
                context,
                AuditEventKind.UPDATED,
                outcome="registration_token_rotated",
                client_id=record.client_id,
            )
            return Enrolled(record, record.metadata, access=self._tokens.renew(row, event=event))

    def replace(
        self,
        handle: str,
        token: str,
        chain: tuple[bytes, ...],
        client_id: str,
        metadata: ClientMetadata,
        context: RequestContext,
    ) -> Enrolled:
        """RFC 7592 section 2.2: put this metadata in place of the recorded one. What it leaves out is gone; what
        a statement stated, the SPIFFE ID and the keys stay (DCR-28, 30); policy decides anew (DCR-34).

        Raises: as `read`; InvalidClientMetadata and its kin, PolicyDenied and its kin.
        """
        identity = self._identify(chain, context)
        with self._refusals.watch(identity, _WHOSE, context):
            row, record = self._open(handle, token, identity, context)
            if client_id != record.client_id:
                raise _invalid("client_id is not the one of this registration")
        caller = Authenticated(identity, (), record.client_id)
        with self._refusals.watch(identity, asked(metadata, GRANT_TYPES[0]), context):
            said = self._hear(record, caller, metadata)
        ask = asked(said.metadata, GRANT_TYPES[0])
        with self._refusals.watch(identity, ask, context), code_explained(said):
            admission = self._admit(record, caller, ask, context)
            composed = compose(
                said,
                admission.terms,
                identity.subject,
                admission.name,
                key=admission.key,
                scopes=admission.decision.scopes,
            )
            access, rotation = self._tokens.after(row)
            updated = self._clients.replace_metadata(
                record.client_id,
                epoch=record.epoch,
                rule=admission.terms.rule,
                metadata=composed,
                event=AuditEvent.about(
                    identity,
                    context,
                    AuditEventKind.UPDATED,
                    outcome="metadata_replaced",
                    ask=ask,
                    rule=admission.terms.rule,
                    client_id=record.client_id,
                    policy_version=admission.decision.policy_version,
                ),
                now=context.now,
                rotation=rotation,
            )
            return Enrolled(updated, updated.metadata, access=access)

    def delete(self, handle: str, token: str, chain: tuple[bytes, ...], context: RequestContext) -> None:
        """RFC 7592 section 2.3: end the record, its tokens and its registration token (DCR-31). The identity may
        register again. Raises: as `read`."""
        identity = self._identify(chain, context)
        with self._refusals.watch(identity, _WHOSE, context):
            _, record = self._open(handle, token, identity, context)
            # The epoch that this writes ends the registration token too.
            self._clients.revoke(
                record.client_id,
                event=AuditEvent.about(
                    identity, context, AuditEventKind.REVOKED, outcome="deregistered", client_id=record.client_id
                ),
                now=context.now,
            )

    def _identify(self, chain: tuple[bytes, ...], context: RequestContext) -> VerifiedIdentity:
        """Who is at the other end, so that what is refused from here on is somebody's refusal."""
        try:
            return self._chain(chain, now=context.now)
        except EvidenceRejected as rejected:
            raise RegistrationTokenRejected(rejected.reason, rejected.detail) from rejected

    def _open(
        self, handle: str, token: str, identity: VerifiedIdentity, context: RequestContext
    ) -> tuple[Access, ClientRecord]:
        """The record, when token and SVID are both its own. A wrong token and a wrong SVID get one answer.

        Raises: RegistrationTokenRejected (401, also for a record that has ended), ManagementForbidden for an
        identity that an operator or a rule denies.
        """
        row = self._tokens.check(handle, token)
        found = self._clients.find(row.client_id, subject=identity.name)
        record = found.record
        if record is None or record.epoch != row.epoch or record.state_at(context.now) is not ClientState.ACTIVE:
            raise RegistrationTokenRejected(Reason.REGISTRATION_TOKEN, f"{row.client_id} is not registered any more")
        if identity_name_of(record) != identity.name:
            raise RegistrationTokenRejected(
                Reason.REGISTRATION_TOKEN, f"{identity.name} came with the token of {row.client_id}"
            )
        try:
            self._registrar.resolve(Authenticated(identity, (), record.client_id))
        except (PolicyDenied, IdentityDenied) as denied:
            raise ManagementForbidden(Reason.MANAGEMENT_FORBIDDEN, denied.detail, rule=denied.rule) from denied
        except EvidenceRejected as moved:
            raise ManagementForbidden(Reason.MANAGEMENT_FORBIDDEN, moved.detail) from moved
        return row, record

    def _hear(self, record: ClientRecord, caller: Authenticated, metadata: ClientMetadata) -> Said:
        """What the update says, completed as a registration would be, and what a statement stated before."""
        _require_kept(record, metadata)
        identity = caller.identity
        granted = first_terms(self._registrar.decide, identity.subject, identity.proved).grant_types
        return Said(metadata, record.provenance.stated).completed(granted)

    def _admit(self, record: ClientRecord, caller: Authenticated, ask: Ask, context: RequestContext) -> Admission:
        """Policy's answer to the update."""
        key = InstanceKey.of_record(record) if record.kind is ClientKind.INSTANCE else None
        admission = self._registrar.admit(caller, ask, key=key)
        if self._registrar.look(admission, caller, context)[1] is None:
            # Under these terms an operator has to approve the client first, which it may ask for as usual.
            raise ApprovalPending(Reason.APPROVAL_PENDING, record.client_id, rule=admission.terms.rule)
        return admission


def _require_kept(record: ClientRecord, metadata: ClientMetadata) -> None:
    """What was stated, what is proved and how the client authenticates is not the client's to change (DCR-30).
    As at registration, nothing is put beside what was stated in another language.

    Raises: InvalidClientMetadata.
    """
    stated = frozenset(record.provenance.stated)
    members = {base_name(name) for name in stated}
    beside = {name for name in metadata.members if base_name(name) in members}
    for name in sorted(stated | beside | {"jwks", "spiffe_id", "token_endpoint_auth_method"}):
        if (name in stated or name in metadata) and metadata.get(name) != record.metadata.get(name):
            raise _invalid(f"{name} cannot be changed here")
    if metadata.get("jwks_uri") is not None:
        raise _invalid("jwks_uri is not read here; send jwks")


def _invalid(public: str) -> InvalidClientMetadata:
    return InvalidClientMetadata(Reason.METADATA_INVALID, public, public=public)
