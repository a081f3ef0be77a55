"""A policy folder with one file changed, tried out beside the real one."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from bridge.files.paths import read_bounded
from bridge.policy.evaluate import PolicySet
from bridge.policy.findings import Finding
from bridge.policy.folder import PolicyDefaults, check_folder
from bridge.policy.reading import MAX_FILE_BYTES


@dataclass(frozen=True, slots=True)
class Tried:
    """What would be in force, None if it would not load, and what the change would be found fault with for."""

    policy_set: PolicySet | None
    findings: tuple[Finding, ...]


def text_of(folder: Path, name: str) -> str | None:
    """The text of a policy file; None where there is none. Raises: OSError, TooLarge, UnicodeDecodeError."""
    path = folder / name
    return read_bounded(path, MAX_FILE_BYTES).decode("utf-8") if path.exists() else None


def tried(folder: Path, defaults: PolicyDefaults, name: str, text: str) -> Tried:
    """The folder with `text` as its file `name`. Nothing is written there."""
    before = check_folder(folder, defaults).findings
    known = {(finding.file, finding.rule, finding.code) for finding in before}
    with tempfile.TemporaryDirectory() as beside:
        copy = Path(beside)
        for path in folder.glob("*.toml"):
            if not path.name.startswith("."):
                (copy / path.name).write_bytes(read_bounded(path, MAX_FILE_BYTES))
        (copy / name).write_text(text, encoding="utf-8")
        checked = check_folder(copy, defaults)
    new = (finding for finding in checked.findings if (finding.file, finding.rule, finding.code) not in known)
    return Tried(checked.policy_set, tuple(new))
