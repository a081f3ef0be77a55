"""The `bridge` command: finds the command that was asked for, runs it, and turns errors into exit codes.

Exit codes: 0 yes; 1 the answer is no (faults found, denied, not ready); 2 wrong usage or a configuration
that cannot be used. A user's mistake never shows a traceback; a defect of ours does.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence

import click

from bridge import __version__
from bridge.cli.failures import EXPECTED, describe
from bridge.cli.output import ALIGNED, lay_out_for_people, note, printable

# name -> (the module below this package that has it under this name, what `bridge --help` says of it). Nothing is
# imported until it is run.
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("init.command", "Write a first configuration, policies, a test certificate and keys."),
    "check": ("check", "Look at configuration, policies, store and bundles: all faults at once."),
    "serve": ("serve", "Run the service in the foreground until SIGTERM."),
    "policy": ("policy.group", "Check, test, explain and compare trust-domain policies."),
    "clients": ("clients.group", "List client records, and revoke, deny or approve them."),
    "trust": ("trust.group", "Show trust bundles: source, age, keys, next refresh; add trust domains."),
    "doctor": ("doctor.command", "Say rule by rule what the service makes of an SVID, and what to change."),
    "audit": ("audit.group", "Read, follow, verify and export the audit log."),
    "keys": ("keys", "List and rotate the keys that sign tokens."),
    "webhook": ("webhook", "Try the webhook, show its queue, send again what was given up."),
    "db": ("db", "Show the state of the schema, and migrate it."),
    "token": ("token.command", "Get an access token as a workload, with its SVID."),
    "lab": ("lab", "Run an embedded SPIFFE authority, for tests and demonstrations."),
}
INTERRUPTED = 130
# Longer than any first sentence.
_WHOLE = 1000


class LazyGroup(click.Group):
    """A group whose commands are imported when they are run, not when they are listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(f"bridge.cli.{module}"), cmd_name)
        assert isinstance(command, click.Command)
        return _with_whole_summaries(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in COMMANDS.items()])


def _with_whole_summaries(command: click.Command) -> click.Command:
    """Have the group list its commands with their whole first sentences, not cut off at the terminal's width."""
    if isinstance(command, click.Group):
        for below in command.commands.values():
            below.short_help = below.get_short_help_str(_WHOLE)
    return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="bridge")
@click.option(f"--{ALIGNED}", is_flag=True, hidden=True, expose_value=False, callback=lay_out_for_people)
def cli() -> None:
    """OAuth 2.0 tokens for SPIFFE workloads, without a secret and without a registration step.

    \b
    Example:
      bridge init && bridge check && bridge serve

    Exit codes: 0 yes, 1 the answer is no, 2 wrong usage or an unreadable configuration.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. The one place where errors end."""
    # Commands say what went wrong in their own words; `serve` sends the log somewhere else than nowhere.
    if not logging.getLogger().handlers:
        logging.getLogger().addHandler(logging.NullHandler())
    try:
        status = cli.main(arguments, prog_name="bridge", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        return _after_broken_pipe()
    except EXPECTED as error:
        code, faults = describe(error)
        for fault in faults:
            note(f"error: {printable(fault)}")
        return code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    return status if isinstance(status, int) else 0


def _after_broken_pipe() -> int:
    """The reader has seen enough (`| head`): no fault. Python flushes once more at exit, so give it a hole."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
