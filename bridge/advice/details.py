"""Reasons that stand for several things, told apart by the detail of the log line: at which step of the verification
each fails, and what to change. What is said of a reason as a whole is in the table; this is said before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from bridge.advice.document_details import ADDRESSES, DOCUMENTS
from bridge.advice.key_details import ASSERTIONS, PROOFS, STATEMENTS
from bridge.advice.kinds import OF_ASSERTIONS, OF_DOCUMENTS, OF_STATEMENTS, Detail
from bridge.model.reasons import Reason


class Kind(StrEnum):
    """What was refused."""

    SVID = "SVID"
    STATEMENT = "software statement"
    ASSERTION = "client assertion"
    DOCUMENT = "metadata document"
    PROOF = "DPoP proof"


@dataclass(frozen=True, slots=True)
class Saying:
    """At which step something failed, and the one thing to change. `setting` as of `Advice`."""

    step: str
    fix: str
    setting: str = ""


DETAILS: tuple[Detail, ...] = (*PROOFS, *ASSERTIONS, *STATEMENTS, *ADDRESSES, *DOCUMENTS)
_BY_KIND: Mapping[Kind, Mapping[Reason, tuple[str, str]]] = {
    Kind.ASSERTION: OF_ASSERTIONS,
    Kind.STATEMENT: OF_STATEMENTS,
    Kind.DOCUMENT: OF_DOCUMENTS,
}


def saying_on(kind: Kind, reason: Reason, detail: str) -> Saying | None:
    """What is said of this refusal beyond its reason; None where the reason says it all.

    `detail` is the free text of the error or of its log line: words that this code wrote, with names in between that
    anybody may have chosen, so nothing but the choice among fixed texts hangs on it.
    """
    for one in DETAILS:
        if one.reason is reason and one.words in detail:
            return Saying(one.step, one.fix, one.setting)
    found = _BY_KIND.get(kind, {}).get(reason)
    return None if found is None else Saying(*found)


def sayings_by_kind() -> Iterator[tuple[Kind, Reason, Saying]]:
    """What is said of a reason for one kind of credential alone, for the reference."""
    for kind, sayings in _BY_KIND.items():
        for reason, (step, fix) in sayings.items():
            yield kind, reason, Saying(step, fix)
