"""What is said of a refusal by its detail: its words are the code's, and its steps those of the verifications."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.advice.details import DETAILS, Kind, saying_on, sayings_by_kind
from bridge.advice.kinds import Detail
from bridge.fetch.failures import DocumentFault, NetworkFault
from bridge.fetch.guarded import FETCH_STEPS
from bridge.model.reasons import Reason
from bridge.registration.foresight import ASK_STEPS
from bridge.registration.hearing import HEARING_STEPS, KEY_STEPS, MEMBER_STEPS
from bridge.registration.keyed import FINDING_STEPS, STANDING_STEPS
from bridge.registration.url_steps import URL_STEPS
from bridge.verify.assertion_steps import ASSERTION_STEPS
from bridge.verify.dpop_steps import PROOF_STEPS
from bridge.verify.metadata_documents import DOCUMENT_STEPS
from bridge.verify.statement_steps import ISSUER_STEPS, READING_STEPS

BRIDGE = Path(__file__).resolve().parents[3] / "bridge"
SOURCE = "".join(
    path.read_text(encoding="utf-8")
    for package in ("verify", "registration", "fetch", "jose", "metadata")
    for path in sorted((BRIDGE / package).glob("*.py"))
)
FAULTS = tuple(f"{fault.value}: " for fault in (*DocumentFault, *NetworkFault))
STEPS = {
    step.name
    for steps in (
        PROOF_STEPS, ASSERTION_STEPS, READING_STEPS, ISSUER_STEPS, DOCUMENT_STEPS, FETCH_STEPS, URL_STEPS,
        FINDING_STEPS, STANDING_STEPS, HEARING_STEPS, KEY_STEPS, MEMBER_STEPS, ASK_STEPS,
    )
    for step in steps
} | {"named", "shown", "algorithm", "assertion-replay", "stated-grant", "spiffe-id-named"}  # fmt: skip
"""Of the verifications, and what the doctor looks at between them."""


@pytest.mark.parametrize("detail", DETAILS, ids=lambda one: f"{one.reason.value} {one.words.strip()}")
def test_the_words_are_said_by_the_code_and_the_step_is_one_of_it(detail: Detail) -> None:
    words = detail.words
    for fault in FAULTS:
        words = words.removeprefix(fault)
    # What begins with a fault's name is made of it by one class (`fetch.failures`).
    assert words in SOURCE
    assert detail.step in STEPS


def test_the_steps_of_each_kind_are_steps_too() -> None:
    assert {saying.step for _, _, saying in sayings_by_kind()} <= STEPS


@pytest.mark.parametrize(
    ("kind", "reason", "detail", "step"),
    [
        (Kind.PROOF, Reason.DPOP_MISMATCH, "htu is another URL", "htu"),
        (Kind.DOCUMENT, Reason.DOCUMENT_REFUSED, "redirect: the answer is a redirect (302)", "answer"),
        (Kind.DOCUMENT, Reason.DOCUMENT_REFUSED, "redirect_uris: not a list of strings", "members"),
        (Kind.ASSERTION, Reason.JWT_AUDIENCE, "aud is another audience", "audience"),
        (Kind.STATEMENT, Reason.JWT_EXPIRED, "the token has expired", "times"),
    ],
)
def test_a_detail_leads_to_its_step(kind: Kind, reason: Reason, detail: str, step: str) -> None:
    saying = saying_on(kind, reason, detail)
    assert saying is not None
    assert saying.step == step


def test_of_an_svid_the_reason_says_it_all() -> None:
    assert saying_on(Kind.SVID, Reason.JWT_AUDIENCE, "aud is another audience") is None
