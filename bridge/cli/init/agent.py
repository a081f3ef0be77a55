"""What `bridge init --agent-socket` learns from the agent, and what the agent's server still has to be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.init.entry_command import EntryCommand, ServiceAccount, entry_for
from bridge.cli.options import Failure
from bridge.model.spiffe_id import InvalidSpiffeId, TrustDomain

if TYPE_CHECKING:
    from bridge.spire.first_word import FirstWord

_AGENT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class FromAgent:
    """The trust domain whose bundle the agent is to bring, and the entry that the bridge needs for that. `socket` is
    the agent's, as `bridge.toml` has it; `said` one line about what it answered; `known_as` the identity that it gives
    to whoever asked, None when it gave none."""

    socket: str
    trust_domain: str
    said: str
    known_as: str | None
    entry: EntryCommand

    def steps(self) -> list[str]:
        """The first of the next steps, its notes on lines of their own."""
        if self.known_as is None:
            what = "the bridge's own entry, on the SPIRE server"
        else:
            what = f"unless the service runs as {self.known_as} already, its own entry, on the SPIRE server"
        return [f"{what}: {self.entry.text}" + "".join(f"\n     - {note}" for note in self.entry.notes())]


def ask_agent(socket: str, name: str | None, user: str | None) -> FromAgent:
    """Ask the agent at `socket`, a path or a URL. With `name` it need not answer: a machine may be prepared before its
    agent is up.

    Raises: click.BadParameter for a socket's or a trust domain's name that cannot be; Failure when the agent cannot be
    asked, does not say its trust domain, or has nothing of `name`.
    """
    # gRPC is loaded only where an agent is asked.
    from bridge.spire.endpoint import InvalidEndpoint, WorkloadEndpoint
    from bridge.spire.first_word import first_word
    from bridge.spire.workload_client import WorkloadApiFailed

    url = socket if "://" in socket or socket.startswith("unix:") else f"unix://{Path(socket).absolute()}"
    try:
        endpoint = WorkloadEndpoint.parse(url)
    except InvalidEndpoint as error:
        raise click.BadParameter(str(error), param_hint="--agent-socket") from error
    wanted = None if name is None else trust_domain_named(name)
    try:
        account = ServiceAccount.of(user)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--user") from error
    try:
        word = first_word(endpoint, timeout=_AGENT_SECONDS)
    except WorkloadApiFailed as error:
        if wanted is None:
            raise Failure(f"{error}. With --trust-domain NAME the agent need not answer now") from error
        return FromAgent(url, wanted, f"the agent was not asked: {error}", None, entry_for(wanted, account))
    return _answered(url, word, wanted, account)


def trust_domain_named(name: str) -> str:
    """The name, if it is a trust domain's. Raises: click.BadParameter."""
    try:
        return TrustDomain.parse(name).name
    except InvalidSpiffeId as error:
        raise click.BadParameter(str(error), param_hint="--trust-domain") from error


def _answered(url: str, word: FirstWord, wanted: str | None, account: ServiceAccount) -> FromAgent:
    own = None if word.trust_domain is None else word.trust_domain.name
    name = wanted or own
    if name is None:
        entry = entry_for("NAME", account)
        raise Failure(
            f"{url}: the agent has no entry for this process, and does not say its trust domain to strangers. "
            "Name it: --trust-domain NAME. `spire-server agent list` shows it: spiffe://NAME/spire/agent/... "
            f"The service ({account.name}) will need: {entry.text}"
        )
    handed_out = {each.name for each in word.bundles}
    if own is not None and name not in handed_out:
        raise Failure(
            f"{url}: the agent is of {own} and hands out no bundle of {name}: leave --trust-domain out, or have the "
            f"entry of this process federate with it (-federatesWith spiffe://{name})"
        )
    # Where the agent said nothing of itself, the name that was given is taken for its own.
    home = own or name
    if word.identity is not None:
        said = f"the agent knows this process as {word.identity}"
    else:
        said = f"the agent has no entry for this process{f', and is of {own}' if own else ''}"
    known_as = None if word.identity is None else str(word.identity)
    return FromAgent(url, name, f"{url}: {said}", known_as, entry_for(home, account, sorted(handed_out - {home})))
