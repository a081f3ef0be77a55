"""What one refusal may say in particular, and what is said of reasons that several kinds of credentials share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bridge.model.reasons import Reason


@dataclass(frozen=True, slots=True)
class Detail:
    """One thing that `reason` stands for: its log line has these `words` in its detail. `step` is where it fails, `fix`
    the one thing to change, `setting` as of `Advice`."""

    reason: Reason
    words: str
    step: str
    fix: str
    setting: str = ""


_FORM = "Send it as one compact JWS: three parts with two dots, strict JSON in them, no line end and no blank."
_HEADER = "Make the header of alg, kid and typ alone: keys by value or by URL (jwk, jku, x5c, x5u) are not taken."
_ALGORITHM = "Sign with ES256 (or ES384, ES512, RS256 to RS512, PS256 to PS512): no MAC, and never none."

OF_ASSERTIONS: Mapping[Reason, tuple[str, str]] = {
    Reason.CREDENTIAL_MALFORMED: ("form", _FORM),
    Reason.CREDENTIAL_TOO_LARGE: ("form", "Take claims out of the assertion: iss, sub, aud, exp and jti are enough."),
    Reason.JWT_HEADER: ("header", _HEADER),
    Reason.JWT_ALGORITHM: ("header", _ALGORITHM),
    Reason.JWT_TYPE: ("header", "Set typ to JWT or client-authentication+jwt, or leave it out."),
    Reason.JWT_CLAIMS: ("exp", "State exp as a number of seconds, and nbf and iat too where they are stated."),
    Reason.JWT_SIGNATURE: ("signature", "Sign with the private half of the key that the kid names."),
    Reason.JWT_EXPIRED: ("times", "Make a new assertion for each request; if this one was new, set the clocks (NTP)."),
    Reason.JWT_NOT_YET_VALID: (
        "times",
        "Set the clock of the client or of this machine (NTP): it is of a time to come.",
    ),
    Reason.JWT_LIFETIME: ("lifetime", "Let exp be at most 600 s ahead: a minute is enough for one request."),
    Reason.JWT_AUDIENCE: (
        "audience",
        "Set aud to the issuer of this service, as a string (no array) and byte for byte: not the URL of /token.",
    ),
    Reason.CREDENTIAL_REPLAYED: (
        "assertion-replay",
        "Make a new assertion with a new jti for each request, retries included.",
    ),
}
OF_STATEMENTS: Mapping[Reason, tuple[str, str]] = {
    Reason.CREDENTIAL_MALFORMED: ("form", _FORM),
    Reason.CREDENTIAL_TOO_LARGE: ("form", "Take claims out of the statement, or state fewer keys."),
    Reason.JWT_HEADER: ("header", _HEADER),
    Reason.JWT_ALGORITHM: ("header", f"Have the issuer change this: {_ALGORITHM}"),
    Reason.JWT_TYPE: ("header", "Have the issuer set typ to JWT, or leave it out."),
    Reason.JWT_CLAIMS: ("claims", "Have the issuer state iss, sub, aud, exp and iat, the times as numbers."),
    Reason.STATEMENT_LIFETIME: ("lifetime", "Have the issuer make statements that end within ten minutes from now."),
    Reason.JWT_KEY_UNKNOWN: (
        "key",
        "Put the issuer's present key into jwks_file (or behind jwks_uri), under the kid that the statement names.",
    ),
    Reason.JWT_KEY_AMBIGUOUS: ("key", "Have the issuer name its key by kid: several of its keys could have signed."),
    Reason.JWT_KEY_UNFIT: ("key", "Have the issuer sign with an EC key, or RSA of 2048 bits, that fits its alg."),
    Reason.JWT_SIGNATURE: ("signature", "Send the statement exactly as the issuer made it, or have it made anew."),
    Reason.JWT_EXPIRED: ("times", "Have the issuer make a new statement just before each registration."),
    Reason.JWT_NOT_YET_VALID: ("times", "Set the clock of the issuer or of this machine (NTP)."),
    Reason.POLICY_NO_RULE: (
        "door",
        'Write a rule with source = "software-statement" whose when.issuer and when.subject match this one.',
    ),
    Reason.JWT_AUDIENCE: (
        "audience",
        "Have the issuer set aud to the URL of /register, alone and byte for byte: the issuer URL with /register.",
    ),
}
OF_DOCUMENTS: Mapping[Reason, tuple[str, str]] = {
    Reason.POLICY_NO_RULE: (
        "admitted",
        'Write a rule with source = "metadata-document" whose when.url matches this URL.',
    ),
    Reason.POLICY_DENY_RULE: (
        "admitted",
        "Look at the why of the rule that denies it, and narrow the rule if it was not meant for this URL.",
    ),
    Reason.APPROVAL_PENDING: (
        "looked-at",
        "Have an operator look at the document: `bridge clients approve URL`, once the client has asked.",
    ),
    Reason.DOCUMENT_REFUSED: ("members", "Mend the member of the document that the detail names."),
}
