"""`bridge policy explain`: one request, recorded or made up, decided and explained."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

import click

from bridge.cli.options import config_option, json_option, request_options, settings_of
from bridge.cli.output import emit_json, note
from bridge.cli.policy.folder import note_what_is_off, policies_option, usable_policies
from bridge.cli.policy.words import explanation_as_json, say_explanation

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.policy.cases import Request
    from bridge.policy.recorded_request import Recorded

_Command = TypeVar("_Command", bound="Callable[..., Any]")


class Asked(TypedDict):
    """What the options say of a request that nobody made."""

    subject: str | None
    issuer: str | None
    spiffe_id: str | None
    evidence: str | None
    door: str | None
    grant_type: str | None
    scopes: tuple[str, ...]
    resources: tuple[str, ...]
    proved: tuple[str, ...]


def _asked_options(command: _Command) -> _Command:
    """The options of `Asked`."""
    kinds = click.Choice(["x509-svid", "jwt-svid", "software-statement", "metadata-document", "pushed"])
    doors = click.Choice(["token", "par", "register", "authorize"])
    options = (
        click.option("--subject", metavar="SUBJECT", help="SPIFFE ID, document URL, or the subject beside --issuer."),
        click.option("--issuer", metavar="URL", help="Who made the software statement."),
        click.option("--spiffe-id", metavar="ID", help="The SPIFFE ID that acts for a metadata document."),
        click.option("--evidence", type=kinds, help="Kind of evidence; a SPIFFE ID needs one."),
        click.option("--door", type=doors, help="[default: token; par for codes]"),
        click.option("--grant-type", metavar="TYPE", help="[default: the first one of the source]"),
        request_options("A key the request proves.  [default: the certificate's, for x509-svid]"),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@_asked_options
@click.option("--audit", "audit_id", metavar="ID", help="Explain the request with this correlation id instead.")
@click.option("--all", "everything", is_flag=True, help="Show every other rule, not only the nearest.")
@policies_option
@config_option
@json_option
def explain(
    audit_id: str | None,
    everything: bool,
    policies: Path | None,
    config: Path,
    as_json: bool,
    **asked: Unpack[Asked],
) -> int:
    """Decide a request that nobody made, and say why: the rule, and what each other rule lacked.

    Exit 0: allow (also when only a proof for `bind` is missing). Exit 1: deny or ask.

    \b
    Example:
      bridge policy explain --subject spiffe://example.org/ns/web/sa/api --evidence jwt-svid --scope ledger.read
      bridge policy explain --audit 5f0c1d0a9b7e4c22
    """
    from bridge.model.terms import Effect
    from bridge.policy.cases import Request

    recorded: Recorded | None = None
    if audit_id is None:
        request = _hypothetical(asked)
    else:
        if any(asked.values()):
            raise click.UsageError("--audit takes the whole request from the audit log: leave the other options out")
        recorded = _recorded(audit_id, config)
        request = Request(recorded.subject, recorded.ask, recorded.proved)
    explanation = usable_policies(policies, config).explain(request.subject, request.ask, proved=request.proved)
    if policies is None:
        codes = request.ask.door in ("par", "authorize")
        note_what_is_off(config, pushed=request.subject.source == "pushed", codes=codes)
    if as_json:
        emit_json(explanation_as_json(request, explanation))
    else:
        say_explanation(request, explanation, everything=everything)
    allowed = explanation.effect is Effect.ALLOW
    granted = allowed and not explanation.lacks_proof
    then = recorded and recorded.then(allowed=granted, policy_version=explanation.decision.policy_version)
    if then:
        note(then)
    return 0 if allowed else 1


def _hypothetical(asked: Asked) -> Request:
    """The request that the options describe."""
    from bridge.policy.cases import BadRequest, request_of

    # A certificate proves its key in the handshake; everything else needs a DPoP proof on top.
    proved = asked["proved"] or (("x5t#S256",) if asked["evidence"] == "x509-svid" else ())
    try:
        request = request_of(
            subject=asked["subject"],
            issuer=asked["issuer"],
            spiffe_id=asked["spiffe_id"],
            evidence=asked["evidence"],
            door=asked["door"],
            grant_type=asked["grant_type"],
            scopes=asked["scopes"],
            resources=asked["resources"],
            proved=proved,
        )
    except BadRequest as error:
        raise click.UsageError(str(error)) from error
    if asked["subject"] is None and asked["issuer"] is None and asked["evidence"] is None:
        raise click.UsageError("say --subject, --audit, or --evidence pushed")
    return request


def _recorded(audit_id: str, config: Path) -> Recorded:
    """The request of an audit row, from the store of the configuration."""
    from bridge.cli.audit.lookup import ask_of
    from bridge.opening import open_store

    with closing(open_store(settings_of(config))) as store:
        return ask_of(store, audit_id)
