"""The lines about audit heads: what moved, now and then everything, and never a flood."""

from __future__ import annotations

from bridge.observe.heads import LINE_SECONDS, WHOLE_SECONDS, MovedHeads

A, B = ("a", 1, "00"), ("b", 7, "01")


def test_the_first_line_is_whole_and_later_ones_say_what_moved() -> None:
    heads = MovedHeads()
    assert heads.moved([A, B], 0) == {"a": (1, "00"), "b": (7, "01")}
    assert heads.moved([A, ("b", 8, "02")], 600) == {"b": (8, "02")}
    assert heads.moved([A, ("b", 8, "02")], 1200) == {}
    assert heads.moved([A, ("b", 8, "02"), ("c", 1, "03")], 1800) == {"c": (1, "03")}


def test_once_a_day_the_line_is_whole_again() -> None:
    heads = MovedHeads()
    heads.moved([A, B], 0)
    assert heads.moved([A, B], WHOLE_SECONDS - 1) == {}
    assert heads.moved([A, B], WHOLE_SECONDS) == {"a": (1, "00"), "b": (7, "01")}


def test_a_line_is_due_every_ten_minutes_and_after_the_clock_was_set_back() -> None:
    heads = MovedHeads()
    assert heads.is_due(1000)
    heads.moved([A], 1000)
    assert not heads.is_due(1000 + LINE_SECONDS - 1)
    assert heads.is_due(1000 + LINE_SECONDS)
    assert heads.is_due(999)


def test_who_takes_over_from_another_process_begins_with_a_whole_line() -> None:
    heads = MovedHeads()
    heads.moved([A, B], 0)
    heads.forget()
    assert heads.is_due(1)
    assert heads.moved([A, B], 1) == {"a": (1, "00"), "b": (7, "01")}
