"""The documents: what the TOML files may hold, as pydantic models with no room for anything else.

Only shape is checked here: keys, types, closed lists, durations. What a value means together with
others is the compiler's business. `when` and `grant` keys take one value or a list of them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from bridge.policy.durations import PATTERN, seconds


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _schema(item: dict[str, object]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]})


_ONE_OR_MANY = BeforeValidator(_listed)
_SOME = Field(min_length=1)

EvidenceName = Literal["x509-svid", "jwt-svid", "wit-svid", "software-statement", "metadata-document", "pushed"]
DoorName = Literal["token", "par", "register", "authorize"]
GrantTypeName = Literal["client_credentials", "authorization_code", "refresh_token"]

_EVIDENCE: dict[str, object] = {"enum": list(EvidenceName.__args__)}  # type: ignore[attr-defined]
_DOOR: dict[str, object] = {"enum": list(DoorName.__args__)}  # type: ignore[attr-defined]
_GRANT_TYPE: dict[str, object] = {"enum": list(GrantTypeName.__args__)}  # type: ignore[attr-defined]

Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[list[Text], _ONE_OR_MANY, _SOME, _schema({"type": "string", "minLength": 1})]
Evidences = Annotated[list[EvidenceName], _ONE_OR_MANY, _SOME, _schema(_EVIDENCE)]
Doors = Annotated[list[DoorName], _ONE_OR_MANY, _SOME, _schema(_DOOR)]
GrantTypes = Annotated[list[GrantTypeName], _ONE_OR_MANY, _SOME, _schema(_GRANT_TYPE)]
Duration = Annotated[int, BeforeValidator(seconds), WithJsonSchema({"type": "string", "pattern": PATTERN})]
RuleId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
# A client_id that could be mistaken for one that is derived is refused by the compiler, in words.
SharedId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._~@+-]{0,199}$")]


class Document(BaseModel):
    """Closed and strict: an unknown key and a near miss of a type are faults."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class When(Document):
    """The conditions every source has. All that are given must hold."""

    evidence: Evidences | None = Field(None, description="kinds of evidence; all that the source has if absent")
    door: Doors | None = Field(None, description="where the request comes in; all doors of the source if absent")
    grant_type: GrantTypes | None = None
    resource: Texts | None = Field(None, description="for denies: resources nobody here may name")
    scope: Texts | None = Field(None, description="for denies: scopes nobody here gets")


class SpiffeWhen(When):
    """Conditions on a workload of the file's trust domain."""

    path: Texts | None = Field(None, description="/ns/*/sa/web: '*' is one segment, '**' at the end one or more")
    any_path: bool = Field(False, description="every workload of the trust domain; needs broad = true")


class DocumentWhen(When):
    """Conditions on a metadata document, and on who may act for it."""

    url: Texts = Field(description="https://*.apps.example.com/*: '*' is one host label or one path segment")
    spiffe_id: Texts | None = Field(None, description="SPIFFE IDs that may act for the document")


class StatementWhen(When):
    """Conditions on who made a software statement, and about whom."""

    issuer: Texts
    subject: Texts | None = None


class PushedWhen(When):
    """A pushed client has no name that a condition could be about."""


class SharedClient(Document):
    """One record for all identities that the rule covers."""

    shared: SharedId


class Grant(Document):
    """The terms of an allow or ask rule."""

    resources: Texts
    scopes: Texts
    grant_types: GrantTypes | None = None
    token_ttl: Duration | None = None
    refresh_ttl: Duration | None = None
    bind: Literal["any", "x5t#S256", "jkt", "if-present", "none"] | None = Field(
        None, description="which proved key the token must be bound to"
    )
    replay: Literal["within-lifetime", "once"] | None = Field(None, description="how often one JWT-SVID may be used")
    lease: Duration | None = Field(None, description="shortest life of an instance's registration, at most 24h")
    require_par: bool = False
    redirect_uris: Texts | None = Field(None, description="exact, or with {1}, {2} for the pattern's '*'")
    asserts: Texts | None = Field(None, description="metadata members that the source may state")
    client: Literal["identity", "instance"] | SharedClient | None = None


class Rule(Document):
    """What all rules have."""

    id: RuleId = Field(description="unique over all files; audit, explain and metrics name it")
    why: Text = Field(description="the reason a reviewer reads, with a ticket if there is one")
    effect: Literal["allow", "deny", "ask"]
    broad: bool = Field(False, description="admits that the rule reaches a whole trust domain or host space")
    grant: Grant | None = None


class SpiffeRule(Rule):
    """A rule about workloads."""

    when: SpiffeWhen


class DocumentRule(Rule):
    """A rule about metadata documents."""

    when: DocumentWhen


class StatementRule(Rule):
    """A rule about software statements."""

    when: StatementWhen


class PushedRule(Rule):
    """A rule about pushed clients."""

    when: PushedWhen = Field(default_factory=lambda: PushedWhen.model_validate({}))


class SpiffeFile(Document):
    """The policy of one trust domain."""

    version: Literal[1]
    source: Literal["spiffe"]
    trust_domain: Text = Field(description="must equal the file's name")
    rule: list[SpiffeRule] = Field(default_factory=list)


class DocumentFile(Document):
    """`metadata-documents.toml`."""

    version: Literal[1]
    source: Literal["metadata-document"]
    rule: list[DocumentRule] = Field(default_factory=list)


class StatementFile(Document):
    """`software-statements.toml`."""

    version: Literal[1]
    source: Literal["software-statement"]
    rule: list[StatementRule] = Field(default_factory=list)


class PushedFile(Document):
    """`pushed.toml`."""

    version: Literal[1]
    source: Literal["pushed"]
    rule: list[PushedRule] = Field(default_factory=list)


PolicyFile = SpiffeFile | DocumentFile | StatementFile | PushedFile
AnyRule = SpiffeRule | DocumentRule | StatementRule | PushedRule


class Resource(Document):
    """A protected resource, and the scopes that mean something there."""

    description: Text
    scopes: Annotated[dict[str, Text], Field(min_length=1)]
    introspect_by: Texts | None = Field(None, description="SPIFFE IDs that may introspect its tokens")


class CatalogueFile(Document):
    """`catalogue.toml`."""

    version: Literal[1]
    resources: Annotated[dict[str, Resource], Field(min_length=1)]


class Case(Document):
    """One expectation. `proved` is which keys the request proves; absent: all that its evidence can."""

    name: Text
    subject: Text | None = Field(None, description="SPIFFE ID, document URL, or the subject beside issuer")
    issuer: Text | None = None
    spiffe_id: Text | None = Field(None, description="the SPIFFE ID that acts for a metadata document")
    evidence: EvidenceName | None = None
    door: DoorName = "token"
    grant_type: GrantTypeName | None = None
    scope: Texts | None = None
    resource: Texts | None = None
    proved: list[Literal["x5t#S256", "jkt"]] | None = None
    expect: Literal["allow", "deny", "ask"]
    rule: Text | None = None
    scopes: Texts | None = None
    ttl: Duration | None = None
    client_id: Text | None = None
    denial: Literal["identity", "grant_type", "scope", "resource", "proof"] | None = None


class CaseFile(Document):
    """`tests/*.cases.toml`."""

    case: Annotated[list[Case], _SOME]
    version: Literal[1] = 1
