"""The options by which commands on the audit log say which rows they are about."""

from __future__ import annotations

import click

from bridge.cli.options import Moment
from bridge.model.audit import AuditEventKind

since_option = click.option("--since", type=Moment(), metavar="TIME", help='How long ago ("1h", "7d"), or RFC 3339.')
events_option = click.option(
    "--event",
    "events",
    multiple=True,
    type=click.Choice([kind.value for kind in AuditEventKind]),
    metavar="EVENT",
    help="Only this kind; may be given several times.",
)
