"""What each step towards a client's metadata document expects, and what it found, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bridge.doctor.words import listed, shown, when
from bridge.model.metadata import ClientMetadata
from bridge.model.terms import Effect
from bridge.registration.url_steps import UrlCase
from bridge.verify.document_checks import NONE, PRIVATE_KEY_JWT, SPIFFE_JWT
from bridge.verify.metadata_documents import DocumentCase

Words = tuple[str, str]

FETCH_EXPECTED: Mapping[str, str] = {
    "fetch-url": "an https URL in its one spelling",
    "name": "addresses for the host's name",
    "address": "public addresses alone (or [fetch] allow_hosts), port 443 or one from 1024 on",
    "connection": "a TLS server within 2 s whose certificate is the host's",
    "answer": "200 without redirect, a JSON type, not encoded, at most 5120 bytes, all within 5 s",
}


def url_words(step: str, case: UrlCase) -> Words:
    """Of the steps from a URL to its document."""
    return _URL[step](case)


def document_words(step: str, case: DocumentCase) -> Words:
    """Of the steps by which a document is read."""
    return _DOCUMENT[step](case)


def _admitted(case: UrlCase) -> Words:
    prospect = case.policy.admits(case.subject, case.door)
    by_rule = "" if prospect.rule is None else f" by rule {shown(prospect.rule)}"
    found = "no rule names it" if prospect.effect is Effect.DENY and not by_rule else f"{prospect.effect}{by_rule}"
    return f"a rule for this URL at {case.door}", found


def _life(case: UrlCase) -> Words:
    ends = case.found.value.expires_at
    return "a client_id_expires_at ahead, or none", "none" if ends is None else when(ends, case.now)


_URL: Mapping[str, Callable[[UrlCase], Words]] = {
    "url": lambda case: ("an https URL in its one spelling, with a path, without query or fragment", shown(case.url)),
    "admitted": _admitted,
    "looked-at": lambda case: ("an operator's approval, where the rule asks for one", ""),
    "document": lambda case: ("", ""),
    "document-life": _life,
}


def _client_id(case: DocumentCase) -> Words:
    said = case.raw.get("client_id")
    found = "no client_id" if "client_id" not in case.raw else f'"{shown(said)}"'
    return f'client_id "{shown(case.url)}"', found


def _secrets(case: DocumentCase) -> Words:
    held = [name for name in ("client_secret", "client_secret_expires_at") if name in case.raw]
    return "no shared secret", listed(held)


def _private(case: DocumentCase) -> Words:
    jwks = case.raw.get("jwks")
    keys = jwks.get("keys") if isinstance(jwks, Mapping) else None
    return "public keys alone", f"{len(keys)} in jwks" if isinstance(keys, list) else "no jwks"


def _members(case: DocumentCase) -> Words:
    return "members of their types and within their bounds", listed(sorted(case.raw))


def _kind(case: DocumentCase) -> Words:
    return "a token_endpoint_auth_method that is known here, or none", _method_of(case.metadata)


def _method(case: DocumentCase) -> Words:
    return f"{NONE}, {PRIVATE_KEY_JWT} or {SPIFFE_JWT}, and what that needs", _method_of(case.metadata)


def _method_of(metadata: ClientMetadata) -> str:
    beside = [name for name in ("jwks", "jwks_uri", "spiffe_id") if name in metadata]
    method = metadata.text("token_endpoint_auth_method")
    return (shown(method) if method is not None else "no method") + (f", with {', '.join(beside)}" if beside else "")


def _binding(case: DocumentCase) -> Words:
    name = "tls_client_certificate_bound_access_tokens"
    return f"no {name}", name if case.metadata.get(name) else "none"


def _expiry(case: DocumentCase) -> Words:
    name = "client_id_expires_at"
    return f"{name} a number of seconds, or absent", shown(case.raw[name]) if name in case.raw else "absent"


_DOCUMENT: Mapping[str, Callable[[DocumentCase], Words]] = {
    "document-form": lambda case: ("one JSON object, no name in it twice", f"{len(case.body)} bytes"),
    "client-id": _client_id,
    "secrets": _secrets,
    "private-keys": _private,
    "members": _members,
    "consistency": _kind,
    "binding": _binding,
    "method": _method,
    "expiry": _expiry,
    "keys": lambda case: ("keys that are fit to sign, each kid once", "in jwks" if "jwks" in case.metadata else "none"),
}
