"""What strangers write, on one line, whatever it is; and what ties a form to its page."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.grants.consent import Words
from bridge.model.errors import FormRejected
from bridge.web.pages.consent_view import accesses, shown
from bridge.web.pages.form_tokens import FormTokens

ANYTHING = st.text(st.characters(codec=None), max_size=200)
KEY = bytes(range(32))


@given(text=ANYTHING, at_most=st.integers(1, 80))
def test_whatever_is_written_is_shown_on_one_short_line_that_turns_nothing_T_43(text: str, at_most: int) -> None:
    line = shown(text, at_most)
    assert len(line) <= at_most
    categories = {unicodedata.category(sign) for sign in line}
    assert not categories & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert line == shown(line, at_most)


@given(text=st.text(st.characters(categories=["Ll", "Lu", "Lo", "Nd", "Po", "Sm"]), min_size=1, max_size=60))
def test_what_is_harmless_is_shown_as_it_is(text: str) -> None:
    assert shown(text, 60) == text


names = st.lists(st.sampled_from("abcdefgh"), unique=True)


@given(scopes=names, resources=names, home=st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh")))
def test_every_scope_stands_at_some_resource(scopes: list[str], resources: list[str], home: dict[str, str]) -> None:
    found = accesses([Words(s, "") for s in scopes], [Words(r, "") for r in resources], home)
    assert [access.resource.name for access in found] == resources
    shown_scopes = {scope.name for access in found for scope in access.scopes}
    assert shown_scopes == (set(scopes) if resources else set())
    for access in found:
        assert all(home.get(s.name) == access.resource.name or home.get(s.name) not in resources for s in access.scopes)


parts = st.tuples(ANYTHING, ANYTHING, st.lists(ANYTHING, max_size=3))


@given(made=parts, sent=parts)
def test_a_form_token_is_good_for_what_it_was_made_for_and_nothing_else_T_44(
    made: tuple[str, str, list[str]], sent: tuple[str, str, list[str]]
) -> None:
    tokens = FormTokens(KEY)
    token = tokens.make(browser=made[0], session=made[1], about=tuple(made[2]))
    tokens.check(token, browser=made[0], session=made[1], about=tuple(made[2]))
    if sent != made:
        with pytest.raises(FormRejected):
            tokens.check(token, browser=sent[0], session=sent[1], about=tuple(sent[2]))
    with pytest.raises(FormRejected):
        FormTokens(bytes(32)).check(token, browser=made[0], session=made[1], about=tuple(made[2]))
