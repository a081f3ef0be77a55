"""The JSON body of a registration request, read once and strictly (RFC 7591 section 3.1, RFC 7592 section 2.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from werkzeug.exceptions import UnsupportedMediaType
from werkzeug.http import parse_options_header

from bridge.jose import strict_json
from bridge.model.errors import InvalidClientMetadata
from bridge.model.reasons import Reason

JSON_TYPE = "application/json"
MAX_BODY_BYTES = 64 * 1024  # interface section 7; the server refuses a longer one before it is here
# A PUT must not state what the server alone gives (DCR-29), nor a secret: no client has one (DCR-12).
FORBIDDEN_IN_UPDATES = (
    "registration_access_token",
    "registration_client_uri",
    "client_secret_expires_at",
    "client_id_issued_at",
    "client_secret",
)


def read_json(environ: Mapping[str, Any]) -> dict[str, object]:
    """The one JSON object that the body is.

    Raises: UnsupportedMediaType unless the one content type is `application/json`, in UTF-8 if it says so;
    InvalidClientMetadata for what is no object or not read by `strict_json`: two members of one name, nested
    deeper than 16, NaN. Not checked: what the members are.
    """
    require_json(environ.get("CONTENT_TYPE", ""))
    try:
        return strict_json.loads_object(environ["wsgi.input"].read(), max_bytes=MAX_BODY_BYTES)
    except strict_json.InvalidJson as error:
        # These words never quote the body.
        words = f"the body must be one JSON object: {error}"
        raise InvalidClientMetadata(Reason.MALFORMED_REQUEST, words, public=words) from None


def require_json(content_type: str) -> None:
    """Raises: UnsupportedMediaType. RFC 8259 section 8.1 knows one encoding and no `charset`, which clients
    send all the same; another than UTF-8 is refused, because somebody else might read the body in it."""
    if content_type == JSON_TYPE:
        return
    media_type, parameters = parse_options_header(content_type)
    # A comma: two such fields, of which another reader might take the second.
    if media_type.lower() != JSON_TYPE or "," in content_type or parameters.get("charset", "utf-8").lower() != "utf-8":
        raise UnsupportedMediaType


def statement_of(body: Mapping[str, object]) -> str | None:
    """The `software_statement`, or None where there is none. Raises: InvalidClientMetadata for anything else
    than a string with something in it. Not checked: that it is a JWT."""
    if "software_statement" not in body:
        return None
    statement = body["software_statement"]
    if not isinstance(statement, str) or not statement:
        raise _malformed("software_statement: not a JWT in a string")
    return statement


def updated_client(body: Mapping[str, object]) -> str:
    """The `client_id` that a PUT is about (DCR-28). Raises: InvalidClientMetadata when it is missing or no string,
    and for members that an update must not have (DCR-29), whatever their value."""
    for name in FORBIDDEN_IN_UPDATES:
        if name in body:
            raise _malformed(f"{name}: must not be in an update")
    client_id = body.get("client_id")
    if not isinstance(client_id, str) or not client_id:
        raise _malformed("client_id: an update must have it")
    return client_id


def _malformed(words: str) -> InvalidClientMetadata:
    return InvalidClientMetadata(Reason.METADATA_INVALID, words, public=words)
