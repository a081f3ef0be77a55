"""What `[webhook]` can be wrong about beyond each key by itself."""

from __future__ import annotations

from bridge.config.settings import Settings

SHORTEST, LONGEST = 5 * 60, 30 * 86400
# The key that is wrong, and what is wrong with it.
Faults = list[tuple[tuple[str | int, ...], str]]


def webhook_faults(settings: Settings) -> Faults:
    """Every such fault, by key. Not checked here: what is in the files, and whether anybody answers."""
    webhook = settings.webhook
    if webhook is None:
        return []
    faults: list[tuple[str, str]] = []
    if "#" in webhook.url:
        faults.append(("url", "has a fragment, which is never sent"))
    if len(set(webhook.events)) < len(webhook.events):
        faults.append(("events", "names one twice"))
    unknown = sorted(set(webhook.trust_domains or ()) - settings.trust_domains.keys())
    if unknown:
        faults.append(("trust_domains", f"not configured under [trust_domains]: {', '.join(unknown)}"))
    if not SHORTEST <= webhook.give_up_after <= LONGEST:
        faults.append(("give_up_after", "is between 5m and 30d"))
    return [(("webhook", key), words) for key, words in faults]


def webhook_files(settings: Settings) -> Faults:
    """The files that a start needs, by key."""
    webhook = settings.webhook
    if webhook is None:
        return []
    named = {"secret_file": webhook.secret_file, "ca_file": webhook.ca_file}
    return [(("webhook", key), path) for key, path in named.items() if path is not None]
