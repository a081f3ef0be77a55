"""`bridge webhook`: try the way to the receiver, look into the queue, and send again what was given up.

The URL is not shown beyond its host: those of chat services are secrets themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.options import ConfigurationRefused, Failure, config_option, json_option, list_options, settings_of
from bridge.cli.output import emit_json, emit_json_array, emit_table, note, printable, say, timestamp

if TYPE_CHECKING:
    from bridge.config import Settings
    from bridge.config.settings import WebhookSettings
    from bridge.store.ports import NoticeState, NoticeStore, QueuedNotice

_PAGE = 500


@click.group()
def webhook() -> None:
    """Try the webhook, show its queue, and send again what was given up.

    \b
    Example:
      bridge webhook test
    """


@webhook.command("test")
@config_option
@json_option
def try_it(config: Path, as_json: bool) -> int:
    """Send one signed `ping` now, and say what came of it. Exit 1 when the receiver did not take it.

    Nothing is queued, and nothing that waits is touched.

    \b
    Example:
      bridge webhook test --config /etc/bridge/bridge.toml
    """
    from bridge.ambient import new_id, now
    from bridge.fetch.guarded import place_of
    from bridge.webhook.courier import try_once
    from bridge.webhook.messages import ID_PREFIX, ping
    from bridge.webhook.outcomes import Outcome
    from bridge.wiring_webhook import open_way

    _, section = _configured(config)
    way, secrets = open_way(section)
    at, message_id, server = now(), ID_PREFIX + new_id(), place_of(section.url).server
    tried = try_once(way, secrets, message_id, ping(at), now=at)
    taken = tried.outcome is Outcome.DELIVERED
    if as_json:
        emit_json({"id": message_id, "server": server, "outcome": tried.outcome.value, "detail": tried.words})
    elif taken:
        say(f"{server} took {message_id} ({tried.words})")
    else:
        raise Failure(f"{server} did not take it: {tried.words}; {_ADVICE[tried.outcome.value]}")
    return 0 if taken else 1


@webhook.command("list")
@click.option("--dead", is_flag=True, help="Only what was given up.")
@list_options
@json_option
@config_option
def list_queue(dead: bool, limit: int | None, as_json: bool, config: Path) -> int:
    """List the messages that wait or were given up, in their order, with what came of the last try.

    \b
    Example:
      bridge webhook list --dead
    """
    from bridge.opening import open_store
    from bridge.store.ports import NoticeState

    settings, _ = _configured(config)
    with closing(open_store(settings)) as store:
        found = _rows(store.notices, NoticeState.DEAD if dead else None, limit)
        if as_json:
            emit_json_array(_fields(one) for one in found)
            return 0
        first = next(found, None)
        if first is None:
            say("nothing was given up" if dead else "the queue is empty: all was delivered")
            return 0
        table = [_fields(one) for one in (first, *found)]
        emit_table(list(table[0]), (list(fields.values()) for fields in table))
        standing = store.notices.standing()
    if standing.dropped:
        note(f"{standing.dropped} more found the queue full and were dropped, since the store was made")
    return 0


@webhook.command()
@click.argument("message", required=False, metavar="[ID]")
@click.option("--dead", is_flag=True, help="All that was given up.")
@config_option
@json_option
def retry(message: str | None, dead: bool, config: Path, as_json: bool) -> int:
    """Have a message sent again at once, or with --dead all that were given up.

    A running service does it within seconds. A receiver knows by its id a message that it has had already.

    \b
    Example:
      bridge webhook retry --dead
    """
    from bridge.ambient import now
    from bridge.opening import open_store

    if (message is None) is not dead:
        raise click.UsageError("name one message, or --dead for all that were given up")
    settings, _ = _configured(config)
    with closing(open_store(settings)) as store:
        number = store.notices.retry(message, now=now())
    if message is not None and not number:
        raise Failure(f"there is no message {printable(message)} in the queue; see `bridge webhook list`")
    if as_json:
        emit_json({"retried": number})
    else:
        say("nothing was given up" if not number else f"{number} will be sent again within seconds")
    return 0


_MEND_TLS = "its certificate must name the host of [webhook] url, by a CA of the system's or of [webhook] ca_file"
_LOOK_THERE = "look at the receiver; messages wait meanwhile"
_REACH = "is the host in [webhook] url right, and reachable from here?"
# What to do about each way to fail, by the values of `webhook.outcomes.Outcome`.
_ADVICE = {
    "gone": "name another receiver in [webhook] url",
    "throttled": _LOOK_THERE,
    "redirect": "set [webhook] url to where it leads",
    "refused": "does the receiver have the secret of [webhook] secret_file, and the clock right?",
    "server_error": _LOOK_THERE,
    "malformed": "something else answers at [webhook] url",
    "resolve": _REACH,
    "connect": _REACH,
    "tls": _MEND_TLS,
    "timeout": "it must answer within 10 seconds: take the message, answer, then work",
    "cut": _LOOK_THERE,
}


def _configured(config: Path) -> tuple[Settings, WebhookSettings]:
    """Raises: ConfigurationRefused, also where there is no webhook."""
    settings = settings_of(config)
    if settings.webhook is None:
        raise ConfigurationRefused([f"{config}: has no [webhook]: set its url and secret_file"])
    return settings, settings.webhook


def _rows(notices: NoticeStore, state: NoticeState | None, limit: int | None) -> Iterator[QueuedNotice]:
    """The queue, page by page, so that a long one need not fit in memory."""
    after, left = None, limit
    while left is None or left > 0:
        page = notices.rows(after=after, limit=_PAGE if left is None else min(_PAGE, left), state=state)
        yield from page
        if len(page) < _PAGE:
            return
        after, left = page[-1].notice.id, None if left is None else left - len(page)


def _fields(queued: QueuedNotice) -> dict[str, object]:
    return {
        "id": queued.notice.id,
        "type": queued.notice.kind,
        "client_id": queued.notice.client_id,
        "state": queued.state.value,
        "queued_at": timestamp(queued.queued_at),
        "tries": queued.tries,
        "next_at": timestamp(queued.next_at) if queued.state.value == "waiting" else None,
        "error": queued.error,
    }
