"""What a section of a trust domain may say of an endpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.config import load_settings
from bridge.model.errors import StartRefused

WEB = 'source = "https_web"\nurl = "https://partner.example:8443/bundle"'
SPIFFE = """source = "https_spiffe"
url = "https://10.0.0.7/"
endpoint_spiffe_id = "spiffe://partner.example/spire/server"
"""
BOOTSTRAP = 'bootstrap = "bundles/first.json"'


def load(folder: Path, section: str, more: str = "") -> None:
    (folder / "bridge.toml").write_text(
        f"""
issuer = "http://127.0.0.1:8080"
listen = "127.0.0.1:8080"
[policies]
directory = "policies"
[trust_domains."partner.example"]
{section}
{more}
"""
    )
    load_settings(folder / "bridge.toml", {})


OTHER = '[trust_domains."other.example"]\nsource = "file"\npath = "x.json"'


@pytest.mark.parametrize(
    ("section", "more"),
    [
        (WEB, ""),
        (f'{WEB}\nca_file = "ca.pem"\nrefresh_min = "10s"\nrefresh_max = "1h"', ""),
        (f"{SPIFFE}{BOOTSTRAP}", ""),
        (SPIFFE.replace("spiffe://partner", "spiffe://other"), OTHER),
        (SPIFFE.replace("spiffe://partner", "spiffe://other") + BOOTSTRAP, ""),
    ],
)
def test_an_endpoint_of_either_profile_is_accepted(tmp_path: Path, section: str, more: str) -> None:
    load(tmp_path, section, more)


@pytest.mark.parametrize(
    ("section", "key", "words"),
    [
        (WEB.replace("https://", "http://"), "url", "the URL"),
        (WEB.replace("https://", "https://me:secret@"), "url", "the URL"),
        (WEB.replace("/bundle", "/bundle#x"), "url", "the URL"),
        ('source = "https_web"', "url", "required"),
        (f"{WEB}\n{BOOTSTRAP}", "bootstrap", "is no key of"),
        (f'{SPIFFE}{BOOTSTRAP}\nca_file = "ca.pem"', "ca_file", "is no key of"),
        (SPIFFE, "bootstrap", "required: the first bundle of partner.example"),
        (SPIFFE.replace("spiffe://partner", "spiffe://other"), "bootstrap", "required: the first bundle of other"),
        (SPIFFE.replace("spiffe://", "https://") + BOOTSTRAP, "endpoint_spiffe_id", ""),
        (SPIFFE.replace("/spire/server", "") + BOOTSTRAP, "endpoint_spiffe_id", ""),
        (f'{WEB}\nrefresh_min = "2h"\nrefresh_max = "1h"', "refresh_min", "is above refresh_max"),
        (f'{WEB}\nrefresh_min = "0s"', "refresh_min", "a duration is"),
    ],
)
def test_an_endpoint_that_cannot_be_asked_safely_is_refused_by_name(
    tmp_path: Path, section: str, key: str, words: str
) -> None:
    """SPIFFE-27: https without user information; and each key that is missing, foreign or out of its bounds."""
    with pytest.raises(StartRefused) as refused:
        load(tmp_path, section)
    (fault,) = refused.value.faults
    assert f"trust_domains.partner.example.{key}: " in fault
    assert words in fault
