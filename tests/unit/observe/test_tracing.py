"""Which requests are traced, what is noted of them, and what becomes of it when the collector is not well."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import pytest
from prometheus_client import REGISTRY

from bridge.model.errors import EvidenceRejected, ScopeNotAllowed, Unavailable
from bridge.model.forwarding import CERTIFICATE_HEADER, CertificateHeader
from bridge.model.reasons import Reason
from bridge.observe import tracing
from bridge.observe.trace_export import TraceExport
from bridge.observe.tracing import MOST_CHARACTERS, MOST_STEPS, Outcome, Stage, Trace, Tracing, note, past, stage
from tests.collector import Span, decoded

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE_ID}-{SPAN_ID}-01"
BY_PROXY = {CERTIFICATE_HEADER: CertificateHeader.CLIENT_CERT}


@dataclass
class Kept:
    """The end of tracing: what was kept."""

    traces: list[Trace] = field(default_factory=list)

    def tracing(self, *, ratio: float = 1.0, chance: float = 0.5, trust_proxies: bool = False) -> Tracing:
        numbers = count(1)
        return Tracing(
            self.traces.append,
            ratio=ratio,
            chance=lambda: chance,
            new_id=lambda size: f"{next(numbers):0{2 * size}x}",
            trust_proxies=trust_proxies,
        )


def begun(of: Tracing, method: str = "POST", **environ: object) -> Trace | None:
    return of.begin({"REQUEST_METHOD": method, **environ}, "an-id", "/token")


@pytest.mark.parametrize(
    ("ratio", "chance", "is_traced"),
    [(1.0, 0.999, True), (0.5, 0.49, True), (0.5, 0.5, False), (0.0, 0.0, False)],
    ids=["all", "within", "beyond", "none"],
)
def test_so_many_requests_are_traced(ratio: float, chance: float, is_traced: bool) -> None:
    of = Kept().tracing(ratio=ratio, chance=chance)
    assert (begun(of) is not None) is is_traced
    of.leave()


@pytest.mark.parametrize(
    ("header", "parent"),
    [
        (SAMPLED, (TRACE_ID, SPAN_ID)),
        (f"cc-{TRACE_ID}-{SPAN_ID}-01-what-comes-later", (TRACE_ID, SPAN_ID)),
        (f"00-{TRACE_ID}-{SPAN_ID}-01-more", None),
        (f"ff-{TRACE_ID}-{SPAN_ID}-01", None),
        (f"00-{'0' * 32}-{SPAN_ID}-01", None),
        (f"00-{TRACE_ID}-{'0' * 16}-01", None),
        (f"00-{TRACE_ID.upper()}-{SPAN_ID}-01", None),
        (f"{SAMPLED},{SAMPLED}", None),
        (f"{SAMPLED}\n", None),
        (SAMPLED[:-1], None),
        ("", None),
    ],
)
def test_a_trusted_proxys_traceparent_is_read_strictly(header: str, parent: tuple[str, str] | None) -> None:
    of = Kept().tracing(trust_proxies=True)
    trace = begun(of, HTTP_TRACEPARENT=header, **BY_PROXY)
    of.leave()
    assert trace is not None
    assert trace.parent_id == (None if parent is None else parent[1])
    assert (trace.trace_id == TRACE_ID) is (parent is not None)


@pytest.mark.parametrize(
    ("trust_proxies", "environ", "is_linked"),
    [(True, BY_PROXY, True), (False, BY_PROXY, False), (True, {}, False)],
    ids=["a trusted proxy", "not configured", "a stranger"],
)
def test_nobody_elses_traceparent_is_read(trust_proxies: bool, environ: dict[str, object], is_linked: bool) -> None:
    of = Kept().tracing(trust_proxies=trust_proxies)
    trace = begun(of, HTTP_TRACEPARENT=SAMPLED, **environ)
    of.leave()
    assert trace is not None
    assert (trace.trace_id == TRACE_ID) is is_linked


def test_a_proxy_decides_either_way_whatever_the_ratio() -> None:
    never, always = Kept().tracing(ratio=0.0, trust_proxies=True), Kept().tracing(trust_proxies=True)
    assert begun(never, HTTP_TRACEPARENT=SAMPLED, **BY_PROXY) is not None
    assert begun(always, HTTP_TRACEPARENT=f"{SAMPLED[:-1]}0", **BY_PROXY) is None
    always.leave()


def test_nothing_is_noted_of_a_request_that_is_not_traced() -> None:
    of = Kept().tracing(ratio=0.0)
    begun(of)
    with stage(Stage.VERIFY):
        note(client_id="spiffe://example.org/a")
    past(Stage.COMMIT, 0.0)
    assert tracing.current() is None


def test_what_is_noted_is_bounded_in_number_and_length() -> None:
    of = Kept().tracing()
    trace = begun(of, method="BREW")
    assert trace is not None
    note(client_id="x" * 10_000, rule="")
    for _ in range(100):
        with stage(Stage.DECIDE):
            pass
    of.leave()
    assert trace.attributes["bridge.client_id"] == "x" * MOST_CHARACTERS
    assert trace.attributes["http.request.method"] == "_OTHER"
    assert "bridge.rule" not in trace.attributes
    assert len(trace.steps) == MOST_STEPS


def test_a_stage_that_fails_says_for_which_reason() -> None:
    of = Kept().tracing()
    trace = begun(of)
    with pytest.raises(EvidenceRejected), stage(Stage.VERIFY, evidence="jwt-svid"):
        raise EvidenceRejected(Reason.JWT_EXPIRED, "words of a stranger")
    of.leave()
    assert trace is not None
    assert trace.steps[0].attributes == {"evidence": "jwt-svid", "reason": "jwt_expired"}


@pytest.mark.parametrize(
    ("error", "status", "outcome"),
    [
        (None, 200, Outcome.ANSWERED),
        (ScopeNotAllowed(Reason.POLICY_SCOPE), 400, Outcome.REFUSED),
        (Unavailable(Reason.STORE_UNAVAILABLE), 503, Outcome.UNAVAILABLE),
        (None, 500, Outcome.FAILED),
    ],
    ids=["answered", "refused", "unavailable", "failed"],
)
def test_each_trace_has_an_outcome_of_four(error: Exception | None, status: int, outcome: Outcome) -> None:
    kept = Kept()
    of = kept.tracing()
    trace = begun(of)
    assert trace is not None
    if isinstance(error, ScopeNotAllowed | Unavailable):
        of.refused(trace, error)
    of.finish(trace, "token", status)
    of.leave()
    assert kept.traces == [trace]
    assert trace.attributes["bridge.outcome"] == outcome.value


def test_a_held_answer_goes_on_in_another_thread() -> None:
    of = Kept().tracing()
    trace = begun(of)
    assert trace is not None
    of.leave()

    def settle() -> None:
        with of.resumed(trace):
            past(Stage.COMMIT, time.perf_counter())
        assert tracing.current() is None

    thread = threading.Thread(target=settle)
    thread.start()
    thread.join()
    assert [step.stage for step in trace.steps] == [Stage.COMMIT]


def total(outcome: str) -> float:
    return REGISTRY.get_sample_value("bridge_spans_total", {"outcome": outcome}) or 0.0


def a_trace(kept: Kept) -> Trace:
    of = kept.tracing()
    trace = begun(of)
    assert trace is not None
    with stage(Stage.DECIDE):
        pass
    of.finish(trace, "token", 200)
    of.leave()
    return trace


def export(send: Callable[[bytes], None], most_waiting: int = 3) -> TraceExport:
    numbers = count(100)
    return TraceExport(
        send,
        service_name="a name",
        new_id=lambda size: f"{next(numbers):0{2 * size}x}",
        every=0.01,
        most_waiting=most_waiting,
    )


def test_traces_are_sent_with_what_is_below_them() -> None:
    sent: list[Span] = []
    out = export(lambda message: sent.extend(decoded(message)))
    before = total("exported")
    out.keep(a_trace(Kept()))
    out.start()
    out.close(patience=30.0)
    root, step = sent
    assert (root.name, step.name, step.parent_id) == ("POST /token", "decide", root.span_id)
    assert root.began <= step.began <= step.ended <= root.ended
    assert root.resource == {"service.name": "a name", "service.version": root.resource["service.version"]}
    assert total("exported") == before + 2


def test_what_does_not_fit_is_dropped_and_counted() -> None:
    sent: list[Span] = []
    out = export(lambda message: sent.extend(decoded(message)), most_waiting=3)
    before = total("dropped")
    for _ in range(5):
        out.keep(a_trace(Kept()))
    assert total("dropped") == before + 4, "two traces of two spans"
    out.start()
    out.close(patience=30.0)
    assert len(sent) == 6
    out.keep(a_trace(Kept()))
    assert total("dropped") == before + 6, "after the end"


def test_what_could_not_be_sent_is_counted_and_not_sent_again(caplog: pytest.LogCaptureFixture) -> None:
    tried, arrived = [0], threading.Event()

    def send(message: bytes) -> None:
        tried[0] += 1
        if tried[0] <= 2:
            raise Unavailable(Reason.FETCH_FAILED, "connect: nobody there")
        arrived.set()

    out, before, traces = export(send, most_waiting=100), total("failed"), Kept()
    with caplog.at_level("INFO", logger="bridge.tracing"):
        out.start()
        for number in (1, 2, 3):
            out.keep(a_trace(traces))
            deadline = time.monotonic() + 30
            while tried[0] < number and time.monotonic() < deadline:
                time.sleep(0.005)
        assert arrived.wait(30)
        out.close(patience=30.0)
    assert total("failed") == before + 4
    said = [record.getMessage() for record in caplog.records]
    assert len([line for line in said if "could not be sent" in line]) == 1
    assert any("messages lost meanwhile: 2" in line for line in said)


def test_the_end_does_not_wait_for_a_collector_that_hangs() -> None:
    released, reached = threading.Event(), threading.Event()

    def hangs(message: bytes) -> None:
        reached.set()
        released.wait(60)

    out = export(hangs)
    out.start()
    out.keep(a_trace(Kept()))
    assert reached.wait(30)
    out.close(patience=0.05)
    assert out._thread.is_alive(), "it was not waited for"
    released.set()
    out._thread.join(30)
