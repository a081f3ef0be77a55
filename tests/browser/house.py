"""A service with its pages, and where the pictures of them go."""

from __future__ import annotations

import time
from pathlib import Path

from tests.browser.served import Client, ServedApplication
from tests.unit.web.pages.stand import Stand

# Where the screenshots go; not kept in the repository.
PICTURES = Path(__file__).resolve().parent.parent.parent / "build" / "browser"


class House:
    """A service with its pages, over TLS, and a client on the same machine."""

    def __init__(self, folder: Path, client: Client) -> None:
        self._served = ServedApplication(folder, now=int(time.time()))
        self.origin, self.client = self._served.origin, client
        self.stand = Stand(issuer=self.origin)
        self._served.start(self.stand.app.wsgi_app)

    @property
    def start(self) -> str:
        """Where the client sends a browser with what it pushed."""
        return self.origin + self.stand.pushed_url

    def stop(self) -> None:
        self._served.stop()
