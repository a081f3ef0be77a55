"""What `bridge doctor` is about: something from a file or standard input, a URL, or an SVID of the Workload API."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.options import Failure
from bridge.cli.output import printable

if TYPE_CHECKING:
    from bridge.doctor.given import Given
    from bridge.doctor.shapes import Read, Told

# A correlation id: 22 characters (`wiring.new_id`). A file of that name goes first.
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{21}")
_URL = re.compile(r"https?://", re.IGNORECASE)
# Two dots between long runs of base64url: a signed token, whole or with something in front of it.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*")
FETCH_SECONDS = 10.0


def is_id(what: str) -> bool:
    """Whether it can only be meant as a correlation id."""
    return _ID.fullmatch(what) is not None and not Path(what).exists()


def is_url(what: str) -> bool:
    """Whether it can only be meant as the URL of a client's document."""
    return _URL.match(what) is not None


def read_what(what: str, told: Told) -> Read:
    """What is in this file, or on standard input for `-`.

    Raises: UsageError when there is nothing in it that could be examined, or the thing itself stands in place of its
    file: then nothing of it is said again.
    """
    from bridge.doctor.given import MAX_BYTES, NothingGiven
    from bridge.doctor.shapes import read_as

    if what == "-":
        raw = sys.stdin.buffer.read(MAX_BYTES + 1)
    elif _is_secret(what):
        raise click.UsageError(
            "that is no file but a token or a key itself: every process of this machine can read a command line, so "
            "give a file, or - and the token on standard input"
        )
    else:
        try:
            with Path(what).open("rb") as file:
                raw = file.read(MAX_BYTES + 1)
        except OSError as error:
            words = f"{printable(what)}: {error.strerror}; give a file, a URL, - or the id of a refused request"
            raise click.UsageError(words) from error
    try:
        return read_as(raw, told)
    except NothingGiven as error:
        raise click.UsageError(f"{printable(what)}: {error}") from error


def _is_secret(what: str) -> bool:
    """Whether somebody pasted what should be in a file."""
    try:
        if Path(what).exists():
            return False
    except (OSError, ValueError):
        # Too long for a name, or with a null byte in it: no path of anybody's.
        return True
    return "PRIVATE KEY" in what or what.lstrip().startswith("{") or _TOKEN.search(what) is not None


def fetch_svid(socket: str, audience: str, *, x509: bool, spiffe_id: str | None) -> Given:
    """The SVID that the Workload API gives to this process: with `x509` the certificate, else a JWT-SVID for that
    audience. Its private key is dropped at once. Raises: Failure; BadParameter."""
    from bridge.doctor.given import GivenChain, GivenJwt
    from bridge.model.spiffe_id import InvalidSpiffeId, SpiffeId
    from bridge.spire.endpoint import InvalidEndpoint, WorkloadEndpoint
    from bridge.spire.workload_client import WorkloadApiFailed, fetch_jwt_svid, fetch_x509_svid

    try:
        endpoint = WorkloadEndpoint.parse(socket)
        wanted = None if spiffe_id is None else SpiffeId.parse_workload(spiffe_id)
    except (InvalidEndpoint, InvalidSpiffeId) as error:
        raise click.BadParameter(str(error)) from error
    try:
        if x509:
            return GivenChain(fetch_x509_svid(endpoint, timeout=FETCH_SECONDS, spiffe_id=wanted).chain)
        return GivenJwt(fetch_jwt_svid(endpoint, audience, timeout=FETCH_SECONDS, spiffe_id=wanted))
    except WorkloadApiFailed as error:
        raise Failure(
            f"{error}. The workload gets no SVID at all: is the agent up, and is there a registration entry for this "
            "process? (`spire-server entry show`)"
        ) from error
