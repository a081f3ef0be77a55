"""Details of Client ID Metadata Documents: the URL, where it points, what answers there, and what the document says."""

from __future__ import annotations

from bridge.advice.kinds import Detail
from bridge.model.reasons import Reason

_REFUSED, _FAILED = Reason.DOCUMENT_REFUSED, Reason.FETCH_FAILED

ADDRESSES: tuple[Detail, ...] = (
    Detail(
        _REFUSED,
        "the client_id ",
        "url",
        "Use a client_id that is an https URL in its one spelling: the host in lower case, a path, and no query, "
        "fragment, user part or dot segment.",
        "client_id",
    ),
    Detail(_REFUSED, "url: ", "fetch-url", "Write the URL in its one spelling: https, host in lower case.", "jwks_uri"),
    Detail(
        _REFUSED,
        "address: port ",
        "address",
        "Serve the document at port 443, or at one from 1024 on.",
        "client_id",
    ),
    Detail(
        _REFUSED,
        "an address that is not public",
        "address",
        "Give the host public addresses alone: none that is private, loopback or link-local may be among them. In a "
        "development setup name it in [fetch] allow_hosts.",
        "allow_hosts",
    ),
    Detail(_FAILED, "resolve: ", "name", "Mend the DNS name of the host: this machine finds no address for it."),
    Detail(_FAILED, "connect: ", "connection", "See that the host answers from this machine: firewall, route, port."),
    Detail(
        _FAILED,
        "tls: ",
        "connection",
        "Mend the host's certificate (name, chain, end), or name its private CA in [fetch] ca_file.",
        "ca_file",
    ),
    Detail(_FAILED, "timeout: ", "connection", "Make the host answer faster: all of it has to be done in 5 s."),
    Detail(_FAILED, "cut: ", "answer", "See why the host or something before it cuts the connection."),
    Detail(_FAILED, "server_error: ", "answer", "Mend the host's web server: it answers with a 5xx."),
    Detail(
        _REFUSED,
        "redirect: ",
        "answer",
        "Serve the document at the client_id itself: no redirect is followed, not even to a slash at the end.",
        "client_id",
    ),
    Detail(_REFUSED, "status: ", "answer", "Serve the document there with status 200, without a sign-in.", "client_id"),
    Detail(_REFUSED, "too_large: the document", "answer", "Make the document smaller: 5120 bytes at most."),
    Detail(_REFUSED, "too_large: the head", "answer", "Send fewer response headers: 16 KiB at most."),
    Detail(_REFUSED, "too_large: the answer", "answer", "Send the document in one piece, not in tiny chunks."),
    Detail(
        _REFUSED,
        "media_type: ",
        "answer",
        "Serve it as application/json (or another type that ends in +json).",
        "Content-Type",
    ),
    Detail(_REFUSED, "encoding: ", "answer", "Serve it without compression.", "Content-Encoding"),
    Detail(_REFUSED, "malformed: ", "answer", "See what answers at that port: it does not speak HTTP/1.1."),
)

DOCUMENTS: tuple[Detail, ...] = (
    Detail(
        _REFUSED,
        "not a JSON object",
        "document-form",
        "Make it one JSON object in UTF-8, no name in it twice.",
    ),
    Detail(
        _REFUSED,
        "client_id is missing or not the URL",
        "client-id",
        "Set client_id in the document to its own URL, character by character.",
        "client_id",
    ),
    Detail(_REFUSED, "holds no secret", "secrets", "Take client_secret out: everybody can read it.", "client_secret"),
    Detail(
        _REFUSED,
        "a key is private or symmetric",
        "private-keys",
        "Publish public keys alone, and replace the key that was in the document: everybody has it by now.",
        "jwks",
    ),
    Detail(
        _REFUSED,
        "keys without token_endpoint_auth_method",
        "method",
        "Say private_key_jwt as token_endpoint_auth_method, or take the keys out.",
        "token_endpoint_auth_method",
    ),
    Detail(
        _REFUSED,
        "client has no shared secret",
        "method",
        "Say none, private_key_jwt or spiffe_jwt as token_endpoint_auth_method.",
        "token_endpoint_auth_method",
    ),
    Detail(_REFUSED, "private_key_jwt without jwks", "method", "Name the client's keys in jwks or jwks_uri.", "jwks"),
    Detail(_REFUSED, "a SPIFFE method without spiffe_id", "method", "Name the workload in spiffe_id.", "spiffe_id"),
    Detail(
        _REFUSED,
        "cannot name a URL as its client",
        "method",
        "Say spiffe_jwt as token_endpoint_auth_method.",
        "token_endpoint_auth_method",
    ),
    Detail(
        _REFUSED,
        "are bound by DPoP only",
        "binding",
        "Take tls_client_certificate_bound_access_tokens out, or say dpop_bound_access_tokens instead.",
        "dpop_bound_access_tokens",
    ),
    Detail(
        _REFUSED,
        "client_id_expires_at is no number",
        "expiry",
        "State client_id_expires_at as a number of seconds, or leave it out.",
        "client_id_expires_at",
    ),
    Detail(
        _REFUSED,
        "client_id_expires_at is over",
        "document-life",
        "Publish the document with a later client_id_expires_at, or without one.",
        "client_id_expires_at",
    ),
    Detail(_REFUSED, "the key set: ", "keys", "Make jwks an object with keys, each kid once, 100 at most.", "jwks"),
    Detail(
        _REFUSED,
        "binds none",
        "members",
        "Let the rule bind tokens (bind), or take dpop_bound_access_tokens out of the document.",
        "bind",
    ),
    Detail(
        Reason.POLICY_GRANT_TYPE,
        "the document does not state",
        "stated-grant",
        "Add the grant type to grant_types of the document, or ask for one that it states.",
        "grant_types",
    ),
    Detail(
        Reason.CREDENTIAL_MISSING,
        "the document declares",
        "shown",
        "Authenticate by the method that the document declares, or declare none there.",
        "token_endpoint_auth_method",
    ),
    Detail(
        Reason.CREDENTIAL_UNSUPPORTED,
        "the document declares",
        "shown",
        "Authenticate by the method that the document declares, or declare the one that is used.",
        "token_endpoint_auth_method",
    ),
    Detail(
        Reason.CLIENT_ID_MISMATCH,
        "the document's spiffe_id does not name",
        "spiffe-id-named",
        "Name the workload in the document's spiffe_id, exactly or by a prefix that ends in /*.",
        "spiffe_id",
    ),
)
