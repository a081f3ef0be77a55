"""The examination of a client's own assertion (`private_key_jwt`): whose it says it is, whether a key of that client's
record or document signed it, and what the client may do."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace

from bridge.advice.details import Kind, Saying, saying_on
from bridge.doctor.asking import Answers, answers, ask_case, unasked
from bridge.doctor.documents import keys_for_assertion, look_at_document
from bridge.doctor.findings import failed, findings_of, first_error, holds, not_reached
from bridge.doctor.given import GivenAssertion, GivenJwt
from bridge.doctor.instruments import Instruments, Question
from bridge.doctor.report import Diagnosis, Finding, Outcome
from bridge.doctor.signed_words import form_words, header_words, said_claims
from bridge.doctor.svids import examine_svid
from bridge.doctor.words import listed, relative, shown, span, when
from bridge.model.errors import BridgeError, CredentialReplayed, EvidenceRejected
from bridge.model.evidence import JwtEvidence, names_document
from bridge.model.identity import PolicySubject
from bridge.model.reasons import Reason
from bridge.model.steps import Looked, walk
from bridge.registration.authentication import asserted_client
from bridge.registration.keyed import FINDING_STEPS, STANDING_STEPS, KeyedCase
from bridge.registration.naming import subject_of
from bridge.registration.url_steps import require_algorithm
from bridge.verify.assertion_steps import AssertionCase
from bridge.verify.assertion_verifier import walk_client_assertion
from bridge.verify.client_assertions import ASSERTION_MARKER, MAX_JTI_LENGTH, MAX_LIFE, marker_of
from bridge.verify.document_checks import PRIVATE_KEY_JWT
from bridge.verify.key_sets import JwtKeys
from bridge.verify.metadata_documents import VerifiedDocument
from bridge.verify.signed_jwt import LEEWAY

_EVIDENCE = "client-assertion"
_AS_SVID = "Its sub is no client_id that could have keys, so the service takes it for a JWT-SVID, as this does."
_UNVERIFIED = (
    "Nothing here is verified: what the assertion says of itself may be anybody's word, and from `policy` on the "
    "answers are for the client that it claims to be of."
)
# Without its keys nobody can say by which of them it was signed.
_OF_KEYS = frozenset({"key", "signature"})
_NO_KEYS = JwtKeys((), frozenset())


def examine_assertion(instruments: Instruments, given: GivenAssertion, question: Question) -> Diagnosis:
    """What the service would make of a request with this assertion under the general type."""
    own = asserted_client(JwtEvidence(given.assertion, question.client_id, general=True))
    if own is None:
        as_svid = GivenJwt(given.assertion, (*given.notes, _AS_SVID))
        return examine_svid(instruments, as_svid, question)
    findings, error = _named(own, question)
    look = _of_document if names_document(own) else _of_record
    more, refusal, is_verified = look(instruments, given.assertion, own, question)
    reason = error or refusal
    return Diagnosis(
        evidence=_EVIDENCE,
        door=question.ask.door.value,
        subject=shown(own),
        is_verified=is_verified,
        credential=hashlib.sha256(given.assertion.encode("utf-8", "surrogatepass")).hexdigest(),
        reason=None if reason is None else reason.reason,
        findings=(*findings, *more),
        notes=(*given.notes, *([] if is_verified else [_UNVERIFIED])),
    )


_Looked = tuple[tuple[Finding, ...], BridgeError | None, bool]


def _named(own: str, question: Question) -> Answers:
    """The `client_id` beside the assertion, which may be absent."""
    named = question.client_id
    expected, found = f'"{shown(own)}", or none', "none" if named is None else f'"{shown(named)}"'
    if named in (None, own):
        return (Finding("named", Outcome.OK, expected, found),), None
    error = EvidenceRejected(Reason.CLIENT_ID_MISMATCH, "the assertion is another client's")
    return (failed("named", expected, found, error, _remedy(error)),), error


def _remedy(error: BridgeError) -> Saying | None:
    return saying_on(Kind.ASSERTION, error.reason, error.detail)


def _of_record(instruments: Instruments, assertion: str, own: str, question: Question) -> _Looked:
    """A client that registered its keys."""
    now = instruments.around.now
    keyed = KeyedCase(instruments.outlook.clients, own, now, instruments.vouching.require)
    record = instruments.outlook.clients.get(own)
    known = None if record is None else subject_of(record)
    instruments.ask_issuer(None if known is None else known.issuer)
    walked = walk((*FINDING_STEPS, *STANDING_STEPS), keyed)
    # In the order of the service: the record is found, the assertion verified, and only then its standing asked.
    before, after = walked[: len(FINDING_STEPS)], walked[len(FINDING_STEPS) :]
    keys = keyed.keys if holds(walked, "client-keys") else None
    signed, case, looked = _signed(instruments, assertion, own, keys)

    def worded(part: tuple[Looked, ...]) -> tuple[Finding, ...]:
        return findings_of(part, lambda step: _RECORD_WORDS[step](keyed), lambda step, error: _remedy(error))

    error = first_error((*before, *looked, *after))
    subject = keyed.subject if holds(walked, "registered") else None
    asked, refusal = _asked(instruments, subject, own, question)
    used, replayed = _replay(instruments, case, own, looked)
    findings = (*worded(before), *signed, *worded(after), *asked, *used)
    verified = keys is not None and first_error(looked) is None
    return findings, error or refusal or replayed, verified


def _of_document(instruments: Instruments, assertion: str, own: str, question: Question) -> _Looked:
    """A client whose document has its keys, or says where they are."""
    look = look_at_document(instruments, own, question, method=PRIVATE_KEY_JWT)
    found, keys, error = keys_for_assertion(instruments, look.document)
    signed, case, looked = _signed(instruments, assertion, own, keys)
    error = look.error or error or first_error(looked)
    stated, mismatch = _algorithm(look.document, case, looked)
    asked, refusal = look.ask(instruments, question)
    used, replayed = _replay(instruments, case, own, looked)
    findings = (*look.findings, *found, *signed, *stated, *asked, *used)
    verified = keys is not None and first_error(looked) is None
    return findings, error or mismatch or refusal or replayed, verified


def _signed(
    instruments: Instruments, assertion: str, own: str, keys: JwtKeys | None
) -> tuple[tuple[Finding, ...], AssertionCase, tuple[Looked, ...]]:
    """The assertion's own steps. Without the client's keys those that need one are not reached."""
    around = instruments.around
    case, looked = walk_client_assertion(
        assertion, client_id=own, keys=keys or _NO_KEYS, audience=around.issuer, now=around.now
    )
    if keys is None:
        looked = tuple(Looked(one.step, lacks="the client's keys") if one.step in _OF_KEYS else one for one in looked)
    findings = findings_of(looked, lambda step: _WORDS[step](case, around.now), lambda step, error: _remedy(error))
    return findings, case, looked


def _algorithm(document: VerifiedDocument | None, case: AssertionCase, looked: tuple[Looked, ...]) -> Answers:
    if document is None or not holds(looked, "header"):
        return not_reached(("algorithm",), "document" if document is None else "header"), None
    stated = document.metadata.text("token_endpoint_auth_signing_alg")
    expected, found = "any" if stated is None else stated, case.header.alg
    try:
        require_algorithm(document, case.header.alg)
    except EvidenceRejected as error:
        return (failed("algorithm", expected, found, error, _remedy(error)),), error
    return (Finding("algorithm", Outcome.OK, expected, found),), None


def _asked(instruments: Instruments, subject: PolicySubject | None, own: str, question: Question) -> Answers:
    if subject is None:
        return unasked("registered"), None
    return answers(instruments, ask_case(instruments, subject, replace(question, client_id=own)))


def _replay(instruments: Instruments, case: AssertionCase, own: str, looked: tuple[Looked, ...]) -> Answers:
    """Whether the assertion's mark was claimed, as a token would claim it."""
    lacks = next((one.step for one in looked if not one.holds and one.step in ("jti", "exp")), None)
    if lacks is not None:
        return not_reached(("assertion-replay",), lacks), None
    expected, found = "an assertion that was not used before", "its mark was looked up"
    if instruments.outlook.tokens.is_claimed(marker_of(own, case.jti, case.expires_at)):
        error = CredentialReplayed(ASSERTION_MARKER)
        return (failed("assertion-replay", expected, found, error, _remedy(error)),), error
    return (Finding("assertion-replay", Outcome.OK, expected, found),), None


# --- in words -------------------------------------------------------------------------------------

Words = tuple[str, str]


def _client(case: KeyedCase) -> Words:
    record = case.clients.get(case.client_id)
    found = "absent" if record is None else f"a client of kind {record.kind.value}"
    return (
        "a client with keys of its own on record: an instance, or one of a statement",
        f"{shown(case.client_id)}: {found}",
    )


def _client_keys(case: KeyedCase) -> Words:
    return "a set of keys", "the jwks on record"


def _lease(case: KeyedCase) -> Words:
    record = case.record
    return (
        "a client that has not ended",
        f"{record.state_at(case.now)}, last used {relative(record.last_used_at, case.now)}",
    )


def _trust(case: KeyedCase) -> Words:
    return "that what vouched for it is trusted still", shown(case.subject.actor)


_RECORD_WORDS: Mapping[str, Callable[[KeyedCase], Words]] = {
    "registered": _client,
    "client-keys": _client_keys,
    "lease": _lease,
    "trust": _trust,
}


def _names(case: AssertionCase, now: int) -> Words:
    return f'iss and sub both "{shown(case.client_id)}"', said_claims(case.token)


def _jti(case: AssertionCase, now: int) -> Words:
    return f"jti, a string of 1 to {MAX_JTI_LENGTH} characters", "a jti" if "jti" in case.payload else "no jti"


def _exp(case: AssertionCase, now: int) -> Words:
    return "exp, a number", when(case.payload["exp"], now) if "exp" in case.payload else "no exp"


def _key(case: AssertionCase, now: int) -> Words:
    kid = case.header.kid
    unfit = f", and unfit ones: {listed(sorted(case.keys.unfit))}" if case.keys.unfit else ""
    named = "no kid" if kid is None else f'kid "{shown(kid)}"'
    return (
        f"one of {listed(key.kid or key.thumbprint for key in case.keys.usable)}{unfit}",
        f"{named}, alg {case.header.alg}",
    )


def _signature(case: AssertionCase, now: int) -> Words:
    return f'the signature of key "{shown(case.key.kid or case.key.thumbprint)}"', f"an {case.header.alg} signature"


def _times(case: AssertionCase, now: int) -> Words:
    said = [f"{name} {when(case.payload[name], now)}" for name in ("exp", "nbf", "iat") if name in case.payload]
    return f"exp ahead, nbf and iat behind, with {LEEWAY} s for clocks that differ", ", ".join(said)


def _lifetime(case: AssertionCase, now: int) -> Words:
    left = case.expires_at - now
    return f"at most {span(MAX_LIFE)} to live", f"{span(left)} to live" if left > 0 else "nothing left to live"


def _audience(case: AssertionCase, now: int) -> Words:
    aud = case.payload.get("aud")
    found = "no aud" if aud is None else listed(aud) if isinstance(aud, list) else f'"{shown(aud)}"'
    return f'"{shown(case.audience)}", a string', f"an array: {found}" if isinstance(aud, list) else found


_WORDS: Mapping[str, Callable[[AssertionCase, int], Words]] = {
    "form": lambda case, now: form_words(case.assertion),
    "header": lambda case, now: header_words(case.token.header),
    "payload": lambda case, now: ("a payload that is one JSON object", said_claims(case.token)),
    "iss-sub": _names,
    "jti": _jti,
    "exp": _exp,
    "key": _key,
    "signature": _signature,
    "times": _times,
    "lifetime": _lifetime,
    "audience": _audience,
}
