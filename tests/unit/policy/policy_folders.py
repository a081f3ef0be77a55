"""A policy folder to write into, rules in short, and short ways to ask."""

from __future__ import annotations

from pathlib import Path

from bridge.model.evidence import Door, EvidenceKind
from bridge.model.identity import BindingMethod, PolicySubject, Source
from bridge.model.spiffe_id import SpiffeId
from bridge.model.terms import Ask, Decision
from bridge.policy.evaluate import PolicySet
from bridge.policy.findings import Finding
from bridge.policy.folder import PolicyDefaults, check_folder

CATALOGUE = """version = 1
[resources."https://ledger.example.org"]
description = "The ledger"
scopes = { "ledger.read" = "Read", "ledger.write" = "Write" }
introspect_by = ["spiffe://example.org/ns/ledger/**"]
[resources."https://mail.example.org"]
description = "Mail"
scopes = { "mail.send" = "Send", "mail.read" = "Read" }
"""
HEADERS = {
    "example.org.toml": 'version = 1\nsource = "spiffe"\ntrust_domain = "example.org"\n',
    "metadata-documents.toml": 'version = 1\nsource = "metadata-document"\n',
    "software-statements.toml": 'version = 1\nsource = "software-statement"\n',
    "pushed.toml": 'version = 1\nsource = "pushed"\n',
}
LEDGER = "https://ledger.example.org"
MAIL = "https://mail.example.org"


class Policies:
    """One policy folder. Rules are written as TOML without the header of their file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write("catalogue.toml", CATALOGUE)

    def write(self, name: str, content: str) -> None:
        """Put a whole file."""
        (self.path / name).write_text(content, encoding="utf-8")

    def rules(self, rules: str, file: str = "example.org.toml") -> None:
        """Put a file of rules under its usual header."""
        self.write(file, HEADERS[file] + rules)

    def check(self, defaults: PolicyDefaults | None = None) -> tuple[Finding, ...]:
        """All findings."""
        return check_folder(self.path, defaults or PolicyDefaults()).findings

    def codes(self, defaults: PolicyDefaults | None = None) -> set[str]:
        """The codes of all findings."""
        return {finding.code for finding in self.check(defaults)}

    def load(self, rules: str | None = None, file: str = "example.org.toml") -> PolicySet:
        """The policy set, which must have no error."""
        if rules is not None:
            self.rules(rules, file)
        checked = check_folder(self.path, PolicyDefaults())
        assert checked.policy_set is not None, [str(finding) for finding in checked.findings]
        return checked.policy_set


def rule(
    id: str = "r",
    *,
    effect: str = "allow",
    when: str = 'path = "/ns/web/sa/*"',
    scopes: str = '"ledger.read"',
    resources: str = '"https://ledger.example.org"',
    bind: str | None = "if-present",
    more: str = "",
    key: str = "",
) -> str:
    """One rule as TOML. `more` goes into its grant, `key` beside its effect."""
    text = f'\n[[rule]]\nid = "{id}"\nwhy = "because"\neffect = "{effect}"\n{key}\nwhen = {{ {when} }}\n'
    if effect == "deny":
        return text
    bound = f', bind = "{bind}"' if bind is not None else ""
    comma = f", {more}" if more else ""
    return f"{text}grant = {{ resources = [{resources}], scopes = [{scopes}]{bound}{comma} }}\n"


def workload(path: str = "/ns/web/sa/api", evidence: EvidenceKind = EvidenceKind.JWT_SVID) -> PolicySubject:
    """A workload; of example.org unless the path is a whole SPIFFE ID."""
    raw = path if path.startswith("spiffe://") else f"spiffe://example.org{path}"
    return PolicySubject(Source.SPIFFE, evidence, spiffe_id=SpiffeId.parse(raw))


def document(url: str, *, spiffe_id: str | None = None, evidence: EvidenceKind | None = None) -> PolicySubject:
    """A metadata document, perhaps with a workload that acts for it."""
    actor = SpiffeId.parse(spiffe_id) if spiffe_id is not None else None
    return PolicySubject(Source.METADATA_DOCUMENT, evidence or EvidenceKind.METADATA_DOCUMENT, url=url, spiffe_id=actor)


def wants(
    *scopes: str,
    resources: tuple[str, ...] = (),
    grant_type: str = "client_credentials",
    door: Door = Door.TOKEN,
) -> Ask:
    """An ask."""
    return Ask(door, grant_type, scopes, resources)


def decide(
    policy: PolicySet, subject: PolicySubject, ask: Ask, proved: frozenset[BindingMethod] = frozenset()
) -> Decision:
    """The decision; nothing proved unless said."""
    return policy.decide(subject, ask, proved=proved)
