"""The main job on a real SPIRE, told as it happens: `make demo-spire`.

Ends by itself: exit status 0 when everything went as the story says, 1 when not. Leaves no process and no file.
"""

# ruff: noqa: T201 - this is a command, its output is for its user.
from __future__ import annotations

import signal
import sys
from types import FrameType

from tests.live.client import Answer, part
from tests.live.service import BridgeService
from tests.live.spire_domain import BINARIES
from tests.live.spire_lab import OWN, PARTNER
from tests.live.stage import BATCH, FRONTEND, SETTLE, SYNC, Stage
from tests.live.trust_sources import agent


class WentWrong(Exception):
    """The story did not go as told."""


def say(text: str = "") -> None:
    print(text, flush=True)


def tell(stage: Stage, service: BridgeService) -> None:
    """Two workloads come for a token, a third is refused, a fourth is a partner's; then what the operator sees."""
    batch, settle, frontend = (stage.workload(path) for path in (BATCH, SETTLE, FRONTEND))
    say("four workloads have an entry in their SPIRE; the service has never heard of them\n")

    say(f"1. {stage.lab.own.spiffe_id(BATCH)} fetches a JWT-SVID and posts it to /token")
    token = batch.jwt_svid(service.issuer)
    say(f"   header {part(token, 0)}, claims {part(token, 1)}")
    by_jwt = service.client.token_by_jwt(token, scope="ledger.read")
    tell_granted(by_jwt)

    say(f"2. {stage.lab.own.spiffe_id(SETTLE)} fetches an X.509-SVID and connects with it")
    svid = settle.x509_svid()
    for role, certificate in zip(("leaf", "intermediate"), svid.certificates, strict=True):
        say(
            f"   {role:12} {certificate.subject.rfc4514_string()}, until {certificate.not_valid_after_utc:%H:%M:%S} UTC"
        )
    by_x509 = service.client.token_by_x509(svid, scope="ledger.read")
    tell_granted(by_x509)

    say(f"3. {stage.lab.own.spiffe_id(FRONTEND)} does what the first one did, but no rule names it")
    refused = service.client.token_by_jwt(frontend.jwt_svid(service.issuer), scope="ledger.read")
    if refused.status != 401:
        raise WentWrong(f"expected 401, got {refused.status} {dict(refused.body)}")
    (row,) = service.audit(refused.request_id)
    say(f"   refused: 401 {refused.body['error']}; the audit log knows the reason: {row['reason']}\n")

    say(f"4. {stage.lab.partner.spiffe_id(SYNC)} is of another trust domain, which has no agent here;")
    say(f"   the service polls its SPIRE's bundle endpoint (https_spiffe, port {stage.lab.partner.bundle_port})")
    sync = stage.workload(SYNC, stage.lab.partner)
    federated = service.client.token_by_jwt(sync.jwt_svid(service.issuer), scope="orders.read")
    tell_granted(federated)

    for answer, expected in ((by_jwt, 0), (by_x509, 0), (refused, 1), (federated, 0)):
        tell_explanation(service, answer, expected)
    say("$ bridge trust list")
    say(indent(service.command("trust", "list")))
    say("$ bridge clients list")
    say(indent(service.command("clients", "list")))
    registered = {record["subject"] for record in service.clients()}
    own, partner = stage.lab.domains
    if registered != {own.spiffe_id(BATCH), own.spiffe_id(SETTLE), partner.spiffe_id(SYNC)}:
        raise WentWrong(f"expected the records of all workloads but the third, found {sorted(registered)}")


def tell_granted(answer: Answer) -> None:
    if not answer.granted:
        raise WentWrong(f"expected a token, got {answer.status} {dict(answer.body)}")
    shown = {name: answer.claims[name] for name in ("sub", "aud", "scope", "cnf") if name in answer.claims}
    say(f"   token issued: {answer.body['token_type']}, {answer.body['expires_in']} s, {shown}\n")


def tell_explanation(service: BridgeService, answer: Answer, expected: int) -> None:
    words = ("policy", "explain", "--audit", answer.request_id)
    say(f"$ bridge {' '.join(words)}")
    status, output, errors = service.ask(*words)
    say(indent(output + errors))
    if status != expected:
        raise WentWrong(f"explain ended with {status}, expected {expected}")


def indent(text: str) -> str:
    return "".join(f"   {line}\n" for line in text.rstrip().splitlines())


def main() -> int:
    """Run the story; returns the exit status."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    if not (BINARIES / "spire-server").exists():
        say("SPIRE is not built: run spire-dev/build.sh")
        return 1
    say("starting SPIRE: servers and agents of example.org (with an intermediate CA) and partner.example")
    try:
        with Stage() as stage:
            service = stage.service({OWN: agent(stage.lab), PARTNER: stage.endpoints()[PARTNER]})
            say(f"starting the service as a workload of its own ({stage.service_account.selector})")
            try:
                service.start()
                say(f"it listens on {service.issuer}; example.org's bundle comes from the agent")
                tell(stage, service)
            finally:
                status = service.stop()
            if status != 0:
                raise WentWrong(f"the service ended with {status}\n{service.log}")
    except (AssertionError, WentWrong) as error:
        say(f"went wrong: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 1
    say("all processes ended, all files removed")
    return 0


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
