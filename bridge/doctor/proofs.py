"""The examination of a DPoP proof: which key it shows, for which request, and whether it was used."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

from bridge.advice.details import Kind, saying_on
from bridge.doctor.findings import findings_of, first_error
from bridge.doctor.given import GivenProof
from bridge.doctor.instruments import Instruments, Question
from bridge.doctor.report import Diagnosis
from bridge.doctor.words import shown, when
from bridge.jose.jws import MalformedToken
from bridge.model.errors import ProofRejected
from bridge.model.evidence import DpopEvidence
from bridge.model.reasons import Reason
from bridge.model.steps import Looked
from bridge.verify.dpop import MAX_AGE, MAX_AHEAD, MAX_PROOF_BYTES, marker_of
from bridge.verify.dpop_steps import ProofCase

_ATH = (
    "It has ath, so it was made for a request with an access token: those go to resources, which check it. This "
    "service takes none, and does not look at ath."
)
_NOBODY = "A proof says which key somebody has, and of nobody who it is: examine the credential beside it as well."


def examine_proof(instruments: Instruments, given: GivenProof, question: Question) -> Diagnosis:
    """What the service would make of this proof with a request of its method to its URL."""
    now = instruments.around.now
    evidence = DpopEvidence(given.proof, given.method, given.url)
    case, walked = instruments.proofs.walk(evidence, now=now)
    looked = (*walked, _replay(instruments, case, walked))
    error = first_error(looked)
    return Diagnosis(
        evidence=Kind.PROOF.value,
        door=question.ask.door.value,
        subject=_key(case, walked),
        is_verified=error is None,
        credential=hashlib.sha256(given.proof.encode("utf-8", "surrogatepass")).hexdigest(),
        reason=None if error is None else error.reason,
        findings=findings_of(
            looked,
            lambda step: _WORDS[step](case, now),
            lambda step, refusal: saying_on(Kind.PROOF, refusal.reason, refusal.detail),
        ),
        notes=(*given.notes, _NOBODY, *([_ATH] if "ath" in _claims(case) else [])),
    )


def _replay(instruments: Instruments, case: ProofCase, walked: tuple[Looked, ...]) -> Looked:
    """Whether the mark of the proof was claimed, as whatever it causes would claim it."""
    lacks = next((one.step for one in walked if not one.holds and one.step in ("header", "claims", "htu")), None)
    if lacks is not None:
        return Looked("replay", lacks=lacks)
    if instruments.outlook.tokens.is_claimed(marker_of(case.key, case.claims, case.target)):
        return Looked("replay", ProofRejected(Reason.DPOP_REPLAYED, "the DPoP proof was used before"))
    return Looked("replay")


def _key(case: ProofCase, walked: tuple[Looked, ...]) -> str:
    has_key = any(one.step == "header" and one.holds for one in walked)
    return f"key {shown(case.key.thumbprint)}" if has_key else ""


def _claims(case: ProofCase) -> Mapping[str, object]:
    """All claims, as the proof has them; none of a payload that cannot be read."""
    try:
        return case.token.claims()
    except (AttributeError, MalformedToken):
        return {}


Words = tuple[str, str]


def _form(case: ProofCase, now: int) -> Words:
    proof = case.evidence.proof
    expected = f"a JWS in compact form: three parts, strict JSON, at most {MAX_PROOF_BYTES} characters"
    return expected, f"{len(proof)} characters, {proof.count('.') + 1} parts"


def _header(case: ProofCase, now: int) -> Words:
    header = case.token.header
    said = [f"{name} {shown(header[name])}" for name in ("typ", "alg", "kid") if name in header]
    others = sorted(shown(name) for name in header if name not in ("typ", "alg", "kid", "jwk"))
    beside = f"; beside them {', '.join(others)}" if others else ""
    jwk = "a jwk" if "jwk" in header else "no jwk"
    return "typ dpop+jwt, alg one of the nine, jwk a public key, kid or not, no more", ", ".join([*said, jwk]) + beside


def _read(case: ProofCase, now: int) -> Words:
    claims = _claims(case)
    names = ("jti", "htm", "htu", "iat", "nonce", "ath")
    said = [
        name if name in ("jti", "nonce", "ath") else f"{name} {shown(claims[name])}" for name in names if name in claims
    ]
    return "jti, htm and htu strings, iat a number", ", ".join(said) or "none of them"


def _htm(case: ProofCase, now: int) -> Words:
    return f'"{shown(case.evidence.method)}"', f'"{shown(case.claims.method)}"'


def _htu(case: ProofCase, now: int) -> Words:
    return f'"{shown(case.evidence.url)}"', f'"{shown(case.claims.url)}"'


def _signature(case: ProofCase, now: int) -> Words:
    return "the signature of the key in jwk", f"an {case.alg} signature"


def _nonce(case: ProofCase, now: int) -> Words:
    said = "a nonce" if isinstance(case.claims.nonce, str) else "no nonce"
    if case.nonces is None:
        return "anything: this service asks for none ([dpop] require_nonce)", said
    return "one that this service gave within the last minutes (DPoP-Nonce)", said


def _times(case: ProofCase, now: int) -> Words:
    expected = f"iat at most {MAX_AGE} s ago and {MAX_AHEAD} s ahead"
    return expected, f"iat {when(case.claims.issued_at, now)}"


def _used(case: ProofCase, now: int) -> Words:
    return "a proof that was not used before: key, jti and URL together", "its mark was looked up"


_WORDS: Mapping[str, Callable[[ProofCase, int], Words]] = {
    "form": _form,
    "header": _header,
    "claims": _read,
    "htm": _htm,
    "htu": _htu,
    "signature": _signature,
    "nonce": _nonce,
    "times": _times,
    "replay": _used,
}
