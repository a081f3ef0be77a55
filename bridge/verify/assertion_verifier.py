"""`verify_client_assertion`: did the client of this record make this assertion, for this service, of late?"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

from bridge.model.errors import EvidenceRejected
from bridge.model.identity import Marker
from bridge.model.steps import Looked, run, walk
from bridge.verify import signed_jwt
from bridge.verify.assertion_steps import ASSERTION_STEPS, AssertionCase
from bridge.verify.claimed import claimed_by_jwt
from bridge.verify.client_assertions import marker_of
from bridge.verify.key_sets import JwtKeys


@dataclass(frozen=True, slots=True)
class VerifiedAssertion:
    """A client assertion that held: a key of the client's record signed it for this service.

    `credential_hash` is the hex SHA-256 of the assertion, `key_id` the key's `kid` or else its thumbprint,
    `algorithm` what it was signed by, `expires_at` its end in epoch seconds. Not checked: that it is new. `marker`
    must be claimed in the store, in the same transaction as what is issued.
    """

    client_id: str
    credential_hash: str
    key_id: str
    algorithm: str
    expires_at: int
    marker: Marker


def verify_client_assertion(
    assertion: str, *, client_id: str, keys: JwtKeys, audience: str, now: int
) -> VerifiedAssertion:
    """That the client of this record made this assertion, for this service, of late.

    `keys` are those of the record of `client_id`; `audience` the issuer string, which `aud` must be, as a
    string (KBC-31, T-22). `exp` is at most 600 s ahead, and each assertion is good for once by its `jti`,
    which it therefore must have (KBC-33, 34). Raises: EvidenceRejected, with what the assertion `claimed`.
    Spec: RFC 7523 3; KBC-30 to 34. Not checked: that the assertion is new (claim the marker), and that the
    record is alive.
    """
    signed_jwt.check_size(assertion)
    case = AssertionCase(assertion, audience, now, client_id, keys)
    try:
        run(ASSERTION_STEPS, case)
    except EvidenceRejected as error:
        error.claimed = claimed_by_jwt(assertion)
        raise
    return VerifiedAssertion(
        client_id=client_id,
        credential_hash=hashlib.sha256(assertion.encode("ascii")).hexdigest(),
        key_id=case.key.kid or case.key.thumbprint,
        algorithm=case.header.alg,
        expires_at=math.ceil(case.expires_at),
        marker=marker_of(client_id, case.jti, case.expires_at),
    )


def walk_client_assertion(
    assertion: str, *, client_id: str, keys: JwtKeys, audience: str, now: int
) -> tuple[AssertionCase, tuple[Looked, ...]]:
    """How each step of `verify_client_assertion` comes out, and what was found on the way. For explaining: all of it
    is unverified."""
    case = AssertionCase(assertion, audience, now, client_id, keys)
    return case, walk(ASSERTION_STEPS, case)
