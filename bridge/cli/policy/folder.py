"""The policy files that a command is about: a folder that was named, or the configuration's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.options import ConfigurationRefused, settings_of
from bridge.cli.output import note, printable

if TYPE_CHECKING:
    from bridge.config import Settings
    from bridge.policy.evaluate import PolicySet
    from bridge.policy.folder import Checked, PolicyDefaults

# The draft that lets pushed clients in, as `[drafts]` names it.
_PUSHED_DRAFT = "pushed_client_registration"

policies_option = click.option(
    "--policies",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Folder of policy files; then no configuration is needed.",
)


def usable_policies(policies: Path | None, config: Path) -> PolicySet:
    """The policy set; faults in the files are no answer (exit 2), for 1 would mean "denied"."""
    folder, defaults = folder_of(policies, config)
    return usable_folder(folder, defaults)


def usable_folder(folder: Path, defaults: PolicyDefaults) -> PolicySet:
    """As `usable_policies`, of this folder."""
    from bridge.policy.findings import Severity
    from bridge.policy.folder import check_folder

    checked = check_folder(folder, defaults)
    if checked.policy_set is None:
        faults = [str(finding) for finding in checked.findings if finding.severity is Severity.ERROR]
        raise ConfigurationRefused([*faults, f"{folder}: these policies do not load"])
    if checked.findings:
        words = f"{len(checked.findings)} warnings about these policies"
        note(f"{words}: `bridge policy check --policies {printable(folder)}` lists them")
    return checked.policy_set


def note_what_is_off(config: Path, *, pushed: bool, codes: bool) -> None:
    """Say which doors the configuration keeps shut, when the answer is about what comes in there: the rules alone do
    not show it. `pushed`: it is about pushed clients; `codes`: about what people have to approve."""
    settings = settings_of(config)
    if pushed and _PUSHED_DRAFT not in settings.drafts:
        note(f"pushed clients are off: [drafts] does not name {_PUSHED_DRAFT}")
    if codes and settings.users is None:
        note("nobody can approve anything: the configuration has no [users], so there is no /authorize")


def checked_policies(policies: Path | None, config: Path) -> tuple[Path, Checked]:
    """The folder that is meant, and what is in it."""
    from bridge.policy.folder import check_folder

    folder, defaults = folder_of(policies, config)
    return folder, check_folder(folder, defaults)


def folder_of(policies: Path | None, config: Path) -> tuple[Path, PolicyDefaults]:
    """The folder that is meant, and what the configuration decides about it; a folder that was named needs none."""
    from bridge.policy.folder import PolicyDefaults

    if policies is not None:
        return policies, PolicyDefaults()
    settings = settings_of(config)
    return settings.policy_directory, defaults_of(settings)


def defaults_of(settings: Settings) -> PolicyDefaults:
    """What a configuration decides about policies. Loads what that needs when it is asked."""
    from bridge.policy_defaults import policy_defaults

    return policy_defaults(settings)
