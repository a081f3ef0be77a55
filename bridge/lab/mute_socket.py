"""An agent that hangs so thoroughly that it does not even speak HTTP/2."""

from __future__ import annotations

import socket as sockets
from pathlib import Path


class MuteSocket:
    """A Unix socket that takes connections and says nothing. Use it as a context manager."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self._listener = sockets.socket(sockets.AF_UNIX)
        self._listener.bind(str(socket))
        self._listener.listen(16)

    @property
    def address(self) -> str:
        """As `WorkloadApi.address`."""
        return f"unix://{self.socket.absolute()}"

    def __enter__(self) -> MuteSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.socket.unlink(missing_ok=True)
