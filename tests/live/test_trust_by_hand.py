"""What operators do about another trust domain beside a real SPIRE: add it, and give it a new beginning."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from joserfc.jwk import ECKey

from tests.live.credentials import Presenter
from tests.live.pki import replace_file
from tests.live.processes import wait_until
from tests.live.rotating import Rotation
from tests.live.rotation import SPIRE_SECONDS
from tests.live.spire_domain import SpireDomain
from tests.live.spire_lab import OWN, PARTNER
from tests.live.stage import BATCH, SYNC, Stage
from tests.live.trust_sources import agent


def _digest(domain: SpireDomain) -> str:
    """What the people of `domain` read out over the phone: made as `bridge trust show --help` and the README say, from
    what their own server has."""
    authorities = domain.authorities()
    lines = [f"x509-svid {digest}\n" for digest in authorities["x509"]]
    for jwk in domain.bundle()["keys"]:
        if jwk.pop("use") == "jwt-svid":
            lines.append(f"jwt-svid {ECKey.import_key(jwk).thumbprint()} {json.dumps(jwk['kid'])}\n")
    digits = hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()[:32]
    return "-".join(digits[at : at + 4] for at in range(0, 32, 4))


def test_a_trust_domain_without_an_agent_is_added_by_one_command(stage: Stage) -> None:
    """SPIFFE-28: the own bundle from the agent, the partner's from its endpoint, once its digest was compared."""
    service = stage.service({OWN: agent(stage.lab)})
    partner, given = stage.lab.partner, stage.directory / "given-by-their-people.json"
    replace_file(given, json.dumps(partner.bundle()).encode())
    url, server = f"https://127.0.0.1:{partner.bundle_port}/", partner.spiffe_id("/spire/server")
    where = ("--url", url, "--profile", "https_spiffe", "--endpoint-spiffe-id", server, "--bootstrap-from", str(given))
    before = service.configuration.read_text()

    refused, _, errors = service.ask("trust", "add", PARTNER, *where, "--fingerprint", "0" * 32)
    assert (refused, service.configuration.read_text()) == (1, before), errors
    assert _digest(partner) in errors
    service.command("trust", "add", PARTNER, *where, "--fingerprint", _digest(partner))
    service.start()
    try:
        for domain, path in ((stage.lab.own, BATCH), (partner, SYNC)):
            for kind in ("jwt", "x509"):
                answer = Presenter(stage.workload(path, domain), kind).ask(service)
                assert answer.granted, answer
        assert {name: row["source"] for name, row in service.trust().items()} == {
            OWN: "workload-api",
            PARTNER: "https_spiffe",
        }
    finally:
        status = service.stop()
    assert status == 0, service.log


def test_a_partner_whose_ca_changed_unseen_comes_back_with_a_new_bootstrap(stage: Stage) -> None:
    """SPIFFE-24, T-12: no last bundle proves its server any more, so people have to; no restart. SPIRE's servers need
    the same of each other then."""
    trust = stage.endpoints(refresh_min="1s", refresh_max="2s")
    service, partner = stage.service(trust), stage.lab.partner
    presenter = Presenter(stage.workload(SYNC, partner), "jwt")
    service.start()
    try:
        assert presenter.ask(service).granted
        assert service.stop() == 0, service.log
        Rotation(stage, PARTNER, "x509", {}).whole("")
        service.start()
        wait_until(lambda: service.trust()[PARTNER]["fault"], seconds=SPIRE_SECONDS, what="its server is not believed")
        listed = service.trust()
        assert (listed[PARTNER]["state"], listed[OWN]["state"]) == ("late", "fresh")
        assert f"the server is not {partner.spiffe_id('/spire/server')}" in listed[PARTNER]["reason"]
        assert presenter.ask(service).granted, "the last bundle is good until max_stale, and its JWT keys are the same"

        replace_file(Path(trust[PARTNER]["bootstrap"]), json.dumps(partner.bundle()).encode())
        wait_until(
            lambda: set(service.trust()[PARTNER]["x509_authorities"]) == partner.authorities()["x509"],
            seconds=SPIRE_SECONDS,
            what="the new beginning is taken",
        )
        assert service.trust()[PARTNER]["state"] == "fresh"
        assert Presenter(presenter.workload, "x509").ask(service).granted
    finally:
        status = service.stop()
    assert status == 0, service.log
