"""The fast reader against `tomllib`, which is the law: equal where it answers, silent on all that is wrong."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.policy.findings import Report
from bridge.policy.plain_toml import read_plain
from bridge.policy.reading import toml
from tests.unit.policy.policy_folders import CATALOGUE, rule

SHIPPED = Path(__file__).resolve().parents[3] / "policies"

KEYS = st.sampled_from(["id", "why", "when", "rule", "case", "a-b_1", "7", '"quoted"', "a.b", "", "é"])
STRINGS = st.one_of(
    st.sampled_from(['""', '"x"', '"ü # ]"', '"a, b"', '"{ a = 1 }"', "'x'", '"\\n"', '"\t"', '"\x7f"']),
    st.sampled_from(['"""x"""', '"""\n[[rule]]\nid = "x"\n"""', "'''\n[[rule]]\n'''", '""""', '"a" "b"', '"a\nb"']),
)
WORDS = st.sampled_from(
    [
        "true",
        "false",
        "True",
        "0",
        "1",
        "01",
        "+1",
        "1_0",
        "1.5",
        "1e3",
        "0x1",
        "9" * 9,
        "9" * 10,
        "2026-01-01",
        "-0",
        "x",
    ]
)
GAPS = st.sampled_from(["", " ", "\t", "\n", " # remark\n", "\r\n", "\x0c", "\u00a0"])
COMMAS = st.sampled_from([",", ", ", " ,", ",\n", ",,", " "])
ENDS = st.sampled_from(
    ["\n"] * 6 + ["\n\n", " # remark\n", "\r\n", " # bell \x07\n", " # tab\t\n", "\n \t\n", "", " ", "\r"]
)


@st.composite
def _lists(draw: st.DrawFn, items: st.SearchStrategy[str]) -> str:
    body = "".join(draw(items) + draw(COMMAS) for _ in range(draw(st.integers(0, 3))))
    return f"[{draw(GAPS)}{body}{draw(items)}{draw(GAPS)}]" if draw(st.booleans()) else f"[{draw(GAPS)}{body}]"


@st.composite
def _tables(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    pairs = draw(st.lists(st.tuples(KEYS, values), max_size=3))
    body = draw(COMMAS).join(f"{key} = {value}" for key, value in pairs)
    return f"{{{draw(GAPS)}{body}{draw(st.sampled_from(['', ' ', ',']))}}}"


FLAT = st.one_of(STRINGS, WORDS, _lists(STRINGS), _lists(STRINGS | WORDS))
VALUES = st.one_of(FLAT, _tables(FLAT), _tables(FLAT | _tables(FLAT)), _tables(_tables(_tables(FLAT))))
HEADERS = st.sampled_from(
    ["[[rule]]"] * 4
    + ["[rule.when]", "[rule.grant]", "[ rule . grant ]", "[[ case ]]", "[rule]", "[case.when]", "[[rule.when]]"]
    + ["[rule.grant.client]", "[[rule]", "[[rule]] x", '[["rule"]]', "[]", "[rule.]"]
)
STATEMENTS = st.one_of(
    st.builds("{} = {}".format, KEYS, VALUES), HEADERS, st.sampled_from(["", "# remark", "id", "\ufeff"])
)
TEXTS = st.lists(st.tuples(st.sampled_from(["", "", " ", "\t"]), STATEMENTS, ENDS), max_size=8).map(
    lambda parts: "".join("".join(part) for part in parts)
)


@st.composite
def _likely_texts(draw: st.DrawFn) -> str:
    """Statements that are mostly in order, so that many of them together still are."""
    flat = st.sampled_from(['"x"', '""', '"ü # ]"', '"{ a = 1 }, "', "true", "7", "[]", '["a"]', '[ "a" , "b",\n]'])
    pairs = st.dictionaries(st.sampled_from(["a", "b", "1"]), flat, max_size=2).map(_inline)
    outer = st.dictionaries(st.sampled_from(["path", "client"]), flat | pairs, max_size=2).map(_inline)
    key = st.sampled_from([f"k{number}" for number in range(30)] + ["when"])
    statement = st.builds("{} = {}".format, key, flat | pairs | outer)
    header = st.sampled_from(["[[rule]]"] * 5 + ["[rule.when]", "[ rule . grant ]", "[[case]]"])
    lines = [*draw(st.lists(statement, max_size=2)), "[[rule]]", *draw(st.lists(header | statement, max_size=12))]
    return "".join(line + draw(st.sampled_from(["\n", "\n\n", " # remark\n", "\t\n  # remark\n"])) for line in lines)


def _inline(table: dict[str, str]) -> str:
    return "{ " + ", ".join(f"{key} = {value}" for key, value in table.items()) + " }"


def _by_the_library(text: str) -> dict[str, object] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


@settings(max_examples=400, deadline=None)
@given(_likely_texts() | TEXTS | st.text(alphabet="[]{}=\",. \n\t#\\'a1é\r\x00", max_size=40))
@example('a = """\n[[rule]]\nid = "x"\n"""\n')
@example('[[rule]]\nwhy = "x" # "\n[rule.grant]\nscopes = [\n  "a",\n  "b",\n]\n')
@example('rule = []\n[[rule]]\nid = "x"')
@example('[[rule]]\nwhen = { path = "/a", path = "/b" }')
@example("[[rule]]\nwhen = {}\n[rule.when]\n")
@example("[rule.when]\n[[rule]]\n")
def test_what_it_reads_is_what_the_library_reads_and_nothing_more(text: str) -> None:
    plain = read_plain(text)
    # By `repr`, too: True is 1 to a comparison, and the order of keys is nothing to it.
    assert plain is None or (plain, repr(plain)) == (tomllib.loads(text), repr(_by_the_library(text)))


@pytest.mark.parametrize(
    "text",
    [
        rule(),
        rule() + rule("other", more='client = { shared = "x" }, redirect_uris = ["https://a.example/{1}"]'),
        '[[rule]]\nid = "r" # a\n\n  # b\n[rule.grant]\nscopes = [\n  "a",\n  "b",\n]\nbroad = true\n[[case]]',
        "version = 1\n",
        "",
        "# nothing but a remark",
        *(
            path.read_text()
            for path in sorted(SHIPPED.glob("*.toml"))
            if path.name not in ("catalogue.toml", "cases.toml")
        ),
    ],
)
def test_the_way_policies_are_written_is_read_fast(text: str) -> None:
    assert read_plain(text) == tomllib.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        CATALOGUE,
        'why = """\n[[rule]]\n"""\n',
        "why = 'x'\n",
        'why = "\\u00e9"\n',
        "when.path = 1\n",
        "[[rule]]\r\n",
    ],
)
def test_other_toml_is_left_to_the_library_and_means_what_it_says_there(text: str) -> None:
    assert read_plain(text) is None
    report = Report("x.toml", text)
    assert toml(text.encode(), report) == tomllib.loads(text)
    assert not report.found


@pytest.mark.parametrize(
    "text",
    [
        'id = "a"\nid = "b"\n',
        'when = { a = "x", a = "y" }\n',
        "[[rule]]\n[rule.when]\n[rule.when]\n",
        "rule = 1\n[[rule]]\n",
    ],
)
def test_a_key_twice_is_an_error_with_the_words_of_the_library(text: str) -> None:
    assert read_plain(text) is None
    report = Report("x.toml", text)
    assert toml(text.encode(), report) is None
    assert [finding.code for finding in report.found] == ["syntax"]


def test_a_long_line_of_nonsense_is_given_up_at_once() -> None:
    # Tried again from each of its characters it would take hours.
    assert read_plain("a" * 2_000_000) is None
    assert read_plain('a = ["' + '", "' * 500_000) is None
    assert read_plain("[" * 2_000_000) is None
