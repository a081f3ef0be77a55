"""`bridge policy replay`: what a candidate folder would make of the requests of the last days."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.options import ConfigurationRefused, Failure, Moment, config_option, json_option, moment_at, settings_of
from bridge.cli.output import Progress, note, paint, printable, say
from bridge.cli.policy.folder import defaults_of, usable_folder

if TYPE_CHECKING:
    from bridge.cli.policy.replay_book import ReplayBook
    from bridge.cli.policy.replay_run import ReplayRun, Tally
    from bridge.config import Settings
    from bridge.policy.evaluate import PolicySet
    from bridge.store.ports import Store

# Each piece is one short read of the database.
ROWS_AT_ONCE = 2_000
_MOST_FAULTS = 10


@click.command()
@click.option(
    "--candidate",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="Folder of policy files to try.",
)
@click.option("--since", type=Moment(), metavar="TIME", help='How long ago ("1h", "7d"), or RFC 3339.  [default: all]')
@click.option(
    "--against",
    type=click.Choice(["recorded", "in-force"]),
    default="recorded",
    help="What its answers are held against: those of then, or of the present policies.  [default: recorded]",
)
@click.option("--verify", is_flag=True, help="Walk the chains of the audit log first, and replay only a whole log.")
@config_option
@json_option
def replay(candidate: Path, since: int | None, against: str, verify: bool, config: Path, as_json: bool) -> int:
    """Decide again what the audit log recorded, and say which requests a candidate folder would answer otherwise.

    What was allowed and what rules refused is replayed, whole: scopes, resources, evidence, proved keys. Other terms
    are a change too. Refusals that no rule made (limits, replays, operators) are not policy's and left out. Where the
    present policies answer like the candidate already, the change says so. Without --verify a row that somebody
    changed is believed.

    Exit 1: something changes. With --json one object a line.

    \b
    Example:
      bridge policy replay --candidate candidate --since 7d
    """
    from bridge.ambient import now
    from bridge.cli.policy.replay_book import ReplayBook
    from bridge.opening import open_store
    from bridge.policy.folder import collector_at_rest

    settings = settings_of(config)
    tried = usable_folder(candidate, defaults_of(settings))
    present = _in_force(settings, needed=against == "in-force")
    with closing(open_store(settings)) as store, closing(ReplayBook()) as book:
        if verify:
            _require_whole(store)
        run = _run(present, tried, book, against)
        with collector_at_rest():
            _go_through(store, run, moment_at(since, now()))
        return _answer(run.tally, book, as_json)


def _in_force(settings: Settings, *, needed: bool) -> PolicySet | None:
    """The policies in force, as far as files can tell. Raises: ConfigurationRefused when they are needed."""
    from bridge.policy.folder import check_folder

    checked = check_folder(settings.policy_directory, defaults_of(settings))
    if checked.policy_set is None:
        words = f"{settings.policy_directory}: the policies in force do not load, see `bridge policy check`"
        if needed:
            raise ConfigurationRefused([words])
        note(f"{words}: other terms go unseen, only answers and clients are compared")
    return checked.policy_set


def _run(present: PolicySet | None, candidate: PolicySet, book: ReplayBook, against: str) -> ReplayRun:
    from bridge.cli.policy.replay_run import ReplayRun
    from bridge.policy.replay import Replay

    replay = Replay(present, candidate)
    judge = replay.against_recorded if against == "recorded" else replay.against_present
    return ReplayRun(judge, None if present is None else present.version, book)


def _require_whole(store: Store) -> None:
    progress = Progress("rows verified")
    faults = [fault.message for fault in store.audit.verify(progress=progress.at)]
    if faults:
        more = f" and {len(faults) - _MOST_FAULTS} more" if len(faults) > _MOST_FAULTS else ""
        said = "; ".join(printable(fault) for fault in faults[:_MOST_FAULTS])
        raise Failure(f"the audit log is not whole, so it was not replayed: {said}{more}; see `bridge audit verify`")


def _go_through(store: Store, run: ReplayRun, since: int | None) -> None:
    """All rows up to the last one that is there now."""
    after, end = store.audit.span(since=since)
    progress = Progress("recorded requests replayed")
    while after < end:
        until = min(after + ROWS_AT_ONCE, end)
        rows = store.audit.asks(after, until)
        run.take(rows if since is None else [row for row in rows if row.time >= since])
        after = until
        progress.at(run.tally.replayed)
    progress.end(run.tally.replayed)


def _answer(tally: Tally, book: ReplayBook, as_json: bool) -> int:
    from bridge.cli.policy.replay_words import emit_changes, say_changes

    for fault in tally.named:
        note(f"{paint('fault')} {printable(fault)}")
    if tally.unreadable:
        note(f"rows that cannot be read, and were not replayed: {tally.unreadable:,}; next: `bridge audit verify`")
    left_out = (
        (tally.of_no_rule, "refused by no rule"),
        (tally.unkept, "of which the log keeps only the number"),
        (tally.untold, "whose row does not hold all that the answer turned on"),
    )
    said = [f"{number:,} {words}" for number, words in left_out if number]
    if said:
        note(f"not replayed: {'; '.join(said)}")
    news, known = book.totals(already=False), book.totals(already=True)
    if as_json:
        emit_changes(book.changes())
    else:
        say_changes(book.changes())
        _say_verdict(tally, news, known)
    return 1 if news[0] or known[0] or tally.unreadable else 0


def _say_verdict(tally: Tally, news: tuple[int, int], known: tuple[int, int]) -> None:
    """The last line. `news` and `known` are requests, and identities of whom they are."""
    if not news[0] and not known[0]:
        say(f"{paint('ok')}  {tally.replayed:,} recorded requests: none would be answered otherwise")
        return
    say(
        f"\n{news[0]:,} of {tally.replayed:,} recorded requests, of {news[1]:,} identities, would be answered otherwise"
    )
    if known[0]:
        say(f"{known[0]:,}, of {known[1]:,} identities, are answered so by the policies in force already")
