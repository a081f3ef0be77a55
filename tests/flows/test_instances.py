"""Instances of one identity: clients of their own, told apart by a key of their own, alive as long as their lease."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.flows.client import jwt_fields
from tests.flows.dpop import DpopKey
from tests.flows.enrolling import Reply, own_jwks
from tests.flows.timed import HOUR, ID, LEEWAY, MINUTE, Timed

JOB, AGENT = "/ns/jobs/sa/nightly", "/ns/agents/sa/helper"


@pytest.fixture
def service(timed: Callable[..., Timed]) -> Timed:
    return timed()


# --- what makes an instance -------------------------------------------------------------------------


def test_two_instances_of_one_identity_are_two_clients_with_one_parent(service: Timed) -> None:
    one, two = DpopKey(), DpopKey()
    first, second = service.by_jwt(JOB, key=one).claims, service.by_jwt(JOB, key=two).claims
    names = {first["client_id"], second["client_id"]}
    assert len(names) == 2
    assert all(name.startswith("instance-") for name in names)
    assert first["sub"] == second["sub"] == ID + JOB, "tokens name the identity and the instance"
    assert first["cnf"] == {"jkt": one.thumbprint}
    listed = service.clients("--parent", ID + JOB)
    assert {client["client_id"] for client in listed} == names
    assert {(client["kind"], client["parent"]) for client in listed} == {("instance", ID + JOB)}
    assert service.clients("--parent", ID + AGENT) == []
    lines = service.operate("clients", "list", "--tree")[1].splitlines()
    (parent,) = [number for number, line in enumerate(lines) if ID + JOB in line]
    below = lines[parent + 1 : parent + 3]
    assert all(any(name in line for line in below) for name in names), lines


def test_the_audit_names_the_instance_and_its_identity(service: Timed) -> None:
    name = service.by_jwt(JOB, key=DpopKey()).claims["client_id"]
    rows = service.rows_of(name)
    assert [(row.event.value, row.subject) for row in rows] == [("registered", ID + JOB), ("token_issued", ID + JOB)]


def test_an_instance_without_a_key_is_told_which_proof_to_send(service: Timed) -> None:
    refused = service.by_jwt(JOB)
    assert refused.error == (400, "invalid_request")
    assert "DPoP proof" in refused.body["error_description"]
    svid = service.stand.authority.x509_svid(JOB)
    assert service.by_x509(svid).error == (400, "invalid_request"), "a certificate's key is not the instance's"
    assert service.clients() == []
    assert service.by_x509(svid, key=DpopKey()).claims["sub"] == ID + JOB


def test_an_instance_that_restarts_with_its_key_is_the_same_client_and_without_it_a_new_one(service: Timed) -> None:
    key = DpopKey()
    name = service.by_jwt(JOB, key=key).claims["client_id"]
    service.after(HOUR)
    assert service.standing(name) == "expired", "it was gone for longer than its lease"
    assert service.by_jwt(JOB, key=key).claims["client_id"] == name
    assert service.events_of(name) == ["registered", "token_issued", "expired", "registered", "token_issued"]
    successor = service.by_jwt(JOB, key=DpopKey()).claims["client_id"]
    assert successor != name
    assert [service.standing(one) for one in (name, successor)] == ["active", "active"]
    service.after(300 + LEEWAY)
    assert service.standing(name) == "expired", "the one whose key is lost ends with its lease"


def test_a_key_makes_another_client_of_each_identity(service: Timed) -> None:
    key = DpopKey()
    assert service.by_jwt(JOB, key=key).claims["client_id"] != service.by_jwt(JOB + "-2", key=key).claims["client_id"]


def test_the_certificate_is_renewed_and_the_instance_stays(service: Timed) -> None:
    key, authority = DpopKey(), service.stand.authority
    first = service.by_x509(authority.x509_svid(JOB), key=key).claims
    service.after(4 * MINUTE)
    again = service.by_x509(authority.x509_svid(JOB), key=key).claims
    assert first["client_id"] == again["client_id"]
    assert service.by_jwt(JOB, key=key).claims["client_id"] == first["client_id"], "nor does the kind of SVID matter"


# --- the instance's key at the registration endpoint --------------------------------------------------


def test_a_registration_names_the_key_by_a_dpop_proof(service: Timed) -> None:
    key = DpopKey()
    proof = b"dpop", key.proof("POST", service.stand.endpoint, iat=service.clock()).encode()
    told = service.enrol(JOB, proof).registered
    assert told["jwks"]["keys"][0]["kid"] == key.thumbprint
    assert service.by_jwt(JOB, key=key).claims["client_id"] == told["client_id"]
    assert service.by_key(key, told["client_id"]).claims["client_id"] == told["client_id"]


def test_a_registration_names_the_key_by_jwks_beside_a_certificate(service: Timed) -> None:
    key, svid = DpopKey(), service.stand.authority.x509_svid(JOB)
    told = service.register({"jwks": own_jwks(key)}, svid=svid).registered
    assert service.by_x509(svid, key=key).claims["client_id"] == told["client_id"]
    assert service.by_key(key, told["client_id"]).claims["client_id"] == told["client_id"]


def test_jwks_beside_a_bare_statement_is_anybody_s_key_T_46(service: Timed) -> None:
    key = DpopKey()
    refused = service.enrol(JOB, jwks=own_jwks(key))
    assert refused.error == (400, "invalid_client_metadata")
    proof = b"dpop", key.proof("POST", service.stand.endpoint, iat=service.clock()).encode()
    assert service.enrol(JOB, proof, jwks=own_jwks(key)).status == 201
    foreign = b"dpop", DpopKey().proof("POST", service.stand.endpoint, iat=service.clock()).encode()
    assert service.enrol(JOB, foreign, jwks=own_jwks(key)).error == (400, "invalid_client_metadata")


def test_a_registration_without_a_key_is_told_which_proof_to_send(service: Timed) -> None:
    refused = service.enrol(JOB)
    assert refused.error == (400, "invalid_client_metadata")
    assert "DPoP proof" in refused.body["error_description"]
    svid = service.stand.authority.x509_svid(JOB)
    assert service.register({}, svid=svid).error == (400, "invalid_client_metadata")


# --- naming an instance -----------------------------------------------------------------------------


def test_an_svid_with_the_client_id_of_an_instance_is_that_instance(service: Timed) -> None:
    key = DpopKey()
    name = service.by_jwt(JOB, key=key).claims["client_id"]
    svid = service.stand.authority.x509_svid(JOB)
    named = service.by_x509(svid, client_id=name).claims
    assert (named["client_id"], list(named["cnf"])) == (name, ["x5t#S256"])
    assert service.by_jwt(JOB, client_id=name).claims["client_id"] == name


def test_an_instance_of_another_identity_is_named_in_vain_T_13(service: Timed) -> None:
    name = service.by_jwt(JOB, key=DpopKey()).claims["client_id"]
    other = JOB + "-2"
    assert service.by_jwt(other, client_id=name).error == (401, "invalid_client")
    assert service.by_jwt(other, key=DpopKey(), client_id=name).error == (401, "invalid_client")
    assert service.by_jwt(JOB, key=DpopKey(), client_id=name).error == (401, "invalid_client"), "another one's key"
    assert service.by_jwt(other, client_id=ID + other).error == (400, "invalid_request"), "nobody yet: which key?"
    assert service.by_jwt(JOB, client_id=name).status == 200


# --- leases -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "ttl", "lease"), [
    pytest.param(JOB, 300, 300 + LEEWAY, id="as long as its credential"),
    pytest.param(AGENT, 300, HOUR, id="the rule's, which is longer"),
    pytest.param(AGENT, HOUR, HOUR + LEEWAY, id="the credential's, which is longer than the rule's"),
])  # fmt: skip
def test_a_lease_ends_with_the_credential_or_with_the_rule_s_if_that_is_longer(
    service: Timed, path: str, ttl: int, lease: int
) -> None:
    name = service.by_jwt(path, key=DpopKey(), ttl=ttl).claims["client_id"]
    assert lease - 5 <= service.lease_of(name) <= lease


def test_any_use_with_a_fresh_svid_renews_the_lease(service: Timed) -> None:
    key = DpopKey()
    name = service.by_jwt(JOB, key=key).claims["client_id"]
    by_each_way: list[Callable[[], object]] = [
        lambda: service.by_jwt(JOB, key=key).claims,
        lambda: service.by_x509(service.stand.authority.x509_svid(JOB), key=key).claims,
        lambda: service.by_jwt(JOB, client_id=name).claims,
        lambda: (
            service.enrol(
                JOB, (b"dpop", key.proof("POST", service.stand.endpoint, iat=service.clock()).encode())
            ).registered
        ),
    ]
    for use in by_each_way:
        service.after(4 * MINUTE)
        assert service.lease_of(name) < 2 * MINUTE
        use()
        assert service.lease_of(name) > 4 * MINUTE
    assert service.standing(name) == "active"
    assert service.events_of(name).count("registered") == 1


def test_a_key_of_its_own_authenticates_within_the_lease_and_never_renews_it_KBC_30_35(service: Timed) -> None:
    key = DpopKey()
    name = service.by_jwt(JOB, key=key).claims["client_id"]
    service.after(4 * MINUTE)
    left = service.lease_of(name)
    claims = service.by_key(key, name).claims
    assert (claims["client_id"], claims["sub"]) == (name, ID + JOB)
    assert service.lease_of(name) == left
    service.after(MINUTE + LEEWAY + 1)
    assert service.by_key(key, name).error == (401, "invalid_client")
    assert service.by_jwt(JOB, key=key).status == 200
    assert service.by_key(key, name).status == 200, "an SVID brought it back"


def test_no_token_outlives_the_lease(service: Timed) -> None:
    key = DpopKey()
    issued = service.by_jwt(JOB, key=key, ttl=120)
    name = issued.claims["client_id"]
    assert issued.claims["exp"] <= service.clock() + service.lease_of(name)
    service.after(MINUTE)
    late = service.by_key(key, name, proof=key)
    assert late.claims["exp"] <= service.clock() + service.lease_of(name)
    assert late.body["expires_in"] <= 90
    token = late.body["access_token"]
    assert service.is_active(token)
    service.after(90)
    assert not service.is_active(token)


def test_a_token_by_a_fresh_svid_may_live_as_long_as_that_renews_the_lease(service: Timed) -> None:
    key = DpopKey()
    name = service.by_jwt(JOB, key=key, ttl=120).claims["client_id"]
    service.after(MINUTE)
    renewed = service.by_jwt(JOB, key=key, ttl=HOUR)
    assert renewed.body["expires_in"] == 300, "the rule's, not what was left of the first lease"
    assert service.lease_of(name) > 50 * MINUTE


# --- private_key_jwt --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"iss": ID + JOB}, id="KBC-30 iss is the identity"),
        pytest.param({"sub": "instance-nobody", "iss": "instance-nobody"}, id="KBC-30 a client that does not exist"),
        pytest.param({"aud": "https://elsewhere.example"}, id="KBC-31 another audience"),
        pytest.param({"aud": None}, id="KBC-31 no audience"),
        pytest.param({"exp": None}, id="KBC-34 no exp"),
        pytest.param({"jti": None}, id="KBC-33 no jti"),
    ],
)
def test_an_assertion_that_is_wrong_in_one_claim_is_refused(service: Timed, claims: dict[str, object]) -> None:
    key = DpopKey()
    name = service.by_jwt(JOB, key=key).claims["client_id"]
    assert service.by_key(key, name, **claims).error == (401, "invalid_client")
    assert service.by_key(key, name).status == 200


@pytest.mark.parametrize(("late", "status"), [(-LEEWAY - 1, 401), (60, 200), (601 + LEEWAY, 401)])
def test_an_assertion_is_good_for_ten_minutes_at_most_KBC_34(service: Timed, late: int, status: int) -> None:
    key = DpopKey()
    name = service.by_jwt(JOB, key=key).claims["client_id"]
    assert service.by_key(key, name, iat=None, exp=service.clock() + late).status == status


def test_an_assertion_by_another_key_is_refused_KBC_30(service: Timed) -> None:
    key, sibling = DpopKey(), DpopKey()
    name = service.by_jwt(JOB, key=key).claims["client_id"]
    assert service.by_jwt(JOB, key=sibling).status == 200
    assert service.by_key(DpopKey(), name).error == (401, "invalid_client")
    assert service.by_key(sibling, name).error == (401, "invalid_client")
    assert service.by_key(key, name).claims["client_id"] == name


@pytest.mark.parametrize("at", ["/token", "/introspect", "/revoke"])
@pytest.mark.parametrize(
    ("wrong", "reasons"),
    [
        ("nothing", []),
        ("used before", ["credential_replayed"]),
        ("after its lease", ["lease_ended"]),
        ("denied", ["lease_ended"]),
        ("another key", []),
        ("another audience", []),
    ],
)
def test_a_client_that_proved_its_key_and_is_refused_is_in_the_audit_log_KBC_33(
    service: Timed, at: str, wrong: str, reasons: list[str]
) -> None:
    """Section 8 of the contract: an assertion that holds is the client's own, whoever sends it for the second time;
    one that does not hold is anybody's."""
    key = DpopKey()
    issued = service.by_jwt(JOB, key=key)
    name = issued.claims["client_id"]
    fields = service.key_fields(DpopKey() if wrong == "another key" else key, name)
    if wrong == "another audience":
        fields = service.key_fields(key, name, aud="https://elsewhere.example")
    if at != "/token":
        fields["token"] = issued.body["access_token"]
    if wrong == "used before":
        assert service.ask(fields, at=at).status == 200
    elif wrong == "after its lease":
        service.after(HOUR)
        fields = service.key_fields(key, name) | {"token": issued.body["access_token"]}
    elif wrong == "denied":
        assert service.operate("clients", "deny", name)[0] == 0
    before = service.last_row()
    assert service.ask(fields, at=at).status == (200 if wrong == "nothing" else 401)
    rows = [row.event for row in service.process.worker._store.audit.rows(after=before, limit=100)]
    refused = [row for row in rows if row.event.value == "refused"]
    assert [(row.reason, row.subject, row.door) for row in refused] == [(one, ID + JOB, at[1:]) for one in reasons]
    assert all(row.key_id == key.thumbprint for row in refused)


def test_an_assertion_is_good_once_KBC_33_T_34(service: Timed) -> None:
    key = DpopKey()
    name = service.by_jwt(JOB, key=key).claims["client_id"]
    fields = service.key_fields(key, name)
    assert service.ask(fields).status == 200
    assert service.ask(fields).error == (401, "invalid_client")
    assert service.ask(service.key_fields(key, name)).status == 200


def test_an_assertion_is_good_once_whatever_door_it_was_used_at_KBC_33(service: Timed) -> None:
    key = DpopKey()
    issued = service.by_jwt(JOB, key=key)
    fields = service.key_fields(key, issued.claims["client_id"])
    assert service.ask({**fields, "token": issued.body["access_token"]}, at="/introspect").body["active"] is True
    assert service.ask(fields).error == (401, "invalid_client")


def test_the_audience_is_the_issuer_and_no_endpoint_KBC_31_T_22(service: Timed) -> None:
    key, issuer = DpopKey(), service.stand.client.issuer
    name = service.by_jwt(JOB, key=key).claims["client_id"]
    for aud in (f"{issuer}/token", [issuer], [issuer, "https://elsewhere.example"]):
        assert service.by_key(key, name, aud=aud).error == (401, "invalid_client"), aud
    assert service.by_key(key, name, aud=issuer).status == 200


def test_a_client_id_beside_the_assertion_is_the_assertion_s_KBC_35(service: Timed) -> None:
    key = DpopKey()
    name = service.by_jwt(JOB, key=key).claims["client_id"]
    sibling = service.by_jwt(JOB, key=DpopKey()).claims["client_id"]
    for named, status in ((name, 200), (sibling, 401), (ID + JOB, 401)):
        assert service.ask({**service.key_fields(key, name), "client_id": named}).status == status, named


def test_private_key_jwt_is_for_clients_that_have_a_key(service: Timed) -> None:
    key, path = DpopKey(), "/ns/web/sa/keyless"
    assert service.by_jwt(path, key=key).status == 200
    assert service.by_key(key, ID + path).error == (401, "invalid_client")
    assert service.by_jwt(path).status == 200


def test_a_proof_beside_the_assertion_binds_the_token(service: Timed) -> None:
    key, other = DpopKey(), DpopKey()
    name = service.by_jwt(JOB, key=key).claims["client_id"]
    assert service.by_key(key, name, proof=key).claims["cnf"] == {"jkt": key.thumbprint}
    assert service.by_key(key, name, proof=other).claims["cnf"] == {"jkt": other.thumbprint}
    assert "cnf" not in service.by_key(key, name).claims


# --- questions about tokens -------------------------------------------------------------------------


def test_an_instance_asks_about_and_ends_its_own_tokens_only_T_39(service: Timed) -> None:
    one, two = DpopKey(), DpopKey()
    mine, theirs = service.by_jwt(JOB, key=one), service.by_jwt(JOB, key=two)
    name = mine.claims["client_id"]
    own, foreign = mine.body["access_token"], theirs.body["access_token"]

    def ask(at: str, token: str) -> tuple[int, object]:
        answer = service.ask({**service.key_fields(one, name), "token": token}, at=at)
        return answer.status, answer.body.get("active") if answer.content else None

    assert ask("/introspect", own) == (200, True)
    assert ask("/introspect", foreign) == (200, False)
    assert ask("/revoke", foreign)[0] == 400
    assert service.is_active(foreign)
    assert ask("/revoke", own)[0] == 200
    assert not service.is_active(own)
    by_svid = service.ask(jwt_fields(service.stand.jwt(JOB)) | {"token": foreign}, key=two, at="/introspect")
    assert by_svid.body["active"] is True
    as_identity = service.ask(jwt_fields(service.stand.jwt(JOB)) | {"token": foreign}, at="/introspect")
    assert as_identity.body == {"active": False}, "without a key it is its identity, which has no token"


# --- what an operator does --------------------------------------------------------------------------


def test_one_instance_is_revoked_alone_ROFU_25(service: Timed) -> None:
    one, two = DpopKey(), DpopKey()
    first, second = service.by_jwt(JOB, key=one), service.by_jwt(JOB, key=two)
    name = first.claims["client_id"]
    assert service.operate("clients", "revoke", name)[0] == 0
    assert [service.is_active(r.body["access_token"]) for r in (first, second)] == [False, True]
    assert service.by_key(one, name).error == (401, "invalid_client"), "its key is worth what was vouched for"
    assert service.by_jwt(JOB, key=one).claims["client_id"] == name
    assert service.by_key(one, name).status == 200


def test_all_instances_of_an_identity_are_revoked_at_once_ROFU_25(service: Timed) -> None:
    keys = [DpopKey() for _ in range(3)]
    tokens = [service.by_jwt(JOB, key=key) for key in keys]
    other = service.by_jwt(JOB + "-2", key=keys[0]).body["access_token"]
    assert service.operate("clients", "revoke", ID + JOB)[0] == 0
    assert not any(service.is_active(token.body["access_token"]) for token in tokens)
    assert service.is_active(other)
    assert all(service.standing(token.claims["client_id"]) == "revoked" for token in tokens)
    assert service.by_jwt(JOB, key=keys[0]).status == 200


def test_a_denied_identity_has_no_instances_and_gets_none_until_the_denial_goes_ROFU_24(service: Timed) -> None:
    key = DpopKey()
    issued = service.by_jwt(JOB, key=key)
    name = issued.claims["client_id"]
    assert service.operate("clients", "deny", ID + JOB, "--note", "INC-9")[0] == 0
    assert not service.is_active(issued.body["access_token"])
    svid = service.stand.authority.x509_svid(JOB)
    for refused in (
        service.by_jwt(JOB, key=key),
        service.by_jwt(JOB, key=DpopKey()),
        service.by_x509(svid, client_id=name),
        service.by_key(key, name),
    ):
        assert refused.error == (401, "invalid_client")
    assert service.register({"jwks": own_jwks(DpopKey())}, svid=svid).error[0] == 400
    assert service.operate("clients", "undeny", ID + JOB)[0] == 0
    assert service.by_key(key, name).error == (401, "invalid_client"), "an SVID has to vouch for it anew"
    assert service.by_jwt(JOB, key=key).claims["client_id"] == name
    assert not service.is_active(issued.body["access_token"])


def test_one_instance_is_denied_and_its_siblings_are_not_ROFU_24(service: Timed) -> None:
    key, sibling = DpopKey(), DpopKey()
    name = service.by_jwt(JOB, key=key).claims["client_id"]
    assert service.operate("clients", "deny", name)[0] == 0
    assert service.by_jwt(JOB, key=key).error == (401, "invalid_client")
    assert service.by_key(key, name).error == (401, "invalid_client")
    assert service.by_jwt(JOB, key=sibling).status == 200


# --- all of it at once ------------------------------------------------------------------------------


class Expected:
    """What should stand of one instance: when its lease ends, and how often it was ended."""

    def __init__(self) -> None:
        self.name, self.ends_at, self.generation = "", 0, 0
        self.tokens: list[tuple[str, int, int]] = []

    def lives(self, now: int) -> bool:
        return self.ends_at > now

    def end(self) -> None:
        self.ends_at, self.generation = 0, self.generation + 1


@pytest.mark.parametrize("seed", range(4))
def test_two_instances_live_as_a_simple_model_says_whatever_happens_in_which_order(service: Timed, seed: int) -> None:
    """ROFU-24, 25, T-23, T-41: SVIDs, own keys, time, sweeps, revocations and denials, drawn by chance."""
    draw, denied = random.Random(seed), False
    instances = {key: Expected() for key in (DpopKey(), DpopKey())}

    def took(key: DpopKey, answer: Reply) -> None:
        one = instances[key]
        one.name = answer.claims["client_id"]
        one.tokens.append((answer.body["access_token"], answer.claims["exp"], one.generation))
        assert answer.claims["exp"] <= one.ends_at, "no token outlives the lease"

    for _ in range(60):
        now, key = service.clock(), draw.choice(list(instances))
        one = instances[key]
        match draw.choice(["svid", "svid", "key", "key", "time", "time", "revoke", "revoke all", "deny", "undeny"]):
            case "svid":
                answer = service.by_jwt(JOB, key=key)
                assert answer.status == (401 if denied else 200)
                if not denied:
                    if not one.lives(now):
                        one.generation += 1
                    one.ends_at = max(one.ends_at, now + 300 + LEEWAY)
                    took(key, answer)
            case "key" if one.name:
                answer = service.by_key(key, one.name)
                assert answer.status == (200 if one.lives(now) else 401)
                if one.lives(now):
                    took(key, answer)
            case "time":
                service.clock.offset += draw.randrange(1, 250)
                if draw.random() < 0.5:
                    service.sweep()
            case "revoke" if one.name:
                assert service.operate("clients", "revoke", one.name)[0] == 0
                one.end()
            case "revoke all" if any(each.name for each in instances.values()):
                assert service.operate("clients", "revoke", ID + JOB)[0] == 0
                for each in instances.values():
                    each.end()
            case "deny" if draw.random() < 0.3:
                assert service.operate("clients", "deny", ID + JOB)[0] == 0
                denied = True
                for each in instances.values():
                    each.end()
            case "undeny" if denied:
                assert service.operate("clients", "undeny", ID + JOB)[0] == 0
                denied = False
        now = service.clock()
        for each in instances.values():
            for token, exp, generation in each.tokens[-3:]:
                alive = each.lives(now) and generation == each.generation and exp > now
                assert service.is_active(token) is alive
