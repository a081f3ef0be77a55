"""What `bridge check` says of who signs people in."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.ambient import now
from bridge.config import load_settings
from bridge.config.settings import UserSettings
from bridge.fetch.connecting import tls_context
from bridge.fetch.fetcher import Fetcher
from bridge.fetch.slots import ThreadShare
from bridge.model.errors import Unavailable
from bridge.preparing import prepare
from bridge.wiring_pages import login_provider
from tests.openid_provider import CLIENT_ID, SECRET, Conduct, OpenIdProvider
from tests.unit.cli.conftest import Run


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIdProvider]:
    with OpenIdProvider(tmp_path_factory.mktemp("provider")) as running:
        yield running


def write(folder: Path, users: str) -> None:
    with (folder / "bridge.toml").open("a") as config:
        config.write(users)


def oidc(provider: OpenIdProvider, secret: Path | None = None) -> str:
    line = "" if secret is None else f'client_secret_file = "{secret}"\n'
    return (
        f'\n[users]\nsource = "oidc"\nissuer = "{provider.issuer}"\nclient_id = "{CLIENT_ID}"\n{line}'
        f'[fetch]\nca_file = "{provider.ca_file}"\n'
    )


def said(run: Run) -> list[str]:
    return [line for line in run("check").out.splitlines() if " users " in line]


def test_without_users_it_says_so(run: Run, folder: Path) -> None:
    (line,) = said(run)
    assert line.startswith("ok")
    assert "no [users]" in line


def test_development_is_a_hint_and_loud_at_start(run: Run, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(folder, '\n[users]\nsource = "development"\n')
    (line,) = said(run)
    assert line.startswith("hint")
    assert "signs in as anybody" in line
    prepare(load_settings(folder / "bridge.toml", {}))
    (loud,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "never in production" in loud


def test_a_provider_is_asked(run: Run, folder: Path, tmp_path: Path, provider: OpenIdProvider) -> None:
    secret = tmp_path / "upstream"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    before = (folder / "bridge.toml").read_text()
    for given, by in ((secret, "by a secret"), (None, "by private_key_jwt")):
        (folder / "bridge.toml").write_text(before)
        write(folder, oidc(provider, given))
        (line,) = said(run)
        assert line.startswith("ok")
        assert provider.issuer in line
        assert by in line
    provider.conduct = Conduct(metadata=lambda said: {**said, "issuer": "https://other.example"})
    (line,) = said(run)
    provider.conduct = Conduct()
    assert line.startswith("fault")
    assert "another issuer" in line
    assert provider.issuer in line


def test_what_the_provider_leads_to_may_be_inside_only_where_the_operator_said_so_T_1(
    tmp_path: Path, provider: OpenIdProvider
) -> None:
    with OpenIdProvider(tmp_path) as other:
        elsewhere = f"{other.issuer}/jwks"
        provider.conduct = Conduct(metadata=lambda said: {**said, "jwks_uri": elsewhere})
        users = UserSettings(source="oidc", issuer=provider.issuer, client_id=CLIENT_ID)
        ca = tmp_path / "both.pem"
        ca.write_bytes(provider.ca_file.read_bytes() + other.ca_file.read_bytes())

        def keys(*allowed: str) -> object:
            fetcher = Fetcher(
                at_once=4, threads=ThreadShare(4), context=tls_context(str(ca)), allow_hosts=frozenset(allowed)
            )
            return login_provider(users, fetcher).key("ES256", "key-1", now=now()).kid

        with pytest.raises(Unavailable, match="not public"):
            keys()
        assert other.asked == []
        assert keys(other.issuer.removeprefix("https://")) == "key-1"
    provider.conduct = Conduct()
