"""Receivers of the webhook: the example of the documentation as a program, and the configuration that names one."""

from __future__ import annotations

import base64
import json
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bridge.lab.web_ca import WebCa
from tests.live.processes import Program, wait_until

EXAMPLE = Path(__file__).resolve().parents[2] / "docs/webhook_receiver.py"
START_SECONDS, ARRIVAL_SECONDS = 30.0, 30.0


def secret_of(number: int) -> str:
    """A secret as its file holds it."""
    return "whsec_" + base64.b64encode(bytes([number]) * 32).decode()


def write_secrets(file: Path, *numbers: int) -> Path:
    """Put these secrets there, by one rename."""
    draft = file.with_name(f".{file.name}")
    draft.write_text("".join(f"{secret_of(number)}\n" for number in numbers))
    draft.chmod(0o600)
    return draft.replace(file)


class ExampleReceiver:
    """`docs/webhook_receiver.py` in a folder of its own. It keeps its port when it is started again."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.port = folder, 0
        ca = WebCa(now=int(time.time()))
        chain, key = ca.issue(["127.0.0.1"])
        for name, content in (("ca.pem", ca.certificate_pem), ("server.pem", chain), ("server.key", key)):
            (folder / name).write_bytes(content)
        self.secret_file = write_secrets(folder / "webhook.secret", 1)
        self.sender_secret_file = write_secrets(folder / "sender.secret", 1)
        self._program = Program("webhook receiver", folder / "receiver.log")

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/bridge"

    def section(self, **more: str) -> str:
        """`[webhook]`, that names this receiver; `more` are further keys with their TOML values."""
        lines = "".join(f"{key} = {value}\n" for key, value in more.items())
        return (
            f'[webhook]\nurl = "{self.url}"\nsecret_file = "{self.sender_secret_file}"\n'
            f'ca_file = "{self.folder / "ca.pem"}"\n{lines}'
        )

    def start(self) -> ExampleReceiver:
        before = len(self._lines("listening"))
        at = ("--listen", f"127.0.0.1:{self.port}", "--secret-file", str(self.secret_file))
        tls = ("--certificate", str(self.folder / "server.pem"), "--private-key", str(self.folder / "server.key"))
        self._program.start([sys.executable, str(EXAMPLE), *at, *tls])
        self._program.ready_when(lambda: len(self._lines("listening")) > before, seconds=START_SECONDS)
        self.port = self._lines("listening")[-1]["listening"]
        return self

    def stop(self) -> None:
        self._program.stop()

    @contextmanager
    def down(self) -> Iterator[None]:
        """While it does not run: its port stays its own, and refuses connections."""
        self.stop()
        with socket.socket() as held:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind(("127.0.0.1", self.port))
            yield
            self.start()

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What it took, over all of its starts."""
        return self._lines("type")

    @property
    def repeated(self) -> list[dict[str, Any]]:
        """What it got once more."""
        return self._lines("again")

    def until(self, count: int) -> list[dict[str, Any]]:
        """The messages, as soon as there are so many."""
        wait_until(lambda: len(self.messages) >= count, seconds=ARRIVAL_SECONDS, what=f"{count} messages arrived")
        return self.messages

    def _lines(self, name: str) -> list[dict[str, Any]]:
        log = self._program.log
        # A line that is being written is not read yet.
        lines = log.read_text().rpartition("\n")[0].splitlines() if log.exists() else []
        return [line for line in map(json.loads, lines) if name in line]
