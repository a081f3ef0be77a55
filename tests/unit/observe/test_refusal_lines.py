"""What the log says of a refusal: who it was, as far as that is known, and never what was presented."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator

import pytest

from bridge.model.audit import AuditEvent
from bridge.model.errors import BridgeError, Claimed, EvidenceRejected, LimitReached, ScopeNotAllowed, Unavailable
from bridge.model.evidence import Door, EvidenceKind, RequestContext
from bridge.model.identity import PolicySubject, Source, VerifiedIdentity
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import SpiffeId
from bridge.model.terms import Ask
from bridge.observe import metrics
from bridge.observe.log import line_format
from bridge.observe.observer import RequestObserver
from bridge.registration.refusals import RefusalLog
from bridge.registration.refused import Refusals
from tests.written import Written

NAME = "spiffe://example.org/ns/web/sa/a"
SUBJECT = PolicySubject(Source.SPIFFE, EvidenceKind.JWT_SVID, spiffe_id=SpiffeId.parse_workload(NAME))
IDENTITY = VerifiedIdentity(SUBJECT, "00", "k", 100, 200)
CONTEXT = RequestContext("an-id", "127.0.0.1", Door.TOKEN, 100)
ASK = Ask(Door.TOKEN, "client_credentials", ("ledger.write",), ("https://ledger.example.org",))
ABOUT = {"subject", "evidence", "rule", "grant_type", "scopes", "resources", "claimed_subject", "claimed_audiences"}


class Lines(logging.Handler):
    """The lines that the service would write."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(line_format())
        self.raw: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.raw.append(self.format(record))

    @property
    def only(self) -> dict[str, object]:
        (line,) = self.raw
        parsed: dict[str, object] = json.loads(line)
        return parsed


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler, log = Lines(), logging.getLogger("bridge.web")
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield handler
    log.removeHandler(handler)
    log.setLevel(level)


def refuse(error: BridgeError) -> None:
    RequestObserver().refused("token", error, "an-id", "127.0.0.1")


def watched(error: BridgeError) -> list[AuditEvent]:
    """The error as it leaves the watch over a verified identity, logged."""
    store = Written()
    with pytest.raises(type(error)), Refusals(RefusalLog(store.begin)).watch(IDENTITY, ASK, CONTEXT):
        raise error
    refuse(error)
    return store.rows


def about(line: dict[str, object]) -> dict[str, object]:
    return {name: line[name] for name in ABOUT & line.keys()}


def test_the_line_of_a_verified_identity_says_who_and_what_was_asked(lines: Lines) -> None:
    rows = watched(ScopeNotAllowed(Reason.POLICY_SCOPE, "no", rule="web-reads"))
    assert about(lines.only) == {
        "subject": NAME,
        "evidence": "jwt-svid",
        "rule": "web-reads",
        "grant_type": "client_credentials",
        "scopes": ["ledger.write"],
        "resources": ["https://ledger.example.org"],
    }
    assert len(rows) == 1


def test_a_failure_of_ours_says_whom_it_befell_and_is_no_refusal_of_theirs(lines: Lines) -> None:
    rows = watched(Unavailable(Reason.STORE_UNAVAILABLE, "locked"))
    assert lines.only["subject"] == NAME
    assert rows == []


def test_a_flood_is_named_once_and_counted_T_41(lines: Lines) -> None:
    refused = metrics.refusals.labels("token", "limit_reached")
    before = refused._value.get()
    refuse(LimitReached("anonymous_per_minute", 3))
    for _ in range(5):
        refuse(LimitReached("anonymous_per_minute", 3, repeated=True))
    assert lines.only["reason"] == "limit_reached"
    assert refused._value.get() == before + 6


def test_an_unverified_name_is_called_claimed_and_nothing_else(lines: Lines) -> None:
    error = EvidenceRejected(Reason.JWT_SIGNATURE, "no")
    error.claimed = Claimed(NAME, ("https://elsewhere.example",))
    refuse(error)
    assert about(lines.only) == {"claimed_subject": NAME}


def test_the_audiences_are_said_where_they_are_the_reason(lines: Lines) -> None:
    error = EvidenceRejected(Reason.JWT_AUDIENCE, "no")
    error.claimed = Claimed(NAME, ("https://elsewhere.example",))
    refuse(error)
    assert about(lines.only) == {"claimed_subject": NAME, "claimed_audiences": ["https://elsewhere.example"]}


def test_a_huge_ask_makes_no_huge_line(lines: Lines) -> None:
    error = ScopeNotAllowed(Reason.POLICY_SCOPE)
    error.asked = Ask(Door.TOKEN, "x" * 60_000, tuple(f"{n:09}" * 900 for n in range(900))).to_audit()
    refuse(error)
    assert len(lines.raw[0]) < 8_000


@pytest.mark.parametrize(
    "text",
    ['x\n{"event": "started"}', "x\r\ny", "\x1b[2J", "\u2028\u202e\x85\x00", "\ud800", '"}', "\\"],
    ids=["newline", "CRLF", "escape", "separators", "surrogate", "quote", "backslash"],
)
def test_no_text_of_a_caller_breaks_a_line_T_49(lines: Lines, text: str) -> None:
    error = ScopeNotAllowed(Reason.POLICY_SCOPE, text, rule=text)
    error.asked = {"grant_type": text, "scopes": [text]}
    RequestObserver().refused("token", error, text, text)
    assert lines.raw[0].isascii()
    assert lines.raw[0].isprintable()
    line = lines.only
    assert (line["event"], line["source_address"], line["rule"], line["scopes"]) == ("refused", text, text, [text])


def test_every_line_names_its_process_and_its_time(lines: Lines) -> None:
    refuse(EvidenceRejected(Reason.CREDENTIAL_MISSING))
    assert lines.only["pid"] == os.getpid()
    assert str(lines.only["timestamp"]).endswith("Z")
