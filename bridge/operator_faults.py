"""Whether the people that `[console]` names as operators can be meant."""

from __future__ import annotations

from bridge.config import Settings
from bridge.model.identity import Source
from bridge.policy.pattern import InvalidPattern, is_broad, spiffe_id_pattern


def operator_faults(settings: Settings) -> list[str]:
    """What is wrong with `[console] operators`, in words: patterns that are none, reach too far, or are of nobody's
    trust domain."""
    console = settings.console
    faults = []
    for text in (console.operators if console is not None else None) or ():
        try:
            pattern = spiffe_id_pattern(text)
        except InvalidPattern as error:
            faults.append(f'console.operators: "{text}": {error}')
            continue
        if is_broad(pattern, Source.SPIFFE):
            faults.append(f'console.operators: "{text}": makes every workload an operator; name the first segment')
        elif pattern.space not in settings.trust_domains:
            faults.append(f'console.operators: "{text}": there is no [trust_domains."{pattern.space}"]')
    return faults
