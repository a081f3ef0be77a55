"""What a configuration decides about policies: alone, because commands on policies load nothing else of a service."""

from __future__ import annotations

from bridge.config import Settings
from bridge.policy.folder import PolicyDefaults


def policy_defaults(settings: Settings) -> PolicyDefaults:
    """What the policy loader must know of the configuration."""
    return PolicyDefaults(
        default_ttl=settings.tokens.default_ttl,
        max_ttl=settings.tokens.max_ttl,
        idle_expiry=settings.registration.idle_expiry,
        trust_domains=frozenset(settings.trust_domains),
        statement_issuers=frozenset(settings.statement_issuers),
    )
