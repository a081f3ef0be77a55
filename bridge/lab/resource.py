"""A small MCP server behind access tokens: the protected resource of the lab, and an example to copy from.

It says where its authorization server is (RFC 9728), asks for a token with a challenge that leads there, and
verifies what comes, offline. The verification is in `resource_tokens`, `resource_proofs` and `resource_keys`; this
file is the HTTP around it.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from bridge.lab import resource_proofs
from bridge.lab.resource_keys import IssuerKeys, KeysUnavailable, fetch_keys
from bridge.lab.resource_proofs import ProofVerifier
from bridge.lab.resource_tokens import Caller, Presented, TokenRefused, TokenVerifier
from bridge.lab.resource_tools import LIST, SCOPES, answer, scope_for
from bridge.metadata.uris import require_secure

WELL_KNOWN = "/.well-known/oauth-protected-resource"
_MAX_BODY = 64 * 1024
_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ResourceOptions:
    """What a resource is: whose tokens it takes, and in which ways they must or may be bound.

    `issuer_tls` says whom to trust when the keys are fetched. With `tls` the resource is https; with `certificates`
    that context asks for client certificates, and certificate-bound tokens can be used.
    """

    issuer: str
    issuer_tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    port: int = 0
    path: str = "/mcp"
    tls: ssl.SSLContext | None = None
    certificates: bool = False
    require_dpop: bool = False
    dpop_nonces: bool = False


class ProtectedResource:
    """Serves the resource. Use it as a context manager, or `start` and `stop` it. Port 0 takes a free one."""

    def __init__(self, options: ResourceOptions, *, clock: Callable[[], int]) -> None:
        """Listens at once, so that the name is known. Raises: ValueError for a name that no token could be for
        (http beyond loopback, a path that clients would rewrite); OSError when the port is taken."""
        self._options, self._clock = options, clock
        scheme = "http" if options.tls is None else "https"
        require_secure(f"{scheme}://{options.host}{options.path}")
        self._server = _Server((options.host, options.port), _Handler)
        self._server.tls, self._server.resource = options.tls, self
        self.base = f"{scheme}://{options.host}:{self._server.server_address[1]}"
        # One string names the resource everywhere: in the catalogue of the authorization server, in `resource` of
        # the metadata, in `aud`, and in the `htu` of proofs. It comes from configuration, never from `Host`.
        self.identifier = self.base + options.path
        self._proofs = ProofVerifier(self.identifier, nonces=options.dpop_nonces)
        self._verifier = TokenVerifier(
            issuer=options.issuer,
            resource=self.identifier,
            keys=IssuerKeys(lambda: fetch_keys(options.issuer, options.issuer_tls)),
            proofs=self._proofs,
            require_dpop=options.require_dpop,
        )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="lab-resource")

    @property
    def path(self) -> str:
        """Where the resource is."""
        return self._options.path

    @property
    def metadata_url(self) -> str:
        """Where its metadata is: the path is inserted behind the well-known one (RFC 9728 section 3.1)."""
        return self.base + WELL_KNOWN + self._options.path

    def metadata(self) -> dict[str, Any]:
        """The protected resource metadata (RFC 9728 section 2). `resource` must be the URL that led here."""
        return {
            "resource": self.identifier,
            "resource_name": "The lab's tools",
            "authorization_servers": [self._options.issuer],
            "scopes_supported": list(SCOPES),
            "bearer_methods_supported": ["header"],
            "dpop_signing_alg_values_supported": list(resource_proofs.ALGORITHMS),
            "dpop_bound_access_tokens_required": self._options.require_dpop,
            "tls_client_certificate_bound_access_tokens": self._options.certificates,
        }

    def admit(self, presented: Presented, message: dict[str, Any]) -> Caller:
        """The caller of a message. Raises: TokenRefused; KeysUnavailable."""
        return self._verifier.verify(presented, scope=scope_for(message), now=self._clock())

    def challenges(self, refused: TokenRefused) -> list[str]:
        """`WWW-Authenticate`: where to get a token, and what was wrong with the one that came.

        Spec: RFC 6750 section 3, RFC 9449 section 7.1, RFC 9728 section 5.1.
        """
        said = {"resource_metadata": self.metadata_url, "scope": refused.scope or LIST}
        if refused.error:
            said |= {"error": refused.error, "error_description": str(refused)}
        bearer = ", ".join(f'{name}="{value}"' for name, value in said.items())
        dpop = f'DPoP {bearer}, algs="{" ".join(resource_proofs.ALGORITHMS)}"'
        return [dpop] if self._options.require_dpop else [f"Bearer {bearer}", dpop]

    def fresh_nonce(self) -> str | None:
        """For `DPoP-Nonce`, on every answer, so that a client need not be refused to learn it."""
        return self._proofs.fresh_nonce(self._clock())

    def start(self) -> ProtectedResource:
        """Serve."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> ProtectedResource:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    """Makes the TLS handshake in the request's own thread, so that a slow client delays nobody."""

    daemon_threads = True
    tls: ssl.SSLContext | None
    resource: ProtectedResource

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(_SECONDS)
        try:
            if self.tls is None:
                super().finish_request(request, client_address)
            else:
                with self.tls.wrap_socket(request, server_side=True) as secured:
                    super().finish_request(secured, client_address)
        except OSError:
            # Gone, too slow, or not of our mind about TLS. Nothing was promised.
            return


class _Unread(Exception):
    """The request is refused with this status before anybody asked who sent it."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    """One request. It answers in JSON and keeps nothing: no session, no cookie."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        """The metadata. There is no stream to open at the resource itself."""
        resource = self.server.resource
        path = urlsplit(self.path).path
        if path == WELL_KNOWN + resource.path:
            self._answer(200, resource.metadata())
        else:
            self._answer(405 if path == resource.path else 404, {})

    def do_POST(self) -> None:
        """One JSON-RPC message. Who calls is settled before what was sent is obeyed."""
        resource = self.server.resource
        try:
            if self.path != resource.path:
                raise _Unread(404)
            if self.headers.get_all("Origin"):
                # Programs call this server. A page in somebody's browser must not (DNS rebinding).
                raise _Unread(403)
            message = self._message()
            caller = resource.admit(self._presented(), message)
        except _Unread as unread:
            # Whatever else is on the connection, nobody has counted its bytes.
            self.close_connection = True
            self._answer(unread.status, {}, ("Connection", "close"))
        except TokenRefused as refused:
            self._challenge(refused)
        except KeysUnavailable:
            self._answer(503, {}, ("Retry-After", "10"))
        else:
            found = answer(message, caller)
            self._answer(202 if found is None else 200, found)

    def _presented(self) -> Presented:
        # The certificate's chain was checked in the handshake. For the binding its hash alone counts.
        connection = self.connection
        certificate = connection.getpeercert(binary_form=True) if isinstance(connection, ssl.SSLSocket) else None
        authorization, proofs = (self.headers.get_all(name, []) for name in ("Authorization", "DPoP"))
        return Presented(self.command, authorization, proofs, certificate)

    def _message(self) -> dict[str, Any]:
        """The body as one JSON object. Raises: _Unread."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or "Transfer-Encoding" in self.headers:
            raise _Unread(411)
        if len(length) > 9 or int(length) > _MAX_BODY:
            raise _Unread(413)
        try:
            message = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise _Unread(400) from error
        if not isinstance(message, dict):
            raise _Unread(400)
        return message

    def _challenge(self, refused: TokenRefused) -> None:
        headers = [("WWW-Authenticate", challenge) for challenge in self.server.resource.challenges(refused)]
        self._answer(refused.status, {"error": refused.error} if refused.error else {}, *headers)

    def _answer(self, status: int, body: object, *headers: tuple[str, str]) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        nonce = self.server.resource.fresh_nonce()
        told = [*headers, ("Content-Length", str(len(content))), ("Cache-Control", "no-store")]
        told += [] if body is None else [("Content-Type", "application/json")]
        told += [] if nonce is None else [("DPoP-Nonce", nonce)]
        self.send_response(status)
        for name, value in told:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def version_string(self) -> str:
        """What `Server` says: not which Python this is."""
        return "bridge-lab-resource"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: this is a lab, and a request line may hold what no log should."""
