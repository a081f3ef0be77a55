"""Client metadata: what a client, a statement or a document says of a client, once its form was checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ClientMetadata:
    """Members of RFC 7591 section 2 and its extensions, each of its type and by itself acceptable.

    Only `bridge.metadata` makes one out of what came from outside. `members` holds what was said, nothing by
    default; language-tagged ones (`client_name#fr`) under their whole name. Members that this service does
    not know are gone (DCR-3). Not known: whether anybody may say so, which is policy's and the registrar's.
    """

    members: Mapping[str, object] = field(default_factory=dict)

    def get(self, name: str) -> object:
        """The member, or None."""
        return self.members.get(name)

    def text(self, name: str) -> str | None:
        """The member if it is a string."""
        value = self.members.get(name)
        return value if isinstance(value, str) else None

    def texts(self, name: str) -> tuple[str, ...] | None:
        """The member if it is a list of strings; None when it was not said."""
        value = self.members.get(name)
        return tuple(value) if isinstance(value, list | tuple) else None

    def __contains__(self, name: str) -> bool:
        return name in self.members


NO_METADATA = ClientMetadata()
