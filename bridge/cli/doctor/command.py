"""`bridge doctor`: what the service makes of one credential, rule by rule, and the one thing to change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

import click

from bridge.cli.doctor.given import fetch_svid, is_id, is_url, read_what
from bridge.cli.doctor.parts import examiner_of, store_of
from bridge.cli.doctor.words import diagnosis_as_json, say_diagnosis
from bridge.cli.options import Failure, config_option, json_option, request_options, settings_of
from bridge.cli.output import emit_json, printable
from bridge.cli.policy.folder import note_what_is_off

if TYPE_CHECKING:
    from bridge.config import Settings
    from bridge.doctor.examination import Examiner, Question
    from bridge.doctor.given import Given
    from bridge.doctor.remembered import LogLine, Remembered
    from bridge.doctor.report import Diagnosis
    from bridge.doctor.shapes import Told
    from bridge.model.audit import AuditEvent
    from bridge.model.evidence import Door

_Command = TypeVar("_Command", bound=Callable[..., Any])
_GRANT_TYPES = {"par": "authorization_code"}
_OF_A_GRANT = ("authorization_code", "refresh_token")
# Above any line that the service writes.
_LONGEST_LINE = 1024 * 1024


class Asked(TypedDict):
    """What the options say of the request that the credential would be used in, and of which kind that is."""

    shape: str | None
    url: str | None
    method: str | None
    door: str | None
    grant_type: str | None
    scopes: tuple[str, ...]
    resources: tuple[str, ...]
    proved: tuple[str, ...]
    client_id: str | None


class Fetching(TypedDict):
    """What the options say of an SVID that is fetched."""

    socket: str | None
    x509: bool
    spiffe_id: str | None


def _request_options(command: _Command) -> _Command:
    """The options of `Asked` and `Fetching`."""
    options = (
        click.option("--socket", metavar="URL", help="Fetch the SVID from this Workload API instead."),
        click.option("--x509", is_flag=True, help="With --socket: the X.509-SVID instead of a JWT-SVID."),
        click.option("--spiffe-id", metavar="ID", help="With --socket: which identity.  [default: the agent's first]"),
        click.option(
            "--as",
            "shape",
            type=click.Choice(["svid", "statement", "assertion", "document", "proof"]),
            help="What it is.  [default: what it says of itself]",
        ),
        click.option(
            "--url", metavar="URL", help="Of a document: where it is. Of a proof: what was asked.  [default: the door]"
        ),
        click.option("--method", metavar="METHOD", help="Of a proof: the method of the request.  [default: POST]"),
        click.option(
            "--door",
            type=click.Choice(["token", "par", "register"]),
            help="[default: token; register for a statement, par for a document whose rule is about codes]",
        ),
        click.option("--grant-type", metavar="TYPE", help="[default: client_credentials; authorization_code at par]"),
        request_options("A key the request proves beside a certificate's own; jkt is DPoP."),
        click.option("--client-id", metavar="ID", help="The client_id it sends.  [default: what it has to be]"),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.argument("what", metavar="[FILE|-|ID|URL]", required=False)
@_request_options
@click.option(
    "--log",
    "log",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="With ID: the service's log, for callers who left no audit row.",
)
@json_option
@config_option
def doctor(what: str | None, log: Path | None, as_json: bool, config: Path, **options: Any) -> int:
    """Say rule by rule what the service would make of a credential, and the one thing to change.

    FILE has a JWT-SVID, what `spire-agent api fetch jwt` printed, a chain of certificates in PEM, a software statement
    (or a whole registration request), a client's own assertion (private_key_jwt), a DPoP proof or, with --url, a client
    metadata document; - is standard input. URL is a client's metadata document, fetched as the service would. ID is the
    `error_id` (X-Request-Id) of a refused request. Looks with the service's own verification, policies and records, and
    changes nothing. Exit 0: it would be accepted, 1: it would not.

    \b
    Example:
      bridge doctor svid.jwt --scope ledger.read
      bridge doctor 5Zk0cX2rQmWcVbB1nV9s3A --log /var/log/bridge.log
      bridge doctor --socket unix:///run/spire/agent.sock --x509
      bridge doctor statement.jwt --as statement
      bridge doctor https://app.example.org/client.json
    """
    fetching = Fetching(socket=options["socket"], x509=options["x509"], spiffe_id=options["spiffe_id"])
    asked = Asked(**{name: options[name] for name in Asked.__annotations__})  # type: ignore[typeddict-item]
    _require_one_of(what, log, **fetching)
    settings = settings_of(config)
    if what is not None and is_id(what):
        if any(asked.values()):
            raise click.UsageError("an ID takes the request from the audit log: leave the other options out")
        diagnosis = _of_id(settings, what, log)
    else:
        diagnosis = _of_credential(settings, what, fetching, **asked)
    emit_json(diagnosis_as_json(diagnosis)) if as_json else say_diagnosis(diagnosis)
    if diagnosis.door == "par":
        note_what_is_off(config, pushed=False, codes=True)
    return 0 if diagnosis.accepted else 1


def _require_one_of(what: str | None, log: Path | None, **fetching: Unpack[Fetching]) -> None:
    """Raises: UsageError when it is not clear what is meant."""
    if (what is None) == (fetching["socket"] is None):
        raise click.UsageError("give one of FILE, -, ID, URL and --socket")
    if fetching["socket"] is None and (fetching["x509"] or fetching["spiffe_id"] is not None):
        raise click.UsageError("--x509 and --spiffe-id go with --socket; of a file it is plain what it holds")
    if log is not None and (what is None or not is_id(what)):
        raise click.UsageError("--log goes with the ID of a refused request")


def _of_credential(settings: Settings, what: str | None, fetching: Fetching, **asked: Unpack[Asked]) -> Diagnosis:
    from bridge.doctor.given import GivenDocument
    from bridge.doctor.shapes import Read

    question = _question(**asked)
    if what is None:
        read = Read(_fetched(settings, question, fetching))
    elif is_url(what):
        read = Read(GivenDocument(what))
    else:
        read = read_what(what, _told(settings, question, **asked))
    if read.body is not None:
        question = replace(question, ask=replace(question.ask, door=_register()), body=read.body)
    with store_of(settings) as store, examiner_of(settings, store) as (examiner, _):
        diagnosis = examiner.examine(read.given, question)
        if isinstance(read.given, GivenDocument) and asked["door"] is None and asked["grant_type"] is None:
            return _as_it_may_come(examiner, read.given, question, diagnosis)
        return diagnosis


def _as_it_may_come(examiner: Examiner, given: Given, question: Question, at_token: Diagnosis) -> Diagnosis:
    """A client with a document mostly comes for codes. Where nobody said what it asks, and it may not come by itself,
    that is examined instead, if its rule is about that."""
    from bridge.model.evidence import Door
    from bridge.model.reasons import Reason

    if at_token.reason is not Reason.POLICY_GRANT_TYPE:
        return at_token
    ask = replace(question.ask, door=Door.PAR, grant_type=_GRANT_TYPES["par"])
    at_par = examiner.examine(given, replace(question, ask=ask))
    return at_token if at_par.reason is Reason.POLICY_GRANT_TYPE else at_par


def _register() -> Door:
    from bridge.model.evidence import Door

    return Door.REGISTER


def _told(settings: Settings, question: Question, **asked: Unpack[Asked]) -> Told:
    from bridge.doctor.shapes import Shape, Told

    door, shape = question.ask.door, asked["shape"]
    return Told(
        door=door,
        endpoint=f"{settings.issuer}/{door.value}",
        shape=None if shape is None else Shape(shape),
        method=asked["method"] or "POST",
        url=asked["url"],
    )


def _fetched(settings: Settings, question: Question, fetching: Fetching) -> Given:
    from bridge.model.evidence import Door

    audience = f"{settings.issuer}/register" if question.ask.door is Door.REGISTER else settings.issuer
    assert fetching["socket"] is not None, "it is one of the two"
    return fetch_svid(fetching["socket"], audience, x509=fetching["x509"], spiffe_id=fetching["spiffe_id"])


def _question(**asked: Unpack[Asked]) -> Question:
    from bridge.doctor.examination import Question
    from bridge.model.evidence import Door
    from bridge.model.identity import BindingMethod
    from bridge.model.terms import Ask

    door = asked["door"] or ("register" if asked["shape"] == "statement" else "token")
    grant_type = asked["grant_type"] or _GRANT_TYPES.get(door, "client_credentials")
    scopes = dict.fromkeys(scope for named in asked["scopes"] for scope in named.split())
    ask = Ask(Door(door), grant_type, tuple(scopes), asked["resources"])
    body: dict[str, object] = {"scope": " ".join(scopes)} if scopes else {}
    if asked["grant_type"] is not None:
        body["grant_types"] = [asked["grant_type"]]
    return Question(
        ask,
        frozenset(map(BindingMethod, asked["proved"])),
        asked["client_id"],
        body if door == "register" else {},
    )


def _of_id(settings: Settings, correlation_id: str, log: Path | None) -> Diagnosis:
    """What is left of a request with that id: its audit row, or else its line in the log. Raises: Failure."""
    from bridge.cli.audit.lookup import decided_row
    from bridge.doctor.remembered import of_log_line, of_row

    line = None if log is None else _line(log, correlation_id)
    with store_of(settings) as store:
        if store is not None and store.audit.rows(correlation_id=correlation_id, limit=1):
            request = _remembered(decided_row(store, correlation_id))
            with examiner_of(settings, store) as (examiner, at):
                return of_row(request, examiner, line=line, now=at)
    if line is not None:
        return of_log_line(line)
    where = f"neither has {printable(log)}" if log is not None else "give its log with --log FILE"
    raise Failure(
        f"no audit row has the id {printable(correlation_id)}. Callers who were not authenticated leave none, and a "
        f"refusal repeated within a minute is counted under a later id: they are in the service's log alone; {where}"
    )


def _remembered(event: AuditEvent) -> Remembered:
    """The request of a row, as it can be asked again. Codes and refresh tokens are decided at the door where their
    grant began."""
    from bridge.cli.audit.lookup import recorded_of
    from bridge.doctor.examination import Question
    from bridge.doctor.remembered import Remembered
    from bridge.model.evidence import Door

    recorded = recorded_of(event)
    ask, question = recorded.ask, None
    if ask.door is Door.TOKEN and ask.grant_type in _OF_A_GRANT:
        ask = replace(ask, door=Door.PAR)
    if ask.door in (Door.TOKEN, Door.PAR, Door.REGISTER, Door.AUTHORIZE):
        question = Question(ask, recorded.proved, event.client_id or None)
    return Remembered(event, recorded.subject, question, recorded.refused)


def _line(log: Path, correlation_id: str) -> LogLine | None:
    from bridge.doctor.remembered import find_line

    with log.open("rb") as file:
        return find_line(iter(lambda: file.readline(_LONGEST_LINE), b""), correlation_id)
