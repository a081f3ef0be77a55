"""What each source has: its evidence, its doors, its grants, and the defaults that follow (interface 3)."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.model.evidence import Door, EvidenceKind
from bridge.model.identity import BindingMethod, Source
from bridge.model.terms import Bind, ClientMode

CLIENT_CREDENTIALS = "client_credentials"
AUTHORIZATION_CODE = "authorization_code"
REFRESH_TOKEN = "refresh_token"

SVIDS = frozenset({EvidenceKind.X509_SVID, EvidenceKind.JWT_SVID})
# With which of them a workload can come in a document's name: beside a certificate it names its SPIFFE ID (SCA-15).
ACTING_SVIDS = frozenset({EvidenceKind.JWT_SVID})

# RFC 7591 section 2 and the registered members that its extensions added for what we understand.
# A typo in `asserts` would silently drop what a statement says, so the list is closed.
METADATA_MEMBERS = frozenset(
    {
        "application_type", "client_name", "client_uri", "contacts", "dpop_bound_access_tokens", "grant_types",
        "jwks", "jwks_uri", "logo_uri", "policy_uri", "redirect_uris", "require_pushed_authorization_requests",
        "response_types", "scope", "software_id", "software_version", "spiffe_id",
        "tls_client_certificate_bound_access_tokens", "token_endpoint_auth_method",
        "token_endpoint_auth_signing_alg", "tos_uri",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a source's rules may say, and what holds where they say nothing.

    `bind` is the default where the source has one; a SPIFFE rule's default depends on its evidence.
    `file` is the name its policy file has; None: the trust domain's.
    """

    evidence: frozenset[EvidenceKind]
    doors: frozenset[Door]
    grant_types: frozenset[str]
    default_grant_types: tuple[str, ...]
    clients: frozenset[ClientMode]
    binding: frozenset[BindingMethod]
    bind: Bind | None
    file: str | None
    asks: bool = True
    asserts: bool = True


# With which grant types a request can come to a door at all. Codes and refresh tokens are decided at the door where
# their grant began, so the token endpoint itself only sees the one that needs no person.
GRANTS_AT: dict[Door, frozenset[str]] = {
    Door.TOKEN: frozenset({CLIENT_CREDENTIALS}),
    Door.PAR: frozenset({AUTHORIZATION_CODE, REFRESH_TOKEN}),
    Door.AUTHORIZE: frozenset({AUTHORIZATION_CODE, REFRESH_TOKEN}),
    Door.REGISTER: frozenset({CLIENT_CREDENTIALS, AUTHORIZATION_CODE, REFRESH_TOKEN}),
}

_ALL_GRANTS = frozenset({CLIENT_CREDENTIALS, AUTHORIZATION_CODE, REFRESH_TOKEN})
_CODE = (AUTHORIZATION_CODE, REFRESH_TOKEN)
_EVERY_METHOD = frozenset(BindingMethod)
_DPOP_ONLY = frozenset({BindingMethod.JKT})

VOCABULARIES: dict[Source, Vocabulary] = {
    Source.SPIFFE: Vocabulary(
        evidence=SVIDS,
        doors=frozenset({Door.TOKEN, Door.PAR, Door.REGISTER}),
        grant_types=_ALL_GRANTS,
        default_grant_types=(CLIENT_CREDENTIALS,),
        clients=frozenset(ClientMode),
        binding=_EVERY_METHOD,
        bind=None,
        file=None,
    ),
    Source.METADATA_DOCUMENT: Vocabulary(
        # An SVID that acts for a document is judged as what it is; the document alone as itself.
        evidence=SVIDS | {EvidenceKind.METADATA_DOCUMENT},
        doors=frozenset({Door.TOKEN, Door.PAR, Door.AUTHORIZE}),
        grant_types=_ALL_GRANTS,
        default_grant_types=_CODE,
        clients=frozenset({ClientMode.IDENTITY}),
        binding=_DPOP_ONLY,
        bind=Bind.IF_PRESENT,
        file="metadata-documents.toml",
        asserts=False,
    ),
    Source.SOFTWARE_STATEMENT: Vocabulary(
        evidence=frozenset({EvidenceKind.SOFTWARE_STATEMENT}),
        doors=frozenset({Door.REGISTER, Door.TOKEN, Door.PAR, Door.AUTHORIZE}),
        grant_types=_ALL_GRANTS,
        default_grant_types=(CLIENT_CREDENTIALS,),
        # No shared ones: each authenticates later by the keys its own statement stated, and a record has one set.
        clients=frozenset({ClientMode.IDENTITY, ClientMode.INSTANCE}),
        binding=_DPOP_ONLY,
        bind=Bind.IF_PRESENT,
        file="software-statements.toml",
    ),
    Source.PUSHED: Vocabulary(
        evidence=frozenset({EvidenceKind.PUSHED}),
        doors=frozenset({Door.PAR}),
        grant_types=frozenset(_CODE),
        default_grant_types=_CODE,
        clients=frozenset({ClientMode.IDENTITY}),
        binding=_DPOP_ONLY,
        bind=Bind.ANY,
        file="pushed.toml",
        asks=False,
        asserts=False,
    ),
}


def provable(source: Source, evidence: EvidenceKind) -> frozenset[BindingMethod]:
    """The keys that a request with this evidence can prove at all: a certificate's only where the
    certificate itself is the evidence of a SPIFFE client, a DPoP key everywhere."""
    if source is Source.SPIFFE and evidence is EvidenceKind.X509_SVID:
        return _EVERY_METHOD
    return _DPOP_ONLY
