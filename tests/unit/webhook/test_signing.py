"""Signatures as receivers know them, and the file of secrets."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from bridge.model.errors import StartRefused
from bridge.webhook.signing import SecretFile, read_secrets, signed_headers

OLD, NEW = b"o" * 32, b"n" * 24


def line(secret: bytes) -> str:
    return f"whsec_{base64.b64encode(secret).decode()}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "webhook.secret"
    put(path, line(OLD))
    return path


def put(path: Path, text: str, mode: int = 0o600) -> None:
    draft = path.with_name("draft")
    draft.write_text(text)
    draft.chmod(mode)
    draft.replace(path)


def test_a_signature_is_that_of_the_conventions_own_example() -> None:
    """Standard Webhooks, its published example of a signed message."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers((secret,), "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', now=1614265330)
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_two_secrets_make_two_signatures_each_the_one_it_makes_alone() -> None:
    both = signed_headers((NEW, OLD), "msg_1", b"{}", now=1)["webhook-signature"].split(" ")
    assert both == [signed_headers((one,), "msg_1", b"{}", now=1)["webhook-signature"] for one in (NEW, OLD)]


@pytest.mark.parametrize("other", [("msg_2", b"{}", 1), ("msg_1", b"[]", 1), ("msg_1", b"{}", 2)])
def test_id_body_and_time_are_all_signed(other: tuple[str, bytes, int]) -> None:
    signed = signed_headers((OLD,), "msg_1", b"{}", now=1)["webhook-signature"]
    assert signed_headers((OLD,), other[0], other[1], now=other[2])["webhook-signature"] != signed


@pytest.mark.parametrize("size", [24, 64])
def test_a_secret_has_a_length_within_the_conventions(file: Path, size: int) -> None:
    put(file, line(b"s" * size))
    assert read_secrets(file) == (b"s" * size,)


def test_two_lines_are_two_secrets(file: Path) -> None:
    put(file, line(NEW) + line(OLD))
    assert read_secrets(file) == (NEW, OLD)


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("", 0o600, "holds no webhook secret"),
        (line(b"s" * 23), 0o600, "holds no webhook secret"),
        (line(b"s" * 65), 0o600, "holds no webhook secret"),
        (line(OLD).removeprefix("whsec_"), 0o600, "holds no webhook secret"),
        (line(OLD) + "tail\n", 0o600, "holds no webhook secret"),
        (line(OLD).replace("b", "*"), 0o600, "holds no webhook secret"),
        (line(OLD) + line(NEW) + line(b"t" * 32), 0o600, "holds no webhook secret"),
        ("whsec_\u00e9", 0o600, "holds no webhook secret"),
        (line(OLD), 0o640, "must be 0600"),
        (line(OLD), 0o604, "must be 0600"),
    ],
    ids=["empty", "short", "long", "no prefix", "more", "no base64", "three", "no ascii", "T-54 group", "T-54 others"],
)
def test_another_file_is_refused_without_a_word_of_it(file: Path, text: str, mode: int, words: str) -> None:
    put(file, text, mode)
    with pytest.raises(StartRefused, match=words) as refused:
        read_secrets(file)
    assert not any(part in str(refused.value) for part in text.split())


def test_a_changed_file_acts_at_once_and_a_bad_one_leaves_the_last_good(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secrets = SecretFile(file)
    put(file, line(NEW) + line(OLD))
    assert secrets.current() == (NEW, OLD)
    put(file, "nothing\n")
    assert secrets.current() == (NEW, OLD)
    assert secrets.current() == (NEW, OLD)
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1
    put(file, line(NEW))
    assert secrets.current() == (NEW,)
