"""The `spire-server entry create` that makes the bridge itself a workload: an agent answers nobody else, not even with
bundles."""

from __future__ import annotations

import os
import pwd
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

# No SPIFFE ID, so that the server refuses the command as long as nobody has put the right one in its place.
PARENT = "PARENT_ID"
_PATH = "/bridge"
# SPIRE's own default for X.509-SVIDs. Written out, so that it is the entry's and is seen.
_TTL_SECONDS = 3600
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """The account that will run the service: how SPIRE's `unix` attestor selects it, and what people call it."""

    selector: str
    name: str
    is_root: bool = False
    is_here: bool = True

    @classmethod
    def of(cls, user: str | None) -> ServiceAccount:
        """The account of a name or number; None: the one that asks. By number where this machine knows the name, since
        an agent may not be able to look it up. Raises: ValueError for what can be no account's name."""
        if user is None:
            return cls._numbered(os.getuid())
        if _NAME.fullmatch(user) is None:
            raise ValueError(f"{user!r} is no name of an account")
        if user.isascii() and user.isdigit():
            return cls._numbered(int(user))
        try:
            return cls._numbered(pwd.getpwnam(user).pw_uid, user)
        except KeyError:
            return cls(f"unix:user:{user}", f"user {user}", is_here=False)

    @classmethod
    def _numbered(cls, uid: int, name: str = "") -> ServiceAccount:
        called = f"user {name} (user id {uid})" if name else f"user id {uid}"
        return cls(f"unix:uid:{uid}", called, is_root=uid == 0)


@dataclass(frozen=True, slots=True)
class EntryCommand:
    """What is typed on the SPIRE server, and what to know of it. `federates_with`: trust domains whose bundles the
    agent is to hand out too."""

    spiffe_id: str
    account: ServiceAccount
    federates_with: Sequence[str] = ()

    @property
    def words(self) -> list[str]:
        """The command, with `PARENT_ID` for the ID of the machine's agent."""
        return [
            *("spire-server", "entry", "create", "-parentID", PARENT, "-spiffeID", self.spiffe_id),
            *("-selector", self.account.selector, "-x509SVIDTTL", str(_TTL_SECONDS)),
            *(word for name in self.federates_with for word in ("-federatesWith", f"spiffe://{name}")),
        ]

    @property
    def text(self) -> str:
        """The same as it is pasted into a shell."""
        return shlex.join(self.words)

    def notes(self) -> list[str]:
        """What the command leaves open, one line each."""
        said = [
            f"{PARENT} is the SPIFFE ID of this machine's agent, the one that `spire-server agent list` shows for it",
            "-x509SVIDTTL is in seconds: the agent renews at half of it, and a stolen SVID is good for as long",
            "in a container its own selectors: -selector k8s:ns:NAMESPACE -selector k8s:sa:ACCOUNT, or docker:...",
        ]
        if not self.federates_with:
            said.append(
                "for the bundle of a foreign trust domain from this agent: -federatesWith spiffe://NAME, "
                "once the server federates with it (spire-server federation list)"
            )
        if not self.account.is_here:
            said.append(
                f"this machine has no {self.account.name}: once it has, -selector unix:uid:NUMBER (`id -u`) is better, "
                "because an agent may not be able to look names up"
            )
        if self.account.is_root:
            said.append("user id 0 is root: all of root's processes would be the bridge; --user NAME names another")
        return said


def entry_for(trust_domain: str, account: ServiceAccount, federates_with: Sequence[str] = ()) -> EntryCommand:
    """The entry of the bridge in this trust domain, which is the agent's."""
    return EntryCommand(f"spiffe://{trust_domain}{_PATH}", account, federates_with)
