"""What a bundle file holds: the bundle of one trust domain, or a map of bundles by the trust domains' names
(SPIFFE Trust Domain and Bundle, bundle maps).

An operator puts files there, so a file may say whose a bundle is. An endpoint may not: it serves its own trust
domain's bundle and could otherwise speak for others (SPIFFE Federation section 5).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from bridge.model.bundle import TrustBundle
from bridge.model.spiffe_id import InvalidSpiffeId, TrustDomain
from bridge.spire.parse import MAP_MEMBER, MalformedBundle, bundle_of, read_document


@dataclass(frozen=True, slots=True)
class BundleFile:
    """A bundle file as it was read. `by_name` are the bundles of a map, not looked into; None for one bundle, which
    says not whose it is: `members` then."""

    members: Mapping[str, object]
    by_name: Mapping[str, object] | None

    @classmethod
    def parse(cls, raw: bytes) -> BundleFile:
        """Take the bytes of a file.

        Raises: MalformedBundle: above 1 MiB, not strict JSON, a name twice in any object of it, also a trust
        domain's (SPIFFE-33); a map whose names are not all trust domains, or with `keys` beside it: two readers
        could take such a file for two things. Not checked: the bundles; `bundle` checks the one it is asked for.
        """
        document = read_document(raw)
        if MAP_MEMBER not in document:
            return cls(document, None)
        if "keys" in document:
            raise MalformedBundle(f"has 'keys' and {MAP_MEMBER!r}: it is a bundle or a bundle map, not both")
        by_name = document[MAP_MEMBER]
        if not isinstance(by_name, dict):
            raise MalformedBundle(f"{MAP_MEMBER!r} is no object")
        for name in by_name:
            try:
                TrustDomain.parse(name)
            except InvalidSpiffeId as error:
                raise MalformedBundle(f"a name in {MAP_MEMBER!r} is no trust domain: {error}") from error
        return cls(document, by_name)

    def bundle(self, trust_domain: TrustDomain) -> TrustBundle:
        """The bundle that the file has for this trust domain: of a map the one under exactly its name, without its
        refresh hint, which means nothing there; else the file's one bundle.

        Raises: MalformedBundle: a map without that name, and what `parse_bundle` raises. What is wrong with another
        trust domain's bundle does not count.
        """
        if self.by_name is None:
            return bundle_of(self.members, trust_domain)
        found = self.by_name.get(trust_domain.name)
        if found is None:
            raise MalformedBundle(f"is a bundle map that has no bundle of {trust_domain}")
        if not isinstance(found, dict):
            raise MalformedBundle(f"the bundle of {trust_domain} in the map is no object")
        members = {name: value for name, value in found.items() if name != "spiffe_refresh_hint"}
        return bundle_of(members, trust_domain)


def parse_bundle_file(raw: bytes, trust_domain: TrustDomain) -> TrustBundle:
    """The bundle that a file has for one trust domain. Raises: MalformedBundle."""
    return BundleFile.parse(raw).bundle(trust_domain)


def part_digest(raw: bytes, trust_domain: TrustDomain) -> str:
    """The hex SHA-256 of what a file says of one trust domain: of its part of a map, so that a change of another's is
    none of its own; else of the whole file, also of one that says nothing."""
    try:
        by_name = BundleFile.parse(raw).by_name
    except MalformedBundle:
        by_name = None
    if by_name is not None:
        raw = json.dumps(by_name.get(trust_domain.name), sort_keys=True).encode()
    return hashlib.sha256(raw).hexdigest()
