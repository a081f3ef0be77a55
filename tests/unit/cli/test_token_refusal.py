"""What a refusal says: whose fault it is, and the one command that tells more."""

from __future__ import annotations

import pytest

from bridge.cli.options import Failure
from bridge.cli.token.endpoint import Answer, NotNow
from bridge.cli.token.refusal import refusal_of
from bridge.cli.token.request import _granted


def refusal(status: int, **headers: str) -> Failure:
    body = {"error": "some_error", "error_description": "words \x1b[2J", "error_id": "abc123"}
    return refusal_of(Answer(status, headers, body), None)


@pytest.mark.parametrize(
    ("status", "ours"), [(503, True), (500, True), (400, False), (401, False), (403, False), (429, False)]
)
def test_a_refusal_names_the_doctor_and_its_id(status: int, ours: bool) -> None:
    words = refusal(status).message
    assert "`bridge doctor abc123 --log FILE`" in words
    assert ("it is not about this workload" in words) is ours
    # What the service could not decide need not be in its audit log.
    assert ("`bridge audit show abc123`" in words) is not ours
    assert "\x1b" not in words


def test_without_an_error_id_the_correlation_id_does() -> None:
    answer = Answer(503, {"x-request-id": "header1"}, {"error": "temporarily_unavailable"})
    assert "bridge doctor header1 --log FILE" in refusal_of(answer, None).message


@pytest.mark.parametrize(("headers", "after"), [({"retry-after": "7"}, 7), ({"retry-after": "soon"}, None), ({}, None)])
def test_when_to_come_again_goes_with_it(headers: dict[str, str], after: int | None) -> None:
    failed = refusal(503, **headers)
    assert isinstance(failed, NotNow) is bool(headers)
    assert not isinstance(failed, NotNow) or failed.after == after
    assert ("try again in" in failed.message) is bool(headers)


@pytest.mark.parametrize(
    ("said", "lifetime"), [(300, 300), (0, 0), (-1, None), (True, None), ("300", None), (10**400, None), (None, None)]
)
def test_a_life_that_nobody_can_reckon_with_is_none(said: object, lifetime: int | None) -> None:
    body = {"access_token": "t", "token_type": "Bearer", "expires_in": said}
    assert _granted("https://as.example.org/token", Answer(200, {}, body), None).lifetime == lifetime
