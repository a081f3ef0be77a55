"""`bridge policy diff`: what a change of policy files means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from bridge.cli.options import Failure, config_option, json_option, settings_of
from bridge.cli.output import emit_json_array, note, paint, say
from bridge.cli.policy.folder import defaults_of, usable_folder

if TYPE_CHECKING:
    from bridge.policy.folder import PolicyDefaults

_folder = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.argument("before", metavar="A", type=_folder)
@click.argument("after", metavar="B", type=_folder)
@config_option
@json_option
def diff(before: Path, after: Path, config: Path, as_json: bool) -> int:
    """Say what folder B permits that A does not, and the other way round: who gains, loses, or gets other terms.

    Exact, and about permissions: other names, another order or layout of rules are no change. Whom no line names is
    answered as before. A configuration that is named says which defaults hold.

    Exit 1: something changes.

    \b
    Example:
      bridge policy diff policies candidate
      git worktree add ../main main && bridge policy diff ../main/policies policies
    """
    from bridge.cli.policy.diff_words import change_as_json, introspection_as_json, say_changes, say_introspection
    from bridge.policy.cells import TooIntricate
    from bridge.policy.diff import PolicyDiff
    from bridge.policy.introspection_diff import introspection_changes

    defaults = _defaults(config)
    one, other = usable_folder(before, defaults), usable_folder(after, defaults)
    try:
        changes = list(PolicyDiff(one, other, in_short=not as_json).changes())
        introspection = list(introspection_changes(one.catalogue, other.catalogue))
    except TooIntricate as error:
        raise Failure(f"{error}: compare folders that differ in less") from error
    if as_json:
        emit_json_array([*map(change_as_json, changes), *map(introspection_as_json, introspection)])
    else:
        say_changes(changes)
        for change in introspection:
            say_introspection(change)
    if not changes and not introspection:
        if not as_json:
            say(f"{paint('ok')}  nobody gains or loses anything, or gets it on other terms")
        return 0
    if not as_json:
        note("whom no line names is answered as before; --json has all terms")
    return 1


def _defaults(config: Path) -> PolicyDefaults:
    """Those of a configuration that was named, for two folders need none."""
    from bridge.policy.folder import PolicyDefaults

    source = click.get_current_context().get_parameter_source("config")
    return PolicyDefaults() if source is ParameterSource.DEFAULT else defaults_of(settings_of(config))
