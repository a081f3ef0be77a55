"""What is said of a client that described itself to nobody is the same before it has a record and after."""

from __future__ import annotations

from dataclasses import replace

from bridge.grants.consent import fingerprint
from bridge.model.client import Provenance
from bridge.model.evidence import EvidenceKind
from bridge.model.terms import Bind, Terms
from bridge.registration.redirects import Description, of_record
from tests.contract.records import record

HERE = "https://app.example/callback"
TERMS = Terms(
    "web",
    ("https://ledger.example",),
    ("ledger.read",),
    ("authorization_code",),
    300,
    Bind.NONE,
    "",
    redirect_uris=(HERE,),
)
RECORDED = {"token_endpoint_auth_method": "spiffe_jwt", "redirect_uris": [HERE], "scope": "ledger.read"}
BY_FIRST_USE = replace(record(1), metadata=RECORDED, provenance=Provenance(EvidenceKind.JWT_SVID))


def on_what_a_consent_hangs(said: Description) -> str:
    return fingerprint(said.metadata, said.listed)


def test_a_user_is_not_asked_again_because_the_first_request_made_a_record() -> None:
    """CIMD-27: the twin is a client that registered by a statement, whose own words do count."""
    first, second = of_record(None, TERMS), of_record(BY_FIRST_USE, TERMS)
    assert on_what_a_consent_hangs(first) == on_what_a_consent_hangs(second)
    by_statement = replace(BY_FIRST_USE, provenance=Provenance(statement_digest="00"))
    assert on_what_a_consent_hangs(of_record(by_statement, TERMS)) != on_what_a_consent_hangs(first)
