"""What a SPIRE server says it issues: `spire-server entry show -output json`."""

from __future__ import annotations

from bridge.jose.strict_json import InvalidJson, loads_object
from bridge.model.spiffe_id import InvalidSpiffeId, SpiffeId

# A server with a hundred thousand entries writes some 60 MiB.
MAX_BYTES = 256 * 1024 * 1024
# SPIRE's own: agents, and nodes that an entry gives a second name to, are no workloads.
_RESERVED = "spire"


class MalformedEntries(ValueError):
    """The text is not what SPIRE writes. The message says what is wrong."""


def parse_entries(raw: bytes) -> tuple[SpiffeId, ...]:
    """The SPIFFE IDs of all entries, those below `/spire` left out; an ID may be there several times.

    Raises: MalformedEntries. Not looked at: selectors, parents, and whether an entry has expired.
    """
    try:
        listed = loads_object(raw, max_bytes=MAX_BYTES).get("entries")
    except InvalidJson as error:
        raise MalformedEntries(str(error)) from error
    if not isinstance(listed, list):
        raise MalformedEntries("there is no array 'entries': is it `spire-server entry show -output json`?")
    found = []
    for number, entry in enumerate(listed):
        name = entry.get("spiffe_id") if isinstance(entry, dict) else None
        if not isinstance(name, dict):
            raise MalformedEntries(f"entry {number} has no 'spiffe_id' with a trust domain and a path")
        try:
            spiffe_id = SpiffeId.parse_workload(f"spiffe://{name.get('trust_domain')}{name.get('path')}")
        except InvalidSpiffeId as error:
            raise MalformedEntries(f"entry {number}: {error}") from error
        if spiffe_id.segments[0] != _RESERVED:
            found.append(spiffe_id)
    return tuple(found)
