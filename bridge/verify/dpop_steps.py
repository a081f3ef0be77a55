"""The steps by which a DPoP proof is verified, in the order of the specification (RFC 9449 section 4.3)."""

from __future__ import annotations

from dataclasses import dataclass, field

from bridge.jose.jws import UnverifiedToken
from bridge.jose.keys import VerificationKey
from bridge.model.evidence import DpopEvidence
from bridge.model.steps import Step
from bridge.verify import dpop
from bridge.verify.dpop import ProofClaims
from bridge.verify.dpop_nonces import DpopNonces


@dataclass(slots=True)
class ProofCase:
    """One proof on its way through the steps, as `JwtCase`. `nonces` None: none are asked for."""

    evidence: DpopEvidence = field(repr=False)
    now: int
    nonces: DpopNonces | None
    token: UnverifiedToken = field(init=False, repr=False)
    alg: str = field(init=False)
    key: VerificationKey = field(init=False)
    claims: ProofClaims = field(init=False)
    target: str = field(init=False)


def _form(case: ProofCase) -> None:
    case.token = dpop.parse(case.evidence.proof)


def _header(case: ProofCase) -> None:
    case.alg, case.key = dpop.read_header(case.token)


def _claims(case: ProofCase) -> None:
    case.claims = dpop.read_claims(case.token)


def _method(case: ProofCase) -> None:
    dpop.check_method(case.claims, case.evidence)


def _url(case: ProofCase) -> None:
    case.target = dpop.check_url(case.claims, case.evidence)


def _signature(case: ProofCase) -> None:
    dpop.check_signature(case.token, case.key, case.alg)


def _nonce(case: ProofCase) -> None:
    if case.nonces is not None:
        dpop.check_nonce(case.claims, case.nonces, case.now)


def _times(case: ProofCase) -> None:
    dpop.check_age(case.claims, case.now)


PROOF_STEPS: tuple[Step[ProofCase], ...] = (
    Step("form", _form),
    Step("header", _header, ("form",)),
    Step("claims", _claims, ("form",)),
    Step("htm", _method, ("claims",)),
    Step("htu", _url, ("claims",)),
    Step("signature", _signature, ("header",)),
    Step("nonce", _nonce, ("claims",)),
    Step("times", _times, ("claims",)),
)
