"""What stands on the record of a client that is known by a document, and when the document has to replace it.

The record is a memory of the document, for operators and for comparison: each request is judged by the document
itself. So it is replaced whenever a younger document says something else, and never asked who may do what.
"""

from __future__ import annotations

from dataclasses import replace

from bridge.metadata.members import base_name
from bridge.metadata.redirect_uris import same
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.client import ClientRecord, Provenance, Registration
from bridge.model.document import StoredDocument
from bridge.model.errors import EvidenceRejected, GrantNotAllowed
from bridge.model.evidence import RequestContext
from bridge.model.identity import VerifiedIdentity
from bridge.model.reasons import Reason
from bridge.model.terms import Ask, Bind, Terms
from bridge.registration.composing import AUTHORIZATION_CODE, DESCRIBING, DPOP_BOUND, PAR_ONLY
from bridge.store.ports import ClientStore
from bridge.verify.metadata_documents import VerifiedDocument

Stored = StoredDocument[VerifiedDocument]
# No copy is used for longer after its server last confirmed it; one that seems older was fetched after the clock had
# been set back.
_OLDEST = 2 * 86400
# Taken over as the document says them: keys, where they are, who may act.
_AUTHENTICATING = ("jwks", "jwks_uri", "spiffe_id", "token_endpoint_auth_signing_alg")


def require_stated_grant(document: Stored, ask: Ask) -> None:
    """That the document does not leave out the grant type that is asked for: a client that says which it uses is
    held to it. Raises: GrantNotAllowed. Spec: RFC 7591 section 2. One that says nothing is held by policy alone."""
    stated = document.value.metadata.texts("grant_types")
    if stated is not None and ask.grant_type not in stated:
        raise GrantNotAllowed(Reason.POLICY_GRANT_TYPE, f"the document does not state {ask.grant_type}")


def metadata_of(document: Stored, terms: Terms) -> dict[str, object]:
    """The members to keep: the document's, capped by the rule (T-45).

    Raises: EvidenceRejected when the client wants DPoP-bound tokens and the rule binds none.
    """
    said = document.value.metadata
    if said.get(DPOP_BOUND) and terms.bind is Bind.NONE:
        words = f"the client wants DPoP-bound tokens, and {terms.rule} binds none"
        raise EvidenceRejected(Reason.DOCUMENT_REFUSED, words, rule=terms.rule)
    kept = {
        name: value
        for name, value in said.members.items()
        if base_name(name) in DESCRIBING or name in _AUTHENTICATING or name in (DPOP_BOUND, PAR_ONLY)
    }
    grants = _common(said.texts("grant_types"), terms.grant_types)
    kept["grant_types"] = list(grants)
    kept["response_types"] = ["code"] if AUTHORIZATION_CODE in grants else []
    kept["scope"] = " ".join(_common(_scopes(document.value), terms.scopes))
    kept["token_endpoint_auth_method"] = document.value.method
    redirect_uris = said.texts("redirect_uris") or ()
    if redirect_uris:
        listed = terms.redirect_uris
        kept["redirect_uris"] = [u for u in redirect_uris if not listed or any(same(one, u) for one in listed)]
    return kept


def provenance_of(identity: VerifiedIdentity, document: Stored | None) -> Provenance:
    """Where a registration comes from: the evidence, and the document if there was one to be had."""
    if document is None:
        return Provenance(identity.subject.evidence)
    return Provenance(
        identity.subject.evidence,
        document_digest=document.value.digest,
        document_fetched_at=document.fetched_at,
    )


def is_current(record: ClientRecord, document: Stored | None) -> bool:
    """Whether the record says what the document says, or what a younger one said that somebody else has seen."""
    if document is None:
        return True
    known = record.provenance
    if known.document_digest == document.value.digest:
        return True
    age = known.document_fetched_at - document.fetched_at
    return bool(known.document_digest) and 0 < age <= _OLDEST


def follow(clients: ClientStore, live: Registration, document: Stored, context: RequestContext) -> Registration:
    """The registration with what the document says now on its record.

    Raises: RegistrationChanged when somebody else changed the record meanwhile: look again; EvidenceRejected as
    `metadata_of`. Spec: CIMD-27, T-8. Consents are their own affair: they hang on the document's words.
    """
    record, decision, identity = live.record, live.decision, live.identity
    assert decision.terms is not None, "only a decision with terms registers"
    changed = clients.replace_metadata(
        record.client_id,
        epoch=record.epoch,
        rule=decision.terms.rule,
        metadata=metadata_of(document, decision.terms),
        provenance=provenance_of(identity, document),
        was=record.provenance,
        event=AuditEvent.about(
            identity,
            context,
            AuditEventKind.UPDATED,
            outcome="updated",
            rule=decision.terms.rule,
            client_id=record.client_id,
            policy_version=decision.policy_version,
        ),
        now=context.now,
    )
    return replace(live, record=changed)


def _common(stated: tuple[str, ...] | None, given: tuple[str, ...]) -> tuple[str, ...]:
    return given if stated is None else tuple(one for one in stated if one in given)


def _scopes(document: VerifiedDocument) -> tuple[str, ...] | None:
    said = document.metadata.text("scope")
    return None if said is None else tuple(said.split())
