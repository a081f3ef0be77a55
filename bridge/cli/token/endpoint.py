"""A client of an OAuth token endpoint in plain standard library: discovery (RFC 8414) and one POST.

Redirects are never followed, proxies of the environment never used: an SVID goes to the server that was
named, or nowhere.
"""

from __future__ import annotations

import http.client
import os
import ssl
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import click

from bridge.cli.options import Failure
from bridge.cli.output import printable
from bridge.files.unnamed_pem import pem_of, unnamed_pem
from bridge.jose.strict_json import InvalidJson, loads_object

_MAX_ANSWER = 256 * 1024
WELL_KNOWN = "/.well-known/oauth-authorization-server"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with a JSON object. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Certificate:
    """A client certificate chain, DER, leaf first, and its private key, PKCS#8 DER."""

    chain: Sequence[bytes]
    key: bytes


class NotNow(Failure):
    """No answer for now: somebody said when to come again. Units: `after` seconds, None when that cannot be read."""

    def __init__(self, message: str, *, after: int | None) -> None:
        super().__init__(message)
        self.after = after


def seconds_of(retry_after: str | None) -> int | None:
    """`Retry-After` as seconds (RFC 9110 section 10.2.3); None without one, and for a date, which nobody here sends."""
    if retry_after is None or not (retry_after.isascii() and retry_after.isdigit() and len(retry_after) <= 9):
        return None
    return int(retry_after)


class Connector:
    """Makes connections that trust `ca` (a PEM file; None: what the system trusts)."""

    def __init__(self, *, ca: Path | None, timeout: float) -> None:
        """`timeout` in seconds, for each single wait for the server. Raises: click.BadParameter for `ca`."""
        self._timeout = timeout
        try:
            self._context = ssl.create_default_context(cafile=ca)
        except OSError as error:
            raise click.BadParameter(f"{ca}: holds no PEM certificate that can be read", param_hint="--ca") from error

    def present(self, certificate: Certificate) -> None:
        """Send this certificate to servers that ask for one."""
        with _as_file(certificate) as path:
            self._context.load_cert_chain(path)

    def get(self, url: str) -> Answer:
        """Raises: Failure when there is no answer that makes sense."""
        return self._ask("GET", url, None, {})

    def post(self, url: str, form: Sequence[tuple[str, str]], headers: Mapping[str, str]) -> Answer:
        """Send a form. Raises: Failure when there is no answer that makes sense."""
        content = {"Content-Type": "application/x-www-form-urlencoded", **headers}
        return self._ask("POST", url, urlencode(form).encode(), content)

    def _ask(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        parts = urlsplit(url)
        try:
            with closing(self._connection(url)) as connection:
                connection.request(method, parts.path or "/", body, {"Accept": "application/json", **headers})
                response = connection.getresponse()
                raw = response.read(_MAX_ANSWER)
        except ssl.SSLCertVerificationError as error:
            raise Failure(
                f"{url}: the server's certificate is not trusted ({error.verify_message}); name its CA with --ca FILE"
            ) from error
        except ssl.SSLError as error:
            raise Failure(
                f"{url}: the TLS handshake failed ({error.reason or error}); "
                "if you sent a certificate: `bridge trust list` says which trust domains the server knows"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise Failure(
                f"{url}: no answer ({printable(error)}); is the service up, and the address right?"
            ) from error
        try:
            answer = loads_object(raw, max_bytes=_MAX_ANSWER)
        except InvalidJson as error:
            words = f"{url}: answered {response.status} without JSON; is it the issuer of a bridge?"
            # A proxy in between may say so, in words of its own.
            retry = response.getheader("Retry-After")
            raise (NotNow(words, after=seconds_of(retry)) if retry else Failure(words)) from error
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, answer)

    def _connection(self, url: str) -> http.client.HTTPConnection:
        parts = urlsplit(url)
        if parts.hostname is None or parts.scheme not in ("http", "https"):
            raise Failure(f"{url}: is no http or https URL")
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.hostname, parts.port, timeout=self._timeout)
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=self._timeout, context=self._context)


def discover(connector: Connector, issuer: str, *, mtls: bool) -> str:
    """The token endpoint of an issuer; with `mtls` the one that asks for a certificate.

    Raises: Failure. Spec: RFC 8414 sections 3.1 (path insertion) and 3.3 (the document must name exactly
    this issuer), RFC 8705 section 5.
    """
    parts = urlsplit(issuer)
    url = f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}{parts.path}"
    answer = connector.get(url)
    if answer.status != 200:
        words = f"{url}: answered {answer.status}; is {issuer} the issuer, spelled as the server spells it?"
        retry = answer.headers.get("retry-after")
        raise NotNow(words, after=seconds_of(retry)) if retry else Failure(words)
    if answer.body.get("issuer") != issuer:
        raise Failure(
            f"{url}: is of issuer {printable(answer.body.get('issuer'))}, not {issuer}; name that with --issuer"
        )
    found = answer.body
    if mtls:
        aliases = answer.body.get("mtls_endpoint_aliases")
        if not isinstance(aliases, dict):
            raise Failure(f"{issuer} takes no certificates (no mtls_endpoint_aliases); come without --x509")
        found = aliases
    endpoint = found.get("token_endpoint")
    if not isinstance(endpoint, str) or urlsplit(endpoint).scheme != parts.scheme:
        raise Failure(f"{url}: names no token_endpoint with {parts.scheme}")
    return endpoint


@contextmanager
def _as_file(certificate: Certificate) -> Iterator[str]:
    """Certificate and key as PEM under a name that the ssl module can open, gone afterwards: on Linux in memory, so
    that the key never reaches a disk."""
    if hasattr(os, "memfd_create"):
        with unnamed_pem(certificate.chain, certificate.key) as path:
            yield path
        return
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem_of(certificate.chain, certificate.key))
        file.flush()
        yield file.name
