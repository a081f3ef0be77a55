"""What an operator reads: beginnings and ends, what broke and that it was mended, and who was refused."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any

from tests.flows.stand import RULES, Stand

BROKEN = RULES.replace('effect = "deny"', 'effect = "dney"')


def lines(stand: Stand, event: str) -> list[dict[str, Any]]:
    """The log's lines of one event, or of one that begins so."""
    objects = [json.loads(line) for line in stand.log.splitlines() if line.startswith("{")]
    return [line for line in objects if line["event"].startswith(event)]


def metrics_listener(stand: Stand, path: str) -> str:
    connection = HTTPConnection("127.0.0.1", stand.metrics_port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def tls_part(stand: Stand) -> dict[str, Any]:
    part: dict[str, Any] = json.loads(metrics_listener(stand, "/readyz"))["parts"]["tls"]
    return part


def findings(stand: Stand) -> str:
    (line,) = (x for x in metrics_listener(stand, "/metrics").splitlines() if x.startswith("bridge_policy_findings "))
    return line.split()[1]


def test_the_service_says_when_it_begins_looks_and_ends(fresh: Callable[..., Stand]) -> None:
    stand = fresh().start()
    workers = set(stand.worker_pids())
    started = lines(stand, "started")
    assert {line["pid"] for line in started} == workers
    assert started[0]["issuer"] == stand.client.issuer
    assert started[0]["config"] == str(stand.config)
    assert started[0]["trust_domains"] == ["example.org"]
    assert started[0]["listeners"].keys() == {"plain", "mtls", "metrics"}
    os.kill(stand.pid, signal.SIGHUP)
    stand.until(lambda: lines(stand, "policies and bundles were looked at: nothing changed"), "one worker says so")
    # At most once at the start, by one worker, and not again because of the signal.
    stand.until(lambda: len(lines(stand, "audit heads")) == 1, "the heads are said")
    assert all(len(head) == 2 for head in lines(stand, "audit heads")[0]["heads"].values())
    assert stand.stop() == 0
    assert {line["pid"] for line in lines(stand, "ending")} == workers
    assert {line["pid"] for line in lines(stand, "ended")} == workers
    assert len(lines(stand, "policies and bundles were looked at")) == 1
    assert not [line for line in lines(stand, str(stand.config)) if "restart" in line["event"]]
    assert len(lines(stand, "audit heads")) == 1
    assert lines(stand, "TLS certificate loaded")[0]["not_after"].endswith("Z")


def test_a_changed_configuration_is_named_when_it_was_meant_to_act(fresh: Callable[..., Stand]) -> None:
    with fresh() as stand:
        stand.config.write_text(stand.config.read_text() + "\n# changed\n")
        os.kill(stand.pid, signal.SIGHUP)
        said = f"{stand.config} changed, and is read at the start only: restart the service"
        stand.until(lambda: lines(stand, said), "one worker says so")


def test_broken_policies_and_mended_ones_are_said_measured_and_audited_T_48(fresh: Callable[..., Stand]) -> None:
    with fresh() as stand:
        version = lines(stand, "started")[0]["policies"]
        assert findings(stand) == "0.0"
        stand.write_rules(BROKEN)
        said = f"example.org.toml has errors; its last good version, if any, stays in force (policies {version})"
        stand.until(lambda: lines(stand, said), "what is wrong is said")
        stand.until(lambda: float(findings(stand)) > 0, "the gauge shows it")
        stand.write_rules(RULES)
        stand.until(lambda: lines(stand, f"policy files are good again (policies {version})"), "so is the end of it")
        stand.until(lambda: findings(stand) == "0.0", "the gauge shows that too")
        assert lines(stand, "policies changed") == []
        stand.write_rules(RULES + "# another\n")
        stand.until(lambda: len(lines(stand, "policies changed")) == 2, "both workers changed over")
        (row,) = (row for row in stand.audit() if row["event"] == "policy_changed")
        assert row["ask"] == {"before": version, "files": ["example.org.toml"], "gained": {}}


def test_policies_that_changed_while_no_service_ran_are_one_row_at_the_start(fresh: Callable[..., Stand]) -> None:
    def changes() -> list[dict[str, Any]]:
        return [row for row in stand.audit() if row["event"] == "policy_changed"]

    with fresh() as stand:
        before = lines(stand, "started")[0]["policies"]
        assert changes() == [], "a first start changes nothing"
        stand.stop()
        stand.write_rules(RULES + "# another\n")
        stand.start()
        stand.until(lambda: len(lines(stand, "started")) >= 4, "both workers started")
        (row,) = changes()
        assert (row["ask"], row["outcome"]) == ({"before": before, "at_start": True}, "loaded_at_start")
        assert row["policy_version"] == lines(stand, "started")[-1]["policies"] != before


def test_a_broken_bundle_and_a_broken_certificate_are_said_and_so_is_their_mending(fresh: Callable[..., Stand]) -> None:
    with fresh() as stand:
        bundle, key = stand.folder / "bundles/example.org.json", stand.folder / "tls/server.key"
        bundle.write_text("{")
        stand.until(lambda: len(lines(stand, "trust bundle of example.org is malformed")) == 2, "the fault is said")
        assert (
            "the last good one stays in force" in lines(stand, "trust bundle of example.org is malformed")[0]["event"]
        )
        stand.publish_bundle()
        stand.until(lambda: len(lines(stand, "trust bundle of example.org is fresh again")) == 2, "and its end")
        assert "reason" not in tls_part(stand)
        key.write_text("no key")
        stand.until(
            lambda: all("server.key" in tls_part(stand).get("reason", "") for _ in range(4)), "why not is shown"
        )
        assert tls_part(stand)["ready"]
        stand.renew_certificate()
        stand.until(lambda: all("reason" not in tls_part(stand) for _ in range(4)), "and is gone when it is mended")


def test_a_refusal_says_who_was_refused_what_and_what_a_stranger_claims(stand: Stand) -> None:
    assert stand.client.by_jwt(stand.jwt("/ns/web/sa/line")).status == 200
    known = stand.client.by_jwt(stand.jwt("/ns/web/sa/line"), scope="ledger.write")
    elsewhere = stand.client.by_jwt(stand.jwt("/ns/web/sa/line", audience="https://elsewhere.example"))
    by_id = {line["correlation_id"]: line for line in lines(stand, "refused")}
    line = by_id[known.headers["X-Request-Id"]]
    assert (line["subject"], line["evidence"]) == ("spiffe://example.org/ns/web/sa/line", "jwt-svid")
    assert (line["grant_type"], line["scopes"]) == ("client_credentials", ["ledger.write"])
    assert "claimed_subject" not in line
    line = by_id[elsewhere.headers["X-Request-Id"]]
    assert line["claimed_subject"] == "spiffe://example.org/ns/web/sa/line"
    assert line["claimed_audiences"] == ["https://elsewhere.example"]
    assert "subject" not in line
