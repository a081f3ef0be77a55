"""Doors that only answer questions hold denies and once-only credentials like the others."""

from __future__ import annotations

from collections.abc import Callable

from tests.flows.client import FORM, jwt_fields
from tests.flows.stand import RULES, Stand

DENY = '\n[[rule]]\nid = "no-ledger"\nwhy = "INC-9"\neffect = "deny"\nwhen = { path = "/ns/ledger/sa/api" }\n'


def test_an_identity_that_a_rule_denies_may_not_ask_about_tokens(fresh: Callable[..., Stand]) -> None:
    with fresh() as stand:
        token = stand.client.by_jwt(stand.jwt("/ns/web/sa/x")).token

        def question() -> int:
            fields = jwt_fields(stand.jwt("/ns/ledger/sa/api")) | {"token": token}
            return stand.client.post("/introspect", fields).status

        assert question() == 200
        stand.write_rules(RULES + DENY)
        stand.until(lambda: question() == 401, "the deny holds at /introspect")


def test_an_assertion_for_one_use_is_used_up_by_any_door_T_21(stand: Stand) -> None:
    token = stand.client.by_jwt(stand.jwt("/ns/once/sa/q")).token
    svid = stand.jwt("/ns/once/sa/q", ttl=299)
    question = jwt_fields(svid) | {"token": token}
    assert stand.client.post("/introspect", question).body["active"] is True
    assert stand.client.post("/introspect", question).status == 401
    assert stand.client.post("/revoke", question).status == 401
    assert stand.client.by_jwt(svid).status == 401
    many = jwt_fields(stand.jwt("/ns/web/sa/q")) | {"token": token}
    assert [stand.client.post("/introspect", many).status for _ in range(2)] == [200, 200]


def test_two_content_types_are_none(stand: Stand) -> None:
    body = "grant_type=client_credentials"
    one = [("Content-Type", FORM + ";charset=utf-8")]
    assert stand.client.request("POST", "/token", body=body, headers=one).status == 401
    two = [*one, ("Content-Type", "multipart/form-data; boundary=x")]
    assert stand.client.request("POST", "/token", body=body, headers=two).status == 415


def test_what_is_asked_has_a_size_T_41(stand: Stand) -> None:
    many, long = " ".join(f"s{n}" for n in range(65)), "s" * 257
    for scope in (many, long):
        answer = stand.client.by_jwt(stand.jwt("/ns/web/sa/q"), scope=scope)
        assert (answer.status, answer.error) == (400, "invalid_scope")
    answer = stand.client.by_jwt(stand.jwt("/ns/web/sa/q"), resource="https://a.example/" + "r" * 1024)
    assert (answer.status, answer.error) == (400, "invalid_target")


def test_a_policy_file_that_no_parser_takes_holds_up_nothing_T_48(fresh: Callable[..., Stand]) -> None:
    with fresh() as stand:
        (stand.policies / "zz.example.toml").write_text("version = " + "1" * 5000)
        stand.until(lambda: "zz.example.toml" in stand.log, "the fault is logged")
        (stand.policies / "zz.example.toml").unlink()
        stand.write_rules(RULES.replace("/ns/web/sa/intruder", "/ns/web/sa/burglar"))
        stand.until(lambda: stand.client.by_jwt(stand.jwt("/ns/web/sa/burglar")).status == 401, "the change acts")
