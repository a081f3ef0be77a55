"""The one table of all reasons. A test holds it to the closed list: none is missing, none stands twice."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bridge.advice.clients import POLICY, RECORDS, REGISTERED
from bridge.advice.credentials import CREDENTIAL, REQUEST, TRUST
from bridge.advice.entry import Advice, Section
from bridge.advice.flow import CODE_FLOW, CONSOLE, FETCHES, PEOPLE, SERVICE
from bridge.advice.svids import DPOP, JWT_SVID, X509_SVID
from bridge.model.reasons import Reason

SECTIONS: tuple[Section, ...] = (
    REQUEST,
    CREDENTIAL,
    TRUST,
    JWT_SVID,
    X509_SVID,
    POLICY,
    RECORDS,
    DPOP,
    REGISTERED,
    CODE_FLOW,
    PEOPLE,
    CONSOLE,
    FETCHES,
    SERVICE,
)

ADVICE: Mapping[Reason, Advice] = MappingProxyType(
    {reason: advice for section in SECTIONS for reason, advice in section.entries.items()}
)


def advice_on(reason: str) -> Advice | None:
    """What is said of a reason as a log or an audit row spells it; None for a word that is none of the list."""
    try:
        return ADVICE[Reason(reason)]
    except ValueError:
        return None
