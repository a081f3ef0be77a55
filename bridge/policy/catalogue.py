"""The catalogue: which resources and scopes exist at all, and who may introspect whose tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from bridge.model.spiffe_id import SpiffeId
from bridge.policy.document import CatalogueFile
from bridge.policy.findings import Report
from bridge.policy.pattern import InvalidPattern, Pattern, spiffe_address, spiffe_id_pattern

FILE = "catalogue.toml"

# RFC 6749 section 3.3; a quote or a backslash would also break `scope` in a WWW-Authenticate header.
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_URI = re.compile(r"[\x21-\x7e]+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All resources by URI. `home` is the one resource that each scope belongs to. `words` is what a person is told
    that a scope or a resource is."""

    resources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    home: Mapping[str, str] = field(default_factory=dict)
    introspectors: Mapping[str, tuple[Pattern, ...]] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)

    def may_introspect(self, resource: str, spiffe_id: SpiffeId) -> bool:
        """Whether the resource names this identity in `introspect_by`."""
        address = spiffe_address(spiffe_id)
        return any(pattern.matches(address) for pattern in self.introspectors.get(resource, ()))


def uri_fault(uri: str) -> str | None:
    """What keeps the string from being a resource indicator (RFC 8707 section 2), in words."""
    if _URI.fullmatch(uri) is None:
        return "a resource has visible ASCII characters only"
    try:
        parts = urlsplit(uri)
        host = parts.hostname
    except ValueError:
        return "a resource is an absolute URI"
    if _SCHEME.fullmatch(parts.scheme) is None or not (parts.netloc or parts.path):
        return "a resource is an absolute URI"
    if "#" in uri:
        return "a resource has no fragment"
    if parts.scheme in ("http", "https") and not host:
        return "a resource is an absolute URI"
    if parts.scheme == "http" and host not in LOOPBACK:
        return "a resource is http only on loopback"
    if "@" in parts.netloc:
        return "a resource has no user part"
    return None


def compile_catalogue(document: CatalogueFile, report: Report) -> Catalogue:
    """Check the meaning of a catalogue of the right shape. Faults go to the report."""
    home: dict[str, str] = {}
    resources: dict[str, tuple[str, ...]] = {}
    introspectors: dict[str, tuple[Pattern, ...]] = {}
    said = {uri: resource.description for uri, resource in document.resources.items()}
    for uri, resource in document.resources.items():
        fault = uri_fault(uri)
        if fault is not None:
            report.error("resource", f"'{uri}': {fault}", "resources", uri)
        for scope in resource.scopes:
            if _SCOPE.fullmatch(scope) is None:
                report.error("scope", f"'{scope}' is no scope (RFC 6749 section 3.3)", "resources", uri, scope)
            if scope in home:
                words = f"the scope '{scope}' also belongs to {home[scope]}: scope names are unique"
                report.error("duplicate-scope", words, "resources", uri, scope)
            home.setdefault(scope, uri)
        said |= resource.scopes
        resources[uri] = tuple(sorted(resource.scopes))
        introspectors[uri] = _patterns(uri, resource.introspect_by or [], report)
    return Catalogue(resources, home, introspectors, said)


def _patterns(uri: str, texts: list[str], report: Report) -> tuple[Pattern, ...]:
    found: list[Pattern] = []
    for text in texts:
        try:
            found.append(spiffe_id_pattern(text))
        except InvalidPattern as error:
            report.error("pattern", f"introspect_by '{text}': {error}", "resources", uri, "introspect_by")
    return tuple(found)
