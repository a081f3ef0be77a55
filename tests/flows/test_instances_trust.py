"""What an instance hangs on: who vouched for it, the rules, its limits, and what it promised."""

from __future__ import annotations

import json
from collections.abc import Callable

from bridge.app import Worker
from bridge.config import load_settings
from tests.flows.dpop import DpopKey
from tests.flows.enrolling import CI, MORE_RULES, Reply, own_jwks
from tests.flows.stand import LEDGER, RULES
from tests.flows.timed import HOUR, ID, INSTANCE_RULES, LEEWAY, MINUTE, Timed

JOB, AGENT = "/ns/jobs/sa/nightly", "/ns/agents/sa/helper"
Make = Callable[..., Timed]


def proof(service: Timed, key: DpopKey) -> tuple[bytes, bytes]:
    return b"dpop", key.proof("POST", service.stand.endpoint, iat=service.clock()).encode()


# --- who vouched ------------------------------------------------------------------------------------


def publish(service: Timed, keys: list[object]) -> None:
    """A bundle with these keys, as the trust domain's own word."""
    bundle = {"keys": keys, "spiffe_sequence": service.stand.authority.sequence + 1}
    (service.stand.folder / "bundles/example.org.json").write_text(json.dumps(bundle))
    service.look()


def test_an_emptied_bundle_ends_what_hangs_on_it_T_19(timed: Make) -> None:
    service, key = timed(), DpopKey()
    issued = service.by_jwt(AGENT, key=key)
    name = issued.claims["client_id"]
    assert service.by_key(key, name).status == 200
    publish(service, [])
    service.stand.until(lambda: service.by_key(key, name).status != 200, "the bundle is read")
    assert service.by_key(key, name).error == (401, "invalid_client")
    service.stand.publish_bundle()
    service.look()
    service.stand.until(lambda: service.by_key(key, name).status == 200, "the bundle is read")


def test_a_bundle_past_max_stale_is_unavailable_and_no_refusal_of_the_client_F_6(timed: Make) -> None:
    service, key = timed(trust='max_stale = "2h"\n'), DpopKey()
    name = service.by_x509(service.stand.authority.x509_svid(JOB, ttl=6 * HOUR), key=key).claims["client_id"]
    (service.stand.folder / "bundles/example.org.json").unlink()
    service.look()
    assert service.by_key(key, name).status == 200, "the last good one stands"
    service.clock.offset += 2 * HOUR + MINUTE
    answer = service.by_key(key, name)
    assert answer.error == (503, "temporarily_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    service.stand.publish_bundle()
    service.look()
    service.stand.until(lambda: service.by_key(key, name).status == 200, "the bundle is read")


def test_a_trust_domain_that_is_taken_out_ends_its_instances(timed: Make) -> None:
    service, key = timed(), DpopKey()
    name = service.by_jwt(AGENT, key=key).claims["client_id"]
    assert service.by_key(key, name).status == 200
    service.process.worker.close()
    config = service.stand.config
    config.write_text(
        config.read_text().replace('[trust_domains."example.org"]', '[trust_domains."elsewhere.example"]')
    )
    service.stand.policies.joinpath("example.org.toml").unlink()
    (service.stand.policies / "elsewhere.example.toml").write_text(
        RULES.replace('trust_domain = "example.org"', 'trust_domain = "elsewhere.example"')
    )
    service.process.settings = load_settings(config)
    service.process.worker = Worker(service.process.settings)
    service.process.worker.start()
    assert service.by_key(key, name).error == (401, "invalid_client")
    assert service.by_jwt(AGENT, key=key).error == (401, "invalid_client")


# --- instances of a pinned issuer's clients -----------------------------------------------------------

RUNNERS = f"""
[[rule]]
id = "runners-are-instances"
why = "each runner of the CI system is told apart"
effect = "allow"
when = {{ issuer = "{CI}", subject = "runner" }}
grant = {{ resources = ["{LEDGER}"], scopes = ["ledger.read"], client = "instance" }}
"""


def by_statement(service: Timed, key: DpopKey | None) -> Reply:
    now = service.clock()
    statement = service.stand.statement("runner", {"iat": now, "exp": now + 300})
    return service.register({"software_statement": statement}, *([] if key is None else [proof(service, key)]))


def test_a_pinned_issuer_s_client_may_be_one_per_instance_and_lives_as_long_as_the_statement(timed: Make) -> None:
    service, key = timed(), DpopKey()
    rules = service.stand.policies / "software-statements.toml"
    rules.write_text(rules.read_text() + RUNNERS)
    service.look()
    keyless = by_statement(service, None)
    assert keyless.error == (400, "invalid_client_metadata")
    assert "DPoP proof" in keyless.body["error_description"]
    name = by_statement(service, key).registered["client_id"]
    sibling = by_statement(service, DpopKey()).registered["client_id"]
    assert name.startswith("instance-")
    assert name != sibling
    (parent,) = {client["parent"] for client in service.clients() if client["kind"] == "instance"}
    assert {client["client_id"] for client in service.clients("--parent", parent)} == {name, sibling}
    claims = service.by_key(key, name).claims
    assert (claims["client_id"], claims["exp"] <= service.clock() + 300 + LEEWAY) == (name, True)
    service.after(300 + LEEWAY + 1)
    assert service.by_key(key, name).error == (401, "invalid_client")
    assert by_statement(service, key).registered["client_id"] == name
    token = service.by_key(key, name).body["access_token"]
    assert service.operate("clients", "deny", parent)[0] == 0
    assert not service.is_active(token)
    assert service.by_key(key, name).error == (401, "invalid_client")
    for one in (key, DpopKey()):
        assert by_statement(service, one).error == (400, "unapproved_software_statement")
    assert service.operate("clients", "undeny", parent)[0] == 0
    assert by_statement(service, key).registered["client_id"] == name


# --- the rules --------------------------------------------------------------------------------------


def test_instances_of_a_rule_that_gives_one_client_now_are_no_clients_any_more(timed: Make) -> None:
    service, key = timed(), DpopKey()
    issued = service.by_jwt(AGENT, key=key)
    name = issued.claims["client_id"]
    rules = RULES + MORE_RULES + INSTANCE_RULES
    service.stand.write_rules(rules.replace(', client = "instance", lease = "1h"', ""))
    service.look()
    assert service.by_key(key, name).error == (401, "invalid_client")
    assert service.by_jwt(AGENT, client_id=name).error == (401, "invalid_client")
    assert service.by_jwt(AGENT, key=key).claims["client_id"] == ID + AGENT
    assert service.is_active(issued.body["access_token"]), "what was given under the old rules ends by itself"
    service.stand.write_rules(rules)
    service.look()
    assert service.by_key(key, name).claims["client_id"] == name


def test_recheck_names_instances_that_nobody_can_use_any_more_and_ends_them(timed: Make) -> None:
    service, key = timed(), DpopKey()
    issued, kept = service.by_jwt(AGENT, key=key), service.by_jwt(JOB, key=key)
    name = issued.claims["client_id"]
    code, said = service.operate("clients", "recheck")
    assert (code, name in said) == (0, False)
    rules = RULES + MORE_RULES + INSTANCE_RULES
    service.stand.write_rules(rules.replace(', client = "instance", lease = "1h"', ""))
    service.look()
    code, said = service.operate("clients", "recheck", "--json")
    assert code == 1
    assert [(row["client_id"], row["outcome"]) for row in json.loads(said)] == [(name, "other_client")]
    assert service.standing(name) == "active", "showing changes nothing"
    assert service.operate("clients", "recheck", "--apply")[0] == 0
    assert service.standing(name) == "revoked"
    assert not service.is_active(issued.body["access_token"])
    assert service.is_active(kept.body["access_token"])


def test_a_deny_rule_reaches_instances_that_come_by_their_own_key(timed: Make) -> None:
    service, key = timed(), DpopKey()
    name = service.by_jwt(AGENT, key=key).claims["client_id"]
    assert service.by_key(key, name).status == 200
    deny = f'\n[[rule]]\nid = "no-helper"\nwhy = "INC-3"\neffect = "deny"\nwhen = {{ path = "{AGENT}" }}\n'
    service.stand.write_rules(RULES + MORE_RULES + INSTANCE_RULES + deny)
    service.look()
    assert service.by_key(key, name).error == (401, "invalid_client")
    assert service.by_jwt(AGENT + "-2", key=key).status == 200


def test_a_rule_for_certificates_alone_does_not_take_what_a_jwt_svid_vouched_for(timed: Make) -> None:
    """The evidence behind the lease is the evidence that policy sees."""
    service, key = timed(), DpopKey()
    svid = service.stand.authority.x509_svid(AGENT)
    by_jwt = service.by_jwt(AGENT, key=key).claims["client_id"]
    by_x509 = service.by_x509(svid, key=DpopKey()).claims["client_id"]
    other = DpopKey()
    by_certificate = service.by_x509(svid, key=other).claims["client_id"]
    rules = RULES + MORE_RULES + INSTANCE_RULES
    service.stand.write_rules(
        rules.replace('path = "/ns/agents/sa/*"', 'path = "/ns/agents/sa/*", evidence = "x509-svid"')
    )
    service.look()
    assert by_x509 != by_jwt
    assert service.by_key(key, by_jwt).error == (401, "invalid_client")
    assert service.by_key(other, by_certificate).status == 200


# --- its limits -------------------------------------------------------------------------------------


def test_only_live_leases_count_against_the_limit_of_an_identity_DCR_22(timed: Make) -> None:
    service = timed(more="[limits]\ninstances_per_identity = 2\n")
    keys = [DpopKey() for _ in range(3)]
    names = [service.by_jwt(JOB, key=key).claims["client_id"] for key in keys[:2]]
    over = service.by_jwt(JOB, key=keys[2])
    assert over.error == (429, "temporarily_unavailable")
    assert "instances_per_identity" in over.body["error_description"]
    assert 0 < int(over.headers["Retry-After"]) <= 300 + LEEWAY
    assert service.by_jwt(JOB, key=keys[0]).status == 200, "a known instance needs no room"
    assert service.by_jwt(JOB + "-2", key=keys[2]).status == 200, "another identity has its own"
    at_the_other_door = service.enrol(JOB, proof(service, keys[2]))
    assert at_the_other_door.error == (429, "temporarily_unavailable")
    # No sweep has run: what counts is the time.
    service.clock.offset += 300 + LEEWAY + 1
    assert service.by_jwt(JOB, key=keys[2]).status == 200
    assert service.by_jwt(JOB, key=keys[0]).claims["client_id"] == names[0]
    assert service.by_jwt(JOB, key=keys[1]).error == (429, "temporarily_unavailable"), "two live again"


def test_a_revoked_instance_makes_room(timed: Make) -> None:
    service = timed(more="[limits]\ninstances_per_identity = 1\n")
    name = service.by_jwt(JOB, key=DpopKey()).claims["client_id"]
    successor = DpopKey()
    assert service.by_jwt(JOB, key=successor).error == (429, "temporarily_unavailable")
    assert service.operate("clients", "revoke", name)[0] == 0
    service.clock.offset += 1  # The bucket of new instances holds as many as may live.
    assert service.by_jwt(JOB, key=successor).status == 200


def test_instances_that_come_and_go_spend_of_their_identity_s_bucket_T_41(timed: Make) -> None:
    service = timed(more="[limits]\nidentity_registrations_per_minute = 6\ninstances_per_identity = 2\n")
    first = DpopKey()
    for key in (first, DpopKey()):
        name = service.by_jwt(JOB, key=key).claims["client_id"]
        assert service.operate("clients", "revoke", name)[0] == 0
    over = service.by_jwt(JOB, key=DpopKey())
    assert over.error == (429, "temporarily_unavailable")
    assert "identity_registrations_per_minute" in over.body["error_description"]
    assert int(over.headers["Retry-After"]) == 10
    assert service.by_jwt(JOB, key=first).status == 200, "one that comes back is no new one"
    assert service.by_jwt(JOB + "-2", key=DpopKey()).status == 200
    service.clock.offset += 11
    assert service.by_jwt(JOB, key=DpopKey()).status == 200


# --- what it promised -------------------------------------------------------------------------------


def test_who_promised_dpop_bound_tokens_gets_no_others(timed: Make) -> None:
    service, key = timed(), DpopKey()
    svid = service.stand.authority.x509_svid(JOB)
    body = {"jwks": own_jwks(key), "dpop_bound_access_tokens": True}
    name = service.register(body, svid=svid).registered["client_id"]
    bare = service.by_key(key, name)
    assert bare.error == (400, "invalid_request")
    assert "send a DPoP proof" in bare.body["error_description"]
    assert service.by_x509(svid, client_id=name).error == (400, "invalid_request")
    assert service.by_key(key, name, proof=key).body["token_type"] == "DPoP"
    assert service.by_x509(svid, key=key).claims["cnf"] == {"jkt": key.thumbprint}


def test_who_promised_certificate_bound_tokens_gets_no_others(timed: Make) -> None:
    service, key = timed(), DpopKey()
    svid = service.stand.authority.x509_svid(JOB)
    body = {"jwks": own_jwks(key), "tls_client_certificate_bound_access_tokens": True}
    name = service.register(body, svid=svid).registered["client_id"]
    bare = service.by_key(key, name, proof=key)
    assert bare.error == (400, "invalid_request")
    assert "certificate-bound" in bare.body["error_description"]
    assert list(service.by_x509(svid, key=key).claims["cnf"]) == ["x5t#S256"]


def test_a_promise_ends_with_the_lease_it_was_made_under(timed: Make) -> None:
    """What was registered belongs to that registration; the instance that comes back by first use says nothing."""
    service, key = timed(), DpopKey()
    svid = service.stand.authority.x509_svid(JOB)
    body = {"jwks": own_jwks(key), "dpop_bound_access_tokens": True}
    name = service.register(body, svid=svid).registered["client_id"]
    service.after(2 * HOUR)
    fresh = service.stand.authority.x509_svid(JOB)
    assert service.by_x509(fresh, client_id=name).claims["client_id"] == name
    assert service.by_key(key, name).status == 200, "its key is what the record keeps of it"


def test_two_workers_give_one_instance_one_client(timed: Make) -> None:
    service, key = timed(), DpopKey()
    second = Worker(service.process.settings)
    second.start()
    first, service.process.worker = service.process.worker, second
    try:
        name = service.by_jwt(JOB, key=key).claims["client_id"]
        service.process.worker = first
        fields = service.key_fields(key, name)
        assert service.ask(fields).status == 200
        service.process.worker = second
        assert service.ask(fields).error == (401, "invalid_client"), "used at the other worker, KBC-33"
        assert service.by_key(key, name).claims["client_id"] == name
        service.clock.offset += 4 * MINUTE
        assert service.by_jwt(JOB, key=key).status == 200
        service.process.worker = first
        service.clock.offset += 4 * MINUTE
        late = service.by_key(key, name)
        assert late.status == 200, "the lease was renewed at the other worker"
        assert late.claims["exp"] <= service.clock() + service.lease_of(name)
    finally:
        service.process.worker = first
        second.close()
