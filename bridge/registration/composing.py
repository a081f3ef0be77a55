"""What stands on a record: a statement's word, the request's, and policy's, which has the last.

Member by member: what a statement states goes before what the request says, as far as the rule's `asserts`
lets the source state it (RFC 7591 section 2.3, DCR-7, ROFU-19); then the rule's terms cap the whole (T-45).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from bridge.metadata.consistency import complete, meant_by, needs_redirect
from bridge.model.client import ClientKind, ClientRecord
from bridge.model.errors import GrantNotAllowed, InvalidClientMetadata, InvalidRedirectUri
from bridge.model.evidence import EvidenceKind
from bridge.model.identity import PolicySubject, Source
from bridge.model.metadata import NO_METADATA, ClientMetadata
from bridge.model.reasons import Reason
from bridge.model.terms import Bind, Terms
from bridge.registration.naming import AUTH_METHODS, ClientName, thumbprint_of

AUTHORIZATION_CODE, REFRESH_TOKEN, PRIVATE_KEY_JWT = "authorization_code", "refresh_token", "private_key_jwt"
# Taken over as they were said: nothing is decided by them.
DESCRIBING = frozenset(
    {
        "application_type", "client_name", "client_uri", "contacts", "logo_uri", "policy_uri", "software_id",
        "software_version", "tos_uri", "token_endpoint_auth_signing_alg",
    }
)  # fmt: skip
# Promises of the client about its own requests, which every token request is then held to.
DPOP_BOUND, CERTIFICATE_BOUND = "dpop_bound_access_tokens", "tls_client_certificate_bound_access_tokens"
PAR_ONLY = "require_pushed_authorization_requests"


@dataclass(frozen=True, slots=True)
class InstanceKey:
    """The public key that tells an instance from its siblings. `thumbprint` as RFC 7638; `jwk` canonical."""

    thumbprint: str
    jwk: Mapping[str, object] | None

    @classmethod
    def of_record(cls, record: ClientRecord) -> InstanceKey:
        """The key of a record that is an instance."""
        jwks = record.metadata.get("jwks")
        keys = jwks.get("keys") if isinstance(jwks, Mapping) else None
        jwk = keys[0] if isinstance(keys, list) and keys and isinstance(keys[0], Mapping) else None
        return cls(thumbprint_of(record) or "", jwk)

    def jwks(self) -> dict[str, object] | None:
        """The key as the set that the record keeps, named by its thumbprint."""
        return None if self.jwk is None else {"keys": [{**self.jwk, "kid": self.jwk.get("kid", self.thumbprint)}]}


@dataclass(frozen=True, slots=True)
class Said:
    """What is said of a client before policy caps it, and which members a statement stated. `code_by` is the member
    by which a code is asked for that no grant type names."""

    metadata: ClientMetadata
    stated: tuple[str, ...] = ()
    code_by: str | None = field(default=None, compare=False)

    def completed(self, grant_types: tuple[str, ...]) -> Said:
        """The same with the members that follow from what is said. Raises: as `complete`."""
        whole = complete(self.metadata, grant_types=grant_types)
        return replace(self, metadata=whole, code_by=meant_by(self.metadata, grant_types=grant_types))


@contextmanager
def code_explained(said: Said) -> Iterator[None]:
    """A refusal of a grant type that the client did not name tells it by which member it asked for it."""
    try:
        yield
    except GrantNotAllowed as refused:
        if said.code_by is not None:
            refused.public = (
                f"{said.code_by} ask for the grant type {AUTHORIZATION_CODE}, which this client may not use"
            )
        raise


def overlay(stated: ClientMetadata, body: ClientMetadata) -> Said:
    """The request's members under those of the statement. Keys of a statement exclude keys of the request; a
    language-tagged member goes with its untagged one, so that no request puts a name beside a stated one."""
    names = {name.partition("#")[0] for name in stated.members}
    if "jwks" in names or "jwks_uri" in names:
        names |= {"jwks", "jwks_uri"}
    kept = {name: value for name, value in body.members.items() if name.partition("#")[0] not in names}
    return Said(ClientMetadata({**kept, **stated.members}), tuple(sorted(stated.members)))


def first_use_metadata(
    terms: Terms, subject: PolicySubject, name: ClientName, key: InstanceKey | None, ended: ClientRecord | None
) -> dict[str, object]:
    """The metadata of a record that nobody described: what a registration with an empty body would give.

    `ended` is what stood there before: of it only an instance's key is kept, which its name is made of.
    """
    if key is not None and key.jwk is None and ended is not None:
        key = InstanceKey.of_record(ended)
    return compose(Said(NO_METADATA), terms, subject, name, key=key, scopes=terms.scopes)


def compose(
    said: Said,
    terms: Terms,
    subject: PolicySubject,
    name: ClientName,
    *,
    key: InstanceKey | None,
    scopes: tuple[str, ...],
) -> dict[str, object]:
    """The members to register. `scopes` are those that policy gave to the ask; `key` an instance's.

    Raises: InvalidClientMetadata, InvalidRedirectUri, GrantNotAllowed. Spec: DCR-5, 6, 12 to 15, T-45.
    """
    metadata = said.metadata
    if "jwks_uri" in metadata:
        raise _invalid("jwks_uri is not read here; send jwks")
    grants, redirect_uris = _grants_and_redirects(said, terms)
    members: dict[str, object] = {
        name: value for name, value in metadata.members.items() if name.partition("#")[0] in DESCRIBING
    }
    members |= _promises(metadata, terms)
    members["grant_types"] = list(grants)
    members["response_types"] = ["code"] if AUTHORIZATION_CODE in grants else []
    members["scope"] = " ".join(scopes)
    members["token_endpoint_auth_method"] = _auth_method(metadata, subject, name)
    if redirect_uris:
        members["redirect_uris"] = list(redirect_uris)
    jwks = _jwks(said, subject, name, key)
    if jwks is not None:
        members["jwks"] = jwks
    spiffe_id = _spiffe_id(metadata, subject)
    if spiffe_id is not None and name.kind is not ClientKind.SHARED:
        members["spiffe_id"] = spiffe_id
    return members


def _grants_and_redirects(said: Said, terms: Terms) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The grant types and the redirect URIs. A code without any redirect URI is a grant that the client could
    never use, and RFC 7591 section 2 lets nobody register it: it is left out, and the answer says so.

    Raises: InvalidRedirectUri when nothing would be left; what `_grant_types` and `_redirect_uris` raise.
    """
    grants = _grant_types(said.metadata, terms)
    redirect_uris = _redirect_uris(said, terms) if needs_redirect(grants) else ()
    # Who comes by first use described nothing: its rule is asked anew for each request.
    if redirect_uris or not needs_redirect(grants) or said.metadata.texts("grant_types") is None:
        return grants, redirect_uris
    usable = tuple(grant for grant in grants if grant not in (AUTHORIZATION_CODE, REFRESH_TOKEN))
    if not usable:
        words = "redirect_uris: a code needs one, and neither a statement nor policy names any"
        raise InvalidRedirectUri(Reason.REDIRECT_URI_INVALID, f"{terms.rule}: {words}", public=words)
    return usable, ()


def _grant_types(metadata: ClientMetadata, terms: Terms) -> tuple[str, ...]:
    """Those that were said, all of which the rule must give; else the rule's."""
    said = metadata.texts("grant_types")
    if said is None:
        return terms.grant_types
    beyond = [grant for grant in said if grant not in terms.grant_types]
    if beyond:
        raise GrantNotAllowed(Reason.POLICY_GRANT_TYPE, f"{terms.rule} does not give {beyond[0]}", rule=terms.rule)
    return said


def _promises(metadata: ClientMetadata, terms: Terms) -> dict[str, object]:
    """What the client promises of its tokens; none that the rule's `bind` would not keep."""
    said = {name: metadata.get(name) for name in (DPOP_BOUND, CERTIFICATE_BOUND, PAR_ONLY) if name in metadata}
    if said.get(DPOP_BOUND) and said.get(CERTIFICATE_BOUND):
        # A token is bound to one key; this client could never get any.
        raise _invalid(f"{DPOP_BOUND} and {CERTIFICATE_BOUND} exclude each other here")
    for name, other in ((DPOP_BOUND, Bind.X5T_S256), (CERTIFICATE_BOUND, Bind.JKT)):
        if said.get(name) and terms.bind in (other, Bind.NONE):
            raise _invalid(f"{name}: policy does not bind this client's tokens so")
    return said


def _auth_method(metadata: ClientMetadata, subject: PolicySubject, name: ClientName) -> str:
    """How the client will authenticate: the SPIFFE way, or with its own key where it has one (DCR-13, 14)."""
    said, own = metadata.text("token_endpoint_auth_method"), AUTH_METHODS[subject.evidence]
    if said is None or said == own:
        return own
    if said == "none" or said.startswith("client_secret"):
        raise _invalid("token_endpoint_auth_method: clients here authenticate with what they proved, not by a secret")
    if subject.source is Source.SPIFFE and said in AUTH_METHODS.values():
        return said if said != PRIVATE_KEY_JWT or name.kind is ClientKind.INSTANCE else own
    return own


def _redirect_uris(said: Said, terms: Terms) -> tuple[str, ...]:
    """The redirect URIs: from the rule, from a statement, or from both where both name some (T-45).

    What the request names must be among them, as strings: nobody else vouches for it (ROFU-14, 15).
    Raises: InvalidRedirectUri.
    """
    asked = said.metadata.texts("redirect_uris")
    if "redirect_uris" in said.stated:
        kept = tuple(uri for uri in asked or () if not terms.redirect_uris or uri in terms.redirect_uris)
        if asked and not kept:
            raise InvalidRedirectUri(Reason.REDIRECT_URI_INVALID, f"{terms.rule} lists none of those that are stated")
        return kept
    strange = [uri for uri in asked or () if uri not in terms.redirect_uris]
    if strange:
        raise InvalidRedirectUri(
            Reason.REDIRECT_URI_INVALID,
            f"{terms.rule} does not list {strange[0]}",
            public="a redirect URI is none that policy lists for this client",
        )
    return terms.redirect_uris if asked is None else asked


def _jwks(said: Said, subject: PolicySubject, name: ClientName, key: InstanceKey | None) -> dict[str, object] | None:
    """The keys that the client may authenticate with later: an instance's own, or those of a statement.

    Raises: InvalidClientMetadata when an instance's key is none of those that a statement names, or when a
    client of a pinned issuer would have none.
    """
    jwks = said.metadata.get("jwks")
    stated = jwks if isinstance(jwks, dict) and "jwks" in said.stated else None
    if name.kind is ClientKind.INSTANCE:
        return None if key is None else key.jwks()
    if subject.evidence is not EvidenceKind.SOFTWARE_STATEMENT:
        return None
    if stated is None:
        raise _invalid("the statement must carry jwks, and policy must let its issuer state them")
    return stated


def _spiffe_id(metadata: ClientMetadata, subject: PolicySubject) -> str | None:
    """The SPIFFE ID is the credential's (DCR-15); a statement of a pinned issuer has none to give."""
    said = metadata.text("spiffe_id")
    own = None if subject.spiffe_id is None else str(subject.spiffe_id)
    if said is not None and said != own:
        raise _invalid("spiffe_id is not the one that the credential proves")
    return own


def _invalid(public: str) -> InvalidClientMetadata:
    return InvalidClientMetadata(Reason.METADATA_INVALID, public, public=public)
