"""`[users]`: who approves. Each fault beside the twin that loads."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.config import Settings, load_settings
from bridge.model.errors import StartRefused

GOOD = """\
issuer         = "https://127.0.0.1:8443"
listen         = "127.0.0.1:8443"
metrics_listen = "[::1]:9464"

[tls]
certificate = "tls/server.pem"
private_key = "tls/server.key"

[policies]
directory = "policies"

[trust_domains."example.org"]
source = "file"
path   = "bundles/example.org.json"

[users]
"""
DEVELOPMENT = 'source = "development"\n'
OIDC = 'source = "oidc"\nissuer = "https://idp.example.org"\nclient_id = "bridge"\n'
SECRET = 'client_secret_file = "secrets/upstream"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("tls/server.pem", "tls/server.key", "secrets/upstream"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def load(folder: Path, users: str, *, rest: str = GOOD) -> Settings:
    (folder / "bridge.toml").write_text(rest + users)
    return load_settings(folder / "bridge.toml", {}, serving=True)


def faults(folder: Path, users: str, rest: str) -> tuple[str, ...]:
    try:
        load(folder, users, rest=rest)
    except StartRefused as refused:
        return refused.faults
    return ()


def test_the_two_sources_load(folder: Path) -> None:
    users = load(folder, DEVELOPMENT).users
    assert users is not None
    assert (users.source, users.session_idle, users.session_life) == ("development", 1800, 8 * 3600)
    users = load(folder, OIDC + SECRET).users
    assert users is not None
    assert (users.issuer, users.client_id) == ("https://idp.example.org", "bridge")
    assert users.client_secret_file == str(folder / "secrets/upstream")


def test_without_the_section_there_are_no_users(folder: Path) -> None:
    assert load(folder, "", rest=GOOD.removesuffix("[users]\n")).users is None


@pytest.mark.parametrize(
    ("good", "change", "expected"),
    [
        pytest.param(OIDC, ('issuer = "https://idp.example.org"\n', ""), "users.issuer: required", id="no issuer"),
        pytest.param(OIDC, ('client_id = "bridge"\n', ""), "users.client_id: required", id="no client_id"),
        pytest.param(OIDC, ("https://idp", "http://idp"), "the URL", id="an issuer on http"),
        pytest.param(OIDC, ("idp.example.org", "127.0.0.1:8443"), "is this service itself", id="our own issuer"),
        pytest.param(OIDC, ('org"', 'org?a=b"'), "has a query", id="an issuer with a query"),
        pytest.param(OIDC + SECRET, ("secrets/upstream", "secrets/none"), "no such file", id="no secret file"),
        pytest.param(DEVELOPMENT, ("\n", '\nclient_id = "x"\n'), "is no key of", id="a client_id in development"),
        pytest.param(DEVELOPMENT, ("\n", '\nsession_idle = "9h"\n'), "is above session_life", id="idle above life"),
        pytest.param(DEVELOPMENT, ("development", "ldap"), "Input should be", id="another source"),
    ],
)
def test_one_wrong_thing_is_refused_by_name(folder: Path, good: str, change: tuple[str, str], expected: str) -> None:
    load(folder, good)
    with pytest.raises(StartRefused) as refused:
        load(folder, good.replace(*change, 1))
    assert any(expected in fault for fault in refused.value.faults), refused.value.faults


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(('listen         = "127.0.0.1', 'listen         = "192.0.2.1'), id="listen"),
        pytest.param(('"[::1]:9464"', '"0.0.0.0:9464"'), id="metrics_listen"),
        pytest.param(("[tls]", 'mtls_listen = "0.0.0.0:8444"\n[tls]'), id="mtls_listen"),
        pytest.param(("[tls]", '[[trusted_proxies]]\nunix = "p.sock"\nheader = "xfcc"\n[tls]'), id="a trusted proxy"),
    ],
)
def test_development_is_for_loopback_alone_and_the_other_source_for_everywhere(
    folder: Path, change: tuple[str, str]
) -> None:
    wide = GOOD.replace(*change, 1)
    assert wide != GOOD
    assert any("lets anybody be anybody" in fault for fault in faults(folder, DEVELOPMENT, wide))
    assert not any("users" in fault for fault in faults(folder, OIDC, wide))
