"""`[webhook]`: what may be written, and each fault beside its twin."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.config import load_settings
from bridge.config.settings import WebhookSettings
from bridge.model.record_change import ChangeKind
from tests.unit.config.loading import load
from tests.unit.config.test_console import BASE, faults

PLACE = 'url = "https://hooks.example.org/bridge?team=7"\n'
SECRET = 'secret_file = "secrets/webhook.secret"\n'
WEBHOOK = "[webhook]\n" + PLACE + SECRET


@pytest.fixture
def folder(folder: Path) -> Path:
    """The folder with the files that a webhook needs."""
    for name in ("secrets/webhook.secret", "tls/hooks.pem"):
        (folder / name).parent.mkdir()
        (folder / name).touch()
    return folder


def webhook(folder: Path, text: str = "") -> WebhookSettings:
    section = load(folder, BASE + WEBHOOK + text).webhook
    assert section is not None
    return section


def test_without_the_section_nobody_is_told(folder: Path) -> None:
    assert load(folder, BASE).webhook is None


def test_url_and_secret_are_enough(folder: Path) -> None:
    section = webhook(folder)
    assert section.url == "https://hooks.example.org/bridge?team=7"
    assert section.secret_file == str(folder / "secrets/webhook.secret")
    assert [kind.value for kind in section.events] == [
        "client.pending", "client.approved", "client.updated", "client.revoked", "client.denied",
    ]  # fmt: skip
    assert (section.trust_domains, section.ca_file, section.give_up_after) == (None, None, 3 * 86400)


def test_everything_can_be_said(folder: Path) -> None:
    section = webhook(
        folder,
        'events = ["client.registered", "client.expired"]\ntrust_domains = ["example.org"]\n'
        'ca_file = "tls/hooks.pem"\ngive_up_after = "12h"\n',
    )
    assert section.events == [ChangeKind.REGISTERED, ChangeKind.EXPIRED]
    assert section.trust_domains == ["example.org"]
    assert (section.ca_file, section.give_up_after) == (str(folder / "tls/hooks.pem"), 12 * 3600)


def test_the_environment_can_say_where(folder: Path) -> None:
    (folder / "bridge.toml").write_text(BASE + WEBHOOK)
    set_by = {"BRIDGE_WEBHOOK__URL": "https://other.example.org/"}
    section = load_settings(folder / "bridge.toml", set_by).webhook
    assert section is not None
    assert section.url == "https://other.example.org/"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[webhook]\n" + PLACE, "webhook.secret_file: required, and not there"),
        ("[webhook]\n" + SECRET, "webhook.url: required, and not there"),
        ("[webhook]\n" + SECRET + 'url = "http://hooks.example.org/"\n', "webhook.url: the URL"),
        ("[webhook]\n" + SECRET + 'url = "http://127.0.0.1:9443/"\n', "webhook.url: the URL"),
        ("[webhook]\n" + SECRET + 'url = "https://me:pw@hooks.example.org/"\n', "webhook.url: the URL"),
        ("[webhook]\n" + SECRET + 'url = "https://hooks.example.org/#a"\n', "webhook.url: "),
        (WEBHOOK + 'events = ["client.born"]\n', "webhook.events.0: Input should be 'client.pending'"),
        (WEBHOOK + "events = []\n", "webhook.events: List should have at least 1 item"),
        (WEBHOOK + 'events = ["client.denied", "client.denied"]\n', "webhook.events: names one twice"),
        (WEBHOOK + "trust_domains = []\n", "webhook.trust_domains: List should have at least 1 item"),
        (WEBHOOK + 'trust_domains = ["example.com"]\n', "webhook.trust_domains: not configured under"),
        (WEBHOOK + 'give_up_after = "299s"\n', "webhook.give_up_after: is between 5m and 30d"),
        (WEBHOOK + 'give_up_after = "31d"\n', "webhook.give_up_after: is between 5m and 30d"),
        (WEBHOOK + 'retries = "9"\n', "webhook.retries: unknown key"),
        (WEBHOOK + 'ca_file = ""\n', "webhook.ca_file: "),
    ],
)
def test_what_is_wrong_is_named(folder: Path, text: str, fault: str) -> None:
    found = faults(folder, BASE + text)
    assert len(found) == 1
    assert found[0].startswith(fault)


@pytest.mark.parametrize("text", ['give_up_after = "5m"\n', 'give_up_after = "30d"\n'])
def test_the_twins_at_the_bounds_are_taken(folder: Path, text: str) -> None:
    webhook(folder, text)


def test_a_start_needs_the_files(folder: Path) -> None:
    text = 'ca_file = "tls/hooks.pem"\n'
    webhook(folder, text)
    for name in ("secrets/webhook.secret", "tls/hooks.pem"):
        (folder / name).unlink()
    secret, ca = faults(folder, BASE + WEBHOOK + text)
    assert secret.startswith("webhook.secret_file: no such file: ")
    assert ca.startswith("webhook.ca_file: no such file: ")
    (folder / "bridge.toml").write_text(BASE + WEBHOOK + text)
    assert load_settings(folder / "bridge.toml", {}).webhook is not None
