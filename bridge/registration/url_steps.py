"""The steps from a URL that a caller named as its client to the document that is there: the URL by its letters, then
policy, then an operator's approval where one is needed, and only then the fetch (CIMD-1, CIMD-24)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from bridge.model.document import StoredDocument
from bridge.model.errors import EvidenceRejected, PolicyDenied
from bridge.model.evidence import Door
from bridge.model.identity import BindingMethod, PolicySubject
from bridge.model.reasons import Reason
from bridge.model.steps import Step
from bridge.model.terms import Ask, Decision, Effect, Prospect
from bridge.verify.metadata_documents import NONE, VerifiedDocument, require_client_url

Stored = StoredDocument[VerifiedDocument]
# Where policy decides about clients; the other doors have no rules of their own and are as the first.
_POLICY_DOORS = frozenset({Door.TOKEN, Door.PAR, Door.AUTHORIZE})


class Prospects(Protocol):
    """The questions that are asked of the policy in force before anything is fetched."""

    def admits(self, subject: PolicySubject, door: Door) -> Prospect: ...
    def decide(self, subject: PolicySubject, ask: Ask, *, proved: frozenset[BindingMethod]) -> Decision: ...


@dataclass(slots=True)
class UrlCase:
    """A URL on its way to its document. `hold_back` raises where an operator has to look first; `fetch` gives the
    document; `ask` None where it is not known before. `found` is there once the step that puts it has held."""

    url: str
    subject: PolicySubject
    door: Door
    ask: Ask | None
    now: int
    policy: Prospects
    hold_back: Callable[[], None]
    fetch: Callable[[], Stored]
    prospect: Prospect = field(init=False)
    found: Stored = field(init=False)


def _url(case: UrlCase) -> None:
    require_client_url(case.url)


def _admitted(case: UrlCase) -> None:
    prospect = case.policy.admits(case.subject, case.door if case.door in _POLICY_DOORS else Door.TOKEN)
    if prospect.effect is Effect.DENY:
        reason = Reason.POLICY_NO_RULE if prospect.rule is None else Reason.POLICY_DENY_RULE
        words = "no rule names it" if prospect.rule is None else f"{prospect.rule} denies it"
        raise PolicyDenied(reason, words, rule=prospect.rule or "", policy_version=prospect.policy_version)
    case.prospect = prospect


def _approved(case: UrlCase) -> None:
    if case.prospect.effect is Effect.ASK or _asks(case.policy, case.subject, case.ask):
        case.hold_back()


def _document(case: UrlCase) -> None:
    case.found = case.fetch()


def _alive(case: UrlCase) -> None:
    if case.found.value.has_expired(case.now):
        raise EvidenceRejected(Reason.DOCUMENT_REFUSED, "client_id_expires_at is over")


URL_STEPS: tuple[Step[UrlCase], ...] = (
    Step("url", _url),
    Step("admitted", _admitted, ("url",)),
    Step("looked-at", _approved, ("admitted",)),
    Step("document", _document, ("looked-at",)),
    Step("document-life", _alive, ("document",)),
)


def require_method(declared: str, shown: str) -> None:
    """That what was shown is what the document says this client authenticates by, wherever it goes (CIMD-20).

    Raises: EvidenceRejected.
    """
    if declared == shown:
        return
    reason = Reason.CREDENTIAL_MISSING if shown == NONE else Reason.CREDENTIAL_UNSUPPORTED
    raise EvidenceRejected(reason, f"the document declares {declared}, and this is {shown}")


def require_algorithm(document: VerifiedDocument, used: str) -> None:
    """That an assertion is signed by the algorithm that the document states, if it states one (RFC 7591
    section 2).

    Raises: EvidenceRejected.
    """
    if document.metadata.text("token_endpoint_auth_signing_alg") not in (None, used):
        raise EvidenceRejected(Reason.ASSERTION_KEY, "signed by another algorithm than the document states")


def _asks(policy: Prospects, subject: PolicySubject, ask: Ask | None) -> bool:
    """Whether what is asked needs an approval, though the subject could have other things without one."""
    return ask is not None and policy.decide(subject, ask, proved=frozenset(BindingMethod)).effect is Effect.ASK
