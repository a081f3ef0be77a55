"""Questions for a page: each kind of client that may stand there, and what a hostile one says of itself."""

from __future__ import annotations

from typing import Any

from bridge.grants.consent import Question, Words
from bridge.metadata.redirect_matching import host_of, is_loopback, is_remembered
from bridge.model.client import ClientKind
from bridge.model.spiffe_id import SpiffeId
from tests.unit.web.pages.stand import LEDGER, ORDERS, SPIFFE_ID, WORDS, authorization_request, question

HOSTILE_NAME = (
    "Your Bank\u202e</p><script>document.title='taken'</script>"
    + "Z\u0310\u0311\u0312\u0313\u0314\u0315\u0316\u0317\u0318\u0319" * 20
    + " APPROVED BY YOUR COMPANY " * 10
)


def asking(kind: ClientKind, redirect_uri: str, **other: Any) -> Question:
    """A question as it would be asked for a client of this kind that is answered there."""
    request = authorization_request(kind, redirect_uri=redirect_uri, **other.pop("request", {}))
    return question(
        request,
        redirect_host=host_of(redirect_uri),
        is_loopback=is_loopback(redirect_uri),
        can_be_remembered=is_remembered(redirect_uri) and kind is not ClientKind.PUSHED,
        **other,
    )


def gallery(local: str) -> dict[str, Question]:
    """One question of each kind. `local` is a redirect URI on this machine."""
    document = authorization_request().subject
    both = (Words(LEDGER, WORDS[LEDGER]), Words(ORDERS, ""))
    reads = (Words("ledger.read", WORDS["ledger.read"]), Words("orders.read", WORDS["orders.read"]))
    acting = type(document)(document.source, document.evidence, url=document.url, spiffe_id=SpiffeId.parse(SPIFFE_ID))
    return {
        "document": asking(ClientKind.METADATA_DOCUMENT, "https://app.example.com/callback"),
        "document-elsewhere": asking(ClientKind.METADATA_DOCUMENT, "https://callbacks.example.net/cb"),
        "document-local": asking(ClientKind.METADATA_DOCUMENT, local),
        "document-with-workload": asking(
            ClientKind.METADATA_DOCUMENT,
            "https://app.example.com/callback",
            request={"subject": acting},
            resources=both,
            scopes=reads,
            is_key_bound=True,
        ),
        "document-hostile": asking(
            ClientKind.METADATA_DOCUMENT,
            "https://app.example.com/callback",
            request={"metadata": {"client_name": HOSTILE_NAME}},
        ),
        "document-long-host": asking(
            ClientKind.METADATA_DOCUMENT,
            "https://app.example.com/callback",
            request={"client_id": f"https://login.yourbank.example.{'a' * 60}.{'b' * 60}.evil.example/c"},
        ),
        "workload": asking(
            ClientKind.SPIFFE, "https://desk.apps.example.org/cb", request={"metadata": {}}, is_key_bound=True
        ),
        "group": asking(ClientKind.SHARED, "https://fleet.example.org/cb", request={"metadata": {}}),
        "statement": asking(ClientKind.STATEMENT, "https://notes.example.org/cb"),
        "pushed": asking(ClientKind.PUSHED, local, is_key_bound=True),
        "app": asking(ClientKind.METADATA_DOCUMENT, "com.example.app:/callback"),
    }
