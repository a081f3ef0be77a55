"""Races that have one right outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.flows.stand import Stand

PARALLEL = 500


def test_500_parallel_first_uses_of_one_identity_L_4_T_40_ROFU_8(fresh: Callable[..., Stand]) -> None:
    with fresh() as stand:
        path = "/ns/web/sa/stampede"
        svids = [stand.jwt(path, ttl=300 + n % 60) for n in range(PARALLEL)]
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(stand.client.by_jwt, svids))
        assert Counter(answer.status for answer in answers) == {200: PARALLEL}
        assert len({answer.claims["jti"] for answer in answers}) == PARALLEL
        assert len([c for c in stand.clients() if c["subject"].endswith(path)]) == 1
        events = Counter(row["event"] for row in stand.audit() if row["subject"].endswith(path))
        assert events == {"registered": 1, "token_issued": PARALLEL}
        assert stand.bridge("audit", "verify").returncode == 0


def test_one_assertion_that_may_be_used_once_wins_once_T_33(stand: Stand) -> None:
    svid = stand.jwt("/ns/once/sa/race")
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: stand.client.by_jwt(svid), range(40)))
    assert Counter(answer.status for answer in answers) == {200: 1, 401: 39}
