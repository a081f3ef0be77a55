"""Where `bridge trust add` is told to take a bundle from: its options, and the section that they come out as.

Whose bundle it is, where it is and how its server is verified are three things that are said; none is read off another
(SPIFFE-28).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bridge.cli.init.starter_policies import OTHER_FILES
from bridge.cli.options import Failure
from bridge.cli.output import printable
from bridge.cli.trust.section import Configuration, Section
from bridge.model.spiffe_id import InvalidSpiffeId, SpiffeId, TrustDomain

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
# What only endpoints have, and of which profile; with the option's own name.
_OF_ENDPOINTS = {
    "profile": ("https_web", "https_spiffe"),
    "ca_file": ("https_web",),
    "endpoint_spiffe_id": ("https_spiffe",),
    "bootstrap": ("https_spiffe",),
    "bootstrap_from": ("https_spiffe",),
}
# Option -> key of the section, in the order in which they are written.
_KEYS = {
    "url": "url",
    "ca_file": "ca_file",
    "endpoint_spiffe_id": "endpoint_spiffe_id",
    "bootstrap": "bootstrap",
    "bundle": "path",
    "socket": "socket",
    "max_stale": "max_stale",
}
_PATHS = ("path", "ca_file", "bootstrap")


@dataclass(frozen=True, slots=True)
class Planned:
    """A section to be written, and the bootstrap bundle to be written with it: the file to make, and its content."""

    section: Section
    new_file: Path | None = None
    content: bytes = b""


def source_options(command: Any) -> Any:
    """The options, given to the command by their names; None where they were not said."""
    options = (
        click.option("--url", metavar="URL", help="Its bundle endpoint; needs --profile."),
        click.option(
            "--profile",
            type=click.Choice(_OF_ENDPOINTS["profile"]),
            help="How the endpoint's server proves itself: as web servers do, or by its X.509-SVID.",
        ),
        click.option("--ca-file", type=_FILE, metavar="FILE", help="https_web: CAs beside the system's."),
        click.option("--endpoint-spiffe-id", metavar="ID", help="https_spiffe: the server's SPIFFE ID."),
        click.option(
            "--bootstrap", type=_FILE, metavar="FILE", help="https_spiffe: its first bundle, used where it is."
        ),
        click.option(
            "--bootstrap-from",
            type=_FILE,
            metavar="FILE",
            help="The same, copied to bundles/ beside the configuration.",
        ),
        click.option("--bundle", type=_FILE, metavar="FILE", help="Take the bundle from this file, read on change."),
        click.option("--socket", metavar="URL", help="Take the bundle from this SPIRE agent."),
        click.option("--max-stale", metavar="TIME", help="How long the last good bundle is used.  [default: 24h]"),
    )
    for option in reversed(options):
        command = option(command)
    return command


def trust_domain_named(name: str) -> TrustDomain:
    """Raises: BadParameter for what is no trust domain, and for a name whose policy file is another's."""
    try:
        parsed = TrustDomain.parse(name)
    except InvalidSpiffeId as error:
        raise click.BadParameter(str(error), param_hint="TRUST_DOMAIN") from error
    if f"{name}.toml" in OTHER_FILES:
        raise click.BadParameter(f"{name}.toml is the name of another policy file", param_hint="TRUST_DOMAIN")
    return parsed


def plan(configuration: Configuration, trust_domain: TrustDomain, given: Mapping[str, Any]) -> Planned:
    """The section for what was said.

    Raises: UsageError for options that do not go together; Failure for a bootstrap bundle that is none, or that would
    overwrite a file. Not checked: what the loader checks, which sees the whole.
    """
    said = {name: value for name, value in given.items() if value is not None}
    _require_one_source(said)
    source = said.get("profile") or ("file" if "bundle" in said else "workload-api")
    values = {"source": source, **{key: str(said[name]) for name, key in _KEYS.items() if name in said}}
    values |= {key: configuration.written(Path(values[key])) for key in _PATHS if key in values}
    if "socket" in said:
        _require_socket(said["socket"])
    section = Section(trust_domain, values)
    if "bootstrap_from" not in said:
        return Planned(section)
    return _with_bootstrap(configuration, section, said["bootstrap_from"])


def _require_one_source(said: Mapping[str, Any]) -> None:
    sources = [name for name in ("url", "bundle", "socket") if name in said]
    if len(sources) != 1:
        raise click.UsageError("say where the bundle comes from: one of --url, --bundle and --socket")
    if "url" in said and "profile" not in said:
        raise click.UsageError("--url needs --profile: https_web or https_spiffe; neither is guessed")
    for name, profiles in _OF_ENDPOINTS.items():
        if name in said and ("url" not in said or said["profile"] not in profiles):
            words = "--url" if name == "profile" else f"--url with --profile {profiles[0]}"
            raise click.UsageError(f"--{name.replace('_', '-')} is for {words}")
    if "bootstrap" in said and "bootstrap_from" in said:
        raise click.UsageError("--bootstrap or --bootstrap-from, not both")
    if said.get("profile") == "https_spiffe" and "endpoint_spiffe_id" not in said:
        raise click.UsageError("--profile https_spiffe needs --endpoint-spiffe-id: who the server has to be")


def _require_socket(address: str) -> None:
    from bridge.spire.endpoint import InvalidEndpoint, WorkloadEndpoint

    try:
        WorkloadEndpoint.parse(address)
    except InvalidEndpoint as error:
        raise click.BadParameter(str(error), param_hint="--socket") from error


def _with_bootstrap(configuration: Configuration, section: Section, file: Path) -> Planned:
    """A bootstrap bundle comes from a file that somebody brought, never from the endpoint that it is to prove."""
    from bridge.files.paths import TooLarge, read_bounded
    from bridge.spire.bundle_files import parse_bundle_file
    from bridge.spire.parse import MAX_BUNDLE_BYTES, MalformedBundle

    try:
        server = SpiffeId.parse_workload(section.values["endpoint_spiffe_id"]).trust_domain
    except InvalidSpiffeId as error:
        raise click.BadParameter(str(error), param_hint="--endpoint-spiffe-id") from error
    try:
        content = read_bounded(file, MAX_BUNDLE_BYTES)
        if not parse_bundle_file(content, server).x509_authorities:
            raise Failure(
                f"{printable(file)}: has no X.509 authority of {server}, by which its server could be verified"
            )
    except (TooLarge, MalformedBundle) as error:
        raise Failure(f"{printable(file)}: {error}") from error
    name = f"bundles/{server}.json"
    new_file = configuration.folder / name
    if os.path.lexists(new_file):
        raise Failure(f"{printable(new_file)} exists already and is not overwritten; use it by --bootstrap, or move it")
    return Planned(section.with_values(bootstrap=name), new_file, content)
