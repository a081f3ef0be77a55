"""The layout of policy files: one for all spellings of the same text, and never another meaning."""

from __future__ import annotations

import random
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.policy.fmt import NotToml, formatted

SHIPPED = sorted((Path(__file__).resolve().parents[3] / "policies").rglob("*.toml"))
HARD = '''\
# a comment, then a key = "in it"
version = 1
why = "a # is no comment, \\" no end, and 'x' = [1]"  # one is
path = 'C:\\no\\escape'

# right above its header
[[rule]]
id = "x"
long = """
  two   spaces [
   a trailing one   \\
   """  # end
raw = \'\'\'it's "raw" \'\'\'
when = { path = ["/a/*", "/b/**"], empty = {}, none = [], a.b = 1, "c d".e = -1.5e3 }
list = [
    "one",  # the first

    "two",
    [3, 4],
]
at = 1979-05-27 07:32:00

[rule."https://x.example/[1]"]
ok = true
'''


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_the_shipped_files_are_laid_out(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert formatted(text) == text


def test_what_is_laid_out_stays() -> None:
    assert formatted(HARD) == HARD
    assert formatted("") == ""
    assert formatted("\n\n# only a comment   ") == "# only a comment\n"


@pytest.mark.parametrize(
    ("text", "laid_out"),
    [
        ("a=1", "a = 1\n"),
        ("  a   =   1  \r\nb=2\r\n", "a = 1\nb = 2\n"),
        ("a=1#x", "a = 1  #x\n"),
        ("a={b=1,c=[1,2,]}", "a = { b = 1, c = [1, 2,] }\n"),
        ("a . b = 1\n'c' . \"d\" = 2", "a.b = 1\n'c'.\"d\" = 2\n"),
        ("a = 1\n[ b . c ]\n\n\nd = 1\n\n\n\ne = 2\n\n", "a = 1\n\n[b.c]\nd = 1\n\ne = 2\n"),
        ("a = 1\n# of b\n[b]\n[[c]]", "a = 1\n\n# of b\n[b]\n\n[[c]]\n"),
        ("a = [\n\n1,\n\n\n2]\n", "a = [\n    1,\n\n    2]\n"),
        ("a = [ [1,\n2 ]\n ]", "a = [[1,\n        2]\n]\n"),
    ],
)
def test_spaces_blank_lines_and_line_ends_are_layout(text: str, laid_out: str) -> None:
    assert formatted(text) == laid_out
    assert formatted(laid_out) == laid_out


@pytest.mark.parametrize("text", ["a = ", "[[rule]", 'a = "\x00"', "a = 1\ra = 2", "a = 1\na = 2", "x = " + "[" * 5000])
def test_what_is_no_toml_is_refused(text: str) -> None:
    with pytest.raises(NotToml):
        formatted(text)


def disturbed(text: str, chance: random.Random) -> str:
    """The same text with other spaces and blank lines, wherever both may stand."""
    found: list[str] = []
    lines = ["", *text.splitlines(), ""]
    for before, line, following in zip(lines, lines[1:], lines[2:], strict=False):
        if not line:
            # A comment right above a header is the header's.
            is_needed = before.startswith("#") or not following.startswith("[")
            found += [""] * chance.randint(is_needed, 3)
            continue
        parts = [line] if "#" in line else re.split('("[^"]*")', line)
        # Every second part is a string.
        parts[::2] = ["".join(_disturbed_sign(c, chance) for c in part) for part in parts[::2]]
        whole = line if "#" in line else "".join(parts)
        found.append(chance.choice(["", "  ", "\t"]) + whole + chance.choice(["", "   "]))
    return chance.choice(["\n", "\r\n"]).join(found)


def _disturbed_sign(sign: str, chance: random.Random) -> str:
    if sign == " ":
        return chance.choice(["", " ", "\t "])
    return chance.choice(["", " "]) + sign + chance.choice(["", "  "]) if sign in "=,{}" else sign


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SHIPPED), st.integers())
def test_every_layout_of_a_text_comes_to_the_same(path: Path, seed: int) -> None:
    text = path.read_text(encoding="utf-8")
    assert formatted(disturbed(text, random.Random(seed))) == text


_scraps = st.lists(
    st.sampled_from(
        ["a", "b.c", '"d e"', "'f'", " = ", "=", "1", "-2.5", "true", '"x # y"', '"""\n z\n"""', "[", "]", "{", "}",
         ",", "\n", "\n\n", "  ", "\t", "# c\n", "[[r]]\n", "[t]\n", "1979-05-27 07:32:00", "\r\n"]
    ),
    max_size=14,
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(_scraps)
def test_no_text_changes_its_meaning_and_the_second_time_changes_nothing(scraps: list[str]) -> None:
    text = "".join(scraps)
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    laid_out = formatted(text)
    assert repr(tomllib.loads(laid_out)) == repr(before)
    assert formatted(laid_out) == laid_out
