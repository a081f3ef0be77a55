"""The sections of the console, in the order of the navigation. A page is added here and nowhere else."""

from __future__ import annotations

from bridge.console import approvals, clients, decisions, keys, limits, overview, policies, trust
from bridge.console.section import Section

SECTIONS: tuple[Section, ...] = (
    overview.SECTION,
    trust.SECTION,
    clients.SECTION,
    policies.SECTION,
    decisions.SECTION,
    approvals.SECTION,
    limits.SECTION,
    keys.SECTION,
)
