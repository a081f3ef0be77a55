"""Names of clients: whose is whose, and that no name of ours can be taken for a document's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.authorization import PUSHED_CLIENT_ID
from bridge.model.client import ClientKind
from bridge.model.evidence import EvidenceKind, names_document
from bridge.model.identity import PolicySubject, Source
from bridge.model.spiffe_id import SpiffeId
from bridge.model.terms import ClientChoice, ClientMode
from bridge.registration.naming import name_of

URL = "https://agents.example.org/planner"
AGENT = SpiffeId.parse_workload("spiffe://example.org/ns/agents/sa/planner")
OWN, INSTANCE = ClientChoice(), ClientChoice(ClientMode.INSTANCE)


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=43))
def test_no_derived_name_claims_to_be_a_documents_CIMD_30(issuer: str, subject: str, thumbprint: str) -> None:
    said = PolicySubject(Source.SOFTWARE_STATEMENT, EvidenceKind.SOFTWARE_STATEMENT, issuer=issuer, subject=subject)
    for choice in (OWN, INSTANCE):
        name = name_of(said, choice, thumbprint).client_id
        assert name.startswith(("statement-", "instance-"))
        assert not names_document(name)


@pytest.mark.parametrize("evidence", [EvidenceKind.METADATA_DOCUMENT, EvidenceKind.JWT_SVID])
def test_a_documents_client_is_its_url_and_who_acts_for_it_a_member(evidence: EvidenceKind) -> None:
    """CIMD-29: as it was written. It belongs to no trust domain, whoever acts for it."""
    actor = AGENT if evidence is EvidenceKind.JWT_SVID else None
    name = name_of(PolicySubject(Source.METADATA_DOCUMENT, evidence, spiffe_id=actor, url=URL), OWN, None)
    assert (name.client_id, name.kind, name.subject) == (URL, ClientKind.METADATA_DOCUMENT, URL)
    assert (name.trust_domain, name.member) == (None, None if actor is None else str(actor))


def test_the_same_svid_by_itself_is_its_own_client() -> None:
    name = name_of(PolicySubject(Source.SPIFFE, EvidenceKind.JWT_SVID, spiffe_id=AGENT), OWN, None)
    assert (name.client_id, name.kind, name.member) == (str(AGENT), ClientKind.SPIFFE, None)


def test_all_pushed_clients_go_by_one_name() -> None:
    name = name_of(PolicySubject(Source.PUSHED, EvidenceKind.PUSHED), OWN, None)
    assert (name.client_id, name.kind) == (PUSHED_CLIENT_ID, ClientKind.PUSHED)
    assert not names_document(name.client_id)
