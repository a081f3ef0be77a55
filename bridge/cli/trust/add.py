"""`bridge trust add`: a further trust domain, looked at, compared by people, and then written down."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from bridge.cli.init.starter_policies import policy_file
from bridge.cli.options import Failure, config_option, json_option, timeout_option
from bridge.cli.output import emit_json, printable, say
from bridge.cli.trust.comparing import Seen
from bridge.cli.trust.looking import Asking, look
from bridge.cli.trust.section import Configuration
from bridge.cli.trust.source import Planned, plan, source_options, trust_domain_named
from bridge.model.bundle import BundleHealth
from bridge.spire.described_keys import read_digest

_PUBLIC = 0o644


@click.command()
@click.argument("trust_domain")
@source_options
@click.option(
    "--fingerprint", metavar="DIGEST", help="The digest that its people say: nobody is asked then, another is refused."
)
@click.option("--dry-run", is_flag=True, help="Look and show what would be written; write nothing.")
@config_option
@timeout_option
@json_option
def add(
    trust_domain: str,
    fingerprint: str | None,
    dry_run: bool,
    config: Path,
    timeout: float,
    as_json: bool,
    **given: Any,
) -> int:
    """Get a trust domain's bundle, show each key and a digest of all to compare with its people, and write the section
    into the configuration once that is confirmed.

    Nothing is guessed: say whose bundle it is, where it is and how its server proves itself. The bundle is got as the
    service will get it. There is no --yes: whoever cannot be asked says by --fingerprint what was compared.

    The section goes to the end of the file; all before it stays as it is. A running service takes it up when it is
    started again.

    \b
    Example:
      bridge trust add partner.example --url https://spire.partner.example:8443 --profile https_web
      bridge trust add factory.example --url https://10.1.2.3:8443 --profile https_spiffe \\
        --endpoint-spiffe-id spiffe://factory.example/spire/server --bootstrap-from from-their-people.json
      bridge trust add supplier.example --bundle bundles/supplier.json
    """
    wanted = _digest_of_option(fingerprint)
    configuration = Configuration.read(config)
    name = trust_domain_named(trust_domain)
    configuration.require_new(name)
    planned = plan(configuration, name, given)
    configuration.settings_with(planned.section)
    seen = _see(configuration, planned, given, timeout)
    answer = {**seen.fields(), "section": planned.section.toml(), "written": not dry_run}
    try:
        if not as_json:
            seen.tell()
        _require_agreement(seen, wanted, asked=not dry_run)
        if not dry_run:
            _write(configuration, planned)
    except Failure:
        if as_json:
            emit_json({**answer, "written": False, "next": []})
        raise
    steps = _next_steps(configuration, planned)
    if as_json:
        emit_json({**answer, "next": steps})
    else:
        _say_outcome(configuration, planned, steps, dry_run)
    return 0


def _digest_of_option(fingerprint: str | None) -> str | None:
    if fingerprint is None:
        return None
    digest = read_digest(fingerprint)
    if digest is None:
        raise click.BadParameter(
            f"{printable(fingerprint)} is no digest: 32 hex digits, in groups or not", param_hint="--fingerprint"
        )
    return digest


def _see(configuration: Configuration, planned: Planned, given: dict[str, Any], timeout: float) -> Seen:
    """Get the bundle as a service with this section would. Raises: Failure with why there is none."""
    section = planned.section
    with tempfile.TemporaryDirectory() as folder:
        if planned.new_file is not None:
            first = Path(folder) / "first.json"
            first.write_bytes(planned.content)
            section = section.with_values(bootstrap=str(first))
        settings = configuration.settings_with(section)
        looked = look(settings, timeout, asking=Asking.APART, only=section.trust_domain)
    status = next(one for one in looked.statuses if one.trust_domain == section.trust_domain)
    before = next(one for one in looked.before if one.trust_domain == section.trust_domain)
    if status.bundle is None or status.fault is not None or status.health is not BundleHealth.FRESH:
        why = f"{status.health.value}: {printable(status.reason)}"
        if status.health is BundleHealth.EMPTY and "socket" in section.values:
            why = (
                "the agent gives this account no key of it; is it that trust domain's agent, or does the account's "
                f"registration entry federate with it (-federatesWith {section.trust_domain.id})?"
            )
        raise Failure(f"{section.trust_domain}: {why}; nothing was written")
    proved_by = given["bootstrap"] or given["bootstrap_from"]
    is_polled = "url" in section.values
    return Seen(
        planned.section,
        status.bundle,
        earlier=before.bundle if is_polled else None,
        proved_by=None if proved_by is None else str(proved_by),
        unknown=tuple(one.trust_domain.name for one in looked.statuses if one.bundle is None),
    )


def _require_agreement(seen: Seen, wanted: str | None, *, asked: bool) -> None:
    """Raises: Failure unless somebody says that these are the right keys."""
    name = seen.section.trust_domain
    if wanted is not None:
        if wanted != seen.digest:
            raise Failure(
                f"the digest is {seen.digest}, not {wanted}: these are not the keys that were compared; nothing was "
                "written. Keys may have changed since; if not, somebody is between you and them"
            )
        return
    if not asked:
        return
    if not sys.stdin.isatty():
        raise Failure(
            "nobody is asked here, and nothing was written; compare the digest with the people of "
            f"{name}, then say --fingerprint {seen.digest}"
        )
    if not click.confirm(f"\nDo the people of {name} say {seen.digest} too? Then add it", err=True):
        raise Failure("nothing was written")


def _write(configuration: Configuration, planned: Planned) -> None:
    """The bootstrap bundle first, so that no section names a file that is not there. Raises: Failure."""
    from bridge.files.replacing import ChangedMeanwhile, replace_file

    file, named = configuration.as_read.path, printable(configuration.as_read.named)
    made = None
    try:
        if planned.new_file is not None:
            made = _create(planned.new_file, planned.content)
        raw = configuration.raw
        replace_file(file, raw + configuration.addition(planned.section), was=raw)
    except (ChangedMeanwhile, OSError) as error:
        if made is not None:
            made.unlink(missing_ok=True)
        words = f"{named} was changed by somebody else meanwhile; nothing was written: run it again"
        if isinstance(error, OSError):
            words = f"{error.filename or named} cannot be written ({error.strerror}); nothing was written: be its owner"
        raise Failure(words) from error


def _create(path: Path, content: bytes) -> Path:
    """Raises: OSError, also when somebody else has made it by now."""
    path.parent.mkdir(exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PUBLIC)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            # Public keys, for the service's account too, whatever this account's umask is.
            os.fchmod(stream.fileno(), _PUBLIC)
            stream.write(content)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return path


def _next_steps(configuration: Configuration, planned: Planned) -> list[str]:
    """What to do now, in commands that can be pasted as they stand."""
    name = planned.section.trust_domain
    config = shlex.quote(str(configuration.as_read.named))
    rules = configuration.settings.policy_directory / policy_file(name.name)
    begins = f'version = 1, source = "spiffe", trust_domain = "{name}"'
    return [
        f"{printable(rules)}: the rules for its workloads, none of which may do anything until then; it begins {begins}"
        if not rules.exists()
        else f"{printable(rules)}: look at the rules that are there for its workloads",
        f"bridge check --config {config}",
        "start the service again: it reads its configuration at the start only, SIGHUP does not do",
        f"bridge trust list --config {config}",
    ]


def _say_outcome(configuration: Configuration, planned: Planned, steps: list[str], dry_run: bool) -> None:
    named = printable(configuration.as_read.named)
    if dry_run:
        say(f"\nwould be written to the end of {named}:\n")
        if planned.new_file is not None:
            say(f"# and {printable(planned.new_file)}, from the file that was named")
        say(planned.section.toml().rstrip())
        return
    if planned.new_file is not None:
        say(f"created {printable(planned.new_file)}")
    say(f"written to the end of {named}\n\nnext:")
    for number, step in enumerate(steps, start=1):
        say(f"  {number}. {step}")
