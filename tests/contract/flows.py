"""Makers of what the code flow keeps in a store, so that a test names only what it is about."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any

from bridge.model.audit import AuditEventKind
from bridge.model.authorization import (
    PUSHED_CLIENT_ID,
    AuthorizationRequest,
    Consent,
    Grant,
    GrantUse,
    OpenRequest,
    Session,
    User,
)
from bridge.model.client import ClientKind
from bridge.model.evidence import Door, EvidenceKind
from bridge.model.identity import PolicySubject, Source
from bridge.model.spiffe_id import SpiffeId
from bridge.model.terms import Ask
from bridge.store.ports import Ensured, Issue, Store
from tests.contract.records import API, DAY, NOW, event, issue_for

ADA = User("user-ada", "Ada")
BROWSER, ANOTHER_BROWSER = sha256(b"browser").hexdigest(), sha256(b"another").hexdigest()
PUSHED_UNTIL, DECIDE_UNTIL, CODE_UNTIL = NOW + 60, NOW + 600, NOW + 60


def digest(name: str) -> str:
    """What a store knows of a secret."""
    return sha256(name.encode()).hexdigest()


HANDLE = digest("request")


def request(**fields: Any) -> AuthorizationRequest:
    """A request of the client of one SPIFFE ID."""
    given: dict[str, Any] = {
        "client_id": API,
        "kind": ClientKind.SPIFFE,
        "subject": PolicySubject(Source.SPIFFE, EvidenceKind.JWT_SVID, spiffe_id=SpiffeId.parse(API)),
        "ask": Ask(Door.PAR, "authorization_code", ("ledger.read",), ("https://ledger.example",)),
        "redirect_uri": "http://127.0.0.1:50505/callback",
        "code_challenge": "challenge",
        "epoch": str(NOW),
    }
    return AuthorizationRequest(**(given | fields))


def pushed_request(**fields: Any) -> AuthorizationRequest:
    """A request of a pushed client, with everything that a request can have."""
    return request(
        **(
            {
                "client_id": PUSHED_CLIENT_ID,
                "kind": ClientKind.PUSHED,
                "subject": PolicySubject(Source.PUSHED, EvidenceKind.PUSHED),
                "state": "s",
                "dpop_jkt": "jkt",
                "epoch": None,
                "fingerprint": digest("fingerprint"),
                "transaction": "transaction-1",
                "metadata": {"client_name": "Agent", "redirect_uris": ["http://127.0.0.1/callback"]},
            }
            | fields
        )
    )


def push(store: Store, handle: str = HANDLE, *, now: int = NOW, **fields: Any) -> AuthorizationRequest:
    """Push a request, to be opened within a minute."""
    asked = request(**fields)
    store.requests.push(handle, asked, expires_at=now + 60, now=now)
    return asked


def open_request(
    store: Store,
    handle: str = HANDLE,
    *,
    now: int = NOW,
    browser: str = BROWSER,
    client_id: str = API,
    until: int = DECIDE_UNTIL,
) -> OpenRequest | None:
    """Have it before a browser."""
    return store.requests.open(handle, client_id=client_id, browser=browser, decide_until=until, now=now)


def grant(number: int = 1, **fields: Any) -> Grant:
    """What a user gave to the client of one SPIFFE ID."""
    given: dict[str, Any] = {
        "grant_id": f"grant-{number}",
        "code_digest": digest(f"code-{number}"),
        "user": ADA,
        "client_id": API,
        "kind": ClientKind.SPIFFE,
        "evidence": EvidenceKind.JWT_SVID,
        "door": Door.PAR,
        "scopes": ("ledger.read",),
        "resources": ("https://ledger.example",),
        "redirect_uri": "http://127.0.0.1:50505/callback",
        "code_challenge": "challenge",
        "created_at": NOW,
        "code_expires_at": CODE_UNTIL,
        "ends_at": NOW + 3600,
        "epoch": str(NOW),
    }
    return Grant(**(given | fields))


def give(store: Store, given: Grant | None = None, *, consent: Consent | None = None, now: int = NOW) -> Grant:
    """Push, open and approve, all at `now`."""
    given = grant() if given is None else given
    handle = digest(f"request of {given.grant_id}")
    push(store, handle, now=now)
    assert open_request(store, handle, now=now, until=now + 600) is not None
    approved = event(AuditEventKind.APPROVED, time=now, client_id=given.client_id)
    assert store.requests.decide(handle, browser=BROWSER, grant=given, consent=consent, event=approved, now=now)
    return given


def redemption(given: Grant, **fields: Any) -> GrantUse:
    """The use that redeems the code, and gives the first refresh token."""
    said: dict[str, Any] = {
        "redeems_code": True,
        "generation": 0,
        "next_generation": 1,
        "ends_at": NOW + 30 * DAY,
        "refresh_expires_at": NOW + 30 * DAY,
        "actor": given.actor,
    }
    return GrantUse(given.grant_id, **(said | fields))


def rotation(given: Grant, generation: int = 1, **fields: Any) -> GrantUse:
    """The use of a refresh token that puts the next one in force."""
    return redemption(
        given, **({"redeems_code": False, "generation": generation, "next_generation": generation + 1} | fields)
    )


def issue_of(ensured: Ensured, use: GrantUse, **fields: Any) -> Issue:
    """The write behind a token of a registered client, that comes from a grant."""
    return replace(issue_for(ensured), use=use, **fields)


def pushed_issue(use: GrantUse | None, **fields: Any) -> Issue:
    """The write behind a token of a pushed client."""
    return replace(Issue(PUSHED_CLIENT_ID, None, "", event(AuditEventKind.TOKEN_ISSUED), use=use), **fields)


def spend(store: Store, ensured: Ensured, use: GrantUse, *, now: int = NOW) -> None:
    """Issue a token that comes from a grant."""
    store.clients.record_issue(issue_of(ensured, use), now=now)


def session(name: str = "cookie", **fields: Any) -> Session:
    """A browser in which Ada is signed in for an hour."""
    given: dict[str, Any] = {"user": ADA, "signed_in_at": NOW, "expires_at": NOW + 3600}
    return Session(digest(name), **(given | fields))


def consent(client_id: str = API, **fields: Any) -> Consent:
    """What Ada agreed to."""
    given: dict[str, Any] = {
        "user_id": ADA.user_id,
        "client_id": client_id,
        "fingerprint": digest("fingerprint"),
        "scopes": ("ledger.read",),
        "resources": ("https://ledger.example",),
        "agreed_at": NOW,
    }
    return Consent(**(given | fields))
