"""`bridge lab`: the embedded SPIFFE authority, for development, tests and demonstrations."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bridge.cli.lab_resource import resource
from bridge.cli.options import Failure, json_option
from bridge.cli.output import emit_fields, emit_json, emit_json_line, emit_table, note, say

if TYPE_CHECKING:
    from bridge.lab.authority import Authority
    from bridge.lab.service import LabAddresses
    from bridge.lab.state import LabFolder

_Command = TypeVar("_Command", bound=Any)
_END_SECONDS = 10.0
_DETACH_LINES = 20


def dir_option(command: _Command) -> _Command:
    """`--dir DIR`, given to the command as `folder: Path`."""
    option = click.option(
        "--dir",
        "folder",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("lab"),
        show_default=True,
        metavar="DIR",
        help="The lab's folder. Keep it short: a socket's path has at most 107 bytes.",
    )
    made: _Command = option(command)
    return made


@click.group()
def lab() -> None:
    """Run an embedded SPIFFE authority: Workload API sockets, a bundle endpoint, SVIDs good and broken.

    For development and tests only: it attests nobody, and its keys lie in its folder.

    \b
    Example:
      bridge lab up --identity /ns/web/sa/api --detach
      bridge lab mint /ns/web/sa/api --audience https://127.0.0.1:8443
      bridge lab down
    """


lab.add_command(resource)


@lab.command()
@dir_option
@click.option("--trust-domain", metavar="NAME", help="The trust domain of a new lab.  [default: example.org]")
@click.option("--identity", "identities", multiple=True, metavar="PATH", help="A workload, with a socket of its own.")
@click.option("--federated", multiple=True, metavar="NAME=FILE", help="Another trust domain's bundle file.")
@click.option(
    "--jwt-alg",
    type=click.Choice(["ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]),
    default="ES256",
    show_default=True,
    help="How a new lab signs JWT-SVIDs.",
)
@click.option("--jwt-issuer", metavar="URL", help="The `iss` of a new lab's JWT-SVIDs; absent by default, as in SPIRE.")
@click.option("--intermediate/--no-intermediate", default=True, help="Whether a new lab has an intermediate CA.")
@click.option("--bundle-listen", default="127.0.0.1:0", show_default=True, metavar="HOST:PORT", help="Bundle endpoint.")
@click.option(
    "--bundle-profile",
    type=click.Choice(["https_web", "https_spiffe"]),
    default="https_web",
    show_default=True,
    help="How the bundle endpoint proves itself: by web-ca.pem, or by its X.509-SVID.",
)
@click.option("--detach", is_flag=True, help="Return once everything listens; `bridge lab down` ends it.")
@json_option
def up(
    folder: Path,
    trust_domain: str | None,
    identities: tuple[str, ...],
    federated: tuple[str, ...],
    jwt_alg: str,
    jwt_issuer: str | None,
    intermediate: bool,
    bundle_listen: str,
    bundle_profile: str,
    detach: bool,
    as_json: bool,
) -> int:
    """Run a lab until Ctrl-C. A folder that holds one goes on with its keys.

    \b
    Example:
      bridge lab up --trust-domain example.org --identity /ns/web/sa/api --identity /ns/pay/sa/batch
      bridge lab up --trust-domain factory.example --dir factory --bundle-profile https_spiffe --detach
    """
    from bridge.lab.service import LabOptions
    from bridge.lab.state import LabFolder

    if detach:
        same = [f"--dir={folder}", f"--bundle-listen={bundle_listen}", f"--jwt-alg={jwt_alg}"]
        same += [f"--bundle-profile={bundle_profile}"]
        same += [f"--identity={path}" for path in identities] + [f"--federated={pair}" for pair in federated]
        same += [f"--trust-domain={trust_domain}"] if trust_domain else []
        same += [f"--jwt-issuer={jwt_issuer}"] if jwt_issuer else []
        same += [] if intermediate else ["--no-intermediate"]
        return _detach(same, LabFolder(folder), as_json)
    host, _, port = bundle_listen.rpartition(":")
    if not host or not port.isdigit():
        raise click.BadParameter("write HOST:PORT", param_hint="--bundle-listen")
    options = LabOptions(identities, _federated(federated), host, int(port), by_svid=bundle_profile == "https_spiffe")
    new = {"jwt_alg": jwt_alg, "jwt_issuer": jwt_issuer, "intermediate": intermediate}
    return _serve(LabFolder(folder), trust_domain, options, new, as_json)


def _serve(folder: LabFolder, trust_domain: str | None, options: Any, new: dict[str, Any], as_json: bool) -> int:
    from bridge.lab.authority import Authority, wall_clock
    from bridge.lab.service import run
    from bridge.lab.state import LabRefused

    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        folder.make()
        if not folder.exists():
            folder.save(Authority(trust_domain or "example.org", clock=wall_clock, **new))
        authority = folder.load(wall_clock)
        if trust_domain not in (None, authority.trust_domain.name):
            raise LabRefused(f"{folder.path} holds trust domain {authority.trust_domain}; choose another --dir")
        run(folder, authority, options, clock=wall_clock, ready=lambda at: _tell(at, as_json), stop=stop)
    except (LabRefused, ValueError) as error:
        raise Failure(str(error)) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def _tell(addresses: LabAddresses, as_json: bool) -> None:
    """One JSON line or some lines for people; then nothing more, since a detached lab has no reader."""
    fields = asdict(addresses)
    if as_json:
        emit_json_line(fields)
    else:
        emit_fields({**{name: value for name, value in fields.items() if name != "sockets"}, **addresses.sockets})
        say("ready; Ctrl-C ends it")
    sys.stdout.flush()


def _detach(arguments: Sequence[str], folder: LabFolder, as_json: bool) -> int:
    """Start `up` with these options in a session of its own, and wait until it says that it is ready."""
    folder.make()
    with folder.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "bridge.cli.main", "lab", "up", "--json", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    assert process.stdout is not None
    with process.stdout:
        line = process.stdout.readline()
    if not line:
        process.wait()
        last = folder.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_DETACH_LINES:]
        raise Failure("the lab did not start:\n" + "\n".join(last))
    addresses = json.loads(line)
    # The lab outlives this command on purpose: say so, or the interpreter warns of a child left behind.
    process.returncode = 0
    if as_json:
        emit_json(addresses)
    else:
        sockets = addresses.pop("sockets")
        emit_fields({**addresses, **sockets})
        say(f"ready; `bridge lab down --dir {folder.path}` ends it")
    return 0


@lab.command()
@dir_option
@click.argument("identity", metavar="PATH")
@click.option("--audience", multiple=True, metavar="AUD", help="Mint a JWT-SVID for it, onto standard output.")
@click.option(
    "--x509",
    "into",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Mint an X.509-SVID into DIR.",
)
@click.option("--ttl", type=click.IntRange(min=1), default=300, show_default=True, metavar="SECONDS", help="Life.")
@click.option("--broken", metavar="NAME", help="Make it wrong in this way; `bridge lab broken` lists the names.")
@json_option
def mint(
    folder: Path,
    identity: str,
    audience: tuple[str, ...],
    into: Path | None,
    ttl: int,
    broken: str | None,
    as_json: bool,
) -> int:
    """Mint one SVID: a JWT-SVID onto standard output, or an X.509-SVID as PEM files. The lab need not run.

    \b
    Example:
      bridge lab mint /ns/web/sa/api --audience https://127.0.0.1:8443
      bridge lab mint /ns/web/sa/api --x509 svid
      bridge lab mint /ns/web/sa/api --audience https://127.0.0.1:8443 --broken expired
    """
    from bridge.lab.authority import wall_clock
    from bridge.lab.state import LabFolder, LabRefused
    from bridge.model.spiffe_id import InvalidSpiffeId

    if bool(audience) is (into is not None):
        raise click.UsageError("say what to mint: --audience AUD for a JWT-SVID, or --x509 DIR")
    try:
        authority = LabFolder(folder).load(wall_clock)
        spiffe_id = authority.spiffe_id(identity.removeprefix(authority.trust_domain.id))
        if into is None:
            return _mint_jwt(authority, spiffe_id.path, audience, ttl, broken, as_json)
        return _mint_x509(authority, spiffe_id.path, into, ttl, broken, as_json)
    except (LabRefused, InvalidSpiffeId) as error:
        raise Failure(str(error)) from error


def _mint_jwt(
    authority: Authority, path: str, audience: tuple[str, ...], ttl: int, broken: str | None, as_json: bool
) -> int:
    from bridge.lab.broken_jwt import BROKEN_JWT, mint_jwt

    if broken is None:
        token = authority.jwt_svid(path, audience, ttl=ttl)
    elif broken in {entry.name for entry in BROKEN_JWT}:
        token = mint_jwt(authority, broken, path, audience[0], ttl=ttl)
    else:
        raise Failure(f"there is no broken JWT-SVID {broken!r}; `bridge lab broken` lists them")
    if as_json:
        emit_json({"spiffe_id": str(authority.spiffe_id(path)), "jwt_svid": token, "broken": broken})
    else:
        say(token)
    return 0


def _mint_x509(authority: Authority, path: str, into: Path, ttl: int, broken: str | None, as_json: bool) -> int:
    from bridge.lab.broken_x509 import BROKEN_X509, mint_x509

    if broken is None:
        svid = authority.x509_svid(path, ttl=ttl)
    elif broken in {entry.name for entry in BROKEN_X509}:
        svid = mint_x509(authority, broken, path, ttl=ttl)
    else:
        raise Failure(f"there is no broken X.509-SVID {broken!r}; `bridge lab broken` lists them")
    chain, key = svid.write(into)
    fields = {"spiffe_id": str(svid.spiffe_id), "chain": str(chain), "private_key": str(key), "broken": broken}
    if as_json:
        emit_json(fields)
    else:
        emit_fields(fields)
    return 0


@lab.command("broken")
@json_option
def list_broken(as_json: bool) -> int:
    """List the broken SVIDs that `mint --broken` makes, and the rule that each breaks.

    \b
    Example:
      bridge lab broken
    """
    from bridge.lab.broken_jwt import BROKEN_JWT
    from bridge.lab.broken_x509 import BROKEN_X509

    rows = [("jwt-svid", entry.name, entry.clause, entry.why) for entry in BROKEN_JWT]
    rows += [("x509-svid", entry.name, entry.clause, entry.why) for entry in BROKEN_X509]
    headers = ("evidence", "name", "clause", "why")
    if as_json:
        emit_json([dict(zip(headers, row, strict=True)) for row in rows])
    else:
        emit_table(headers, rows)
    return 0


@lab.command()
@dir_option
@click.argument("kind", type=click.Choice(["jwt", "x509"]))
@click.option(
    "--stage",
    "stages",
    multiple=True,
    type=click.Choice(["prepare", "activate", "taint", "revoke"]),
    help="Only this step, as in SPIRE; may be repeated. Without it all four.",
)
@json_option
def rotate(folder: Path, kind: str, stages: tuple[str, ...], as_json: bool) -> int:
    """Rotate the JWT key or the CA. A running lab follows at once.

    \b
    Example:
      bridge lab rotate jwt
      bridge lab rotate x509 --stage prepare
    """
    from bridge.lab.authority import wall_clock
    from bridge.lab.rotation import StageRefused
    from bridge.lab.state import LabFolder, LabRefused

    try:
        with LabFolder(folder).change(wall_clock) as authority:
            (authority.rotate_jwt if kind == "jwt" else authority.rotate_x509)(*stages)
    except (LabRefused, StageRefused) as error:
        raise Failure(str(error)) from error
    fields = {
        "trust_domain": authority.trust_domain.name,
        "sequence": authority.sequence,
        "jwt_signs": authority.jwt_keys.active.kid,
        "jwt_published": [key.kid for key in authority.jwt_keys.published()],
        "x509_signs": authority.x509_keys.active.signer.key_id.hex(),
        "x509_published": [one.root.key_id.hex() for one in authority.x509_keys.published()],
    }
    if as_json:
        emit_json(fields)
    else:
        emit_fields(fields)
    return 0


@lab.command()
@dir_option
@json_option
def down(folder: Path, as_json: bool) -> int:
    """End a running lab. Its folder and keys stay; exit 1 when none runs.

    \b
    Example:
      bridge lab down
    """
    from bridge.lab.service import RunLock
    from bridge.lab.state import LabFolder, LabRefused

    try:
        pid = RunLock(LabFolder(folder)).end_holder(timeout=_END_SECONDS)
    except LabRefused as error:
        raise Failure(str(error)) from error
    if as_json:
        emit_json({"ended": pid})
    elif pid is None:
        note(f"no lab runs in {folder}")
    else:
        say(f"ended process {pid}")
    return 0 if pid is not None else 1


def _federated(pairs: Sequence[str]) -> dict[str, Path]:
    found = {}
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not equals or not name or not path:
            raise click.BadParameter(f"{pair!r}: write NAME=FILE", param_hint="--federated")
        found[name] = Path(path).absolute()
    return found
