"""What `bridge trust add` says before somebody decides: the keys, what was checked, and what only people can check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.cli.output import emit_fields, printable, say
from bridge.cli.trust.keys import emit_keys
from bridge.model.spiffe_id import SpiffeId
from bridge.spire.described_keys import describe_keys, digest_of

if TYPE_CHECKING:
    from bridge.cli.trust.section import Section
    from bridge.model.bundle import TrustBundle

# Of trust domains whose bundles are not known.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Seen:
    """A bundle as it came from where the section says. `earlier` is the one that the store still has of that endpoint;
    `proved_by` the bootstrap bundle as the operator named it; `unknown` are the other trust domains whose keys nobody
    knows here just now."""

    section: Section
    bundle: TrustBundle
    earlier: TrustBundle | None
    proved_by: str | None
    unknown: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Of all keys; what people compare."""
        return digest_of(self.bundle)

    def fields(self) -> dict[str, object]:
        """For programs and, but for what has lines of its own, for people."""
        return {
            "trust_domain": str(self.section.trust_domain),
            **self.section.values,
            "sequence": self.bundle.sequence,
            "refresh_hint": self.bundle.refresh_hint,
            "digest": self.digest,
            "keys": describe_keys(self.bundle),
            "checked": self.checked(),
            "not_checked": self.not_checked(),
        }

    def tell(self) -> None:
        """Show it to people."""
        fields = self.fields()
        emit_fields({name: value for name, value in fields.items() if not isinstance(value, list)})
        say()
        emit_keys(describe_keys(self.bundle))
        say()
        for title, lines in (("checked", self.checked()), ("not checked", self.not_checked())):
            say(f"{title}:")
            for line in lines:
                say(f"  - {printable(line)}")

    def checked(self) -> list[str]:
        """What was found to be so, just now and by the code that the service runs."""
        lines = [_SOURCES[self.section.values["source"]](self), "no other trust domain that is known here has its keys"]
        if self.earlier is not None:
            sequence = f"sequence {self.earlier.sequence}"
            lines.append(
                f"it is no older than what the store has of this endpoint ({sequence}); the service begins with that"
            )
        return lines

    def not_checked(self) -> list[str]:
        """What remains for people, and for later."""
        name = self.section.trust_domain
        whose = (
            f"that these are the keys of {name}: no bundle says whose it is. Compare the digest with the people of "
            f"{name}, over another channel than the bundle came by; `bridge trust show {name}` says it over there"
        )
        lines = [whose, "strength and validity of the keys: looked at whenever one is used"]
        if self.unknown:
            more = f" and {len(self.unknown) - _NAMED} more" if len(self.unknown) > _NAMED else ""
            names = ", ".join(self.unknown[:_NAMED])
            lines.append(f"whether it shares a key with {names}{more}: their bundles are not known here just now")
        return lines


def _of_web(seen: Seen) -> str:
    values = seen.section.values
    more = f" and those of {values['ca_file']}" if "ca_file" in values else ""
    return f"{values['url']} was answered by the host that it names, by the system's CAs{more}"


def _of_spiffe(seen: Seen) -> str:
    values = seen.section.values
    server = SpiffeId.parse_workload(values["endpoint_spiffe_id"])
    by = f"the bootstrap bundle {seen.proved_by}"
    if seen.proved_by is None:
        by = f"the bundle of {server.trust_domain}, which is configured here"
    elif seen.earlier is not None:
        by = f"the last bundle fetched from there, or {by} where that is another one than then"
    return f"{values['url']} was answered by {server}, by {by}"


def _of_file(seen: Seen) -> str:
    return f"{seen.section.values['path']} holds a bundle; whoever may write that file decides what is in it"


def _of_agent(seen: Seen) -> str:
    return f"the agent at {seen.section.values['socket']} gave it to this account, and is believed"


_SOURCES = {"https_web": _of_web, "https_spiffe": _of_spiffe, "file": _of_file, "workload-api": _of_agent}
