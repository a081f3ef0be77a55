"""A receiver of the bridge's webhook, to copy from. Needs nothing but Python's standard library.

    python3 webhook_receiver.py --listen 127.0.0.1:9443 --certificate server.pem --private-key server.key \
        --secret-file webhook.secret

It prints a line of JSON for each message whose signature is right, and answers 204. What it shows: the signature is
verified over the bytes as they came, before anything is read out of them; what is old is refused; what came before is
answered like the first time, and not acted upon twice; the answer goes out before any work is done.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import ssl
import sys
import time
from collections import OrderedDict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MAX_BODY_BYTES = 64 * 1024
# How far the sender's clock and ours may be apart, and how long a captured message could be sent again.
TOLERANCE_SECONDS = 5 * 60
# Ids of messages that were taken. A real receiver keeps them where it keeps its own data, for the days of a retry.
REMEMBERED = 10_000
PATIENCE_SECONDS = 10


def read_secrets(path: Path) -> list[bytes]:
    """The secrets of a file, one a line: while one is replaced there are two."""
    return [base64.b64decode(line.removeprefix("whsec_"), validate=True) for line in path.read_text().split()]


def is_genuine(secrets: list[bytes], message_id: str, timestamp: str, signatures: str, body: bytes) -> bool:
    """Whether one of the signatures was made with one of the secrets, a short while ago. Every pair is compared, in
    constant time."""
    if not timestamp.isascii() or not timestamp.isdigit() or abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    signed = f"{message_id}.{timestamp}.".encode() + body
    wanted = [base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()) for secret in secrets]
    stated = [one.removeprefix("v1,").encode() for one in signatures.split() if one.startswith("v1,")]
    matches = [hmac.compare_digest(one, other) for one in wanted for other in stated]
    return any(matches)


def say(what: dict[str, object]) -> None:
    """One line of JSON, at once."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class Receiver(BaseHTTPRequestHandler):
    """Takes messages by POST."""

    timeout = PATIENCE_SECONDS
    secret_file = Path("webhook.secret")
    taken: OrderedDict[str, None] = OrderedDict()

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if not length.isascii() or not length.isdigit() or int(length) > MAX_BODY_BYTES:
            self.answer(413)
            return
        body = self.rfile.read(int(length))
        message_id = self.headers.get("webhook-id", "")
        stated = self.headers.get("webhook-timestamp", ""), self.headers.get("webhook-signature", "")
        if not is_genuine(read_secrets(self.secret_file), message_id, *stated, body):
            self.answer(401)
            return
        is_new = message_id not in self.taken
        self.taken[message_id] = None
        while len(self.taken) > REMEMBERED:
            self.taken.popitem(last=False)
        self.answer(204)
        say({"id": message_id, **json.loads(body)} if is_new else {"again": message_id})

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Nothing: what matters is said above."""


class Server(ThreadingHTTPServer):
    """Speaks TLS, and begins to in the thread of each connection: whoever only connects holds up nobody."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(address, Receiver)

    def finish_request(self, request: object, client_address: object) -> None:
        request.settimeout(PATIENCE_SECONDS)  # type: ignore[attr-defined]
        try:
            with self._context.wrap_socket(request, server_side=True) as stream:  # type: ignore[arg-type]
                Receiver(stream, client_address, self)
        except OSError:
            # No TLS, or gone: nothing came.
            return


def main() -> None:
    parser = argparse.ArgumentParser(description="Receive the bridge's webhook.")
    parser.add_argument("--listen", default="127.0.0.1:9443", metavar="HOST:PORT")
    parser.add_argument("--certificate", required=True, type=Path)
    parser.add_argument("--private-key", required=True, type=Path)
    parser.add_argument("--secret-file", required=True, type=Path)
    given = parser.parse_args()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(given.certificate, given.private_key)
    Receiver.secret_file = given.secret_file
    host, _, port = given.listen.rpartition(":")
    with Server((host, int(port)), context) as server:
        say({"listening": server.server_address[1]})
        server.serve_forever()


if __name__ == "__main__":
    main()
