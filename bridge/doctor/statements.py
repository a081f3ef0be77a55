"""The examination of a pinned issuer's software statement, and of the registration that it would make."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from bridge.advice.details import Kind, Saying, saying_on
from bridge.doctor.findings import findings_of, holds, not_reached
from bridge.doctor.given import GivenJwt
from bridge.doctor.instruments import Instruments, Question
from bridge.doctor.registering import STEP_NAMES, claimed_identity, hear
from bridge.doctor.report import Diagnosis
from bridge.doctor.signed_words import claims_of, form_words, header_words, said_claims
from bridge.doctor.words import listed, shown, span, when
from bridge.jose.jws import MalformedToken, parse_compact
from bridge.model.errors import BridgeError, EvidenceRejected, Unavailable
from bridge.model.evidence import EvidenceKind
from bridge.model.identity import PolicySubject, Source, VerifiedStatement
from bridge.model.reasons import Reason
from bridge.registration.introduction import Introduced
from bridge.verify.signed_jwt import LEEWAY, MAX_ASSERTION_BYTES
from bridge.verify.statement_claims import MAX_LIFE, stated_by
from bridge.verify.statement_steps import StatementCase

_REPEATABLE = "jti is not looked at: until it ends, the same statement registers the same client again, and no other."
_UNVERIFIED = (
    "Nothing here is verified: what the statement says of itself may be anybody's word, and from `body` on the answers "
    "are for whomever it claims to be about."
)


def examine_statement(instruments: Instruments, given: GivenJwt, question: Question) -> Diagnosis:
    """What the service would make of a registration with this statement."""
    now, statement = instruments.around.now, given.assertion
    instruments.ask_issuer(_named_issuer(statement))
    case, looked = instruments.statements.walk(statement, now=now)
    findings = findings_of(
        looked, lambda step: _WORDS[step](case, now), lambda step, error: _remedy(instruments, case, error)
    )
    verified, refusal = _verified(instruments, statement, now)
    claims = case.claims if holds(looked, "claims") else None
    if claims is None:
        asked, error = not_reached(STEP_NAMES, "the statement"), None
    else:
        introduced = _introduced(case, verified, now)
        asked, error = hear(instruments, introduced, question)
    reason = refusal or error
    return Diagnosis(
        evidence=EvidenceKind.SOFTWARE_STATEMENT.value,
        door=question.ask.door.value,
        subject="" if claims is None else shown(f"{claims.issuer} {claims.subject}"),
        is_verified=verified is not None,
        credential=hashlib.sha256(statement.encode("utf-8", "surrogatepass")).hexdigest(),
        reason=None if reason is None else reason.reason,
        findings=(*findings, *asked),
        notes=(*given.notes, *([] if verified is not None else [_UNVERIFIED]), _REPEATABLE),
    )


def _named_issuer(statement: str) -> object:
    try:
        return parse_compact(statement, max_bytes=MAX_ASSERTION_BYTES).claims().get("iss")
    except MalformedToken:
        return None


def _verified(
    instruments: Instruments, statement: str, now: int
) -> tuple[VerifiedStatement | None, BridgeError | None]:
    """The verdict of the verification itself beside the findings of the walk."""
    try:
        return instruments.statements.verify(statement, now=now), None
    except (EvidenceRejected, Unavailable) as refusal:
        return None, refusal


def _introduced(case: StatementCase, verified: VerifiedStatement | None, now: int) -> Introduced:
    if verified is not None:
        return Introduced(verified.identity, verified, ())
    claims = case.claims
    subject = PolicySubject(
        Source.SOFTWARE_STATEMENT, EvidenceKind.SOFTWARE_STATEMENT, issuer=claims.issuer, subject=claims.subject
    )
    identity = claimed_identity(subject, now)
    return Introduced(identity, VerifiedStatement(identity, stated_by(case.payload), claims.issuer, "", now), ())


def _remedy(instruments: Instruments, case: StatementCase, error: BridgeError) -> Saying | str | None:
    if error.reason is Reason.STATEMENT_ISSUER:
        return _unpinned(instruments, case.claims.issuer)
    return saying_on(Kind.STATEMENT, error.reason, error.detail)


def _unpinned(instruments: Instruments, issuer: str) -> str:
    """What makes an issuer a pinned one. A slash too many is what it is most often."""
    pinned = instruments.issuers.names
    near = [name for name in pinned if name.rstrip("/").lower() == issuer.rstrip("/").lower()]
    if near:
        return f'Make both the same, byte for byte: [statement_issuers] has "{near[0]}", iss is "{shown(issuer)}".'
    return (
        f'Add [statement_issuers."{shown(issuer)}"] with jwks_file or jwks_uri to bridge.toml; or, if it shall vouch '
        f"for nobody, have the statement made by one that is pinned: {listed(pinned)}."
    )


# --- in words -------------------------------------------------------------------------------------

Words = tuple[str, str]


def _claims(case: StatementCase, now: int) -> Words:
    return "iss, sub a name, aud, exp and iat numbers", said_claims(case.token)


def _issuer(case: StatementCase, now: int) -> Words:
    return f"one that is pinned: {listed(case.issuers.names)}", f'"{shown(case.claims.issuer)}"'


def _key_set(case: StatementCase, now: int) -> Words:
    return "keys of this issuer that were read and are fit", "its jwks_file or jwks_uri"


def _key(case: StatementCase, now: int) -> Words:
    unfit = f", and unfit ones: {listed(sorted(case.keys.unfit))}" if case.keys.unfit else ""
    kid = case.header.kid
    named = "no kid" if kid is None else f'kid "{shown(kid)}"'
    return f"one of {listed(key.kid for key in case.keys.usable)}{unfit}", f"{named}, alg {case.header.alg}"


def _signature(case: StatementCase, now: int) -> Words:
    key = case.key
    return f'the signature of key "{shown(key.kid or key.thumbprint)}"', f"an {case.header.alg} signature"


def _times(case: StatementCase, now: int) -> Words:
    claims = case.claims
    begin = [] if claims.not_before is None else [f"nbf {when(claims.not_before, now)}"]
    found = [f"iat {when(claims.issued_at, now)}", f"exp {when(claims.expires_at, now)}", *begin]
    return f"iat behind, exp ahead, with {LEEWAY} s for clocks that differ", ", ".join(found)


def _lifetime(case: StatementCase, now: int) -> Words:
    claims = case.claims
    made, left = span(claims.expires_at - claims.issued_at), span(max(0, claims.expires_at - now))
    return f"at most {span(MAX_LIFE)} from iat to exp, and to live", f"made for {made}, {left} to live"


def _audience(case: StatementCase, now: int) -> Words:
    return f'"{shown(case.audience)}" and no other', listed(case.claims.audience)


_WORDS: Mapping[str, Callable[[StatementCase, int], Words]] = {
    "form": lambda case, now: form_words(case.statement),
    "header": lambda case, now: header_words(case.token.header),
    "payload": lambda case, now: (
        "a payload that is one JSON object",
        f"{len(claims_of(case.token) or {})} claims",
    ),
    "claims": _claims,
    "issuer": _issuer,
    "key-set": _key_set,
    "key": _key,
    "signature": _signature,
    "times": _times,
    "lifetime": _lifetime,
    "audience": _audience,
}
