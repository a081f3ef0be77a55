"""What is left of a grant, held to a plain definition over policies drawn by chance (OAS-16, PCR-21)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.grants.narrowing import narrow
from bridge.model.errors import ScopeNotAllowed, TargetNotAllowed
from bridge.model.evidence import Door
from bridge.model.terms import Ask

HOME = {"a1": "A", "a2": "A", "b1": "B", "b2": "B"}
SCOPES, RESOURCES = tuple(HOME), ("A", "B")
Rule = frozenset[str]


def ask(scopes: tuple[str, ...] = (), resources: tuple[str, ...] = ()) -> Ask:
    return Ask(Door.PAR, "refresh_token", scopes, resources)


def covering(rules: list[Rule]) -> Callable[[Ask], bool]:
    """Policy as far as it matters here: one rule gives all scopes, each of a resource that is named."""

    def covers(asked: Ask) -> bool:
        return any(
            all(scope in rule and HOME[scope] in asked.resources for scope in asked.scopes)
            and all(any(HOME[scope] == resource for scope in rule) for resource in asked.resources)
            for rule in rules
        )

    return covers


subsets = st.lists(st.sampled_from(SCOPES), unique=True).map(tuple)
rules = st.lists(st.frozensets(st.sampled_from(SCOPES), min_size=1), max_size=4)


def homes(scopes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(resource for resource in RESOURCES if any(HOME[scope] == resource for scope in scopes))


@given(subsets.filter(bool), rules)
def test_what_is_left_is_within_what_was_given_and_under_one_rule(given_: tuple[str, ...], policy: list[Rule]) -> None:
    covers, whole = covering(policy), ask(given_, homes(given_))
    left = narrow(whole, ask(), covers)
    assert set(left.scopes) <= set(given_)
    assert set(left.resources) <= set(whole.resources)
    if covers(whole):
        assert left == whole
    elif any(covers(ask((scope,), (HOME[scope],))) for scope in given_):
        assert covers(left), "there is something, and it is given"
        assert set(left.resources) == set(homes(left.scopes)), "no audience for nothing"
        more = [scope for scope in given_ if scope not in left.scopes]
        grown = [ask((*left.scopes, scope), homes((*left.scopes, scope))) for scope in more]
        assert not any(covers(one) for one in grown), "and no scope more would have been covered too"
    else:
        assert not covers(left), "nothing is left: policy will say so"


@given(subsets.filter(bool), subsets.filter(bool), rules)
def test_scopes_that_are_named_are_given_whole_or_refused(
    given_: tuple[str, ...], named: tuple[str, ...], policy: list[Rule]
) -> None:
    covers = covering(policy)
    if not set(named) <= set(given_):
        with pytest.raises(ScopeNotAllowed):
            narrow(ask(given_, homes(given_)), ask(named), covers)
        return
    left = narrow(ask(given_, homes(given_)), ask(named), covers)
    assert set(left.scopes) == set(named)
    if covers(ask(named, homes(named))):
        assert covers(left)
        assert set(left.resources) == set(homes(named)), "their own resources and no other"
    else:
        assert not covers(left)


def test_a_resource_that_was_not_given_is_refused_before_a_scope_that_was_not() -> None:
    with pytest.raises(TargetNotAllowed):
        narrow(ask(("a1",), ("A",)), ask(("b1",), ("B",)), lambda _: True)
    with pytest.raises(ScopeNotAllowed):
        narrow(ask(("a1",), ("A",)), ask(("b1",)), lambda _: True)


def test_a_named_resource_gets_the_scopes_that_belong_to_it() -> None:
    covers = covering([frozenset(SCOPES)])
    assert narrow(ask(SCOPES, RESOURCES), ask(resources=("A",)), covers) == ask(("a1", "a2"), ("A",))
    gone = narrow(ask(SCOPES, RESOURCES), ask(resources=("A",)), covering([frozenset({"b1"})]))
    assert gone.resources == ("A",), "policy is asked for it, and refuses it"


def test_terms_of_two_rules_are_not_added_up() -> None:
    left = narrow(ask(("a1", "a2"), ("A",)), ask(), covering([frozenset({"a1"}), frozenset({"a2"})]))
    assert left == ask(("a1",), ("A",))
