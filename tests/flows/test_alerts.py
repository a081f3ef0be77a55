"""The shipped alert rules and the dashboard's questions over what a service at work really shows."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from http.client import HTTPConnection

from tests.alerts import alerts
from tests.flows.client import jwt_fields
from tests.flows.proxied import ask
from tests.flows.stand import Stand
from tests.promql import History, Scrape
from tests.unit.observe.exposed import exposed

# A test's certificate lives for some days.
SHORT_LIVED = {"BridgeCertificateEnds"}


def scrape(stand: Stand) -> Scrape:
    connection = HTTPConnection("127.0.0.1", stand.metrics_port, timeout=30)
    try:
        connection.request("GET", "/metrics")
        shown = Scrape.of(connection.getresponse().read().decode())
        # What has no value yet is not declared either where several processes count.
        return replace(shown, names=shown.names | exposed().keys())
    finally:
        connection.close()


def firing(now: Scrape, before: Scrape) -> set[str]:
    history = History(((0, now), (600, before), (4200, before)), time.time())
    return {alert.name for alert in alerts() if alert.is_true_of(history)}


def test_a_service_that_is_well_rings_no_bell_and_a_spoofed_header_rings_one(fresh: Callable[..., Stand]) -> None:
    """T-18: also the first one ever, in a series that was never counted before."""
    proxy = '[[trusted_proxies]]\nunix = "proxy.sock"\nheader = "client-cert"\n'
    stand = fresh(more=proxy).start()
    stand.until(lambda: "bridge_audit_rows" in {name for name, _, _ in scrape(stand).samples}, "everything is measured")
    before = scrape(stand)
    answer = stand.client.post("/token", jwt_fields(stand.jwt("/ns/web/sa/api")))
    assert answer.status == 200
    # Rows of the audit log are counted now and then, and when somebody asks for everything to be looked at.
    os.kill(stand.pid, signal.SIGHUP)
    stand.until(lambda: firing(scrape(stand), before) <= SHORT_LIVED, "no bell rings")
    well = scrape(stand)
    spoofed = ask(stand.folder / "proxy.sock", {"grant_type": "client_credentials"}, [("Client-Cert", ":AA==:")] * 2)
    assert spoofed.status in (400, 401)
    assert firing(scrape(stand), well) - SHORT_LIVED == {"BridgeCertificateHeaderRefused"}
    assert {name for name, _, _ in well.samples if name.startswith("bridge_")} <= exposed().keys()
