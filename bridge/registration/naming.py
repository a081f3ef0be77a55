"""Which stable name an identity gets (ROFU-5): derived from who it is, never from a credential's key.

An instance is named after its own key as well, which is not a credential's: it is what tells two processes
of one identity apart, and a restart that kept it is the same client (interface section 9).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from bridge.jose import base64url
from bridge.model.authorization import PUSHED_CLIENT_ID
from bridge.model.client import ClientKind, ClientRecord
from bridge.model.errors import EvidenceRejected, InvalidRequest, ProofMissing
from bridge.model.evidence import EvidenceKind
from bridge.model.identity import PolicySubject, Source
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import SpiffeId
from bridge.model.terms import ClientChoice, ClientMode

AUTH_METHODS: Mapping[EvidenceKind, str] = {
    EvidenceKind.X509_SVID: "spiffe_x509",
    EvidenceKind.JWT_SVID: "spiffe_jwt",
    EvidenceKind.WIT_SVID: "spiffe_wit",
    EvidenceKind.SOFTWARE_STATEMENT: "private_key_jwt",
}
INSTANCE, STATEMENT = "instance-", "statement-"
SEND_A_KEY = "this client is one per instance: send a DPoP proof by the instance's own key"


@dataclass(frozen=True, slots=True)
class ClientName:
    """Where a record stands. `member` is the identity's name under a shared client, `parent` that of the
    identity whose instance it is."""

    client_id: str
    kind: ClientKind
    subject: str
    trust_domain: str | None
    parent: str | None = None
    member: str | None = None


def name_of(subject: PolicySubject, choice: ClientChoice, thumbprint: str | None) -> ClientName:
    """The client that this subject always resolves to under this choice. `thumbprint`: of the instance's key.

    Raises: ProofMissing when the choice is a client per instance and no key is known; InvalidRequest for a
    subject or choice that has no door in this version.
    """
    trust_domain = None if subject.spiffe_id is None else subject.spiffe_id.trust_domain.name
    if choice.mode is ClientMode.SHARED and choice.shared_id is not None:
        return ClientName(choice.shared_id, ClientKind.SHARED, choice.shared_id, trust_domain, member=subject.name)
    if subject.source is Source.METADATA_DOCUMENT and choice.mode is ClientMode.IDENTITY and subject.url:
        # Of no trust domain: an SVID may act for it, and is then a member like those of a shared client.
        acting = None if subject.spiffe_id is None else str(subject.spiffe_id)
        return ClientName(subject.url, ClientKind.METADATA_DOCUMENT, subject.url, None, member=acting)
    if subject.source is Source.PUSHED:
        return ClientName(PUSHED_CLIENT_ID, ClientKind.PUSHED, PUSHED_CLIENT_ID, None)
    own = _own_name(subject, choice)
    if choice.mode is ClientMode.IDENTITY:
        kind = ClientKind.SPIFFE if subject.source is Source.SPIFFE else ClientKind.STATEMENT
        return ClientName(own, kind, subject.name, trust_domain)
    if thumbprint is None:
        raise ProofMissing(Reason.POLICY_PROOF, "an instance without a key", public=SEND_A_KEY)
    return ClientName(
        INSTANCE + _digest(subject.name, thumbprint),
        ClientKind.INSTANCE,
        f"{subject.name} {thumbprint}",
        trust_domain,
        parent=own,
    )


def require_named(named: str | None, name: ClientName, identity_name: str) -> None:
    """That a caller who names a client means its own: by the client's name, or by the identity's. Raises:
    EvidenceRejected (CLIENT_ID_MISMATCH)."""
    if named not in (None, name.client_id, identity_name):
        raise EvidenceRejected(Reason.CLIENT_ID_MISMATCH, f"the credential is that of {name.client_id}")


def _own_name(subject: PolicySubject, choice: ClientChoice) -> str:
    """The name of the identity itself: a SPIFFE ID, or one derived from issuer and subject of a statement."""
    if subject.source is Source.SPIFFE:
        return subject.name
    if subject.source is Source.SOFTWARE_STATEMENT:
        return STATEMENT + _digest(subject.issuer or "", subject.subject or "")
    raise InvalidRequest(
        Reason.CREDENTIAL_UNSUPPORTED,
        f"client = {choice.mode.value} for source {subject.source.value} has no door in this version",
        public="this kind of client is not offered by this server version",
    )


def _digest(*parts: str) -> str:
    # JSON keeps the parts apart whatever is in them.
    return base64url.encode(hashlib.sha256(json.dumps(parts).encode()).digest())


def subject_of(record: ClientRecord) -> PolicySubject | None:
    """The subject that a record with keys of its own acts for, as policy is to see it: under the evidence that
    granted the registration or lease. None for a record that was never granted by evidence.

    What `name_of` writes as `subject` is read here and nowhere else.
    """
    evidence = record.provenance.evidence
    if evidence is None:
        return None
    name = identity_name_of(record)
    if record.kind is ClientKind.METADATA_DOCUMENT:
        return PolicySubject(Source.METADATA_DOCUMENT, EvidenceKind.METADATA_DOCUMENT, url=name)
    if evidence is EvidenceKind.SOFTWARE_STATEMENT:
        issuer, _, subject = name.partition(" ")
        return PolicySubject(Source.SOFTWARE_STATEMENT, evidence, issuer=issuer, subject=subject)
    return PolicySubject(Source.SPIFFE, evidence, spiffe_id=SpiffeId.parse_workload(name))


def thumbprint_of(record: ClientRecord) -> str | None:
    """The thumbprint of an instance's key; None for any other record."""
    return record.subject.rpartition(" ")[2] if record.kind is ClientKind.INSTANCE else None


def identity_name_of(record: ClientRecord) -> str:
    """The name of the identity that a record stands for: an instance's is that of its siblings too."""
    return record.subject.rpartition(" ")[0] if record.kind is ClientKind.INSTANCE else record.subject
