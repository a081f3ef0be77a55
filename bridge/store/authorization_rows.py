"""Between stored rows and the nouns of the code flow. The column lists here are the order of the fields."""

from __future__ import annotations

import json
from typing import Any

from bridge.model.authority import of_audit, of_text, text_of, to_audit
from bridge.model.authorization import AuthorizationRequest, Consent, Grant, Session, User
from bridge.model.client import ClientKind
from bridge.model.evidence import Door, EvidenceKind
from bridge.model.identity import PolicySubject, Source
from bridge.model.spiffe_id import SpiffeId
from bridge.model.terms import Ask
from bridge.store.connections import Row

GRANT_FIELDS = (
    "grant_id", "code_digest", "user_id", "user_name", "client_id", "kind", "evidence", "door", "scopes", "resources",
    "redirect_uri", "code_challenge", "created_at", "code_expires_at", "ends_at", "actor", "epoch", "dpop_jkt",
    "fingerprint", "pushed_transaction", "metadata", "code_used_at", "generation", "refresh_expires_at", "ended_at",
    "authorities",
)  # fmt: skip
SESSION_FIELDS = ("digest", "user_id", "user_name", "signed_in_at", "expires_at")
CONSENT_FIELDS = ("user_id", "client_id", "fingerprint", "scopes", "resources", "agreed_at")


def request_text(request: AuthorizationRequest) -> str:
    """A request as it is stored. Members that say nothing are left out."""
    subject, ask = request.subject, request.ask
    said = {
        "client_id": request.client_id,
        "kind": request.kind.value,
        "source": subject.source.value,
        "evidence": subject.evidence.value,
        "spiffe_id": None if subject.spiffe_id is None else str(subject.spiffe_id),
        "url": subject.url,
        "issuer": subject.issuer,
        "subject": subject.subject,
        "door": ask.door.value,
        "grant_type": ask.grant_type,
        "scopes": list(ask.scopes),
        "resources": list(ask.resources),
        "redirect_uri": request.redirect_uri,
        "code_challenge": request.code_challenge,
        "state": request.state,
        "dpop_jkt": request.dpop_jkt,
        "epoch": request.epoch,
        "fingerprint": request.fingerprint,
        "transaction": request.transaction,
        "metadata": dict(request.metadata),
        "authorities": to_audit(request.authorities) or None,
    }
    return _text({name: value for name, value in said.items() if value is not None})


def request_of(text: str) -> AuthorizationRequest:
    """The request in a stored text. Raises: KeyError, ValueError when somebody wrote nonsense into the table."""
    said: dict[str, Any] = json.loads(text)
    spiffe_id = said.get("spiffe_id")
    return AuthorizationRequest(
        client_id=said["client_id"],
        kind=ClientKind(said["kind"]),
        subject=PolicySubject(
            Source(said["source"]),
            EvidenceKind(said["evidence"]),
            spiffe_id=None if spiffe_id is None else SpiffeId.parse(spiffe_id),
            url=said.get("url"),
            issuer=said.get("issuer"),
            subject=said.get("subject"),
        ),
        ask=Ask(Door(said["door"]), said["grant_type"], tuple(said["scopes"]), tuple(said["resources"])),
        redirect_uri=said["redirect_uri"],
        code_challenge=said["code_challenge"],
        state=said.get("state"),
        dpop_jkt=said.get("dpop_jkt"),
        epoch=said.get("epoch"),
        fingerprint=said["fingerprint"],
        transaction=said.get("transaction"),
        metadata=said["metadata"],
        authorities=of_audit(said.get("authorities", [])),
    )


def grant_row(grant: Grant) -> tuple[object, ...]:
    """The columns of a grant."""
    return (
        grant.grant_id,
        grant.code_digest,
        grant.user.user_id,
        _name(grant.user.name),
        grant.client_id,
        grant.kind.value,
        grant.evidence.value,
        grant.door.value,
        _text(grant.scopes),
        _text(grant.resources),
        grant.redirect_uri,
        grant.code_challenge,
        grant.created_at,
        grant.code_expires_at,
        grant.ends_at,
        grant.actor,
        grant.epoch,
        grant.dpop_jkt,
        grant.fingerprint,
        grant.transaction,
        _text(dict(grant.metadata)),
        grant.code_used_at,
        grant.generation,
        grant.refresh_expires_at,
        grant.ended_at,
        text_of(grant.authorities),
    )


def grant_of(row: Row) -> Grant:
    """The grant in these columns."""
    grant_id, code_digest, user_id, user_name, client_id, kind, evidence, door, scopes, resources = row[:10]
    redirect_uri, code_challenge, created_at, code_expires_at, ends_at = row[10:15]
    actor, epoch, dpop_jkt, fingerprint, transaction, metadata = row[15:21]
    code_used_at, generation, refresh_expires_at, ended_at, authorities = row[21:]
    return Grant(
        grant_id,
        code_digest,
        User(user_id, user_name),
        client_id,
        ClientKind(kind),
        EvidenceKind(evidence),
        Door(door),
        tuple(json.loads(scopes)),
        tuple(json.loads(resources)),
        redirect_uri,
        code_challenge,
        created_at,
        code_expires_at,
        ends_at,
        actor,
        epoch,
        dpop_jkt,
        fingerprint,
        transaction,
        json.loads(metadata),
        code_used_at,
        generation,
        refresh_expires_at,
        ended_at,
        of_text(authorities),
    )


def session_row(session: Session) -> tuple[object, ...]:
    """The columns of a session."""
    return session.digest, session.user.user_id, _name(session.user.name), session.signed_in_at, session.expires_at


def session_of(row: Row) -> Session:
    """The session in these columns."""
    digest, user_id, user_name, signed_in_at, expires_at = row
    return Session(digest, User(user_id, user_name), signed_in_at, expires_at)


def consent_row(consent: Consent) -> tuple[object, ...]:
    """The columns of a consent."""
    given = _text(consent.scopes), _text(consent.resources)
    return consent.user_id, consent.client_id, consent.fingerprint, *given, consent.agreed_at


def consent_of(row: Row) -> Consent:
    """The consent in these columns."""
    user_id, client_id, fingerprint, scopes, resources, agreed_at = row
    given = tuple(json.loads(scopes)), tuple(json.loads(resources))
    return Consent(user_id, client_id, fingerprint, *given, agreed_at)


def _text(value: object) -> str:
    """JSON in ASCII: what a client sent is written whatever characters it has, half a surrogate pair too."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def _name(name: str) -> str:
    """A name as a database takes it. It comes from another provider, and is shown and nothing else: half a surrogate
    pair in it becomes a replacement character."""
    return name.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
