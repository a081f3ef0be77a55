"""One error, three vocabularies: what RFC 6749, RFC 7591 and RFC 7592 say to it (interface section 6)."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from bridge.model import errors
from bridge.model.errors import (
    ApprovalPending,
    BridgeError,
    CredentialReplayed,
    EvidenceRejected,
    GrantNotAllowed,
    IdentityDenied,
    InvalidClientMetadata,
    InvalidRedirectUri,
    InvalidRequest,
    IssuerUntrusted,
    LimitReached,
    ManagementForbidden,
    NonceRequired,
    PolicyDenied,
    ProofMissing,
    ProofRejected,
    RegistrationChanged,
    RegistrationTokenMissing,
    RegistrationTokenRejected,
    ScopeNotAllowed,
    TargetNotAllowed,
    Unavailable,
)
from bridge.model.reasons import Reason
from bridge.web.errors import OAUTH, Family, error_response, wire_error
from tests.unit.web.registration_stand import STATEMENT, Stand

ANY = Reason.JWT_SIGNATURE
META = (400, "invalid_client_metadata")
STATEMENT_BAD = (400, "invalid_software_statement")
NOT_APPROVED = (400, "unapproved_software_statement")
BAD_TOKEN = (401, "invalid_token")

AT_REGISTER: dict[str, tuple[BridgeError, tuple[int, str]]] = {
    "EvidenceRejected DCR-9": (EvidenceRejected(ANY), STATEMENT_BAD),
    "CredentialReplayed T-46": (CredentialReplayed("statement"), STATEMENT_BAD),
    "IssuerUntrusted DCR-10": (IssuerUntrusted(Reason.TRUST_DOMAIN_UNKNOWN), NOT_APPROVED),
    "PolicyDenied DCR-10": (PolicyDenied(Reason.POLICY_NO_RULE), NOT_APPROVED),
    "IdentityDenied": (IdentityDenied(Reason.IDENTITY_DENIED), NOT_APPROVED),
    "RegistrationChanged": (RegistrationChanged(Reason.REGISTRATION_CHANGED), NOT_APPROVED),
    "InvalidRequest": (InvalidRequest(Reason.CREDENTIALS_MIXED), META),
    "ProofMissing": (ProofMissing(Reason.POLICY_PROOF, public="send a DPoP proof"), META),
    "GrantNotAllowed": (GrantNotAllowed(Reason.POLICY_GRANT_TYPE), META),
    "ScopeNotAllowed": (ScopeNotAllowed(Reason.POLICY_SCOPE), META),
    "TargetNotAllowed": (TargetNotAllowed(Reason.POLICY_RESOURCE), META),
    "InvalidClientMetadata": (InvalidClientMetadata(Reason.STATEMENT_MISSING), META),
    "InvalidRedirectUri DCR-21": (InvalidRedirectUri(Reason.REDIRECT_URI_INVALID), (400, "invalid_redirect_uri")),
    "ProofRejected": (ProofRejected(Reason.DPOP_STALE), (400, "invalid_dpop_proof")),
    "NonceRequired": (NonceRequired("n"), (400, "use_dpop_nonce")),
    "ApprovalPending ROFU-12": (ApprovalPending(Reason.APPROVAL_PENDING), (403, "unauthorized_client")),
    "LimitReached DCR-22": (LimitReached("registrations_per_second", 3), (429, "temporarily_unavailable")),
    "Unavailable": (Unavailable(Reason.STORE_UNAVAILABLE), (503, "temporarily_unavailable")),
}
AT_MANAGEMENT: dict[str, tuple[BridgeError, tuple[int, str]]] = {
    "RegistrationTokenRejected DCR-26": (RegistrationTokenRejected(Reason.REGISTRATION_TOKEN), BAD_TOKEN),
    "EvidenceRejected T-47": (EvidenceRejected(Reason.X509_PATH), BAD_TOKEN),
    "IssuerUntrusted": (IssuerUntrusted(Reason.TRUST_DOMAIN_UNKNOWN), BAD_TOKEN),
    "RegistrationChanged DCR-26": (RegistrationChanged(Reason.REGISTRATION_CHANGED), BAD_TOKEN),
    "ManagementForbidden": (ManagementForbidden(Reason.MANAGEMENT_FORBIDDEN), (403, "access_denied")),
    "PolicyDenied DCR-34": (PolicyDenied(Reason.POLICY_NO_RULE), (403, "access_denied")),
    "InvalidClientMetadata DCR-30": (InvalidClientMetadata(Reason.METADATA_INVALID), META),
    "ScopeNotAllowed DCR-34": (ScopeNotAllowed(Reason.POLICY_SCOPE), META),
    "Unavailable": (Unavailable(Reason.STORE_UNAVAILABLE), (503, "temporarily_unavailable")),
}


@pytest.mark.parametrize(("error", "expected"), AT_REGISTER.values(), ids=list(AT_REGISTER))
def test_a_refused_registration_speaks_RFC_7591(error: BridgeError, expected: tuple[int, str]) -> None:
    stand = Stand()
    stand.registration.refusal = error
    reply = stand.register({"software_statement": STATEMENT})
    assert reply.error == expected
    assert ("WWW-Authenticate" in reply.headers) is (expected[0] == 401)
    assert stand.observed.refusals == [("register", error.reason.value)]
    stand.registration.refusal = None
    assert stand.register({"software_statement": STATEMENT}).status == 201


@pytest.mark.parametrize(("error", "expected"), AT_MANAGEMENT.values(), ids=list(AT_MANAGEMENT))
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_refused_management_speaks_RFC_7592(method: str, error: BridgeError, expected: tuple[int, str]) -> None:
    stand = Stand()
    stand.registration.refusal = error
    reply = stand.manage(method)
    assert reply.error == expected
    challenge = 'Bearer error="invalid_token"' if expected[0] == 401 else None
    assert reply.headers.get("WWW-Authenticate") == challenge
    stand.registration.refusal = None
    assert stand.manage(method).status in (200, 204)


def test_a_client_is_told_when_to_come_again_and_which_limit_it_met_DCR_22() -> None:
    stand = Stand()
    stand.registration.refusal = LimitReached("registrations_per_second", 3)
    reply = stand.register({})
    assert (reply.headers["Retry-After"], reply.body["error_description"]) == (
        "3",
        "limit reached: registrations_per_second",
    )
    stand.registration.refusal = Unavailable(Reason.STORE_UNAVAILABLE, retry_after=0)
    assert stand.register({}).headers["Retry-After"] == "1"
    stand.registration.refusal = NonceRequired("next")
    assert stand.register({}).headers["DPoP-Nonce"] == "next"


def _all_below(kind: type[BridgeError]) -> Iterator[type[BridgeError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _all_below(child)


def _bodies(kind: type[BridgeError], family: Family) -> set[bytes]:
    """What clients see of an error of this kind for different reasons and with different words."""
    told = [kind(Reason.JWT_EXPIRED), kind(Reason.X509_PATH, "detail", public="words of its own")]
    return {error_response(error, "id", family=family).get_data() for error in told}


def test_why_a_statement_failed_cannot_be_told_from_the_answer_SCA_33() -> None:
    invalid = _bodies(EvidenceRejected, Family.REGISTRATION)
    unapproved = {body for kind in (IssuerUntrusted, PolicyDenied, RegistrationChanged, IdentityDenied)
                  for body in _bodies(kind, Family.REGISTRATION)}  # fmt: skip
    assert (len(invalid), len(unapproved)) == (1, 1)
    assert {json.loads(body)["error"] for body in invalid | unapproved} == {STATEMENT_BAD[1], NOT_APPROVED[1]}


def test_whether_token_or_certificate_failed_or_the_client_is_gone_cannot_be_told_DCR_26() -> None:
    token = {error_response(RegistrationTokenRejected(ANY), "id", family=Family.MANAGEMENT).get_data()}
    for kind in (EvidenceRejected, IssuerUntrusted, RegistrationChanged):
        assert _bodies(kind, Family.MANAGEMENT) == token


def test_what_a_client_can_mend_keeps_its_words() -> None:
    missing = ProofMissing(Reason.POLICY_PROOF, public="send a DPoP proof")
    assert wire_error(missing, Family.REGISTRATION).words == "send a DPoP proof"
    assert wire_error(missing, Family.OAUTH)[:2] == ("invalid_request", 400)


def test_every_error_has_a_line_before_the_last_one_in_every_family() -> None:
    kinds = [kind for kind in _all_below(BridgeError) if kind.__module__ == errors.__name__]
    assert len(kinds) > 20
    for kind in kinds:
        line = next(ancestor for ancestor in kind.__mro__ if ancestor in OAUTH)
        assert line is not BridgeError, f"{kind.__name__} would be a server_error"


def test_at_the_token_endpoint_basic_is_named_when_it_was_tried_and_bearer_never_is() -> None:
    rejected = EvidenceRejected(Reason.CREDENTIAL_UNSUPPORTED)
    tried = error_response(rejected, "id", authorization_was_sent=True)
    assert (tried.status_code, tried.headers["WWW-Authenticate"]) == (401, 'Basic realm="token"')
    assert "WWW-Authenticate" not in error_response(rejected, "id").headers


def test_who_sent_no_token_is_told_of_no_error_with_it() -> None:
    missing = error_response(RegistrationTokenMissing(ANY), "id", family=Family.MANAGEMENT)
    wrong = error_response(RegistrationTokenRejected(ANY), "id", family=Family.MANAGEMENT)
    assert (missing.status_code, missing.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert (wrong.status_code, wrong.headers["WWW-Authenticate"]) == (401, 'Bearer error="invalid_token"')
