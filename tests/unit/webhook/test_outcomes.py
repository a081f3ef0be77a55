"""What an answer means, and how long to wait after it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.fetch.delivering import Answered
from bridge.fetch.failures import DocumentFailure, DocumentFault, NetworkFailure, NetworkFault
from bridge.webhook.outcomes import LONGEST_SECONDS, MOST_ASKED_SECONDS, Outcome, backoff, failed, judged

NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("status", "outcome", "of_the_receiver"),
    [
        (200, "delivered", False), (202, "delivered", False), (204, "delivered", False), (299, "delivered", False),
        (301, "redirect", True), (304, "redirect", True), (308, "redirect", True),
        (400, "refused", False), (401, "refused", False), (404, "refused", False), (422, "refused", False),
        (408, "throttled", True), (425, "throttled", True), (429, "throttled", True),
        (410, "gone", True), (500, "server_error", True), (503, "server_error", True), (599, "server_error", True),
    ],
)  # fmt: skip
def test_only_two_hundreds_are_a_yes(status: int, outcome: str, of_the_receiver: bool) -> None:
    tried = judged(Answered(status, ""), NOW)
    assert (tried.outcome.value, tried.is_of_the_receiver) == (outcome, of_the_receiver)


@pytest.mark.parametrize("fault", [fault for fault in NetworkFault if fault is not NetworkFault.SERVER])
def test_a_failure_on_the_way_is_the_receivers(fault: NetworkFault) -> None:
    tried = failed(NetworkFailure(fault, "words"))
    assert (tried.outcome.value, tried.words, tried.is_of_the_receiver) == (fault.value, f"{fault}: words", True)


def test_what_is_no_http_is_malformed() -> None:
    assert failed(DocumentFailure(DocumentFault.MALFORMED, "x")).outcome is Outcome.MALFORMED


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120), ("0", 0), ("", 0), ("-5", 0), ("soon", 0), ("1.5", 0), ("\u0661", 0),
        ("Fri, 15 Jan 2027 08:02:00 GMT", 120), ("Fri, 15 Jan 2027 07:00:00 GMT", 0),
        ("Fri, 99 Jan 2027 08:02:00 GMT", 0), ("15 Jan 99999999999999999999 08:02:00", 0),
        ("Fri, 15 Jan 2027 08:02:00 +99999999999999999999", 0), ("Jan +99999999999999 08:02:00 . 15 Jan", 0),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(text: str, seconds: int) -> None:
    assert judged(Answered(429, text), NOW).asked == seconds


def test_the_wait_doubles_up_to_its_bound() -> None:
    assert [backoff(tries, 0, lambda: 1.0) for tries in range(1, 9)] == [5, 10, 20, 40, 80, 160, 320, 600]
    assert [backoff(tries, 0, lambda: 0.0) for tries in range(1, 4)] == [2, 5, 10]


@given(st.integers(1, 10**6), st.integers(0, 10**9), st.floats(0, 1))
def test_the_wait_is_never_less_than_was_asked_for_nor_without_end(tries: int, asked: int, chance: float) -> None:
    wait = backoff(tries, asked, lambda: chance)
    assert max(1, min(asked, MOST_ASKED_SECONDS)) <= wait <= max(LONGEST_SECONDS, min(asked, MOST_ASKED_SECONDS))
