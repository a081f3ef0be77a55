"""`bridge clients approve URL`: the client's document is shown first, and somebody says yes to it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from bridge.cli.options import Failure
from bridge.cli.output import emit_fields, printable
from bridge.model.errors import EvidenceRejected, Unavailable

if TYPE_CHECKING:
    from bridge.config import Settings
    from bridge.registration.seen_documents import SeenDocument


def seen_at(settings: Settings, url: str) -> SeenDocument:
    """Fetch the document and, where they are elsewhere, the keys. Raises: Failure, which says why there is nothing
    to see; StartRefused for a `[fetch] ca_file` that cannot be read."""
    from bridge.opening import open_fetcher
    from bridge.registration.seen_documents import look_at
    from bridge.wiring_fetch import document_getter

    try:
        return look_at(url, document_getter(open_fetcher(settings), in_request=False))
    except EvidenceRejected as error:
        raise Failure(f"{printable(url)} is no client's document: {error.detail}; nothing was approved") from error
    except Unavailable as error:
        raise Failure(
            f"{printable(url)} cannot be looked at now: {error.detail}; nothing was approved, try again"
        ) from error


def tell(seen: SeenDocument) -> None:
    """Show it to people, with a name that anybody could have chosen marked as such."""
    fields = seen.fields()
    if fields["client_name"]:
        fields["client_name"] = f"{fields['client_name']} (its own word, checked by nobody)"
    emit_fields(fields)


def require_yes(url: str, *, said: bool) -> None:
    """Ask whether this client is to be let in, unless that was `said`. Raises: Failure for a no, and where nobody
    is there to be asked."""
    if said:
        return
    if not sys.stdin.isatty():
        raise Failure(f"nobody is asked here; look at {printable(url)} above and say --yes to approve it")
    if not click.confirm("Approve this client?", err=True):
        raise Failure("nothing was approved")
