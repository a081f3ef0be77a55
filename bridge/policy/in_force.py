"""The policy set in force in this process, and its replacement when files change."""

from __future__ import annotations

from bridge.files.paths import fingerprint_folder
from bridge.policy.evaluate import PolicySet
from bridge.policy.findings import Finding, Severity
from bridge.policy.folder import PolicyFolder


class PolicyInForce:
    """One policy set, replaced as a whole: a request that began under one version ends under it."""

    def __init__(self, folder: PolicyFolder) -> None:
        """Load for the first time. Raises: StartRefused when anything is wrong."""
        self._folder = folder
        self._seen: object = fingerprint_folder(folder.path, "**/*.toml")
        loaded = folder.load()
        self.current: PolicySet = loaded.policy_set
        self.findings: tuple[Finding, ...] = tuple(loaded.findings)

    @property
    def is_faulty(self) -> bool:
        """Whether some file is not in force as it stands on disk."""
        return any(finding.severity is Severity.ERROR for finding in self.findings)

    def look(self) -> bool:
        """Load again if any file changed, links and ConfigMap swaps included; whether it did."""
        seen = fingerprint_folder(self._folder.path, "**/*.toml")
        if seen == self._seen:
            return False
        # Noted before reading: a change during the load is then seen at the next look.
        self._seen = seen
        loaded = self._folder.load()
        self.current, self.findings = loaded.policy_set, tuple(loaded.findings)
        return True

    def forget(self) -> None:
        """Take every file for changed at the next look (SIGHUP)."""
        self._seen = None
