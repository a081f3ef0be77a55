"""What policy, records and limits would make of a subject: the questions behind every credential."""

from __future__ import annotations

from bridge.doctor.ask_words import ASK_WORDS, ask_remedy
from bridge.doctor.findings import findings_of, first_error, not_reached
from bridge.doctor.instruments import Instruments, Question
from bridge.doctor.report import Finding
from bridge.model.errors import BridgeError
from bridge.model.evidence import Door
from bridge.model.identity import Marker, PolicySubject
from bridge.model.steps import Looked, walk
from bridge.registration.foresight import ASK_STEPS, AskCase

Answers = tuple[tuple[Finding, ...], BridgeError | None]

# What a client promised of its token requests says nothing of its registrations.
REGISTER_STEPS = tuple(step for step in ASK_STEPS if step.name != "promise")


def ask_case(
    instruments: Instruments, subject: PolicySubject, question: Question, once: tuple[Marker, ...] = ()
) -> AskCase:
    """The question as policy, records and limits are asked it."""
    now = instruments.around.now
    return AskCase(instruments.outlook, subject, question.ask, question.proved, now, question.client_id, once)


def answers(instruments: Instruments, case: AskCase) -> Answers:
    """Each answer in words, and what the first of them would refuse with."""
    looked = walk(REGISTER_STEPS if case.ask.door is Door.REGISTER else ASK_STEPS, case)
    return in_words(instruments, case, looked), first_error(looked)


def in_words(instruments: Instruments, case: AskCase, looked: tuple[Looked, ...]) -> tuple[Finding, ...]:
    """The findings of steps that were walked with this case."""
    return findings_of(
        looked,
        lambda step: ASK_WORDS[step](case),
        lambda step, error: ask_remedy(case, error, instruments.policies),
    )


def unasked(lacks: str) -> tuple[Finding, ...]:
    """The same questions, where there is nobody to ask them for."""
    return not_reached((step.name for step in ASK_STEPS), lacks)
