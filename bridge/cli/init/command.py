"""`bridge init`: everything a first service needs, and nothing overwritten."""

from __future__ import annotations

import os
import shlex
import time
from dataclasses import dataclass
from pathlib import Path

import click

from bridge.cli.init.agent import FromAgent, ask_agent, trust_domain_named
from bridge.cli.init.starter import STATEMENT_KEYS, configuration
from bridge.cli.init.starter_policies import OTHER_FILES, policies, policy_file
from bridge.cli.options import Failure, json_option
from bridge.cli.output import emit_json, printable, say

_EXAMPLE = "example.org"
_HOSTS = ("127.0.0.1", "localhost")
# One that the example rule covers.
_LAB_WORKLOAD = "/ns/example/sa/api"
_PUBLIC, _SECRET = 0o644, 0o600


@dataclass(frozen=True, slots=True)
class _NewFile:
    path: Path
    content: bytes
    mode: int = _PUBLIC


@click.command()
@click.argument("directory", metavar="[DIR]", type=click.Path(path_type=Path, file_okay=False), default=Path())
@click.option("--trust-domain", metavar="NAME", help=f"The first trust domain.  [default: {_EXAMPLE}, or the agent's]")
@click.option(
    "--agent-socket", metavar="PATH", help="Take bundles from this SPIRE agent, and the trust domain from its answer."
)
@click.option(
    "--user",
    metavar="NAME",
    help="The account that will run the service, for the SPIRE entry that is printed.  [default: this one]",
)
@json_option
def init(directory: Path, trust_domain: str | None, agent_socket: str | None, user: str | None, as_json: bool) -> int:
    """Write a first configuration, policies with examples and cases, a TLS test certificate and keys.

    Nothing is ever overwritten: if one of the files exists, none is written and the exit code is 1. With
    --agent-socket (a path, or unix:///path) it also prints the `spire-server entry create` for the bridge
    itself, which an agent answers only once it has an entry; --trust-domain is then needed only where the
    agent does not say it to somebody without one.

    \b
    Example:
      bridge init bridge --agent-socket /tmp/spire-agent/public/api.sock --user bridge
    """
    if user is not None and agent_socket is None:
        raise click.UsageError("--user is for the entry of the bridge with a SPIRE server: name --agent-socket too")
    agent = None if agent_socket is None else ask_agent(agent_socket, trust_domain, user)
    if agent is not None:
        name = agent.trust_domain
    else:
        name = _EXAMPLE if trust_domain is None else trust_domain_named(trust_domain)
    if f"{name}.toml" in OTHER_FILES:
        raise click.BadParameter(f"{name}.toml is the name of another policy file", param_hint="--trust-domain")
    created = _create(directory, name, agent)
    steps = _next_steps(directory, name, agent)
    if as_json:
        made = [str(path) for path in created]
        emit_json({"created": made, "trust_domain": name, "next": steps, **_for_programs(agent)})
        return 0
    for path in created:
        say(f"created {printable(path)}{'  (0600)' if path.suffix == '.key' else ''}")
    if agent is not None:
        say(f"\n{printable(agent.said)}")
    say("\nnext:")
    for number, step in enumerate(steps, start=1):
        say(f"  {number}. {step}")
    return 0


def _for_programs(agent: FromAgent | None) -> dict[str, object]:
    if agent is None:
        return {}
    return {"agent": agent.said, "known_as": agent.known_as, "entry": agent.entry.words}


def _create(directory: Path, name: str, agent: FromAgent | None) -> list[Path]:
    from bridge.tokens.sealing import create_seal_key

    files = _files(directory, name, None if agent is None else agent.socket)
    seal_file = directory / "secrets" / "seal.key"
    created = [*(file.path for file in files), seal_file]
    # A seal key made beside a store that is there already would be the wrong one.
    _refuse_to_overwrite([*created, directory / "bridge.db"])
    for file in files:
        _write(file)
    if not create_seal_key(seal_file):
        raise Failure(f"{printable(seal_file)}: somebody else made it at this moment")
    # For sockets of the console and of proxies, as the configuration names them.
    (directory / "run").mkdir(mode=0o755, exist_ok=True)
    if agent is None:
        (directory / "bundles").mkdir(exist_ok=True)
    return created


def _files(directory: Path, trust_domain: str, agent_socket: str | None) -> list[_NewFile]:
    from bridge.lab.web_ca import WebCa
    from bridge.policy.schema import schema_text

    ca = WebCa(now=int(time.time()))
    certificate, private_key = ca.issue(_HOSTS)
    rules = {**policies(trust_domain), "schema.json": schema_text()}
    jwks_file, no_keys = STATEMENT_KEYS
    return [
        _NewFile(directory / "bridge.toml", configuration(trust_domain, socket=agent_socket).encode()),
        *(_NewFile(directory / "policies" / name, text.encode()) for name, text in rules.items()),
        _NewFile(directory / jwks_file, no_keys),
        _NewFile(directory / "tls" / "test-ca.pem", ca.certificate_pem),
        _NewFile(directory / "tls" / "server.pem", certificate),
        _NewFile(directory / "tls" / "server.key", private_key, _SECRET),
    ]


def _refuse_to_overwrite(paths: list[Path]) -> None:
    existing = [path for path in paths if os.path.lexists(path)]
    if existing:
        there = ", ".join(printable(path) for path in existing)
        raise Failure(f"nothing was written: {there} exists already. Name an empty folder: `bridge init DIR`")


def _write(file: _NewFile) -> None:
    """Make one file that must not be there yet."""
    file.path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(file.content)


def _next_steps(directory: Path, trust_domain: str, agent: FromAgent | None) -> list[str]:
    """What to do now, in commands that can be pasted as they stand."""

    def at(name: str) -> str:
        return shlex.quote(str(directory / name))

    if agent is not None:
        socket, steps = agent.socket, agent.steps()
    else:
        bundle, lab = at(f"bundles/{trust_domain}.json"), directory / "lab"
        socket = f"unix://{lab.absolute()}/{_LAB_WORKLOAD.strip('/').replace('/', '-')}.sock"
        up = f"bridge lab up --dir {at('lab')} --trust-domain {trust_domain} --identity {_LAB_WORKLOAD} --detach"
        steps = [
            f"the trust domain's keys, on the SPIRE server: spire-server bundle show -format spiffe > {bundle}",
            f"or without SPIRE, from a lab: {up} && cp {at('lab/bundle.json')} {bundle}",
        ]
    config = at("bridge.toml")
    rules = at(f"policies/{policy_file(trust_domain)}")
    ask = f"bridge token --socket {shlex.quote(socket)} --scope ledger.read --config {config}"
    return [
        *steps,
        f"write your rules into {rules}, then: bridge policy test --config {config}",
        f"bridge check --config {config}",
        f"bridge serve --config {config}",
        f"as a workload (--socket is its agent's; or set SPIFFE_ENDPOINT_SOCKET): {ask} --ca {at('tls/test-ca.pem')}",
    ]
