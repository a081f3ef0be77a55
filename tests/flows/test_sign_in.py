"""The whole service, with people who sign in at an OpenID provider, or by saying a name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from bridge.config import load_settings
from bridge.model.errors import StartRefused
from bridge.preparing import prepare
from tests.browsing import Browser, Page
from tests.flows.client import JWT_SPIFFE
from tests.flows.inprocess import InProcess
from tests.flows.stand import LEDGER, RULES, Stand
from tests.openid_provider import CLIENT_ID, SECRET, OpenIdProvider

CALLBACK = "http://127.0.0.1:47110/agent"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
AGENTS = f"""
[[rule]]
id = "agents-act-for-people"
why = "people's own agents"
effect = "allow"
when = {{ path = "/ns/people/sa/*" }}
grant = {{ resources = ["{LEDGER}"], scopes = ["ledger.read"], bind = "if-present", grant_types = ["authorization_code", "refresh_token"], redirect_uris = ["http://127.0.0.1/agent"] }}
"""  # noqa: E501
DEVELOPMENT = '[users]\nsource = "development"\n'


@contextmanager
def service(folder: Path, users: str) -> Iterator[InProcess]:
    def make(place: Path) -> Stand:
        stand = Stand(place, more=users)
        stand.write_rules(RULES + AGENTS)
        return stand

    process = InProcess(folder, make)
    try:
        yield process
    finally:
        process.close()


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIdProvider]:
    with OpenIdProvider(tmp_path_factory.mktemp("provider")) as running:
        yield running


def upstream(provider: OpenIdProvider, folder: Path, *, secret: bool) -> str:
    """The configuration of sign-in at this provider."""
    kept = folder / "upstream"
    kept.write_text(SECRET)
    kept.chmod(0o600)
    line = f'client_secret_file = "{kept}"\n' if secret else ""
    return (
        f'[users]\nsource = "oidc"\nissuer = "{provider.issuer}"\nclient_id = "{CLIENT_ID}"\n{line}'
        f'[fetch]\nca_file = "{provider.ca_file}"\n'
    )


class Person:
    """Somebody with a browser, and an agent that wants to act for them."""

    def __init__(self, process: InProcess) -> None:
        self.process, self.stand = process, process.stand
        self.browser = Browser(lambda: process.worker.wsgi, issuer=self.issuer)

    @property
    def issuer(self) -> str:
        return self.stand.client.issuer

    def pushed(self) -> str:
        """What a workload pushed, as the URL that it sends a browser to."""
        fields = {
            "client_assertion_type": JWT_SPIFFE,
            "client_assertion": self.stand.jwt("/ns/people/sa/desk"),
            "response_type": "code",
            "redirect_uri": CALLBACK,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "scope": "ledger.read",
            "state": "s" * 43,
        }
        pushed = Browser(lambda: self.process.worker.wsgi, issuer=self.issuer).post("/par", fields)
        assert pushed.status == 201, pushed.text
        request_uri = json.loads(pushed.text)["request_uri"]
        return f"/authorize?client_id=spiffe://example.org/ns/people/sa/desk&request_uri={request_uri}"

    def sign_in_at(self, provider: OpenIdProvider, page: Page) -> Page:
        """Follow to the provider, sign in there, and come back as far as it goes."""
        assert page.location.startswith(provider.issuer)
        return self.browser.follow(self.browser.get(provider.visit(page.location)))


def answered(page: Page) -> dict[str, str]:
    assert page.location.startswith(CALLBACK + "?")
    return {name: values[0] for name, values in parse_qs(urlsplit(page.location).query).items()}


@pytest.mark.parametrize("secret", [True, False], ids=["by a secret", "by our own keys"])
def test_a_person_signs_in_at_the_provider_and_approves(tmp_path: Path, provider: OpenIdProvider, secret: bool) -> None:
    with service(tmp_path / "service", upstream(provider, tmp_path, secret=secret)) as process:
        provider.redirect_uri = f"{process.stand.client.issuer}/sign-in/callback"
        if not secret:
            jwks = json.loads(process.call(method="GET", path=b"/jwks", headers=()).body)
            provider.conduct.client_keys = lambda: jwks
        person = Person(process)
        consent = person.sign_in_at(provider, person.browser.get(person.pushed()))
        assert "Alice Adams" in consent.text
        assert "spiffe://example.org/ns/people/sa/desk" in consent.text
        assert "Read entries" in consent.text
        answer = answered(person.browser.submit(consent, "approve"))
        assert answer.keys() == {"code", "state", "iss"}
        # Signed in, they are asked for the next one at once.
        assert person.browser.follow(person.browser.get(person.pushed())).form.buttons.keys() == {"approve", "deny"}
        provider.conduct.client_keys = None


def test_a_person_sees_and_ends_what_they_approved(tmp_path: Path) -> None:
    with service(tmp_path, DEVELOPMENT) as process:
        person = Person(process)
        consent = person.browser.follow(
            person.browser.submit(person.browser.follow(person.browser.get(person.pushed())), user="alice")
        )
        assert "code" in answered(person.browser.submit(consent, "approve"))
        account = person.browser.get("/account")
        assert "spiffe://example.org/ns/people/sa/desk" in account.text
        ended = person.browser.follow(person.browser.submit(account))
        assert "No application has access" in ended.text
        (row,) = [row for row in process.stand.audit() if row["event"] == "revoked"]
        assert (row["outcome"], row["client_id"]) == ("ended_by_user", "spiffe://example.org/ns/people/sa/desk")
        assert row["subject"].startswith("user-")


def test_signing_in_by_a_name_is_said_aloud_at_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with service(tmp_path / "loud", DEVELOPMENT):
        assert any("signs in as anybody" in record.getMessage() for record in caplog.records)
    caplog.clear()
    with service(tmp_path / "quiet", ""):
        assert not any("signs in as anybody" in record.getMessage() for record in caplog.records)


def too_open(secret: Path) -> None:
    secret.chmod(0o644)


def empty(secret: Path) -> None:
    secret.write_text("\n")


@pytest.mark.parametrize("spoil", [too_open, empty])
def test_a_secret_that_is_none_is_no_start_T_54(
    tmp_path: Path, provider: OpenIdProvider, spoil: Callable[[Path], None]
) -> None:
    config = Stand(tmp_path / "service", more=upstream(provider, tmp_path, secret=True)).config
    prepare(load_settings(config))
    spoil(tmp_path / "upstream")
    with pytest.raises(StartRefused, match="upstream"):
        prepare(load_settings(config))


def test_without_users_there_are_no_pages(tmp_path: Path) -> None:
    with service(tmp_path, "") as process:
        for path in ("/authorize", "/consent", "/account", "/sign-in", "/sign-out", "/style.css"):
            assert process.call(method="GET", path=path.encode(), headers=()).status.startswith("404")
