"""Reads `clauses.toml`, the tests it names and the digests it answers to, and says what does not fit together."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CLAUSES = Path(__file__).with_name("clauses.toml")
DIGESTS = ROOT / ".." / "shared"
LEVELS = ("MUST", "SHOULD", "MAY")
KEYS = {"level", "tests", "bench", "not_built", "later"}
# A reason begins with where the rest comes from, so that nobody can give none.
REASON = re.compile(r"(issue \d+|issues \d+ and \d+|not in this version|next release): \S.*")
# One test that is claimed to hold so many clauses holds none of them in particular.
MOST_CLAUSES_A_TEST = 12

_ITEM = re.compile(r"\d+\. ((?:SCA|ROFU|SPIFFE|OAS|DCR|CIMD|PCR|KBC)-\d+)\b.*?\b(MUST|SHOULD|MAY)\b")
_THREAT = re.compile(r"\b([TLF])-(\d+)(?: to [TLF]-(\d+))?")
_MENTIONED = re.compile(r"(?<![A-Za-z0-9-])(?:SCA|ROFU|SPIFFE|OAS|DCR|CIMD|PCR|KBC|T|L|F)-\d+(?![\w-])")


@dataclass(frozen=True, slots=True)
class Clause:
    """One entry. `tests` are `file::name` or `file::name[parameter id]`."""

    id: str
    level: str
    tests: tuple[str, ...] = ()
    bench: str = ""
    not_built: str = ""
    later: str = ""


def read(text: str) -> tuple[dict[str, Clause], list[str]]:
    """The entries, and what is wrong with their form."""
    clauses, faults = {}, []
    for name, entry in tomllib.loads(text).items():
        values: dict[str, Any] = dict(entry)
        if unknown := values.keys() - KEYS:
            faults.append(f"{name}: unknown {sorted(unknown)}")
        tests = tuple(values.get("tests", ()))
        words = {key: str(values.get(key, "")) for key in ("level", "bench", "not_built", "later")}
        clauses[name] = Clause(name, tests=tests, **words)
    return clauses, faults


def faults_of(clause: Clause, exists: Callable[[str], bool]) -> Iterator[str]:
    """What is wrong with one entry. `exists` says whether a test of that name is there."""
    if clause.level not in LEVELS:
        yield f"{clause.id}: {clause.level!r} is no level"
    if not (clause.tests or clause.bench or clause.not_built):
        yield f"{clause.id}: neither a test nor a reason"
    if clause.not_built and (clause.tests or clause.bench or clause.later):
        yield f"{clause.id}: not built, and yet tested; say what is missing under 'later'"
    if clause.bench and not clause.id.startswith("L-"):
        yield f"{clause.id}: a figure of the bench proves load and nothing else"
    for reason in (clause.not_built, clause.later):
        if reason and REASON.fullmatch(reason) is None:
            yield f"{clause.id}: {reason!r} does not say where it comes"
    if len(set(clause.tests)) != len(clause.tests):
        yield f"{clause.id}: a test is named twice"
    for test in clause.tests:
        if not exists(test):
            yield f"{clause.id}: there is no {test}"


def overloaded(clauses: Mapping[str, Clause]) -> Iterator[str]:
    """Whole tests that too many clauses lean on; one parameter of a test may stand for itself."""
    named: dict[str, list[str]] = {}
    for clause in clauses.values():
        for test in clause.tests:
            named.setdefault(test, []).append(clause.id)
    for test, ids in named.items():
        if len(ids) > MOST_CLAUSES_A_TEST:
            yield f"{test} is named by {len(ids)} clauses"


@cache
def tests_of(path: Path) -> frozenset[str]:
    """The names of a file's tests, `Class::name` for those in a class; empty for a file that is not there."""
    if not path.is_file():
        return frozenset()
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        inner: Sequence[ast.stmt] = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
        found |= {prefix + each.name for each in inner if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    return frozenset(name for name in found if name.rpartition("::")[2].startswith("test_"))


def test_exists(test: str) -> bool:
    """Whether the file has this test, and the parameter id in its text where one is named."""
    file, _, rest = test.partition("::")
    name, bracket, parameter = rest.partition("[")
    path = ROOT / file
    if name not in tests_of(path):
        return False
    return not bracket or (parameter.endswith("]") and f'"{parameter[:-1]}"' in path.read_text(encoding="utf-8"))


test_exists.__test__ = False  # type: ignore[attr-defined]  # It is about tests and none itself.


def digest_items(folder: Path) -> dict[str, str]:
    """Every id of the digests with its level. A threat, a load figure and a fault are all MUST."""
    items: dict[str, str] = {}
    for file in sorted((folder / "specs").glob("*.md")):
        found = map(_ITEM.match, file.read_text(encoding="utf-8").splitlines())
        items |= {match[1]: match[2] for match in found if match is not None}
    for kind, first, last in _THREAT.findall((folder / "threats.md").read_text(encoding="utf-8")):
        items |= {f"{kind}-{number}": "MUST" for number in range(int(first), int(last or first) + 1)}
    return items


def mentioned_ids() -> dict[str, set[str]]:
    """Every id that a test file mentions, with the files."""
    mentions: dict[str, set[str]] = {}
    for file in sorted((ROOT / "tests").rglob("*.py")):
        if file.parent == CLAUSES.parent:
            continue
        for name in _MENTIONED.findall(file.read_text(encoding="utf-8")):
            mentions.setdefault(name, set()).add(str(file.relative_to(ROOT)))
    return mentions
