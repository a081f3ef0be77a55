"""What the doctor looks with: the service's own verifiers, policies and store, and the question that is put to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from bridge.doctor.surroundings import Surroundings
from bridge.model.identity import BindingMethod
from bridge.model.steps import Looked
from bridge.model.terms import Ask
from bridge.policy.evaluate import PolicySet
from bridge.registration.foresight import Outlook
from bridge.verify.dpop_verifier import DpopVerifier
from bridge.verify.pinned_issuers import PinnedIssuers
from bridge.verify.statements import StatementVerifier
from bridge.verify.verifier import SvidVerifier
from bridge.verify.vouching import Vouching


@dataclass(frozen=True, slots=True)
class Fetch:
    """How the fetch of a URL came out, step by step. `found` are words on what a step found, by its name; `body` None
    where there was no good answer."""

    looked: tuple[Looked, ...]
    found: Mapping[str, str]
    body: bytes | None


class FetchUrl(Protocol):
    """The guarded fetch of the service, for a URL that somebody outside named."""

    def __call__(self, url: str) -> Fetch: ...


@dataclass(frozen=True, slots=True)
class Question:
    """What the request would ask. `proved`: keys it would prove beside that of a certificate; `client_id`: what it
    would send, where it is not what it must; `body`: what a registration says of its client, as JSON."""

    ask: Ask
    proved: frozenset[BindingMethod] = frozenset()
    client_id: str | None = None
    body: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Instruments:
    """`outlook` asks the same `policies`, of which single rules are needed as well."""

    svids: SvidVerifier
    issuers: PinnedIssuers
    statements: StatementVerifier
    vouching: Vouching
    proofs: DpopVerifier
    policies: PolicySet
    outlook: Outlook
    fetch: FetchUrl
    around: Surroundings

    def ask_issuer(self, issuer: object) -> None:
        """Have the keys of a pinned issuer fetched, if they are at a URL: a service has them before they are needed."""
        if isinstance(issuer, str) and issuer in self.issuers.by_url:
            self.issuers.refresh(issuer, now=self.around.now)
