"""Requests that are refused for one thing: the doctor gives the reason that the service logs, and the right thing to
change. Each beside a twin that differs in that thing, which both accept."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from bridge.ambient import new_id
from bridge.doctor.report import Outcome
from bridge.lab.jws import to_json
from bridge.model.reasons import Reason
from bridge.observe.log import line_format
from tests.flows.client import jwt_fields
from tests.flows.clinic import STRICT_ISSUER, Clinic, Visit
from tests.flows.dpop import DpopKey
from tests.flows.stand import LEDGER, ORDERS

ID = "spiffe://example.org"
Chain = tuple[bytes, ...]
KEY = DpopKey()


@dataclass(frozen=True, slots=True)
class Case:
    """`broken` and `sound` make the two visits; `before` is what happened until then. `fix`: the words of the advice on
    which it turns."""

    name: str
    reason: Reason
    fix: str
    broken: Callable[[Clinic], Visit]
    sound: Callable[[Clinic], Visit] | None = None
    before: Callable[[Clinic], object] = lambda clinic: None


def at(path: str, **fields: str) -> Callable[[Clinic], Visit]:
    """A JWT-SVID of example.org, and what is asked with it."""
    return lambda clinic: Visit(clinic.stand.jwt(path), fields)


def aimed(audience: str) -> Callable[[Clinic], Visit]:
    """A JWT-SVID for another audience; `{}` stands for the issuer."""
    return lambda clinic: Visit(
        clinic.stand.jwt("/ns/web/sa/aims", audience=audience.format(clinic.stand.client.issuer))
    )


def stated(audience: str = "{}/register", ttl: int = 300) -> Callable[[Clinic], Visit]:
    """A JWT-SVID as statement at /register."""

    def make(clinic: Clinic) -> Visit:
        svid = clinic.stand.jwt("/ns/web/sa/enrols", audience=audience.format(clinic.stand.client.issuer), ttl=ttl)
        return Visit(svid, door="register")

    return make


def written_to(edit: Callable[[str], str]) -> Callable[[Clinic], Visit]:
    """A JWT-SVID for the issuer, spelled otherwise."""
    return lambda clinic: Visit(clinic.stand.jwt("/ns/web/sa/aims", audience=edit(clinic.stand.client.issuer)))


def told(ttl: int = 300, **beside_now: int) -> Callable[[Clinic], Visit]:
    """A JWT-SVID that says these times, in seconds beside now."""

    def make(clinic: Clinic) -> Visit:
        moments = {name: clinic.clock() + offset for name, offset in beside_now.items()}
        return Visit(clinic.stand.jwt("/ns/web/sa/told", ttl=ttl, claims=moments))

    return make


def of(name: str, path: str = "/ns/web/sa/guest", **claims: object) -> Callable[[Clinic], Visit]:
    """A JWT-SVID of another configured trust domain."""
    return lambda clinic: Visit(clinic.ward.others[name].jwt_svid(path, clinic.stand.client.issuer, claims=claims))


def by_chain(path: str, edit: Callable[[Chain], Chain] = lambda chain: chain) -> Callable[[Clinic], Visit]:
    """An X.509-SVID of example.org, its chain edited."""
    return lambda clinic: Visit(edit(clinic.stand.authority.x509_svid(path).chain))


def only_chain(name: str) -> Callable[[Clinic], Visit]:
    """An X.509-SVID of another configured trust domain."""
    return lambda clinic: Visit(clinic.ward.others[name].x509_svid("/ns/web/sa/guest").chain)


def written(edit: Callable[[str], str], path: str = "/ns/web/sa/writes") -> Callable[[Clinic], Visit]:
    """A JWT-SVID whose text was edited on its way."""
    return lambda clinic: Visit(edit(clinic.stand.jwt(path)))


def signed(name: str, header: dict[str, object], *, about: str | None = None) -> Callable[[Clinic], Visit]:
    """A JWT-SVID that this trust domain signed under this header, about its own workload or another's."""

    def make(clinic: Clinic) -> Visit:
        authority = clinic.ward.others[name]
        claims = {
            "sub": f"spiffe://{about or name}.example/ns/web/sa/guest",
            "aud": clinic.stand.client.issuer,
            "exp": clinic.clock() + 300,
        }
        return Visit(authority.jwt_keys.active.sign({"alg": "ES256", **header}, to_json(claims)))

    return make


def operated(*words: str) -> Callable[[Clinic], object]:
    return lambda clinic: clinic.operate(*words)


def asked(clinic: Clinic, svid: str) -> dict[str, Any]:
    """What a workload is answered that asks for a token with this SVID."""
    answer = clinic.process.call(urlencode(jwt_fields(svid)).encode(), request_id=new_id())
    body: dict[str, Any] = json.loads(answer.body)
    return body


def comes(clinic: Clinic, svid: str) -> str:
    """A workload asks for a token with this SVID."""
    asked(clinic, svid)
    return svid


def approved(clinic: Clinic, path: str) -> None:
    """A workload that an operator has let in."""
    comes(clinic, clinic.stand.jwt(path))
    assert clinic.operate("clients", "approve", ID + path)[0] == 0


CASES = (
    Case("SCA-6 slash behind", Reason.JWT_AUDIENCE, "Take the slash off", aimed("{}/"), aimed("{}")),
    Case("SCA-6 token URL", Reason.JWT_AUDIENCE, "not the URL of an endpoint", aimed("{}/token"), aimed("{}")),
    Case("SCA-6 upper case", Reason.JWT_AUDIENCE, "upper and lower case", written_to(str.upper), aimed("{}")),
    Case("T-22 a statement at /token", Reason.JWT_AUDIENCE, "--door register", aimed("{}/register"), aimed("{}")),
    Case("DCR-16 the issuer at /register", Reason.JWT_AUDIENCE, "URL of /register", stated(audience="{}"), stated()),
    Case("DCR-35 a statement of an hour", Reason.STATEMENT_LIFETIME, "-jwtSVIDTTL", stated(ttl=3000), stated()),
    Case("SCA-4 ended a minute ago", Reason.JWT_EXPIRED, "the clocks (NTP)", told(ttl=-60, iat=-360), told()),
    Case("SCA-4 lives for 20 s", Reason.JWT_EXPIRED, "-jwtSVIDTTL of the entry", told(ttl=-60, iat=-80), told()),
    Case("SCA-4 begins in 2m", Reason.JWT_NOT_YET_VALID, "2m from now", told(nbf=120), told(nbf=20)),
    Case(
        "SPIFFE-14 a blank behind",
        Reason.CREDENTIAL_MALFORMED,
        "line ends out",
        written(lambda text: f"{text} "),
        written(str),
    ),
    Case(
        "SPIFFE-14 a JWE's five parts",
        Reason.CREDENTIAL_MALFORMED,
        "JWE",
        written(lambda text: f"{text}.AAAA.AAAA"),
        written(str),
    ),
    Case(
        "SCA-29 wrong iss",
        Reason.JWT_ISSUER,
        STRICT_ISSUER,
        of("strict", iss="https://elsewhere.example"),
        of("strict"),
    ),
    Case(
        "SCA-29 iss of a number", Reason.JWT_ISSUER, "jwt_issuer of the SPIRE server", of("strict", iss=7), of("strict")
    ),
    Case("SPIFFE-24 bundle never read", Reason.BUNDLE_UNAVAILABLE, "it cannot be read", of("gone"), of("partner")),
    Case("SPIFFE-22 keys without use", Reason.BUNDLE_EMPTY, '"use": "jwt-svid"', of("oidc"), of("partner")),
    Case("SPIFFE-22 no CA", Reason.BUNDLE_EMPTY, '"use": "x509-svid"', only_chain("oidc"), only_chain("partner")),
    Case("SPIFFE-17 no kid, two keys", Reason.JWT_KEY_AMBIGUOUS, "kid", signed("twins", {}), signed("partner", {})),
    Case(
        "SPIFFE-18 a weak key",
        Reason.JWT_KEY_UNFIT,
        "RSA of 2048 bits",
        signed("twins", {"kid": "weak"}),
        signed("partner", {}),
    ),
    Case(
        "SPIFFE-18 a key of another kind",
        Reason.JWT_SIGNATURE,
        "the only one that could be",
        signed("partner", {}, about="strict"),
        of("strict"),
    ),
    Case(
        "SCA-16 the intermediate first",
        Reason.SPIFFE_ID_INVALID,
        "Put the leaf first",
        by_chain("/ns/web/sa/order", lambda chain: chain[::-1]),
        by_chain("/ns/web/sa/order"),
    ),
    Case(
        "SPIFFE-10 the leaf alone",
        Reason.X509_PATH,
        "Send the intermediates",
        by_chain("/ns/web/sa/order", lambda chain: chain[:1]),
        by_chain("/ns/web/sa/order"),
    ),
    Case(
        "SPIFFE-10 no certificate",
        Reason.CREDENTIAL_MALFORMED,
        "exactly as the Workload API gave it",
        by_chain("/ns/web/sa/order", lambda chain: (chain[0][:-9],)),
        by_chain("/ns/web/sa/order"),
    ),
    Case("no rule", Reason.POLICY_NO_RULE, "does not match", at("/ns/none/sa/a"), at("/ns/web/sa/a")),
    Case(
        "another evidence",
        Reason.POLICY_NO_RULE,
        "evidence is jwt-svid",
        at("/ns/payments/sa/a"),
        by_chain("/ns/payments/sa/a"),
    ),
    Case("a deny", Reason.POLICY_DENY_RULE, "no-intruder", at("/ns/web/sa/intruder"), at("/ns/web/sa/a")),
    Case(
        "a scope too many",
        Reason.POLICY_SCOPE,
        "web-reads-ledger",
        at("/ns/web/sa/a", scope="ledger.write"),
        at("/ns/web/sa/a", scope="ledger.read"),
    ),
    Case(
        "a scope that is not there",
        Reason.POLICY_SCOPE,
        "ledger.reed",
        at("/ns/web/sa/a", scope="ledger.reed"),
        at("/ns/web/sa/a", scope="ledger.read"),
    ),
    Case(
        "no resource named",
        Reason.POLICY_RESOURCE,
        f"{LEDGER}",
        at("/ns/both/sa/a"),
        at("/ns/both/sa/a", resource=LEDGER),
    ),
    Case(
        "another resource",
        Reason.POLICY_RESOURCE,
        "web-reads-ledger",
        at("/ns/web/sa/a", resource=ORDERS),
        at("/ns/web/sa/a", resource=LEDGER),
    ),
    Case(
        "no proof",
        Reason.POLICY_PROOF,
        "DPoP proof",
        at("/ns/edge/sa/a"),
        lambda c: Visit(c.stand.jwt("/ns/edge/sa/a"), key=KEY),
    ),
    Case(
        "an instance without its key",
        Reason.POLICY_PROOF,
        "DPoP proof",
        at("/ns/jobs/sa/a"),
        lambda c: Visit(c.stand.jwt("/ns/jobs/sa/a"), key=KEY),
    ),
    Case(
        "SCA-12 another client_id",
        Reason.CLIENT_ID_MISMATCH,
        f"{ID}/ns/web/sa/a",
        at("/ns/web/sa/a", client_id="batch"),
        at("/ns/web/sa/a", client_id=f"{ID}/ns/web/sa/a"),
    ),
    Case(
        "ROFU-24 denied",
        Reason.IDENTITY_DENIED,
        "bridge clients undeny",
        at("/ns/web/sa/denied"),
        at("/ns/web/sa/a"),
        operated("clients", "deny", f"{ID}/ns/web/sa/denied"),
    ),
    Case(
        "ROFU-12 waits",
        Reason.APPROVAL_PENDING,
        "bridge clients approve",
        at("/ns/research/sa/waits"),
        at("/ns/research/sa/b"),
        lambda c: approved(c, "/ns/research/sa/b"),
    ),
    Case(
        "T-41 one record is all",
        Reason.LIMIT_REACHED,
        "records_per_trust_domain",
        of("tiny", "/ns/web/sa/second"),
        of("tiny", "/ns/web/sa/first"),
        lambda c: comes(c, str(of("tiny", "/ns/web/sa/first")(c).svid)),
    ),
    Case(
        "SCA-10 T-21 used before",
        Reason.CREDENTIAL_REPLAYED,
        "Fetch a new SVID",
        lambda c: Visit(comes(c, c.stand.jwt("/ns/once/sa/used"))),
        at("/ns/once/sa/used"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_doctor_says_of_a_refused_request_what_the_service_logs(
    clinic: Clinic, case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    case.before(clinic)
    if case.sound is not None:
        sound = case.sound(clinic)
        assert clinic.diagnose(sound).reason is None
        assert clinic.serve(sound, caplog)[1] is None
    broken = case.broken(clinic)
    diagnosis = clinic.diagnose(broken)
    _, logged = clinic.serve(broken, caplog)
    decisive = diagnosis.decisive
    assert decisive is not None
    assert (diagnosis.reason, decisive.reason, logged) == (case.reason, case.reason, case.reason.value)
    assert case.fix in decisive.advice


def test_what_hangs_on_nothing_is_looked_at_behind_a_failure(clinic: Clinic) -> None:
    """An old token for somebody else, of whom no rule speaks: all three are said at once, and none is verified."""
    svid = clinic.stand.jwt("/ns/none/sa/a", audience="https://other.example", ttl=-3600)
    diagnosis = clinic.diagnose(Visit(svid))
    failed = {finding.name: finding.reason for finding in diagnosis.findings if finding.outcome is Outcome.FAILED}
    assert failed == {
        "times": Reason.JWT_EXPIRED,
        "audience": Reason.JWT_AUDIENCE,
        "policy": Reason.POLICY_NO_RULE,
    }
    assert diagnosis.reason is Reason.JWT_EXPIRED
    assert not diagnosis.is_verified


def test_what_hangs_on_a_failure_is_not_looked_at(clinic: Clinic) -> None:
    diagnosis = clinic.diagnose(Visit("hello"))
    outcomes = {finding.name: finding.outcome for finding in diagnosis.findings}
    assert outcomes.pop("form") is Outcome.FAILED
    assert set(outcomes.values()) == {Outcome.NOT_REACHED}
    assert diagnosis.subject == ""


def test_the_doctor_leaves_no_trace_and_spends_nothing(clinic: Clinic, caplog: pytest.LogCaptureFixture) -> None:
    """No record, no audit row, no token of a bucket, no mark of use: what it accepted is accepted afterwards."""
    store = clinic.process.worker._store
    fresh, once = Visit(clinic.stand.jwt("/ns/web/sa/traceless")), Visit(clinic.stand.jwt("/ns/once/sa/traceless"))
    waiting = Visit(clinic.stand.jwt("/ns/research/sa/traceless"))

    def seen() -> tuple[object, ...]:
        return (
            clinic.records(),
            clinic.last_row(),
            store.buckets.use(now=clinic.clock()),
            store.clients.waiting(limit=99),
        )

    before = seen()
    for _ in range(2):
        assert clinic.diagnose(fresh).accepted
        assert clinic.diagnose(once).accepted
        assert clinic.diagnose(waiting).reason is Reason.APPROVAL_PENDING
    assert seen() == before
    assert clinic.serve(once, caplog) == (200, None)
    assert clinic.diagnose(once).reason is Reason.CREDENTIAL_REPLAYED


def test_the_id_of_a_refusal_by_the_rules_leads_to_all_of_it(clinic: Clinic) -> None:
    identifier = str(asked(clinic, clinic.stand.jwt("/ns/none/sa/by-id"))["error_id"])
    code, said = clinic.operate("doctor", identifier, "--json")
    answer = json.loads(said)
    assert (code, answer["reason"], answer["verified"]) == (1, "policy_no_rule", True)
    assert answer["subject"] == f"{ID}/ns/none/sa/by-id"


def test_the_id_of_a_refused_credential_leads_to_its_line_in_the_log(clinic: Clinic, tmp_path: Path) -> None:
    """In the very form in which the service writes it, whatever the credential says of itself."""
    log, logger = tmp_path / "bridge.log", logging.getLogger("bridge.web")
    handler = logging.FileHandler(log)
    handler.setFormatter(line_format())
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        svid = clinic.stand.jwt("/ns/web/sa/by-log", audience="https://other.example/\x1b[2J")
        identifier = str(asked(clinic, svid)["error_id"])
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
        handler.close()
    assert clinic.operate("doctor", "A" * 22, "--log", str(log))[0] == 1
    code, said = clinic.operate("doctor", identifier, "--log", str(log), "--json")
    answer = json.loads(said)
    assert (code, answer["reason"], answer["verified"]) == (1, "jwt_audience", False)
    assert "other.example" in said
    assert "\x1b" not in said
