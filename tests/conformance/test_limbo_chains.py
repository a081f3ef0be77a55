"""Chains of C2SP/x509-limbo with a SPIFFE ID in the leaf, through the whole verifier (SPIFFE-10, 11, T-14 to T-17).

The file's `expected` is the web PKI's view. Where it is not ours, `DIFFERENT` says what we answer and why;
a case that is neither as expected nor listed there fails, and so does one listed without need.
"""

from __future__ import annotations

import datetime
import warnings
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning

from bridge.model.bundle import TrustBundle
from bridge.model.errors import EvidenceRejected
from bridge.model.evidence import X509Evidence
from bridge.model.reasons import Reason
from bridge.model.spiffe_id import TrustDomain
from tests.svid_factory import NOW
from tests.trust import FixedBundles, svid_verifier
from tests.vectors import load

DOCUMENT = load("x509-svid-chains.json")
SPIFFE_ID = DOCUMENT["spiffe_id"]
CASES: list[dict[str, Any]] = DOCUMENT["cases"]

DIFFERENT = {
    "pathlen::max-chain-depth-0-exhausted": (
        "accept",
        "an ordinary chain, invalid only under a caller's limit of 0 intermediates; ours is 4 (SCA-18)",
    ),
    "pathlen::max-chain-depth-1-exhausted": (
        "accept",
        "as before, under a caller's limit of 1 intermediate",
    ),
    "rfc5280::aki::cross-signed-root-missing-aki": (
        "accept",
        "RFC 5280 wants key identifiers from issuers, and no step of its section 6 uses them; X509-SVID is silent",
    ),
    "rfc5280::ski::root-missing-ski": ("accept", "as before: an anchor is trusted by configuration"),
    "rfc5280::eku::ee-wrong-eku": (
        "accept",
        "the leaf is for clients, and a web server was expected; a workload comes as a client (interface section 9)",
    ),
    "rfc5280::no-keyusage": ("reject", "an SVID has a key usage with digitalSignature (SPIFFE-8, SCA-16)"),
}


def der(pem: str) -> bytes:
    return x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)


def answer(case: dict[str, Any]) -> tuple[str, Reason | None]:
    bundle = TrustBundle(TrustDomain.parse("example.com"), tuple(der(pem) for pem in case["bundle"]))
    chain = (der(case["leaf"]), *(der(pem) for pem in case["intermediates"]))
    moment = case["validation_time"]
    now = NOW if moment is None else int(datetime.datetime.fromisoformat(moment).timestamp())
    try:
        identity = svid_verifier(FixedBundles(bundle)).verify_x509(X509Evidence(chain, SPIFFE_ID), now=now)
    except EvidenceRejected as error:
        return "reject", error.reason
    assert identity.name == SPIFFE_ID
    return "accept", None


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_a_chain_is_judged_as_expected_or_as_we_say_why(case: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        # Some of these certificates are so odd that the library announces to stop reading them.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        given, reason = answer(case)
    expected, why = DIFFERENT.get(case["id"], (case["expected"], "as expected"))
    assert given == expected, (why, reason)


def test_a_difference_is_listed_only_where_there_is_one() -> None:
    expected = {case["id"]: case["expected"] for case in CASES}
    assert len(expected) == 43
    assert {name: answer for name, (answer, _) in DIFFERENT.items() if expected[name] == answer} == {}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("pathological::pathological-chain-same-subject-same-key", Reason.CREDENTIAL_TOO_LARGE),
        ("rfc5280::validity::expired-1-second", Reason.X509_EXPIRED),
        ("rfc5280::validity::expired-root", Reason.X509_EXPIRED),
        ("rfc5280::validity::not-yet-valid-1-second", Reason.X509_NOT_YET_VALID),
        ("webpki::forbidden-p192-leaf", Reason.X509_KEY),
        ("webpki::ee-basicconstraints-ca", Reason.X509_LEAF),
        ("rfc5280::leaf-ku-keycertsign", Reason.X509_LEAF),
        ("pathlen::intermediate-violates-pathlen-0", Reason.X509_PATH),
        ("invalid::invalid-issuer-key", Reason.X509_KEY),
    ],
)
def test_a_refusal_says_what_it_was(name: str, reason: Reason) -> None:
    case = next(case for case in CASES if case["id"] == name)
    assert answer(case) == ("reject", reason)
