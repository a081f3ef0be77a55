"""Every way in which a request or a file can be refused, as a small tree of exceptions.

An error has two faces. `str(error)` and `reason` are for the log, the audit row and metrics, and may
say exactly what was wrong. `public` is what the client gets, and says no more than it may know: all
credential failures share one text (SCA-33, ROFU-30). `web/errors.py` maps these classes to OAuth
codes and is the only module that knows those.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bridge.model.pending import PendingWrite
from bridge.model.reasons import Reason

_NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a refused credential said of itself: text that anybody may have written, cut to a bounded
    number of printable characters. For the log only; nothing may be decided by it."""

    subject: str = ""
    audiences: tuple[str, ...] = ()


class BridgeError(Exception):
    """Base of all domain errors.

    `reason` is one value of a closed list, so that it can be a metric label. `detail` is free text
    for people who read the log; it never holds a token, an assertion or a key. `rule` and
    `policy_version` say what decided, where policy did.

    On its way out an error gathers what the log line should say: `subject` and `evidence` of a caller
    that was verified, and what it `asked`; or what an unverified one `claimed`, never both. `row` is the
    audit row of the refusal, on its way to the disk: the answer must not leave before it is there.
    """

    public = "the request was refused"
    subject: str = ""
    evidence: str = ""
    asked: Mapping[str, object] = _NOTHING
    claimed: Claimed | None = None
    row: PendingWrite | None = None

    def __init__(
        self,
        reason: Reason,
        detail: str = "",
        *,
        public: str | None = None,
        rule: str = "",
        policy_version: str = "",
    ) -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail
        self.rule = rule
        self.policy_version = policy_version
        if public is not None:
            self.public = public


class InvalidRequest(BridgeError):
    """The request itself is malformed: repeated parameters, two credentials, a missing proof."""

    public = "the request is malformed"


class RedirectUriRejected(InvalidRequest):
    """The redirect URI of an authorization request is none that anybody vouched for: nothing is ever sent there
    (RFC 6749 section 4.1.2.1)."""

    public = "the redirect_uri is none of this client's"


class ResponseTypeUnsupported(BridgeError):
    """The response type of an authorization request is another than `code`."""

    public = "only response_type=code is offered here"


class ConsentDenied(BridgeError):
    """The user did not let the client have what it asked for."""

    public = "the user refused"


class EvidenceRejected(BridgeError):
    """A credential is missing, malformed, invalid or not trusted. Nothing was decided yet."""

    public = "client authentication failed"


class IssuerUntrusted(EvidenceRejected):
    """Whoever made the credential is nobody whom this service was configured to trust (DCR-10)."""


class InvalidClientMetadata(BridgeError):
    """Client metadata is malformed, inconsistent, or more than policy allows (RFC 7591 section 3.2.2)."""

    public = "the client metadata is not acceptable"


class InvalidRedirectUri(InvalidClientMetadata):
    """A redirect URI is one that no client may have, or that nobody vouched for."""

    public = "a redirect URI is not acceptable"


class RegistrationTokenRejected(BridgeError):
    """The registration access token is missing, wrong, rotated out or another client's (RFC 7592 section 2)."""

    public = "the registration access token is not valid"


class RegistrationTokenMissing(RegistrationTokenRejected):
    """No registration access token was sent: the caller may not know that one is needed (RFC 6750 section 3.1)."""

    public = "a registration access token is needed"


class ManagementForbidden(BridgeError):
    """The token and the SVID are right, but this client may not be managed so (RFC 7592 section 2)."""

    public = "this client cannot be managed here"


class ProofRejected(BridgeError):
    """A DPoP proof is not acceptable (RFC 9449 section 4.3)."""

    public = "the DPoP proof is not acceptable"


class NonceRequired(ProofRejected):
    """The DPoP proof has no current nonce (RFC 9449 section 8). `nonce` is the one to use."""

    public = "use the nonce of the DPoP-Nonce header"

    def __init__(self, nonce: str) -> None:
        super().__init__(Reason.DPOP_NONCE)
        self.nonce = nonce


class PolicyDenied(BridgeError):
    """Policy has no place for this identity, its evidence or this door."""

    public = "client authentication failed"


class IdentityDenied(PolicyDenied):
    """An operator put a tombstone on this identity or on its client (ROFU-24)."""


class GrantNotAllowed(BridgeError):
    """The identity is known, but not for this grant type."""

    public = "this client may not use this grant type"


class UnsupportedGrantType(BridgeError):
    """The grant type is none that this server offers."""

    public = "this grant type is not offered here"


class ScopeNotAllowed(BridgeError):
    """A scope is unknown, not covered by one rule, or denied."""

    public = "a requested scope is not available to this client"


class TargetNotAllowed(BridgeError):
    """A resource is malformed, unknown, not covered, or none could be inferred (RFC 8707)."""

    public = "a requested resource is not available to this client"


class ProofMissing(InvalidRequest):
    """The rule binds tokens to a key and the request proved none that fits."""


class ApprovalPending(BridgeError):
    """An `ask` rule matched and no operator has approved this client for it (ROFU-12)."""

    public = "registration incomplete"


class LimitReached(BridgeError):
    """A limit of section 7 is used up. `limit` is its name in the configuration, `retry_after` seconds.

    `repeated`: the log was told a moment ago, and would fill up if it were told each time.
    """

    public = "a limit was reached"

    def __init__(self, limit: str, retry_after: int, detail: str = "", *, repeated: bool = False) -> None:
        super().__init__(Reason.LIMIT_REACHED, f"{limit} {detail}".strip(), public=f"limit reached: {limit}")
        self.limit = limit
        self.retry_after = retry_after
        self.repeated = repeated


class Unavailable(BridgeError):
    """Something this service depends on does not answer: never the client's fault. Retry later."""

    public = "the service is temporarily unavailable"

    def __init__(self, reason: Reason, detail: str = "", *, retry_after: int = 5) -> None:
        super().__init__(reason, detail)
        self.retry_after = retry_after


class CredentialReplayed(EvidenceRejected):
    """A credential or proof that may be used once was used before. `kind` is the marker's."""

    def __init__(self, kind: str) -> None:
        super().__init__(Reason.CREDENTIAL_REPLAYED, f"{kind} was used before")
        self.kind = kind


class ForeignToken(BridgeError):
    """A client asked to end a token that was issued to another one (RFC 7009 section 2.1)."""

    public = "the token was issued to another client"


class GrantRejected(BridgeError):
    """A code or refresh token is unknown, over, used, another client's, or does not go with what was sent
    (RFC 6749 section 5.2)."""

    public = "the grant is not valid"


class GrantSpent(GrantRejected):
    """Between look and write the code was redeemed, the refresh token rotated, or the grant ended."""

    def __init__(self) -> None:
        super().__init__(Reason.GRANT_SPENT)


class FormRejected(BridgeError):
    """A form came from another page, browser or session than the one it was shown in (T-44)."""

    public = "this form is no longer good; go back to the application and start again"


class SignInRejected(BridgeError):
    """Whoever came back from the login provider is not known to be who left for it."""

    public = "you could not be signed in; go back to the application and start again"


class ConsoleRefused(BridgeError):
    """Whoever asks the operators' console is not known to be an operator, or asks under a name that is not its own."""

    public = "you are not known here as an operator"


class RegistrationChanged(BridgeError):
    """Between decision and write the record was revoked, denied or expired. Decide again."""

    public = "client authentication failed"


class StartRefused(Exception):
    """The service cannot start or a command cannot run. `faults` lists all that is wrong, in words
    that say what to do next."""

    def __init__(self, faults: list[str] | tuple[str, ...]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)
