"""A service without any agent: example.org's bundle over https_web, partner.example's over https_spiffe."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from datetime import datetime

import pytest

from tests.live.client import Answer
from tests.live.credentials import Credential, Presenter, ask
from tests.live.identities import Workload
from tests.live.processes import wait_until
from tests.live.rotation import JwtAuthority
from tests.live.service import BridgeService, is_invalid_client, is_unavailable
from tests.live.spire_domain import SpireDomain
from tests.live.spire_lab import OWN, PARTNER, PROFILES
from tests.live.stage import BATCH, SYNC, Stage
from tests.live.stolen_keys import StolenKeys
from tests.live.traffic import Traffic

HINT = 60
"""SPIRE's refresh hint in both configurations, in seconds; a poll comes up to a tenth earlier."""
EARLY_SECONDS = 20.0
"""An unknown `kid` has an endpoint asked at most once in 5 s; the rest is for a busy machine. Less than the hint."""
BACK_SECONDS = 60.0

both_profiles = pytest.mark.parametrize("trust_domain", [OWN, PARTNER], ids=PROFILES.get)
both_kinds = pytest.mark.parametrize("kind", ["jwt", "x509"])


@pytest.fixture(scope="module")
def service(stage: Stage) -> Iterator[BridgeService]:
    """A running service that has only the endpoints, asked as often as they say."""
    with stage.service(stage.endpoints()).running() as service:
        yield service


def _domain(stage: Stage, trust_domain: str) -> SpireDomain:
    return stage.lab.own if trust_domain == OWN else stage.lab.partner


def _workload(stage: Stage, trust_domain: str) -> Workload:
    return stage.workload(BATCH if trust_domain == OWN else SYNC, _domain(stage, trust_domain))


def moment(text: str) -> float:
    """Epoch seconds of an RFC 3339 time."""
    return datetime.fromisoformat(text).timestamp()


@both_kinds
@both_profiles
def test_a_first_use_is_decided_by_the_rules_of_its_trust_domain(
    stage: Stage, service: BridgeService, trust_domain: str, kind: str
) -> None:
    """SCA-28, ROFU-1: with SPIRE's own SVID, the intermediate of example.org and none of partner.example."""
    answer = Presenter(_workload(stage, trust_domain), kind).ask(service)
    assert answer.granted, answer
    expected = {OWN: (BATCH, "ledger.read"), PARTNER: (SYNC, "orders.read")}[trust_domain]
    subject = f"spiffe://{trust_domain}{expected[0]}"
    assert (answer.claims["sub"], answer.claims["client_id"], answer.claims["scope"]) == (subject, subject, expected[1])


@both_kinds
def test_the_keys_of_one_trust_domain_do_not_speak_for_another(stage: Stage, service: BridgeService, kind: str) -> None:
    """T-12, SCA-27: the partner's very keys, taken from its server, and two SVIDs that differ in the trust domain."""
    keys = StolenKeys(stage.lab.partner)

    def present(spiffe_id: str) -> Answer:
        return ask(service, keys.jwt_svid(spiffe_id, service.issuer) if kind == "jwt" else keys.x509_svid(spiffe_id))

    assert present(stage.lab.partner.spiffe_id(SYNC)).granted
    for path in (BATCH, SYNC):
        refused = present(stage.lab.own.spiffe_id(path))
        assert is_invalid_client(refused), refused
        (event,) = [one for one in service.events("refused") if one["correlation_id"] == refused.request_id]
        assert event["reason"] == {"jwt": "jwt_key_unknown", "x509": "x509_path"}[kind]


def test_the_partner_does_not_profit_from_our_rules(stage: Stage, service: BridgeService) -> None:
    """T-12: the same path, the same request; only the trust domain differs."""
    ours, theirs = (Presenter(stage.workload(BATCH, domain), "jwt") for domain in stage.lab.domains)
    assert ours.ask(service).granted
    refused = theirs.ask(service)
    assert is_invalid_client(refused), refused
    rows = service.audit(refused.request_id)
    assert [(row["subject"], row["reason"]) for row in rows] == [(stage.lab.partner.spiffe_id(BATCH), "policy_no_rule")]


@both_profiles
def test_trust_list_says_what_the_server_says(stage: Stage, service: BridgeService, trust_domain: str) -> None:
    """SPIFFE-24, 25, 26: each key, the sequence, and the times that follow from SPIRE's hint."""
    domain = _domain(stage, trust_domain)
    service.command("trust", "refresh", trust_domain)
    listed, authorities = service.trust()[trust_domain], domain.authorities()

    assert (listed["source"], listed["state"], listed["reason"]) == (PROFILES[trust_domain], "fresh", "")
    assert set(listed["x509_authorities"]) == authorities["x509"]
    assert set(listed["jwt_authorities"]) == authorities["jwt"]
    assert listed["sequence"] == domain.bundle().get("spiffe_sequence")
    fetched = moment(listed["fetched_at"])
    assert HINT * 0.9 - 1 <= moment(listed["refresh_at"]) - fetched <= HINT
    assert moment(listed["stale_at"]) - fetched == 86400
    assert service.ask("trust", "diff", trust_domain)[0] == 0


@both_profiles
def test_a_key_that_was_just_activated_is_taken_long_before_the_next_poll(
    stage: Stage, service: BridgeService, trust_domain: str
) -> None:
    """SPIFFE-34: its unknown `kid` has the endpoint asked early, for all workers."""
    domain, path = _domain(stage, trust_domain), BATCH if trust_domain == OWN else SYNC
    service.command("trust", "refresh", trust_domain)
    due = moment(service.trust()[trust_domain]["refresh_at"])
    authority = JwtAuthority(domain)
    new = authority.prepare()
    wait_until(lambda: new in domain.published()["jwt"], seconds=EARLY_SECONDS, what="the endpoint has the key")
    authority.activate(new)
    minted = domain.mint_jwt(path, service.issuer)

    wait_until(lambda: service.client.token_by_jwt(minted).granted, seconds=EARLY_SECONDS, what="the key is known")
    assert time.time() < due, "this was the scheduled poll"
    assert service.takes_jwt(minted), "what one worker fetched acts in all"
    assert new in service.trust()[trust_domain]["jwt_authorities"]


def test_without_its_endpoint_a_trust_domain_serves_until_max_stale_and_comes_back_by_itself(stage: Stage) -> None:
    """SPIFFE-24, F-6: over a restart too; then 503 with its reason wherever one looks; the other one never suffers."""
    trust = stage.endpoints(refresh_min="1s", refresh_max="2s")
    service = stage.service(trust)
    partner = _workload(stage, PARTNER)
    began = time.monotonic()
    service.start()
    try:
        start_seconds = time.monotonic() - began
        held = partner.jwt_svid(service.issuer), partner.x509_svid()
        assert all(ask(service, each).granted for each in held)
        stage.lab.partner.server.stop()
        try:
            assert service.stop() == 0, service.log
            # Longer than a start takes here now, and no longer than this test has to wait.
            stale = f"{math.ceil(3 * start_seconds) + 8}s"
            service.configure({name: {**section, "max_stale": stale} for name, section in trust.items()})
            service.start()
            with Traffic(lambda: Presenter(_workload(stage, OWN), "jwt").ask(service)) as traffic:
                _serves_until_stale(service, held)
                _shows_what_is_wrong(stage, service, held)
                traffic.flows()
        finally:
            stage.lab.partner.start_server()
            stage.lab.partner.server_ready()
        wait_until(
            lambda: all(ask(service, each).granted for each in held), seconds=BACK_SECONDS, what="it is back by itself"
        )
        assert {row["state"] for row in service.trust().values()} == {"fresh"}
    finally:
        status = service.stop()
    assert status == 0, service.log


def _serves_until_stale(service: BridgeService, held: Sequence[Credential]) -> None:
    """Each request that is answered before the time that `trust list` names is granted, each one that begins after it
    is not."""
    assert all(ask(service, each).granted for each in held), "the last good bundle is in the store"
    listed = service.trust()[PARTNER]
    stale_at = moment(listed["stale_at"])

    def is_stale() -> bool:
        begun = time.time()
        answers = [ask(service, each) for each in held]
        if time.time() < stale_at:
            assert all(answer.granted for answer in answers), answers
        if begun < stale_at:
            return False
        assert all(is_unavailable(answer) for answer in answers), answers
        return True

    wait_until(is_stale, seconds=stale_at - time.time() + BACK_SECONDS, what="the bundle is stale")


def _shows_what_is_wrong(stage: Stage, service: BridgeService, held: Sequence[Credential]) -> None:
    """The answer says when to come again; log, readiness and `trust` say which endpoint did not answer, and how."""
    url = f"https://127.0.0.1:{stage.lab.partner.bundle_port}/"
    refused = ask(service, held[0])
    assert is_unavailable(refused), refused
    (event,) = [one for one in service.events("refused") if one["correlation_id"] == refused.request_id]
    assert event["reason"] == "bundle_unavailable"
    assert "past max_stale" in event["detail"]
    assert url in event["detail"]

    listed = service.trust()
    assert {name: row["state"] for name, row in listed.items()} == {OWN: "fresh", PARTNER: "stale"}
    assert (listed[OWN]["reason"], listed[PARTNER]["fault"]) == ("", "unreachable")
    assert url in listed[PARTNER]["reason"]
    shown = json.loads(service.command("trust", "show", PARTNER, "--json"))
    assert (shown["state"], shown["url"]) == ("stale", url)
    assert len(shown["keys"]) == len(listed[PARTNER]["x509_authorities"]) + len(listed[PARTNER]["jwt_authorities"])

    detail = service.readiness()["parts"]["bundles"]
    assert (detail["ready"], detail[OWN]["state"], detail[PARTNER]["state"]) == (True, "fresh", "stale")
    assert url in detail[PARTNER]["reason"]
