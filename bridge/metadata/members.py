"""The client metadata that this service understands: one closed table, and the reading of it (RFC 7591 section 2).

A request's body, a statement and a metadata document all state the same members in the same forms, so all are
read here. What the table does not name is ignored (DCR-3): the claims of a statement about itself (`iss`, `sub`,
`exp`, DCR-18), `software_statement`, `client_id` and the members of an answer are no metadata.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from bridge.jose import strict_json
from bridge.jose.algorithms import ALGORITHMS
from bridge.metadata import redirect_uris
from bridge.metadata.keys import public_jwks
from bridge.metadata.texts import UnfitValue, is_language_tag, scope, text, word
from bridge.metadata.uris import MAX_URI_LENGTH, UnfitUri, require_secure
from bridge.model.errors import InvalidClientMetadata
from bridge.model.metadata import ClientMetadata
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import InvalidSpiffeId, SpiffeId

MAX_NAME_LENGTH = 200
MAX_SOFTWARE_LENGTH = 255
MAX_CONTACTS = 10
MAX_CONTACT_LENGTH = 254
MAX_REDIRECT_URIS = 20
MAX_TYPES = 16
MAX_TAGGED = 32
# A record keeps its metadata, and a table of records must not grow by what strangers say of themselves.
MAX_METADATA_BYTES = 16 * 1024

Rule = Callable[[object], object]


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise UnfitValue("not true or false")
    return value


def _list(value: object, item: Callable[[object], str], *, at_least: int = 0, at_most: int) -> list[str]:
    if not isinstance(value, list):
        raise UnfitValue("not a list of strings")
    if not at_least <= len(value) <= at_most:
        raise UnfitValue(f"does not have {at_least} to {at_most} entries")
    return list(dict.fromkeys(item(entry) for entry in value))


def _one_of(value: object, known: frozenset[str]) -> str:
    if not isinstance(value, str) or value not in known:
        raise UnfitValue(f"not one of {', '.join(sorted(known))}")
    return value


def _web(value: object, *, loopback: bool = True) -> str:
    if not isinstance(value, str):
        raise UnfitValue("not a string")
    try:
        require_secure(value, loopback=loopback)
    except UnfitUri as fault:
        raise UnfitValue(f"the URI {fault}") from None
    return value


def _uri_text(value: object) -> str:
    if not isinstance(value, str):
        raise UnfitValue("not a list of strings")
    if len(value) > MAX_URI_LENGTH:
        raise UnfitValue(f"a URI is longer than {MAX_URI_LENGTH} characters")
    return value


def _spiffe_id(value: object) -> str:
    """An exact ID, or all IDs below one (SCA-14). Whether anybody may state it is decided elsewhere (DCR-15)."""
    try:
        SpiffeId.parse(value.removesuffix("/*") if isinstance(value, str) else value)
    except InvalidSpiffeId as fault:
        raise UnfitValue(str(fault)) from None
    return str(value)


_RULES: Mapping[str, Rule] = MappingProxyType(
    {
        # RFC 7591
        "redirect_uris": partial(_list, item=_uri_text, at_most=MAX_REDIRECT_URIS),
        "token_endpoint_auth_method": word,
        "grant_types": partial(_list, item=word, at_least=1, at_most=MAX_TYPES),
        "response_types": partial(_list, item=word, at_most=MAX_TYPES),
        "client_name": partial(text, at_most=MAX_NAME_LENGTH),
        "client_uri": _web,
        "logo_uri": _web,
        "scope": scope,
        "contacts": partial(_list, item=partial(text, at_most=MAX_CONTACT_LENGTH), at_most=MAX_CONTACTS),
        "tos_uri": _web,
        "policy_uri": _web,
        # Keys are fetched, unlike pages, so not even this machine is asked for them in the clear (T-4).
        "jwks_uri": partial(_web, loopback=False),
        "jwks": public_jwks,
        "software_id": partial(text, at_most=MAX_SOFTWARE_LENGTH),
        "software_version": partial(text, at_most=MAX_SOFTWARE_LENGTH),
        # its extensions
        "spiffe_id": _spiffe_id,
        "application_type": partial(_one_of, known=frozenset({redirect_uris.WEB, redirect_uris.NATIVE})),
        "token_endpoint_auth_signing_alg": partial(_one_of, known=ALGORITHMS),
        "dpop_bound_access_tokens": _boolean,
        "tls_client_certificate_bound_access_tokens": _boolean,
        "require_pushed_authorization_requests": _boolean,
    }
)

MEMBERS = frozenset(_RULES)
"""The names of all members, without language tags: the one closed list."""

TAGGABLE = frozenset({"client_name", "client_uri", "logo_uri", "tos_uri", "policy_uri"})
"""The members that RFC 7591 section 2.2 lets come in several languages, as `client_name#fr`."""


def base_name(name: str) -> str:
    """The member that a language-tagged name says in one language: `client_name` of `client_name#fr`; any other
    name as it is. A policy that lets a source state a member lets it do so in every language."""
    base, mark, _ = name.partition("#")
    return base if mark and base in TAGGABLE else name


def refusal(member: str, words: str) -> InvalidClientMetadata:
    """The refusal of one member of the table, in words for the client too. `member` never comes from outside."""
    said = f"{member}: {words}"
    return InvalidClientMetadata(Reason.METADATA_INVALID, said, public=said)


def read(raw: Mapping[str, object]) -> ClientMetadata:
    """Take the metadata out of a JSON object.

    The result holds plain JSON values of its own, in the order they were stated: equal entries of a list and
    equal scopes once, keys as `public_jwks` has them. Members that the table does not name are gone.
    Raises: InvalidClientMetadata that names the first bad member and quotes nothing (null is a wrong type, too);
    for `jwks` beside `jwks_uri` (DCR-4); for malformed or repeated language tags; above 16 KiB in all.
    InvalidRedirectUri for a redirect URI that no client may have. Spec: RFC 7591 section 2.
    Not checked: what members mean for each other (`consistency.complete`), and whether this client may say so.
    """
    members: dict[str, object] = {}
    for name, value in raw.items():
        base = base_name(name)
        rule = _RULES.get(base)
        if rule is None:
            continue
        try:
            members[name] = rule(value)
        except UnfitValue as fault:
            raise refusal(base, str(fault)) from None
    _check_languages([name for name in members if name not in MEMBERS])
    metadata = ClientMetadata(members)
    check_redirects(metadata)
    check_one_key_source(metadata)
    if len(strict_json.dumps(members)) > MAX_METADATA_BYTES:
        words = f"all metadata together is above {MAX_METADATA_BYTES} bytes"
        raise InvalidClientMetadata(Reason.METADATA_INVALID, words, public=words)
    return metadata


def _check_languages(tagged: list[str]) -> None:
    seen: set[str] = set()
    if len(tagged) > MAX_TAGGED:
        raise refusal(base_name(tagged[0]), f"more than {MAX_TAGGED} members have a language tag")
    for name in tagged:
        base, _, tag = name.partition("#")
        if not is_language_tag(tag):
            raise refusal(base, "a language tag is malformed")
        if name.lower() in seen:
            # Tags are the same in either case (RFC 5646 section 2.1.1): one of the two would be hidden.
            raise refusal(base, "one language is there twice")
        seen.add(name.lower())


def check_redirects(metadata: ClientMetadata) -> None:
    """Judge the redirect URIs for the type of application that the same metadata states, whoever stated which.

    Raises: InvalidRedirectUri.
    """
    for uri in metadata.texts("redirect_uris") or ():
        redirect_uris.check(uri, application_type=metadata.text("application_type"))


def check_one_key_source(metadata: ClientMetadata) -> None:
    """Keys come by value or by reference, not both (DCR-4; RFC 7591 section 2). Raises: InvalidClientMetadata."""
    if "jwks" in metadata and "jwks_uri" in metadata:
        raise refusal("jwks", "not beside jwks_uri")
