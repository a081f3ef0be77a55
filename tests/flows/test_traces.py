"""Traces of requests as a collector gets them: what they tell, what they never tell, and that nobody waits for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.collector import Collector, Span
from tests.flows.client import Answer, jwt_fields
from tests.flows.proxied import rfc_9440, token_by
from tests.flows.stand import Stand

API, INTRUDER = "/ns/web/sa/api", "/ns/web/sa/intruder"
SERVER, INTERNAL, ERROR = 2, 1, 2
CREDENTIAL = "Bearer of-the-collector"
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT, UNSAMPLED = f"00-{TRACE_ID}-{SPAN_ID}-01", f"00-{TRACE_ID}-{SPAN_ID}-00"


def section(collector: Collector, *more: str) -> str:
    return "\n".join((f'[tracing]\nendpoint = "{collector.url}"\nratio = 1.0', *more, ""))


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Stand]:
    folder = tmp_path_factory.mktemp("traced") / "service"
    proxy = '[[trusted_proxies]]\nunix = "proxy.sock"\nheader = "client-cert"\n'
    more = section(collector, 'headers_file = "collector.headers"', 'service_name = "bridge of the test"')
    stand = Stand(folder, more=f"{more}trust_proxies = true\n{proxy}")
    headers = folder / "collector.headers"
    headers.write_text(f"Authorization: {CREDENTIAL}\n")
    headers.chmod(0o600)
    with stand:
        yield stand


def post(stand: Stand, fields: dict[str, str], **headers: str) -> Answer:
    return stand.client.post("/token", fields, headers=[*headers.items()])


@dataclass(frozen=True, slots=True)
class Asked:
    """Some requests, all asked before anybody waited for a span; and what was presented with them."""

    answers: dict[str, Answer]
    secrets: tuple[str, ...]
    collector: Collector
    log: str

    def trace(self, name: str) -> tuple[Span, dict[str, Span]]:
        """The request's own span, and those below it by name."""
        root, *steps = self.collector.of(self.answers[name].headers["X-Request-Id"])
        return root, {step.name: step for step in steps}


@pytest.fixture(scope="module")
def asked(traced: Stand, collector: Collector) -> Asked:
    svid, cert = traced.jwt(API), traced.authority.x509_svid(API)
    forged = traced.stranger.jwt_svid(API, traced.client.issuer)
    socket, header = traced.folder / "proxy.sock", rfc_9440(cert.chain)
    mixed = {**jwt_fields(svid), "client_secret": "a-secret-of-somebody"}
    answers = {
        "health": traced.client.request("GET", "/readyz"),
        "unsampled": token_by(socket, [*header, ("traceparent", UNSAMPLED)], cert),
        "token": post(traced, jwt_fields(svid)),
        "mixed": post(traced, mixed, Cookie="a=cookie-of-somebody"),
        "denied": post(traced, jwt_fields(traced.jwt(INTRUDER))),
        "forged": post(traced, {**jwt_fields(forged), "client_id": "spiffe://stranger.example/claimed"}),
        "stranger's": post(traced, jwt_fields(svid), traceparent=PARENT, tracestate="a=b"),
        "stranger's unsampled": post(traced, jwt_fields(svid), traceparent=UNSAMPLED),
        "proxy's": token_by(socket, [*header, ("traceparent", PARENT)], cert),
        "proxy's twice": token_by(socket, [*header, *[("traceparent", PARENT)] * 2], cert),
        "lost": traced.client.request("GET", "/nothing/of/ours?token=abc"),
    }
    untraced = {"health", "unsampled"}
    for name in answers.keys() - untraced:
        collector.wait_for(answers[name].headers["X-Request-Id"])
    token = str(answers["token"].body["access_token"])
    secrets = (*svid.split(".")[1:], token.split(".")[2], "a-secret-of-somebody", "cookie-of-somebody", CREDENTIAL)
    return Asked(answers, secrets, collector, traced.log)


def test_a_token_is_one_trace_from_verification_to_the_disk(asked: Asked) -> None:
    answer = asked.answers["token"]
    assert answer.status == 200
    root, steps = asked.trace("token")
    assert (root.name, root.kind, root.status, root.parent_id) == ("POST /token", SERVER, 0, "")
    assert root.attributes == {
        "http.request.method": "POST",
        "http.route": "/token",
        "http.response.status_code": 200,
        "bridge.correlation_id": answer.headers["X-Request-Id"],
        "bridge.endpoint": "token",
        "bridge.outcome": "answered",
        "bridge.client_id": f"spiffe://example.org{API}",
        "bridge.trust_domain": "example.org",
        "bridge.rule": root.attributes["bridge.rule"],
        "bridge.grant_type": "client_credentials",
    }
    assert steps.keys() == {"verify", "decide", "register", "sign", "commit"}
    assert steps["verify"].attributes == {"bridge.evidence": "jwt-svid"}
    for step in steps.values():
        assert (step.trace_id, step.kind) == (root.trace_id, INTERNAL)
        assert root.began <= step.began <= step.ended <= root.ended
    order = [steps[name].began for name in ("verify", "decide", "register", "sign", "commit")]
    assert order == sorted(order)
    assert root.resource["service.name"] == "bridge of the test"


def test_a_refusal_says_its_reason_of_the_closed_list_and_whom_it_befell(asked: Asked) -> None:
    assert asked.answers["denied"].status == 401
    root, steps = asked.trace("denied")
    told = {name.removeprefix("bridge."): value for name, value in root.attributes.items()}
    assert (told["outcome"], told["reason"], told["trust_domain"]) == ("refused", "policy_deny_rule", "example.org")
    assert root.status == 0, "a refusal is no error of the service"
    assert steps["decide"].attributes["bridge.reason"] == "policy_deny_rule"
    assert "sign" not in steps


def test_a_caller_who_proved_nothing_is_nobody(asked: Asked) -> None:
    root, _ = asked.trace("forged")
    assert root.attributes["bridge.reason"] == "trust_domain_unknown"
    assert not {"bridge.client_id", "bridge.trust_domain"} & root.attributes.keys()
    assert not any(b"stranger.example" in message for message in asked.collector.raw)


def test_lines_of_the_log_lead_to_the_trace(asked: Asked) -> None:
    root, _ = asked.trace("denied")
    objects = [json.loads(line) for line in asked.log.splitlines() if line.startswith("{")]
    request_id = asked.answers["denied"].headers["X-Request-Id"]
    (line,) = (one for one in objects if one.get("correlation_id") == request_id)
    assert (line["trace_id"], line["span_id"]) == (root.trace_id, root.span_id)


def test_no_credential_is_in_a_span_and_the_collectors_own_is_in_its_header(asked: Asked) -> None:
    """T-49: neither what was presented nor what was issued, in whole or in part."""
    assert asked.answers["mixed"].status == 400
    sent = b"".join(asked.collector.raw)
    assert f"spiffe://example.org{API}".encode() in sent
    assert [secret for secret in asked.secrets if secret.encode() in sent] == []
    assert {headers["authorization"] for headers in asked.collector.headers} == {CREDENTIAL}
    assert {headers["content-type"] for headers in asked.collector.headers} == {"application/x-protobuf"}
    assert set(asked.collector.paths) == {"/v1/traces"}


@pytest.mark.parametrize("name", ["stranger's", "stranger's unsampled", "proxy's twice"])
def test_a_traceparent_that_is_not_one_trusted_proxys_neither_links_nor_decides(asked: Asked, name: str) -> None:
    assert asked.answers[name].status == 200
    root, _ = asked.trace(name)
    assert root.trace_id != TRACE_ID
    assert root.parent_id == ""


def test_a_trusted_proxys_traceparent_links_and_decides(asked: Asked) -> None:
    root, steps = asked.trace("proxy's")
    assert (root.trace_id, root.parent_id) == (TRACE_ID, SPAN_ID)
    assert {step.trace_id for step in steps.values()} == {TRACE_ID}
    assert steps["verify"].attributes == {"bridge.evidence": "x509-svid"}
    unsampled = asked.answers["unsampled"]
    assert unsampled.status == 200
    assert asked.collector.of(unsampled.headers["X-Request-Id"]) == []


def test_health_is_not_traced_and_a_path_of_nobody_names_no_route(asked: Asked) -> None:
    assert (asked.answers["health"].status, asked.answers["lost"].status) == (200, 404)
    root, _ = asked.trace("lost")
    assert (root.name, root.attributes["bridge.endpoint"]) == ("GET", "none")
    assert "http.route" not in root.attributes
    assert not any(b"nothing/of/ours" in message for message in asked.collector.raw)
    assert asked.collector.of(asked.answers["health"].headers["X-Request-Id"]) == []


def test_what_was_answered_last_is_sent_before_the_end(fresh: Callable[..., Stand]) -> None:
    with Collector() as collector:
        stand = fresh(more=section(collector), workers=1).start()
        answer = post(stand, jwt_fields(stand.jwt(API)))
        assert stand.stop() == 0
        assert collector.of(answer.headers["X-Request-Id"])[0].name == "POST /token"


def test_a_collector_that_hangs_delays_neither_requests_nor_the_end(fresh: Callable[..., Stand]) -> None:
    with Collector(hangs=True) as collector:
        stand = fresh(more=section(collector), workers=1).start()
        assert post(stand, jwt_fields(stand.jwt(API))).status == 200
        collector.until(lambda: bool(collector.raw))
        # Its thread hangs in the first message from here on.
        assert [post(stand, jwt_fields(stand.jwt(API))).status for _ in range(5)] == [200] * 5
        assert stand.stop() == 0
