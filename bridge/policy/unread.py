"""Files of a policy folder that look as if they were read, and are not: a rule in one of them protects nothing."""

from __future__ import annotations

from itertools import chain, islice
from pathlib import Path

from bridge.policy.findings import Finding, Severity

CASES_FOLDER = "tests"
CASES_PATTERN = "*.cases.toml"

# What lies beside policies by right: explanations, and the grammar for editors.
_BESIDE = frozenset({"schema.json"})
_PROSE = frozenset({".md"})
_MOST_REPORTED = 50


def unread_files(folder: Path) -> list[Finding]:
    """A warning for each file beside the policies that does not end in `.toml`, and for each `.toml` file in a
    subfolder. Left out: names that begin with a dot (links of a ConfigMap among them), prose, the schema, and
    `tests`, of which `unread_cases` knows. Looked into: two levels."""
    found: list[Finding] = []
    for path in islice(_strays(folder), _MOST_REPORTED):
        words = "the file is not read: policies are the files of this folder that end in .toml"
        found.append(_warning(path.relative_to(folder).as_posix(), words))
    return found


def unread_cases(policies: Path) -> list[Finding]:
    """A warning for each file in `tests` that is no `*.cases.toml` file of `tests` itself."""
    folder = policies / CASES_FOLDER
    here = (path for path in _listed(folder) if path.is_file() and not path.match(CASES_PATTERN))
    below = chain(folder.glob("*/*.toml"), folder.glob("*/*/*.toml"))
    found: list[Finding] = []
    for path in islice(chain(here, sorted(p for p in below if not _is_hidden(p, folder))), _MOST_REPORTED):
        words = f"the file is not read: cases are the files {CASES_FOLDER}/{CASES_PATTERN}"
        found.append(_warning(path.relative_to(policies).as_posix(), words))
    return found


def _strays(folder: Path) -> chain[Path]:
    entries = _listed(folder)
    here = [path for path in entries if path.suffix != ".toml" and path.is_file()]
    below = (path for entry in entries if entry.is_dir() and entry.name != CASES_FOLDER for path in _toml_in(entry))
    return chain(here, below)


def _toml_in(folder: Path) -> list[Path]:
    inside = chain(folder.glob("*.toml"), folder.glob("*/*.toml"))
    return sorted(path for path in inside if not _is_hidden(path, folder))


def _listed(folder: Path) -> list[Path]:
    """What is in a folder and might have been meant to be read; nothing where it cannot be listed."""
    try:
        entries = sorted(folder.iterdir(), key=lambda path: path.name)
    except OSError:
        return []
    return [
        path
        for path in entries
        if not path.name.startswith(".") and path.name not in _BESIDE and path.suffix not in _PROSE
    ]


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _warning(file: str, words: str) -> Finding:
    return Finding(file, 0, "", "not-read", words, Severity.WARNING)
