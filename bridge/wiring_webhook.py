"""How the webhook is put together from the configuration: what the store queues, and what delivers it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from bridge.chores import Chore
from bridge.config import Settings
from bridge.config.settings import WebhookSettings
from bridge.fetch.delivering import Deliveries
from bridge.model.errors import StartRefused
from bridge.store.ports import Outbox, Store
from bridge.webhook.courier import Courier
from bridge.webhook.messages import Composer
from bridge.webhook.signing import SecretFile

# The console's page of one client that waits, where a yes or no is given.
APPROVE_PATH = "/approvals/client"
TURN_SECONDS, MEASURE_SECONDS, TIDY_SECONDS = 1, 15, 60


def open_outbox(settings: Settings, new_id: Callable[[], str]) -> Outbox | None:
    """What the store queues; None without `[webhook]`. Needs no secret: commands of operators queue, too."""
    webhook, console = settings.webhook, settings.console
    if webhook is None:
        return None
    composer = Composer(
        kinds=webhook.events,
        trust_domains=webhook.trust_domains,
        approvals_url=None if console is None or console.url is None else console.url + APPROVE_PATH,
        new_id=new_id,
    )
    return Outbox(composer.notice)


def open_way(webhook: WebhookSettings) -> tuple[Deliveries, SecretFile]:
    """How messages go out, and what they are signed with. Nothing is sent. Raises: StartRefused."""
    try:
        way = Deliveries(webhook.url, ca_file=webhook.ca_file)
    except OSError as error:
        raise StartRefused([f"webhook.ca_file: {webhook.ca_file}: holds no certificate that can be read"]) from error
    return way, SecretFile(Path(webhook.secret_file))


def open_courier(
    settings: Settings, store: Store, *, new_id: Callable[[], str], clock: Callable[[], int]
) -> Courier | None:
    """What delivers the queue; None without `[webhook]`. Raises: StartRefused."""
    if settings.webhook is None:
        return None
    way, secret_file = open_way(settings.webhook)
    return Courier(
        store.notices,
        store.leases,
        way,
        secret_file,
        give_up_after=settings.webhook.give_up_after,
        holder=f"{os.getpid()}-{secrets.token_hex(4)}",
        new_id=new_id,
        chance=secrets.SystemRandom().random,
        clock=clock,
    )


def webhook_chores(courier: Courier | None) -> tuple[Chore, ...]:
    """What delivers, in a thread of its own: it waits for somebody else's server."""
    if courier is None:
        return ()
    return (
        Chore("webhook metrics", MEASURE_SECONDS, courier.measure),
        Chore("webhook tidy", TIDY_SECONDS, courier.tidy),
        Chore("webhook", TURN_SECONDS, courier.turn),
    )
