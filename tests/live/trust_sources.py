"""From where a service has its bundles: the `[trust_domains]` sections of its configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tests.live.pki import replace_file
from tests.live.spire_domain import SpireDomain
from tests.live.spire_lab import SpireLab

Section = Mapping[str, str]


def agent(lab: SpireLab, **bounds: str) -> Section:
    """The trust domain's own or federated bundle, from the agent of example.org."""
    return {"source": "workload-api", "socket": lab.own.endpoint.replace("unix:", "unix://", 1), **bounds}


def web_endpoint(lab: SpireLab, **bounds: str) -> Section:
    """example.org's endpoint, profile https_web, with the lab's own CA for web servers."""
    return {
        "source": "https_web",
        "url": f"https://localhost:{lab.own.bundle_port}/",
        "ca_file": str(lab.pki / "web-ca.crt"),
        **bounds,
    }


def spiffe_endpoint(domain: SpireDomain, bootstrap: Path, **bounds: str) -> Section:
    """partner.example's endpoint, profile https_spiffe. Writes its present bundle to `bootstrap`, as one would be
    handed over by its people."""
    replace_file(bootstrap, json.dumps(domain.bundle()).encode())
    return {
        "source": "https_spiffe",
        "url": f"https://127.0.0.1:{domain.bundle_port}/",
        "endpoint_spiffe_id": domain.spiffe_id("/spire/server"),
        "bootstrap": str(bootstrap),
        **bounds,
    }


def to_toml(sections: Mapping[str, Section]) -> str:
    """The sections by trust domain, as the configuration has them."""
    return "".join(
        f'\n[trust_domains."{name}"]\n' + "".join(f"{key} = {json.dumps(value)}\n" for key, value in section.items())
        for name, section in sections.items()
    )
