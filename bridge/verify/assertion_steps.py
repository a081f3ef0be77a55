"""The steps by which a client's own assertion is verified (RFC 7523 section 3, RFC 7521 section 5.2; KBC-30 to 34)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.jose.jws import UnverifiedToken
from bridge.jose.keys import VerificationKey
from bridge.model.steps import Step
from bridge.verify import client_assertions, signed_jwt
from bridge.verify.key_sets import JwtKeys
from bridge.verify.signed_jwt import JwtHeader


@dataclass(slots=True)
class AssertionCase:
    """One assertion on its way through the steps, as `JwtCase`. `client_id` and `keys` are those of the record or
    document that it was looked up in; `audience`: what `aud` must be."""

    assertion: str = field(repr=False)
    audience: str
    now: int
    client_id: str
    keys: JwtKeys
    token: UnverifiedToken = field(init=False, repr=False)
    header: JwtHeader = field(init=False)
    payload: Mapping[str, object] = field(init=False, repr=False)
    jti: str = field(init=False)
    expires_at: int | float = field(init=False)
    key: VerificationKey = field(init=False)


def _form(case: AssertionCase) -> None:
    case.token = signed_jwt.parse(case.assertion)


def _header(case: AssertionCase) -> None:
    case.header = signed_jwt.read_header(case.token, client_assertions.TYPES)


def _payload(case: AssertionCase) -> None:
    case.payload = signed_jwt.read_payload(case.token)


def _names(case: AssertionCase) -> None:
    client_assertions.check_names(case.payload, case.client_id)


def _jti(case: AssertionCase) -> None:
    case.jti = client_assertions.read_jti(case.payload)


def _expiry(case: AssertionCase) -> None:
    case.expires_at = signed_jwt.numeric_date(case.payload, "exp")


def _key(case: AssertionCase) -> None:
    case.key = client_assertions.select_own_key(case.keys, case.header, case.client_id)


def _signature(case: AssertionCase) -> None:
    signed_jwt.check_signature(case.token, case.key, case.header)


def _times(case: AssertionCase) -> None:
    client_assertions.check_times(case.payload, case.expires_at, case.now)


def _lifetime(case: AssertionCase) -> None:
    client_assertions.check_lifetime(case.expires_at, case.now)


def _audience(case: AssertionCase) -> None:
    client_assertions.check_own_audience(case.payload, case.audience)


ASSERTION_STEPS: tuple[Step[AssertionCase], ...] = (
    Step("form", _form),
    Step("header", _header, ("form",)),
    Step("payload", _payload, ("form",)),
    Step("iss-sub", _names, ("payload",)),
    Step("jti", _jti, ("payload",)),
    Step("exp", _expiry, ("payload",)),
    Step("key", _key, ("header",)),
    Step("signature", _signature, ("key",)),
    Step("times", _times, ("exp",)),
    Step("lifetime", _lifetime, ("exp",)),
    Step("audience", _audience, ("payload",)),
)
