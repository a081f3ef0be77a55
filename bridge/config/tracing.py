"""What `[tracing]` can be wrong about beyond each key by itself."""

from __future__ import annotations

from urllib.parse import urlsplit

from bridge.config.settings import Settings

# The key that is wrong, and what is wrong with it.
Faults = list[tuple[tuple[str | int, ...], str]]


def tracing_faults(settings: Settings) -> Faults:
    """Every such fault, by key. Not checked here: what is in the files, and whether anybody answers."""
    tracing = settings.tracing
    if tracing is None:
        return []
    faults: list[tuple[str, str]] = []
    if urlsplit(tracing.endpoint).path in ("", "/"):
        faults.append(("endpoint", "is the whole URL, such as https://collector.example.org:4318/v1/traces"))
    if tracing.endpoint.startswith("http:"):
        named = {"ca_file": tracing.ca_file}
        faults += [(key, "is for an https endpoint") for key, value in named.items() if value is not None]
    if tracing.trust_proxies and not settings.trusted_proxies:
        faults.append(("trust_proxies", "there are no [[trusted_proxies]], and nobody else's word counts"))
    return [(("tracing", key), words) for key, words in faults]


def tracing_files(settings: Settings) -> Faults:
    """The files that a start needs, by key."""
    tracing = settings.tracing
    if tracing is None:
        return []
    named = {"headers_file": tracing.headers_file, "ca_file": tracing.ca_file}
    return [(("tracing", key), path) for key, path in named.items() if path is not None]
