"""Workload API addresses (SPIFFE-31)."""

from __future__ import annotations

import pytest

from bridge.spire.endpoint import InvalidEndpoint, WorkloadEndpoint


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("unix:///run/spire/agent.sock", "unix:/run/spire/agent.sock"),
        ("unix:/run/spire/agent.sock", "unix:/run/spire/agent.sock"),
        ("unix:///" + "a" * 106, "unix:/" + "a" * 106),
        ("tcp://127.0.0.1:8081", "ipv4:127.0.0.1:8081"),
        ("tcp://[::1]:8081", "ipv6:[::1]:8081"),
        ("tcp://10.0.0.1:65535", "ipv4:10.0.0.1:65535"),
    ],
)
def test_an_address_of_the_standard_is_taken(address: str, target: str) -> None:
    assert WorkloadEndpoint.parse(address).target == target


@pytest.mark.parametrize(
    "address",
    [
        "",
        "/run/spire/agent.sock",
        "unix:",
        "unix://",
        "unix:///",
        "unix:agent.sock",
        "unix://host/run/agent.sock",
        "unix:////run/agent.sock",
        "unix:///run/agent.sock?x=1",
        "unix:///run/agent.sock#f",
        "unix:///run/a%20b",
        "unix:///run/agent.sock\n",
        "unix:///run/",
        "UNIX:///run/agent.sock",
        "unix:///" + "a" * 107,
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:65536",
        "tcp://127.0.0.1:8081/",
        "tcp://localhost:8081",
        "tcp://999.0.0.1:8081",
        "tcp://[::g]:8081",
        "tcp:127.0.0.1:8081",
        "tcp://u@127.0.0.1:8081",
        "http://127.0.0.1:8081",
    ],
)
def test_anything_else_is_refused_with_words_that_help(address: str) -> None:
    with pytest.raises(InvalidEndpoint) as refused:
        WorkloadEndpoint.parse(address)
    assert repr(address) in str(refused.value)
