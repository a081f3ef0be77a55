"""`Examiner`: what would the service make of this? Of an SVID, a statement, an assertion, a document or a proof."""

from __future__ import annotations

from typing import assert_never

from bridge.doctor.asking import Answers, answers, ask_case
from bridge.doctor.assertions import examine_assertion
from bridge.doctor.documents import examine_document
from bridge.doctor.given import (
    Given,
    GivenAssertion,
    GivenChain,
    GivenDocument,
    GivenJwt,
    GivenProof,
)
from bridge.doctor.instruments import Instruments, Question
from bridge.doctor.proofs import examine_proof
from bridge.doctor.report import Diagnosis
from bridge.doctor.statements import examine_statement
from bridge.doctor.svids import examine_svid
from bridge.jose.jws import MalformedToken, parse_compact
from bridge.model.evidence import Door
from bridge.model.identity import Marker, PolicySubject
from bridge.verify.signed_jwt import MAX_ASSERTION_BYTES
from bridge.verify.statement_claims import is_about_a_workload

__all__ = ["Examiner", "Question"]


class Examiner:
    """Asks what the service would ask, in its order, and writes the answers down. Changes nothing."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments

    def examine(self, given: Given, question: Question) -> Diagnosis:
        """What the service would make of what is given, with this question."""
        match given:
            case GivenChain():
                return examine_svid(self._instruments, given, question)
            case GivenJwt():
                if question.ask.door is Door.REGISTER and not _is_about_a_workload(given.assertion):
                    return examine_statement(self._instruments, given, question)
                return examine_svid(self._instruments, given, question)
            case GivenAssertion():
                return examine_assertion(self._instruments, given, question)
            case GivenDocument():
                return examine_document(self._instruments, given, question)
            case GivenProof():
                return examine_proof(self._instruments, given, question)
            case _:
                assert_never(given)

    def ask_again(self, subject: PolicySubject, question: Question, once: tuple[Marker, ...] = ()) -> Answers:
        """What policy, records and limits make of a subject, and what the first of them would refuse with."""
        return answers(self._instruments, ask_case(self._instruments, subject, question, once))


def _is_about_a_workload(statement: str) -> bool:
    """How the service tells the two kinds of statements apart; what cannot be read is of neither, and shown as an SVID
    would be, whose reasons are the same."""
    try:
        return is_about_a_workload(parse_compact(statement, max_bytes=MAX_ASSERTION_BYTES).claims())
    except MalformedToken:
        return True
