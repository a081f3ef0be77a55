"""Of a thousand trust domains some are asked in each turn: none twice, none never, by two processes seldom the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.model.polled_bundle import PolledBundle
from bridge.model.spiffe_id import TrustDomain
from bridge.spire.polled_turns import AT_LEAST_BEGUN, TURNS_ROUND, PolledDomain, chosen, rank
from bridge.spire.polling import PolledOptions, WebEndpoint

NOW = 1_800_000_000
HINT = 300


def domains(count: int, *, holder: str = "one", refresh_at: int = 0) -> list[PolledDomain]:
    """So many trust domains, all asked for the next time at the same moment."""
    found = []
    for number in range(count):
        name = TrustDomain(f"td{number}.example")
        options = PolledOptions(name, WebEndpoint(f"https://{name}/"), 3600)
        polled = PolledBundle(name.name, options.endpoint.source, refresh_at=refresh_at)
        found.append(PolledDomain(options, polled, rank(holder, name)))
    return found


class Process:
    """Takes one turn after the other. Whoever was asked has answered by the next, and is due `hint` seconds later."""

    def __init__(self, known: list[PolledDomain], *, hint: int = HINT) -> None:
        self.known, self.hint, self.after, self.is_more = known, hint, b"", False

    def turn(self, now: int) -> list[str]:
        """The names of those that were asked."""
        asked, self.is_more = chosen(self.known, now, after=self.after, asks=True)
        for one in asked:
            self.after = one.rank
            one.polled = replace(one.polled, asked_at=now, refresh_at=now + self.hint)
        return [one.polled.trust_domain for one in asked]


@pytest.mark.parametrize("count", [1, AT_LEAST_BEGUN])
def test_few_are_asked_as_soon_as_they_are_due_and_not_before(count: int) -> None:
    process = Process(domains(count, refresh_at=NOW))
    assert process.turn(NOW - 1) == []
    assert len(process.turn(NOW)) == count


def test_many_are_all_asked_once_within_a_round_and_never_all_at_once() -> None:
    process = Process(domains(1000))
    turns = [process.turn(NOW) for _ in range(TURNS_ROUND + 1)]
    assert max(len(turn) for turn in turns) == 1000 // TURNS_ROUND
    assert turns[-1] == []
    assert not process.is_more
    assert sorted(name for turn in turns for name in turn) == sorted(one.polled.trust_domain for one in process.known)


def test_where_more_is_due_than_can_be_asked_everyone_has_a_turn_in_each_round() -> None:
    process = Process(domains(1000), hint=0)
    for _ in range(3):
        names = [name for _ in range(TURNS_ROUND) for name in process.turn(NOW)]
        assert len(set(names)) == len(names) == 1000


def test_two_processes_seldom_want_the_same() -> None:
    ones = {one.polled.trust_domain for one in chosen(domains(1000, holder="one"), NOW, after=b"", asks=True)[0]}
    others = {one.polled.trust_domain for one in chosen(domains(1000, holder="other"), NOW, after=b"", asks=True)[0]}
    assert len(ones & others) < len(ones) // 2


@pytest.mark.parametrize("asks", [True, False], ids=["asks", "looks-on"])
def test_who_is_wanted_is_asked_though_not_due_also_by_a_process_that_only_looks_on(asks: bool) -> None:
    some = domains(3, refresh_at=NOW + HINT)
    some[1].wanted_at = NOW
    assert chosen(some, NOW, after=b"", asks=asks) == ([some[1]], False)


def test_a_wish_is_met_by_whoever_asks() -> None:
    """Of two workers that are told to look at everything one asks each endpoint."""
    (one,) = domains(1, refresh_at=NOW + HINT)
    one.wanted_at = NOW
    one.polled = replace(one.polled, asked_at=NOW - 1)
    assert one.is_wanted
    one.polled = replace(one.polled, asked_at=NOW)
    assert not one.is_wanted


def test_a_process_that_looks_on_asks_for_nothing_that_is_due() -> None:
    assert chosen(domains(3), NOW, after=b"", asks=False) == ([], False)


def test_who_is_being_asked_or_was_left_for_a_moment_is_left_alone() -> None:
    asking, left, due = domains(3)
    asking.is_asking = True
    left.not_before = NOW + 1
    assert chosen([asking, left, due], NOW, after=b"", asks=True) == ([due], False)
    assert chosen([asking, left], NOW + 1, after=b"", asks=True) == ([left], False)


@pytest.mark.parametrize(
    ("refresh_max", "put_off"), [(HINT, False), (HINT - 1, True)], ids=["as-it-was-put", "shortened-since"]
)
def test_only_who_was_put_off_by_a_longer_interval_than_the_configured_one_is_put_off(
    refresh_max: int, put_off: bool
) -> None:
    (one,) = domains(1)
    one.options = replace(one.options, refresh_max=refresh_max)
    one.polled = replace(one.polled, asked_at=NOW, refresh_at=NOW + HINT)
    assert one.is_put_off is put_off
