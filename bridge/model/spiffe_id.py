"""SPIFFE IDs and trust domains, parsed strictly from the raw string (SPIFFE-1 to 3, T-11).

The parser rejects and never normalises: folding case or resolving percent-encoding would make two
spellings of one workload, hence two client records, or one record for two workloads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_ID_BYTES = 2048
MAX_TRUST_DOMAIN_BYTES = 255
SCHEME = "spiffe://"

# fullmatch only: `$` would let a trailing newline through.
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]+")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")


class InvalidSpiffeId(ValueError):
    """The string is not a SPIFFE ID (SPIFFE-ID section 2). The message says which rule it breaks."""


@dataclass(frozen=True, slots=True)
class TrustDomain:
    """The name of a trust domain, without the scheme. Names are opaque: never resolved through DNS."""

    name: str

    @classmethod
    def parse(cls, name: str) -> TrustDomain:
        """Take a bare trust domain name.

        Raises: InvalidSpiffeId. Spec: SPIFFE-ID 2.1. Not checked: that anybody configured it.
        """
        if not name:
            raise InvalidSpiffeId("the trust domain is empty")
        if len(name) > MAX_TRUST_DOMAIN_BYTES:
            raise InvalidSpiffeId(f"the trust domain is longer than {MAX_TRUST_DOMAIN_BYTES} bytes")
        if _TRUST_DOMAIN.fullmatch(name) is None:
            raise InvalidSpiffeId("a trust domain has only a-z, 0-9, '.', '-' and '_'")
        return cls(name)

    @property
    def id(self) -> str:
        """The trust domain's own SPIFFE ID, `spiffe://<name>`."""
        return SCHEME + self.name

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class SpiffeId:
    """A SPIFFE ID. `path` is empty or starts with a slash; comparison is byte for byte."""

    trust_domain: TrustDomain
    path: str

    @classmethod
    def parse(cls, raw: object) -> SpiffeId:
        """Parse the raw string as it came, before any URL library saw it.

        Raises: InvalidSpiffeId for anything but a str of the grammar, and above 2048 bytes.
        Spec: SPIFFE-ID 2.1 to 2.4. Not checked: that the trust domain is known, and that the path is
        not the root, which is a legal ID but no workload (`is_workload`).
        """
        if not isinstance(raw, str):
            raise InvalidSpiffeId("a SPIFFE ID is a string")
        if len(raw) > MAX_ID_BYTES:
            raise InvalidSpiffeId(f"the SPIFFE ID is longer than {MAX_ID_BYTES} bytes")
        if not raw.startswith(SCHEME):
            raise InvalidSpiffeId("a SPIFFE ID starts with spiffe://, in lower case")
        name, slash, rest = raw[len(SCHEME) :].partition("/")
        trust_domain = TrustDomain.parse(name)
        if not slash:
            return cls(trust_domain, "")
        for segment in rest.split("/"):
            if not segment:
                raise InvalidSpiffeId("a path segment is empty")
            if segment in (".", ".."):
                raise InvalidSpiffeId("a path segment is '.' or '..'")
            if _SEGMENT.fullmatch(segment) is None:
                raise InvalidSpiffeId("a path segment has only A-Z, a-z, 0-9, '.', '-' and '_'")
        return cls(trust_domain, "/" + rest)

    @classmethod
    def parse_workload(cls, raw: object) -> SpiffeId:
        """Parse the ID of a workload: as `parse`, and the path must not be the root (SPIFFE-7)."""
        spiffe_id = cls.parse(raw)
        if not spiffe_id.is_workload:
            raise InvalidSpiffeId("the ID names a trust domain, not a workload: its path is empty")
        return spiffe_id

    @property
    def is_workload(self) -> bool:
        """Whether the ID has a path, so that a leaf may carry it."""
        return bool(self.path)

    @property
    def segments(self) -> tuple[str, ...]:
        """The path's segments, without slashes; empty for a trust domain's own ID."""
        return tuple(self.path.split("/")[1:])

    def __str__(self) -> str:
        return SCHEME + self.trust_domain.name + self.path
