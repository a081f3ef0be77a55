"""A record's life: revoked, denied, approved, idled out; and what its tokens are worth meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.flows.client import Answer, jwt_fields
from tests.flows.stand import RULES, Stand


def alive(stand: Stand, path: str, token: str) -> bool:
    """Whether introspection, asked by the token's own client, says active."""
    answer = stand.client.post("/introspect", jwt_fields(stand.jwt(path)) | {"token": token})
    assert answer.status == 200
    return bool(answer.body["active"])


def refused(answer: Answer) -> bool:
    return (answer.status, answer.error) == (401, "invalid_client")


def state(stand: Stand, client_id: str) -> str:
    return str(next(c["state"] for c in stand.clients() if c["client_id"] == client_id))


def test_revocation_ends_the_tokens_and_the_next_request_registers_anew_ROFU_25(stand: Stand) -> None:
    path = "/ns/web/sa/revoked"
    name = f"spiffe://example.org{path}"
    before = stand.client.by_jwt(stand.jwt(path)).token
    assert alive(stand, path, before)
    assert stand.bridge("clients", "revoke", name).returncode == 0
    assert state(stand, name) == "revoked"
    assert not alive(stand, path, before)
    after = stand.client.by_jwt(stand.jwt(path))
    assert after.claims["client_id"] == name  # ROFU-5
    assert alive(stand, path, after.token)
    assert not alive(stand, path, before)
    events = [row["event"] for row in stand.audit() if row["subject"] == name or row["client_id"] == name]
    assert events == ["registered", "token_issued", "revoked", "registered", "token_issued"]


def test_a_denied_identity_stays_out_until_the_tombstone_goes_ROFU_24(stand: Stand) -> None:
    path = "/ns/web/sa/denied"
    name = f"spiffe://example.org{path}"
    token = stand.client.by_jwt(stand.jwt(path)).token
    assert stand.bridge("clients", "deny", name).returncode == 0
    assert refused(stand.client.by_jwt(stand.jwt(path)))
    assert refused(stand.client.by_x509(stand.authority.x509_svid(path)))
    questions = jwt_fields(stand.jwt("/ns/ledger/sa/api")) | {"token": token}
    assert stand.client.post("/introspect", questions).body == {"active": False}
    assert stand.bridge("clients", "undeny", name).returncode == 0
    assert stand.client.by_jwt(stand.jwt(path)).status == 200
    assert stand.client.post("/introspect", questions).body == {"active": False}


def test_an_identity_never_seen_can_be_denied(stand: Stand) -> None:
    path = "/ns/web/sa/never-seen"
    assert stand.bridge("clients", "deny", f"spiffe://example.org{path}").returncode == 0
    assert refused(stand.client.by_jwt(stand.jwt(path)))
    assert stand.client.by_jwt(stand.jwt(path + "-twin")).status == 200


@pytest.mark.parametrize("verb", ["revoke", "undeny", "approve"])
def test_nobody_by_that_name_is_a_no(stand: Stand, verb: str) -> None:
    done = stand.bridge("clients", verb, "spiffe://example.org/ns/web/sa/nobody")
    assert done.returncode == 1


def test_one_member_of_a_shared_client_is_revoked_alone(stand: Stand) -> None:
    one, two = "/ns/batch/sa/r1", "/ns/batch/sa/r2"
    first, second = (stand.client.by_jwt(stand.jwt(path)).token for path in (one, two))
    assert stand.bridge("clients", "revoke", f"spiffe://example.org{one}").returncode == 0
    assert not alive(stand, two, first)
    assert alive(stand, one, second) or alive(stand, two, second)
    assert stand.bridge("clients", "deny", f"spiffe://example.org{one}").returncode == 0
    assert refused(stand.client.by_jwt(stand.jwt(one)))
    assert stand.client.by_jwt(stand.jwt(two)).status == 200


def test_what_policy_asks_about_waits_for_an_operator_ROFU_12(stand: Stand) -> None:
    path = "/ns/research/sa/a"
    name = f"spiffe://example.org{path}"
    for _ in range(2):
        answer = stand.client.by_jwt(stand.jwt(path))
        assert (answer.status, answer.error) == (403, "unauthorized_client")
        assert answer.body["error_description"] == "registration incomplete"
    assert state(stand, name) == "pending"
    assert stand.bridge("clients", "approve", name).returncode == 0
    token = stand.client.by_jwt(stand.jwt(path)).token
    assert alive(stand, path, token)
    # An approval ends with the record.
    stand.bridge("clients", "revoke", name)
    assert stand.client.by_jwt(stand.jwt(path)).status == 403


def test_a_client_may_end_its_own_token_and_no_other_OAS_24(stand: Stand) -> None:
    mine, other = "/ns/web/sa/ends-own", "/ns/web/sa/ends-other"
    token, kept = (stand.client.by_jwt(stand.jwt(mine)).token for _ in range(2))
    foreign = stand.client.post("/revoke", jwt_fields(stand.jwt(other)) | {"token": token})
    assert (foreign.status, foreign.error) == (400, "invalid_grant")
    assert alive(stand, mine, token)
    assert stand.client.post("/revoke", jwt_fields(stand.jwt(mine)) | {"token": token}).status == 200
    assert not alive(stand, mine, token)
    assert alive(stand, mine, kept)
    assert stand.client.post("/revoke", jwt_fields(stand.jwt(mine)) | {"token": "unknown"}).status == 200


def test_a_token_is_visible_to_its_client_and_to_its_resource_only_OAS_22(stand: Stand) -> None:
    token = stand.client.by_jwt(stand.jwt("/ns/web/sa/visible")).token
    question = {"token": token}
    own = stand.client.post("/introspect", jwt_fields(stand.jwt("/ns/web/sa/visible")) | question).body
    resource = stand.client.post("/introspect", jwt_fields(stand.jwt("/ns/ledger/sa/api")) | question).body
    stranger = stand.client.post("/introspect", jwt_fields(stand.jwt("/ns/web/sa/curious")) | question).body
    assert own == resource
    assert (own["active"], own["client_token"], own["scope"]) == (True, True, "ledger.read")
    assert stranger == {"active": False}


def test_asking_makes_no_record(stand: Stand) -> None:
    stand.client.post("/introspect", jwt_fields(stand.jwt("/ns/ledger/sa/asks")) | {"token": "x"})
    assert not any(c["subject"].endswith("/ns/ledger/sa/asks") for c in stand.clients())


def test_cnf_and_token_type_are_shown_for_bound_tokens_OAS_21(stand: Stand) -> None:
    svid = stand.authority.x509_svid("/ns/payments/sa/bound")
    issued = stand.client.by_x509(svid)
    fields = {"token": issued.token, "client_id": str(svid.spiffe_id)}
    shown = stand.client.post("/introspect", fields, svid=svid).body
    assert (shown["cnf"], shown["token_type"]) == (issued.claims["cnf"], "Bearer")


def test_an_idle_record_is_swept_and_comes_back_as_the_same_client_ROFU_23(fresh: Callable[..., Stand]) -> None:
    with fresh(more='[registration]\nidle_expiry = "2s"\n[tokens]\ndefault_ttl = "2s"\nmax_ttl = "10m"') as stand:
        path = "/ns/web/sa/idle"
        name = f"spiffe://example.org{path}"
        assert stand.client.by_jwt(stand.jwt(path)).status == 200
        swept = lambda: any(row["event"] == "expired" and row["client_id"] == name for row in stand.audit())  # noqa: E731
        stand.until(swept, "the record idles out")
        assert state(stand, name) == "expired"
        assert stand.client.by_jwt(stand.jwt(path)).claims["client_id"] == name
        events = [row["event"] for row in stand.audit() if name in (row["subject"], row["client_id"])]
        assert events[:5] == ["registered", "token_issued", "expired", "registered", "token_issued"]


def test_limits_on_new_records_name_themselves_and_spare_known_clients_ROFU_28(fresh: Callable[..., Stand]) -> None:
    with fresh(more="[limits]\nrecords_per_trust_domain = 2") as stand:
        for number in range(2):
            assert stand.client.by_jwt(stand.jwt(f"/ns/web/sa/l{number}")).status == 200
        over = stand.client.by_jwt(stand.jwt("/ns/web/sa/l3"))
        assert (over.status, over.error) == (429, "temporarily_unavailable")
        assert "records_per_trust_domain" in over.body["error_description"]
        assert int(over.headers["Retry-After"]) > 0
        assert stand.client.by_jwt(stand.jwt("/ns/web/sa/l0")).status == 200


def test_a_rule_that_goes_away_ends_what_it_gave(fresh: Callable[..., Stand]) -> None:
    with fresh() as stand:
        assert stand.client.by_jwt(stand.jwt("/ns/web/sa/x")).status == 200
        stand.write_rules(RULES.replace('when = { path = "/ns/web/sa/*" }', 'when = { path = "/ns/web/sa/y" }'))
        stand.until(lambda: refused(stand.client.by_jwt(stand.jwt("/ns/web/sa/x"))), "the change acts")
        assert stand.client.by_jwt(stand.jwt("/ns/web/sa/y")).status == 200


def test_a_member_of_a_shared_client_that_idled_out_comes_back_at_once(fresh: Callable[..., Stand]) -> None:
    # The sweep is a minute away at the earliest: what counts is the time, not the sweep.
    with fresh(more='[registration]\nidle_expiry = "3s"\n[tokens]\ndefault_ttl = "1s"\nmax_ttl = "10m"') as stand:
        quiet, busy = "/ns/batch/sa/quiet", "/ns/batch/sa/busy"
        first = stand.client.by_jwt(stand.jwt(quiet)).claims
        stand.until(
            lambda: stand.client.by_jwt(stand.jwt(busy)).status == 200 and _end(stand, first["iat"]), "the member idles"
        )
        again = stand.client.by_jwt(stand.jwt(quiet))
        assert again.status == 200
        assert again.claims["epoch"] != first["epoch"]


def _end(stand: Stand, since: int) -> bool:
    return int(stand.client.by_jwt(stand.jwt("/ns/batch/sa/busy")).claims["iat"]) > since + 4
