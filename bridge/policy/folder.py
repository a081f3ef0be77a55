"""The folder of policy files: read whole, checked, and turned into one policy set, or left as it was.

A file with an error keeps its own last good version. An error that only shows across files keeps the
whole old set. At the start there is nothing to keep, so any error is no start (interface section 3).
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bridge.files.paths import TooLarge, fingerprint_folder, read_bounded
from bridge.model.errors import StartRefused
from bridge.model.identity import Source
from bridge.model.terms import ClientMode
from bridge.policy.catalogue import FILE as CATALOGUE
from bridge.policy.catalogue import Catalogue, compile_catalogue
from bridge.policy.compile import compile_file
from bridge.policy.evaluate import PolicySet
from bridge.policy.findings import Finding, Report, Severity, has_errors, ordered
from bridge.policy.reading import MAX_FILE_BYTES, catalogue_file, policy_file
from bridge.policy.rule import Rule
from bridge.policy.shadows import check_shadows
from bridge.policy.terms import PolicyDefaults as PolicyDefaults
from bridge.policy.ties import check_ties
from bridge.policy.unread import unread_files

# A ConfigMap swap in the middle of reading would mix two versions; it is over in a moment.
_READS = 5
# What is found in a rule because of what the catalogue holds.
_OF_THE_CATALOGUE = frozenset({"unknown-resource", "unknown-scope"})


@dataclass(frozen=True, slots=True)
class Loaded:
    """The set that is in force after a load, and everything wrong with the files as they stand."""

    policy_set: PolicySet
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """The files as they stand. `policy_set` is None when one of them has an error."""

    policy_set: PolicySet | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class _File:
    """One file with rules, compiled against one catalogue. `content` is what `rules` came from, as `compile_file`
    gives them."""

    content: bytes
    catalogue: bytes
    rules: tuple[Rule, ...]
    findings: tuple[Finding, ...]

    @property
    def is_good(self) -> bool:
        return not has_errors(self.findings)

    @property
    def stands(self) -> bool:
        """Whether it is this file with these rules that is meant: all errors, if any, are those of single rules."""
        return not has_errors(finding for finding in self.findings if not finding.rule)


@dataclass(frozen=True, slots=True)
class _Good:
    """What the set in force was made of."""

    catalogue: bytes
    files: Mapping[str, _File]


class PolicyFolder:
    """Loads one folder again and again. Not safe to use from two threads at once."""

    def __init__(self, path: Path, defaults: PolicyDefaults) -> None:
        self.path = path
        self._defaults = defaults
        self._good: _Good | None = None
        self._set: PolicySet | None = None

    def load(self) -> Loaded:
        """Read the folder and put in force what can be.

        Raises: StartRefused at the first load when there is any error, with all of them.
        """
        with collector_at_rest():
            return self._load()

    def _load(self) -> Loaded:
        contents, findings = _read(self.path)
        if self._good is None or self._set is None:
            return self._start(contents, findings)
        if contents is None:
            return Loaded(self._set, ordered(findings))
        kept = self._good
        catalogue_bytes, catalogue, found = self._catalogue(contents, kept)
        findings += found
        files: dict[str, _File] = {}
        for name in sorted(contents.keys() - {CATALOGUE}):
            usable = self._file(name, contents[name], catalogue_bytes, catalogue, kept, findings)
            if usable is not None:
                files[name] = usable
        for name in kept.files.keys() & _unreadable(findings):
            files.setdefault(name, self._compiled(name, kept.files[name].content, catalogue_bytes, catalogue, kept))
        across = _across(files)
        findings += across
        if has_errors(across) or any(not file.is_good for file in files.values()):
            return Loaded(self._set, ordered(findings))
        return self._put_in_force(catalogue_bytes, catalogue, files, findings)

    def _start(self, contents: Mapping[str, bytes] | None, findings: list[Finding]) -> Loaded:
        files, catalogue = _compile_all(contents or {}, self._defaults, findings)
        if contents is None or catalogue is None or has_errors(findings):
            raise StartRefused([str(f) for f in ordered(findings) if f.severity is Severity.ERROR])
        return self._put_in_force(contents[CATALOGUE], catalogue, files, findings)

    def _put_in_force(
        self, content: bytes, catalogue: Catalogue, files: Mapping[str, _File], findings: list[Finding]
    ) -> Loaded:
        version = _version({CATALOGUE: content, **{name: file.content for name, file in files.items()}})
        if self._set is None or self._set.version != version:
            self._set = PolicySet((rule for file in files.values() for rule in file.rules), catalogue, version)
        self._good = _Good(content, files)
        return Loaded(self._set, ordered(findings))

    def _catalogue(self, contents: Mapping[str, bytes], kept: _Good) -> tuple[bytes, Catalogue, list[Finding]]:
        """The catalogue as it stands, or the last good one."""
        assert self._set is not None, "only a later load comes here"
        content = contents.get(CATALOGUE)
        if content == kept.catalogue:
            return kept.catalogue, self._set.catalogue, []
        if content is None:
            return kept.catalogue, self._set.catalogue, [_missing_catalogue()]
        catalogue, found = _read_catalogue(content)
        if catalogue is None:
            return kept.catalogue, self._set.catalogue, found
        return content, catalogue, found

    def _file(
        self,
        name: str,
        content: bytes,
        catalogue_bytes: bytes,
        catalogue: Catalogue,
        kept: _Good,
        findings: list[Finding],
    ) -> _File | None:
        """The file as it stands, its last good version if it has an error, or None if it has none."""
        file = self._compiled(name, content, catalogue_bytes, catalogue, kept)
        findings += file.findings
        if file.is_good:
            return file
        last = kept.files.get(name)
        if last is None or last.content == content:
            # A file that was good and is not, unchanged, broke by the catalogue: that is across files.
            return None if last is None else file
        return self._compiled(name, last.content, catalogue_bytes, catalogue, kept)

    def _compiled(self, name: str, content: bytes, catalogue_bytes: bytes, catalogue: Catalogue, kept: _Good) -> _File:
        last = kept.files.get(name)
        if last is not None and last.content == content and last.catalogue == catalogue_bytes:
            return last
        return _compile(name, content, catalogue_bytes, catalogue, self._defaults)


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Loading makes a hundred thousand objects that stay and hardly a cycle. The collector would walk all of
    them again and again, for a third of the time, and requests would wait for it."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def check_folder(path: Path, defaults: PolicyDefaults) -> Checked:
    """All findings about a folder as it stands, and its policy set if there is no error among them."""
    contents, findings = _read(path)
    files, catalogue = _compile_all(contents or {}, defaults, findings) if contents is not None else ({}, None)
    if contents is None or catalogue is None or has_errors(findings):
        return Checked(None, ordered(findings))
    rules = (rule for file in files.values() for rule in file.rules)
    return Checked(PolicySet(rules, catalogue, _version(contents)), ordered(findings))


def _compile_all(
    contents: Mapping[str, bytes], defaults: PolicyDefaults, findings: list[Finding]
) -> tuple[dict[str, _File], Catalogue | None]:
    """Every file as it stands. Without a usable catalogue nobody knows which names of the rules are unknown, and
    only what else is wrong with them is reported."""
    content, names = contents.get(CATALOGUE), sorted(contents.keys() - {CATALOGUE})
    catalogue, found = (None, [_missing_catalogue()]) if content is None else _read_catalogue(content)
    findings += found
    if content is None or catalogue is None:
        for name in names:
            file = _compile(name, contents[name], b"", Catalogue(), defaults)
            findings += (finding for finding in file.findings if finding.code not in _OF_THE_CATALOGUE)
        return {}, None
    files = {name: _compile(name, contents[name], content, catalogue, defaults) for name in names}
    for file in files.values():
        findings += file.findings
    findings += _across(files)
    return files, catalogue


def _compile(
    name: str, content: bytes, catalogue_bytes: bytes, catalogue: Catalogue, defaults: PolicyDefaults
) -> _File:
    report = Report(name, content.decode("utf-8", "replace"))
    read = policy_file(content, report)
    rules: tuple[Rule, ...] = ()
    if read is not None:
        rules = compile_file(name, read.document, catalogue, defaults, report, numbers=read.numbers)
        # What is found between rules that mean what they say stands, whatever the others turn into once mended.
        check_ties(rules, report)
        check_shadows(rules, report)
    return _File(content, catalogue_bytes, rules, tuple(report.found))


def _read_catalogue(content: bytes) -> tuple[Catalogue | None, list[Finding]]:
    report = Report(CATALOGUE, content.decode("utf-8", "replace"))
    document = catalogue_file(content, report)
    catalogue = compile_catalogue(document, report) if document is not None else None
    return (None if report.failed else catalogue), report.found


def _missing_catalogue() -> Finding:
    words = "the folder has no catalogue.toml: it says which resources and scopes exist"
    return Finding(CATALOGUE, 0, "", "missing-file", words)


def _across(files: Mapping[str, _File]) -> list[Finding]:
    """What is wrong only because of another file: ids, shared clients, trust domains."""
    found: list[Finding] = []
    ids: dict[str, str] = {}
    shared: dict[str, str] = {}
    domains: dict[str, str] = {}
    for name in sorted(files):
        report = Report(name, files[name].content.decode("utf-8", "replace"))
        for rule in files[name].rules if files[name].stands else ():
            _claim(ids, rule.id, rule, "duplicate-id", f"the id '{rule.id}'", "id", report)
            if rule.client is not None and rule.client.mode is ClientMode.SHARED and rule.client.shared_id:
                words = f"the shared client '{rule.client.shared_id}'"
                _claim(shared, rule.client.shared_id, rule, "shared-id", words, "client", report)
            if rule.source is Source.SPIFFE:
                domain = str(rule.patterns[0].space)
                _claim(domains, domain, rule, "trust-domain", f"the trust domain {domain}", "when", report)
        found += report.found
    return found


def _claim(
    owners: dict[str, str],
    what: str,
    rule: Rule,
    code: str,
    words: str,
    key: str,
    report: Report,
) -> None:
    owner = owners.setdefault(what, rule.file)
    if owner != rule.file:
        report.error(code, f"{words} belongs to {owner}", "rule", rule.number, key, rule=rule.id)


def _unreadable(findings: list[Finding]) -> set[str]:
    return {finding.file for finding in findings if finding.code == "unreadable"}


def _read(folder: Path) -> tuple[dict[str, bytes] | None, list[Finding]]:
    """The content of every policy file by name; None when the folder cannot be read.

    A file that cannot be read is a finding, and absent from the result.
    """
    for _ in range(_READS):
        before = fingerprint_folder(folder, "*.toml")
        contents, findings = _read_once(folder)
        if fingerprint_folder(folder, "*.toml") == before:
            break
    return contents, findings + unread_files(folder)


def _read_once(folder: Path) -> tuple[dict[str, bytes] | None, list[Finding]]:
    findings: list[Finding] = []
    try:
        found = (path for path in folder.iterdir() if path.suffix == ".toml" and not path.name.startswith("."))
        paths = sorted(found, key=lambda path: path.name)
    except OSError as error:
        words = f"the policy folder cannot be read ({error.strerror})"
        return None, [Finding(str(folder), 0, "", "unreadable", words)]
    contents: dict[str, bytes] = {}
    for path in paths:
        try:
            contents[path.name] = read_bounded(path, MAX_FILE_BYTES)
        except OSError as error:
            words = f"the file cannot be read ({error.strerror})"
            findings.append(Finding(path.name, 0, "", "unreadable", words))
        except TooLarge:
            words = f"the file holds more than {MAX_FILE_BYTES} bytes"
            findings.append(Finding(path.name, 0, "", "unreadable", words))
    return contents, findings


def _version(contents: Mapping[str, bytes]) -> str:
    """12 hex digits over the names and contents of all files in force."""
    digest = hashlib.sha256()
    for name in sorted(contents):
        digest.update(f"{name}\0{hashlib.sha256(contents[name]).hexdigest()}\n".encode())
    return digest.hexdigest()[:12]
