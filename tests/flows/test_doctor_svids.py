"""Every broken SVID that the lab can mint: the doctor gives the reason that the service logs, and the right thing to
change. Each beside its sound twin, which both accept."""

from __future__ import annotations

import pytest

from bridge.lab.broken_jwt import BROKEN_JWT, mint_jwt
from bridge.lab.broken_x509 import BROKEN_X509, mint_x509
from bridge.model.reasons import Reason
from tests.flows.clinic import Clinic, Visit

PATH = "/ns/web/sa/broken"

# What has to be said of each: the reason, and the words of the advice on which it turns.
JWT: dict[str, tuple[Reason, str]] = {
    "wrong-aud": (Reason.JWT_AUDIENCE, "-audience https://127.0.0.1"),
    "two-auds": (Reason.JWT_AUDIENCE, "one audience alone"),
    "no-aud": (Reason.JWT_CLAIMS, "-audience https://127.0.0.1"),
    "empty-aud": (Reason.JWT_CLAIMS, "-audience https://127.0.0.1"),
    "aud-number": (Reason.JWT_CLAIMS, "-audience https://127.0.0.1"),
    "alg-none": (Reason.CREDENTIAL_MALFORMED, "no signature"),
    "hs256-public-key": (Reason.JWT_ALGORITHM, "Have the server sign"),
    "eddsa": (Reason.JWT_ALGORITHM, "Have the server sign"),
    "embedded-jwk": (Reason.JWT_HEADER, "no library may add"),
    "jku": (Reason.JWT_HEADER, "no library may add"),
    "x5u": (Reason.JWT_HEADER, "no library may add"),
    "x5c": (Reason.JWT_HEADER, "no library may add"),
    "unknown-crit": (Reason.CREDENTIAL_MALFORMED, "exactly as the Workload API gave it"),
    "b64": (Reason.CREDENTIAL_MALFORMED, "exactly as the Workload API gave it"),
    "json-serialization": (Reason.CREDENTIAL_MALFORMED, "compact form"),
    "typ-at-jwt": (Reason.JWT_TYPE, "Send the JWT-SVID"),
    "typ-wit": (Reason.JWT_TYPE, "Send the JWT-SVID"),
    "unknown-kid": (Reason.JWT_KEY_UNKNOWN, "bundle show -format spiffe"),
    "kid-number": (Reason.JWT_HEADER, "no library may add"),
    "foreign-key": (Reason.JWT_SIGNATURE, "exactly as the agent gave it"),
    "other-trust-domain": (Reason.JWT_KEY_UNKNOWN, "is partner.example's, and only example.org's"),
    "tampered": (Reason.JWT_SIGNATURE, "exactly as the agent gave it"),
    "bad-signature": (Reason.JWT_SIGNATURE, "exactly as the agent gave it"),
    "expired": (Reason.JWT_EXPIRED, "Fetch a new SVID"),
    "not-yet-valid": (Reason.JWT_NOT_YET_VALID, "1h from now: set the clock"),
    "too-long-life": (Reason.JWT_LIFETIME, "default_jwt_svid_ttl"),
    "no-exp": (Reason.JWT_CLAIMS, "Fetch the token from the Workload API"),
    "exp-string": (Reason.JWT_CLAIMS, "Fetch the token from the Workload API"),
    "exp-true": (Reason.JWT_CLAIMS, "Fetch the token from the Workload API"),
    "exp-infinite": (Reason.CREDENTIAL_MALFORMED, "exactly as the Workload API gave it"),
    "exp-huge": (Reason.CREDENTIAL_MALFORMED, "exactly as the Workload API gave it"),
    "duplicate-claim": (Reason.CREDENTIAL_MALFORMED, "exactly as the Workload API gave it"),
    "deep-json": (Reason.CREDENTIAL_MALFORMED, "exactly as the Workload API gave it"),
    "no-sub": (Reason.JWT_CLAIMS, "Fetch the token from the Workload API"),
    "root-path": (Reason.SPIFFE_ID_INVALID, "an ID with a path"),
    "sub-newline": (Reason.SPIFFE_ID_INVALID, "letters, digits"),
    "sub-array": (Reason.SPIFFE_ID_INVALID, "Mend the ID of the registration entry"),
    "unknown-trust-domain": (Reason.TRUST_DOMAIN_UNKNOWN, '[trust_domains."nowhere.example"]'),
    "dots": (Reason.CREDENTIAL_MALFORMED, "exactly as the Workload API gave it"),
    "too-large": (Reason.CREDENTIAL_TOO_LARGE, "CredentialComposer"),
    "not-a-token": (Reason.CREDENTIAL_MALFORMED, "exactly as the Workload API gave it"),
}
X509: dict[str, tuple[Reason, str]] = {
    "two-uri-sans": (Reason.X509_LEAF, "one URI name"),
    "two-uri-sans-one-spiffe": (Reason.X509_LEAF, "one URI name"),
    "no-uri-san": (Reason.X509_LEAF, "without a URI name"),
    "no-san": (Reason.X509_LEAF, "without a URI name"),
    "ca-leaf": (Reason.X509_LEAF, "Put the leaf first"),
    "key-cert-sign": (Reason.X509_LEAF, "without keyCertSign"),
    "crl-sign": (Reason.X509_LEAF, "without keyCertSign and cRLSign"),
    "root-path": (Reason.SPIFFE_ID_INVALID, "an ID with a path"),
    "trailing-slash": (Reason.SPIFFE_ID_INVALID, "a slash at the end"),
    "upper-case-trust-domain": (Reason.SPIFFE_ID_INVALID, "in lower case"),
    "https-id": (Reason.SPIFFE_ID_INVALID, "its SPIFFE ID as URI name"),
    "no-key-usage": (Reason.X509_LEAF, "with digitalSignature"),
    "no-digital-signature": (Reason.X509_LEAF, "with digitalSignature"),
    "server-only": (Reason.X509_LEAF, "clientAuth"),
    "weak-rsa": (Reason.X509_KEY, "workload_x509_svid_key_type"),
    "weak-curve": (Reason.X509_KEY, "workload_x509_svid_key_type"),
    "ed25519": (Reason.X509_KEY, "workload_x509_svid_key_type"),
    "weak-intermediate": (Reason.X509_KEY, "ca_key_type"),
    "expired": (Reason.X509_EXPIRED, "keeps an old SVID"),
    "not-yet-valid": (Reason.X509_NOT_YET_VALID, "set the clock"),
    "expired-intermediate": (Reason.X509_PATH, "an intermediate of this one has ended"),
    "path-length": (Reason.X509_PATH, "fewer CAs"),
    "unknown-critical": (Reason.X509_LEAF, "without that critical extension"),
    "endless-chain": (Reason.CREDENTIAL_TOO_LARGE, "five certificates at most"),
    "missing-intermediate": (Reason.X509_PATH, "Send the intermediates behind the leaf"),
    "foreign-ca": (Reason.X509_PATH, "bundle show -format spiffe"),
    "other-trust-domain": (Reason.X509_PATH, "is partner.example's, and only example.org's"),
    "signing-certificate": (Reason.X509_LEAF, "the workload's own certificate"),
    "bad-signature": (Reason.X509_PATH, "what is below does not hold"),
}


def agrees(clinic: Clinic, visit: Visit, reason: Reason, advice: str, caplog: pytest.LogCaptureFixture) -> None:
    """The doctor, who is asked first because it changes nothing, says what the service then logs."""
    diagnosis = clinic.diagnose(visit)
    _, logged = clinic.serve(visit, caplog)
    decisive = diagnosis.decisive
    assert decisive is not None
    assert (diagnosis.reason, decisive.reason, logged) == (reason, reason, reason.value)
    assert not diagnosis.is_verified
    assert advice in decisive.advice


@pytest.mark.parametrize("name", [pytest.param(e.name, id=f"{e.clause} {e.name}") for e in BROKEN_JWT])
def test_the_doctor_says_of_a_broken_jwt_svid_what_the_service_logs(
    clinic: Clinic, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    sound = Visit(clinic.stand.jwt(PATH))
    assert clinic.diagnose(sound).accepted
    assert clinic.serve(sound, caplog) == (200, None)
    broken = mint_jwt(
        clinic.stand.authority, name, PATH, clinic.stand.client.issuer, other=clinic.ward.others["partner"]
    )
    agrees(clinic, Visit(broken), *JWT[name], caplog)


@pytest.mark.parametrize("name", [pytest.param(e.name, id=f"{e.clause} {e.name}") for e in BROKEN_X509])
def test_the_doctor_says_of_a_broken_x509_svid_what_the_service_logs(
    clinic: Clinic, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    sound = Visit(clinic.stand.authority.x509_svid(PATH).chain)
    assert clinic.diagnose(sound).accepted
    assert clinic.serve(sound, caplog) == (200, None)
    broken = mint_x509(clinic.stand.authority, name, PATH, other=clinic.ward.others["partner"])
    agrees(clinic, Visit(broken.chain), *X509[name], caplog)
