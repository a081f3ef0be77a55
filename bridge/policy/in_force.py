"""The policy set in force in this process, and its replacement when files change."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from bridge.files.paths import TooLarge, fingerprint_folder, read_bounded
from bridge.policy.evaluate import PolicySet
from bridge.policy.findings import Finding, Severity
from bridge.policy.folder import PolicyFolder, collector_at_rest
from bridge.policy.reading import MAX_FILE_BYTES


class PolicyInForce:
    """One policy set, replaced as a whole: a request that began under one version ends under it."""

    def __init__(self, folder: PolicyFolder) -> None:
        """Load for the first time. Raises: StartRefused when anything is wrong."""
        self._folder = folder
        self._seen: object = fingerprint_folder(folder.path, "**/*.toml")
        loaded = folder.load()
        self.current: PolicySet = loaded.policy_set
        self.findings: tuple[Finding, ...] = tuple(loaded.findings)
        self.changed_files: tuple[str, ...] = ()
        """The files whose change brought the present version, by name; those of the first load are not."""
        self._contents = _contents(folder.path)
        self._not_in_force: set[str] = set()

    @property
    def is_faulty(self) -> bool:
        """Whether some file is not in force as it stands on disk."""
        return bool(self.faulty_files)

    @property
    def faulty_files(self) -> tuple[str, ...]:
        """The files with an error, by name. The last good version of each stays in force, if it had one."""
        return tuple(sorted({f.file for f in self.findings if f.severity is Severity.ERROR}))

    def look(self) -> bool:
        """Load again if any file changed, links and ConfigMap swaps included; whether it did."""
        seen = fingerprint_folder(self._folder.path, "**/*.toml")
        if seen == self._seen:
            return False
        # Noted before reading: a change during the load is then seen at the next look.
        self._seen = seen
        with collector_at_rest():
            loaded = self._folder.load()
            before = self.current.version
            # In force before the collector has its look at all that is new.
            self.current, self.findings = loaded.policy_set, tuple(loaded.findings)
        self._note_files(came=self.current.version != before)
        return True

    def _note_files(self, *, came: bool) -> None:
        """Which files differ from what is in force, and if a version `came`, which of them it brought."""
        contents = _contents(self._folder.path)
        names = contents.keys() | self._contents.keys()
        self._not_in_force |= {name for name in names if contents.get(name) != self._contents.get(name)}
        self._contents = contents
        if came:
            faulty = set(self.faulty_files)
            self.changed_files = tuple(sorted(self._not_in_force - faulty))
            self._not_in_force &= faulty

    def forget(self) -> None:
        """Take every file for changed at the next look (SIGHUP)."""
        self._seen = None


def _contents(folder: Path) -> Mapping[str, bytes | None]:
    """A digest of each policy file by name; None for one that cannot be read."""
    try:
        return {path.name: _digest(path) for path in folder.glob("*.toml") if not path.name.startswith(".")}
    except OSError:
        return {}


def _digest(path: Path) -> bytes | None:
    try:
        return hashlib.sha256(read_bounded(path, MAX_FILE_BYTES)).digest()
    except (OSError, TooLarge):
        return None
