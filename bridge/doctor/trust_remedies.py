"""What to change about a trust domain and its bundle. The same for both kinds of SVID."""

from __future__ import annotations

from bridge.doctor.surroundings import Domain, Surroundings
from bridge.doctor.words import shown, span
from bridge.model.bundle import BundleHealth
from bridge.model.spiffe_id import SCHEME, SpiffeId

_SHOW = "spire-server bundle show -format spiffe"


def spelling_remedy(spiffe_id: object) -> str | None:
    """What is wrong with the spelling of something that was meant to be a workload's SPIFFE ID."""
    if not isinstance(spiffe_id, str):
        return None
    name, _, path = spiffe_id[len(SCHEME) :].partition("/")
    entry = "mend -spiffeID of its registration entry"
    if not path:
        return f"Give the workload an ID with a path, such as {SCHEME}{shown(name)}/ns/web/sa/api: {entry}."
    if name != name.lower() or not spiffe_id.startswith(SCHEME):
        return f"Write scheme and trust domain in lower case: {entry}."
    if path.endswith("/") or "//" in path:
        return f"Take the empty segment (a slash at the end, or two) out of the path: {entry}."
    return f"Use letters, digits, '.', '-' and '_' alone in the path: {entry}."


def unknown_trust_domain(spiffe_id: SpiffeId, around: Surroundings) -> str:
    """What makes an unknown trust domain a known one, and when not to."""
    section = f'[trust_domains."{spiffe_id.trust_domain.name}"]'
    source = f"with the source of its bundle ({_SHOW})"
    if any(domain.source == "workload-api" for domain in around.domains.values()):
        source = "with the agent's socket, and -federatesWith to the bridge's own entry"
    return f"Add {section} to bridge.toml, {source}; if the name is a slip, mend the entry's -spiffeID."


def foreign_remedy(name: str, own: str, *, what: str) -> str:
    """What to do when another configured trust domain's key signed."""
    return (
        f"The {what} that signed is {shown(name)}'s, and only {own}'s may vouch for {own}: send the workload to an "
        f"agent of {own}, or name it in {shown(name)}."
    )


def bundle_remedy(domain: Domain, use: str) -> str:
    """What gives a trust domain a bundle with usable keys again. `use` is of the keys that are needed."""
    health, place = domain.status.health, shown(domain.place)
    if domain.source == "file":
        lacks = f'no key in it says "use": "{use}" and is fit'
        if health is BundleHealth.UNREACHABLE:
            lacks = "it cannot be read"
        elif health is BundleHealth.STALE:
            lacks = f"it was not confirmed for longer than max_stale ({span(domain.max_stale)})"
        return f"On the SPIRE server: `{_SHOW}` into {place} ({lacks})."
    if domain.source == "workload-api":
        return (
            f"See that the agent at {place} is up and that the bridge has an entry there, with -federatesWith for a "
            "trust domain that is not the agent's own."
        )
    reason = shown(domain.status.reason) or "it holds no such key"
    return f"Mend the bundle endpoint {place} ({reason}), then `bridge trust refresh {domain.status.trust_domain}`."


def wrong_bundle_remedy(domain: Domain, name: str, *, what: str) -> str:
    """What to do about a bundle that is read well and has another `what` than the SVID needs."""
    if domain.source == "file":
        return (
            f"Write the bundle anew, for it has no such {what}: `{_SHOW}` into {shown(domain.place)}. If it is "
            f"the same then, another server than that of {name} signed."
        )
    if domain.source == "workload-api":
        return (
            f"Look whether the agent at {shown(domain.place)} has lost its server (`spire-agent healthcheck`): it "
            f"knows no such {what}. If it has not, another server than that of {name} signed."
        )
    return f"Ask the endpoint now: `bridge trust refresh {name}`. If nothing changes, another server signed."
