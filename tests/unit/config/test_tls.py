"""`[tls]`: files, the service's own X.509-SVID, or each for one listener; and every fault as its twin."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.model.errors import StartRefused
from tests.unit.config.loading import load

BASE = """\
issuer      = "https://bridge.example.org"
listen      = "10.0.0.1:8443"
mtls_listen = "10.0.0.1:8444"
[policies]
directory = "policies"
[trust_domains."example.org"]
source = "file"
path   = "bundle.json"
[tls]
"""
FILES = 'certificate = "server.pem"\nprivate_key = "server.key"\n'
AGENT = 'workload_api = "unix:///run/spire/agent.sock"\n'
WHICH = 'spiffe_id = "spiffe://example.org/bridge"\n'


@pytest.mark.parametrize("tls", [FILES, AGENT, FILES + AGENT, AGENT + WHICH, FILES + AGENT + WHICH])
def test_files_an_agent_or_both_are_taken(folder: Path, tls: str) -> None:
    found = load(folder, BASE + tls).tls
    assert found is not None
    assert (found.certificate == str(folder / "server.pem")) == (FILES in tls)
    assert (found.workload_api == "unix:///run/spire/agent.sock") == (AGENT in tls)
    assert (found.spiffe_id == "spiffe://example.org/bridge") == (WHICH in tls)


@pytest.mark.parametrize(
    ("good", "bad", "expected"),
    [
        pytest.param(FILES, "", "tls: certificate and private_key are required, or workload_api", id="nothing"),
        pytest.param(FILES, FILES.partition("\n")[2], "tls.certificate: required, and not there", id="a key alone"),
        pytest.param(
            FILES, FILES.partition("\n")[0] + "\n", "tls.private_key: required, and not there", id="a certificate alone"
        ),
        pytest.param(
            AGENT, AGENT + FILES.partition("\n")[2], "tls.certificate: required, and not there", id="a key beside"
        ),
        pytest.param(AGENT, 'workload_api = ""\n', "tls.workload_api: String should have", id="an empty address"),
        pytest.param(AGENT + WHICH, FILES + WHICH, "which is not set", id="an ID without an agent"),
        pytest.param(
            AGENT + WHICH, AGENT + WHICH.replace("spiffe://", "https://"), "tls.spiffe_id: ", id="an ID that is none"
        ),
        pytest.param(
            AGENT + WHICH,
            AGENT + WHICH.replace("/bridge", ""),
            "tls.spiffe_id: ",
            id="an ID of a trust domain alone",
        ),
    ],
)
def test_one_wrong_thing_is_refused_by_name(folder: Path, good: str, bad: str, expected: str) -> None:
    load(folder, BASE + good)
    with pytest.raises(StartRefused) as refused:
        load(folder, BASE + bad)
    assert any(expected in fault for fault in refused.value.faults), refused.value.faults


@pytest.mark.parametrize("listener", ["listen", "mtls_listen"])
def test_both_together_are_for_one_listener_each(folder: Path, listener: str) -> None:
    alone = "".join(line for line in BASE.splitlines(keepends=True) if not line.startswith(f"{listener} "))
    load(folder, alone + AGENT)
    load(folder, alone + FILES)
    with pytest.raises(StartRefused, match="is for mtls_listen, and the certificate for listen: set both"):
        load(folder, alone + FILES + AGENT)
