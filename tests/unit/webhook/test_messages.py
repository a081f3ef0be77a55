"""What a message says, and which changes make one."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.config.settings import Settings
from bridge.console.approvals import DECIDE
from bridge.model.audit import AuditEvent, AuditEventKind
from bridge.model.client import ClientState
from bridge.model.record_change import ChangeKind, RecordChange
from bridge.store.ports import Notice
from bridge.webhook.messages import MAX_BODY_BYTES, Composer, ping
from bridge.wiring_webhook import APPROVE_PATH

NOW = 1_800_000_000
API = "spiffe://example.org/ns/web/sa/api"
URL = "https://console.example.org" + APPROVE_PATH


def composer(
    kinds: Collection[ChangeKind] = tuple(ChangeKind),
    trust_domains: Collection[str] | None = None,
    url: str | None = URL,
) -> Composer:
    return Composer(kinds=kinds, trust_domains=trust_domains, approvals_url=url, new_id=lambda: "id")


def change(**fields: Any) -> RecordChange:
    given: dict[str, Any] = {
        "kind": ChangeKind.PENDING,
        "time": NOW,
        "client_id": API,
        "subject": API,
        "state": ClientState.PENDING,
    }
    return RecordChange(**(given | fields))


def said(notice: Notice | None) -> dict[str, Any]:
    assert notice is not None
    body: dict[str, Any] = json.loads(notice.body)
    return body


def test_a_message_says_whose_change_it_is_and_where_to_approve_it() -> None:
    notice = composer().notice(change(rule="asks"))
    assert notice is not None
    assert (notice.id, notice.kind, notice.client_id) == ("msg_id", "client.pending", API)
    assert said(notice) == {
        "type": "client.pending",
        "timestamp": "2027-01-15T08:00:00Z",
        "data": {
            "client_id": API,
            "subject": API,
            "spiffe_id": API,
            "state": "pending",
            "rule": "asks",
            "approve_at": f"{URL}?client=spiffe%3A%2F%2Fexample.org%2Fns%2Fweb%2Fsa%2Fapi",
        },
    }
    assert DECIDE == APPROVE_PATH


def test_without_a_console_and_for_what_waits_no_more_there_is_no_link() -> None:
    assert "approve_at" not in said(composer(url=None).notice(change()))["data"]
    assert "approve_at" not in said(composer().notice(change(kind=ChangeKind.APPROVED)))["data"]


def test_an_audit_row_becomes_a_message_without_address_or_credential() -> None:
    event = AuditEvent(
        "correlation", NOW, AuditEventKind.REGISTERED, door="token", source_address="10.1.2.3", subject=API,
        credential="aa", key_id="kid", jti="jti", issued="bb", rule="web", outcome="active", client_id=API,
        policy_version="v1",
    )  # fmt: skip
    data = said(composer().notice(RecordChange.of(event, ClientState.ACTIVE)))["data"]
    assert data == {
        "client_id": API, "subject": API, "spiffe_id": API, "state": "active", "rule": "web", "outcome": "active",
        "door": "token", "correlation_id": "correlation", "policy_version": "v1",
    }  # fmt: skip


def test_who_decided_is_named_and_why() -> None:
    event = AuditEvent(
        "i", NOW, AuditEventKind.DENIED, door="operator", source_address="local user ada", subject=API, reason="INC-7"
    )
    data = said(composer().notice(RecordChange.of(event, ClientState.DENIED)))["data"]
    assert (data["operator"], data["reason"], data["client_id"]) == ("local user ada", "INC-7", API)


def test_a_document_s_client_has_no_spiffe_id() -> None:
    data = said(composer().notice(change(client_id="https://app.example", subject="https://app.example")))["data"]
    assert "spiffe_id" not in data


def test_only_what_was_asked_for_becomes_a_message() -> None:
    assert composer(kinds=[ChangeKind.PENDING]).notice(change()) is not None
    assert composer(kinds=[ChangeKind.PENDING]).notice(change(kind=ChangeKind.REVOKED)) is None
    assert composer(trust_domains=["example.org"]).notice(change()) is not None
    assert composer(trust_domains=["example.or"]).notice(change()) is None
    assert composer(trust_domains=["example.org"]).notice(change(subject="https://app.example")) is None


def test_every_event_of_a_record_has_a_kind_and_a_message() -> None:
    for kind in ChangeKind:
        if kind is not ChangeKind.PENDING:
            event = AuditEvent("i", NOW, AuditEventKind(kind.value.removeprefix("client.")), subject=API)
            assert RecordChange.of(event, ClientState.ACTIVE).kind is kind


@given(st.text(), st.text(), st.text(max_size=600))
def test_whatever_a_name_is_a_message_is_json_within_its_bound(client_id: str, subject: str, reason: str) -> None:
    notice = composer().notice(change(client_id=client_id, subject=subject, reason=reason))
    assert notice is not None
    assert notice.body.isascii()
    assert json.loads(notice.body)["data"].get("client_id", "") == client_id


def test_a_name_that_is_no_text_fails_no_commit() -> None:
    notice = composer().notice(change(client_id="a\udcff"))
    assert notice is not None
    assert notice.client_id == "a?"


@pytest.mark.parametrize("size", [1, MAX_BODY_BYTES])
def test_what_would_be_too_long_is_cut_and_says_so(size: int) -> None:
    notice = composer().notice(change(rule="r" * size))
    assert notice is not None
    assert len(notice.body) <= MAX_BODY_BYTES
    assert said(notice)["data"].get("cut", False) is (size > 1)


def test_a_ping_tells_of_nothing() -> None:
    assert json.loads(ping(NOW))["type"] == "ping"
    assert Settings.model_fields["webhook"].default is None
