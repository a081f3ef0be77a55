"""A client's metadata document as an operator sees it before the client is let in.

The service fetches nothing for a URL that waits (CIMD-24). The operator does, from here and by the same guarded
fetch, and so knows what is being approved.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from bridge.cli.options import Failure
from bridge.cli.output import emit_fields, printable, timestamp
from bridge.model.errors import EvidenceRejected, Unavailable

if TYPE_CHECKING:
    from bridge.config import Settings
    from bridge.fetch.fetcher import Fetcher, Purpose
    from bridge.jose.keys import VerificationKey
    from bridge.verify.key_sets import JwtKeys
    from bridge.verify.metadata_documents import VerifiedDocument


@dataclass(frozen=True, slots=True)
class SeenDocument:
    """What is at a client's URL now. `digest` is the hex SHA-256 of the document as it came; `keys` are those of
    the document or of its `jwks_uri`, None where it has neither.

    Not said: that it will still be there when the client comes.
    """

    document: VerifiedDocument
    digest: str
    keys: JwtKeys | None

    def fields(self) -> dict[str, object]:
        """For programs and people. What the client says of itself is nobody else's word."""
        said = self.document.metadata
        return {
            "client_id": self.document.url,
            "host": urlsplit(self.document.url).netloc,
            "client_name": said.text("client_name"),
            "redirect_uris": list(said.texts("redirect_uris") or ()),
            "token_endpoint_auth_method": self.document.method,
            "spiffe_id": self.document.spiffe_id,
            "jwks_uri": self.document.jwks_uri,
            "keys": [] if self.keys is None else [_key_fields(key) for key in _by_name(self.keys)],
            "grant_types": list(said.texts("grant_types") or ()),
            "scope": said.text("scope"),
            "expires_at": timestamp(self.document.expires_at),
            "digest": self.digest,
        }

    def tell(self) -> None:
        """Show it to people, with a name that anybody could have chosen marked as such."""
        fields = self.fields()
        if fields["client_name"]:
            fields["client_name"] = f"{fields['client_name']} (its own word, checked by nobody)"
        emit_fields(fields)


def look_at(settings: Settings, url: str) -> SeenDocument:
    """Fetch the document and, where they are elsewhere, the keys. Raises: Failure, which says why there is nothing
    to see; StartRefused for a `[fetch] ca_file` that cannot be read."""
    from bridge.app import open_fetcher
    from bridge.fetch.fetcher import Purpose
    from bridge.verify.metadata_documents import read_document, read_keys, require_client_url

    fetcher = open_fetcher(settings)
    try:
        require_client_url(url)
        body = _get(fetcher, url, Purpose.DOCUMENT)
        document = read_document(body, url)
        keys = document.keys
        if document.jwks_uri is not None:
            keys = read_keys(_get(fetcher, document.jwks_uri, Purpose.CLIENT_KEYS), document.jwks_uri)
    except EvidenceRejected as error:
        raise Failure(f"{printable(url)} is no client's document: {error.detail}; nothing was approved") from error
    except Unavailable as error:
        raise Failure(
            f"{printable(url)} cannot be looked at now: {error.detail}; nothing was approved, try again"
        ) from error
    return SeenDocument(document, hashlib.sha256(body).hexdigest(), keys)


def require_yes(url: str, *, said: bool) -> None:
    """Ask whether this client is to be let in, unless that was `said`. Raises: Failure for a no, and where nobody
    is there to be asked."""
    if said:
        return
    if not sys.stdin.isatty():
        raise Failure(f"nobody is asked here; look at {printable(url)} above and say --yes to approve it")
    if not click.confirm("Approve this client?", err=True):
        raise Failure("nothing was approved")


def _get(fetcher: Fetcher, url: str, purpose: Purpose) -> bytes:
    return fetcher.get(url, purpose=purpose, in_request=False).body


def _by_name(keys: JwtKeys) -> list[VerificationKey]:
    return sorted(keys.usable, key=lambda key: (key.kid, key.thumbprint))


def _key_fields(key: VerificationKey) -> Mapping[str, object]:
    return {"kid": key.kid or None, "kty": key.kty, "thumbprint": key.thumbprint}
