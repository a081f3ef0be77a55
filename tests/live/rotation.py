"""Rotation of SPIRE's authorities, one step a method: prepare, activate, taint, revoke. SPIRE enforces the order."""

from __future__ import annotations

import json
from typing import Any

from tests.live.identities import Workload
from tests.live.processes import wait_until
from tests.live.spire_domain import SpireDomain
from tests.live.spire_lab import SpireLab

SPIRE_SECONDS = 60.0
"""How long a change may take from SPIRE's server to its agent, or to a service; it took under 2 s, and an agent looks
every 5 s whether to renew its own certificate."""


class JwtAuthority:
    """The keys with which a SPIRE server signs JWT-SVIDs. An authority's id is its `kid`."""

    kind = "jwt"

    def __init__(self, domain: SpireDomain) -> None:
        self._domain = domain

    def slot(self, name: str) -> dict[str, Any]:
        """What the slot "active", "prepared" or "old" holds."""
        slots: dict[str, dict[str, Any]] = json.loads(self._command("show", "-output", "json"))
        return slots[name]

    def active(self) -> str:
        """The id of the authority that signs now."""
        return str(self.slot("active")["authority_id"])

    def retiring(self) -> str:
        """The id of what goes when the active one is tainted and revoked."""
        return self.active()

    def prepare(self) -> str:
        """Make the next authority and put it into the bundle; returns its id."""
        self._command("prepare")
        return str(self.slot("prepared")["authority_id"])

    def activate(self, authority: str) -> None:
        """Sign with it from now on; the one before becomes the old one."""
        self._command("activate", "-authorityID", authority)

    def taint(self, authority: str) -> None:
        """Make agents replace what the old one signed. Its key stays in the bundle."""
        self._command("taint", "-authorityID", authority)

    def revoke(self, authority: str) -> None:
        """Take the tainted old one out of the bundle."""
        self._command("revoke", "-authorityID", authority)

    def _command(self, verb: str, *words: str) -> str:
        return self._domain.server_command("localauthority", self.kind, verb, *words)


class SelfSignedAuthority(JwtAuthority):
    """The self-signed CA of a SPIRE server without an upstream root."""

    kind = "x509"


class X509Authority(JwtAuthority):
    """The intermediate CA of a SPIRE server below an upstream root; tainting and revoking act on that root."""

    kind = "x509"

    def upstream(self) -> str:
        """The subject key id of the root above the active intermediate."""
        return str(self.slot("active")["upstream_authority_subject_key_id"])

    retiring = upstream

    def taint(self, authority: str) -> None:
        """`authority` is a root's subject key id."""
        self._domain.server_command("upstreamauthority", "taint", "-subjectKeyID", authority)

    def revoke(self, authority: str) -> None:
        """`authority` is a root's subject key id."""
        self._domain.server_command("upstreamauthority", "revoke", "-subjectKeyID", authority)


def prepare_root(lab: SpireLab, common_name: str, watcher: Workload) -> str:
    """Give example.org's server another root and wait until the agent has it; returns the authority to activate.

    The wait is not for the tests' sake: an agent that meets a server certificate below a root it has not
    heard of loses its server, and shuts down when its own certificate is tainted as well.
    """

    def roots() -> set[str]:
        return set(watcher.bundles()["x509"][lab.own.trust_domain])

    before = roots()
    lab.replace_upstream_root(common_name)
    authority = X509Authority(lab.own).prepare()
    wait_until(lambda: roots() - before, seconds=SPIRE_SECONDS, what="the agent has the new root")
    return authority
