"""Which stable name an identity gets (ROFU-5): derived from the identity alone, never from its key."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.model.client import ClientKind, ClientState, ProposedClient
from bridge.model.errors import InvalidRequest
from bridge.model.evidence import EvidenceKind
from bridge.model.identity import PolicySubject, Source
from bridge.model.reasons import Reason
from bridge.model.terms import ClientChoice, ClientMode, Terms

AUTH_METHODS: Mapping[EvidenceKind, str] = {
    EvidenceKind.X509_SVID: "spiffe_x509",
    EvidenceKind.JWT_SVID: "spiffe_jwt",
    EvidenceKind.WIT_SVID: "spiffe_wit",
}


def client_id_for(subject: PolicySubject, choice: ClientChoice) -> str:
    """The `client_id` this subject always resolves to under this choice.

    Raises: InvalidRequest for a subject or choice that has no door in this version.
    """
    if choice.mode is ClientMode.SHARED and choice.shared_id is not None:
        return choice.shared_id
    if choice.mode is ClientMode.IDENTITY and subject.source is Source.SPIFFE:
        return subject.name
    raise InvalidRequest(
        Reason.CREDENTIAL_UNSUPPORTED,
        f"client = {choice.mode.value} for source {subject.source.value} has no door in this version",
        public="this kind of client is not offered by this server version",
    )


def propose(subject: PolicySubject, choice: ClientChoice, terms: Terms, *, pending: bool) -> ProposedClient:
    """The record that a registration would write if nobody owns the name yet."""
    shared = choice.mode is ClientMode.SHARED
    client_id = client_id_for(subject, choice)
    trust_domain = subject.spiffe_id.trust_domain.name if subject.spiffe_id is not None else None
    metadata: dict[str, object] = {
        "grant_types": list(terms.grant_types),
        "token_endpoint_auth_method": AUTH_METHODS[subject.evidence],
    }
    if not shared:
        metadata["spiffe_id"] = subject.name
    return ProposedClient(
        client_id=client_id,
        kind=ClientKind.SHARED if shared else ClientKind.SPIFFE,
        subject=client_id,
        trust_domain=trust_domain,
        state=ClientState.PENDING if pending else ClientState.ACTIVE,
        rule=terms.rule,
        member=subject.name if shared else None,
        metadata=metadata,
    )
