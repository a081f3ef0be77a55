"""Software statements of both kinds, sound ones by default, and a world that trusts their makers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bridge.model.errors import EvidenceRejected
from bridge.model.identity import VerifiedStatement
from bridge.model.reasons import Reason
from bridge.verify.jwt_svid import TrustDomainRules
from bridge.verify.pinned_issuers import PinnedIssuers
from bridge.verify.statements import StatementVerifier
from tests.svid_factory import NOW, JwtAuthoritySigner
from tests.trust import ISSUER, WORKLOAD, FixedBundles, svid_verifier, trust_bundle

AUDIENCE = ISSUER + "/register"
CI = "https://ci.example.org"
OTHER_CI = "https://ci.elsewhere.example"

SPIRE = JwtAuthoritySigner.make("spire-1")
OTHER_SPIRE = JwtAuthoritySigner.make("other-spire")
SIGNER = JwtAuthoritySigner.make("ci-1")
OTHER_SIGNER = JwtAuthoritySigner.make("other-ci")

# Each kind of statement with the key that vouches for it. Both must pass the same tests.
SVID: dict[str, object] = {"sub": WORKLOAD, "aud": AUDIENCE, "iat": NOW, "exp": NOW + 300, "client_name": "Api"}
PINNED: dict[str, object] = {**SVID, "iss": CI, "sub": "repo:payments/api"}
KINDS = pytest.mark.parametrize("kind", ["svid", "pinned"])


def svid(signer: JwtAuthoritySigner = SPIRE, header: dict[str, object] | None = None, **claims: object) -> str:
    return signer.svid(header=header, **{**SVID, **claims})


def statement(signer: JwtAuthoritySigner = SIGNER, header: dict[str, object] | None = None, **claims: object) -> str:
    return signer.svid(header=header, **{**PINNED, **claims})


def of(kind: str, header: dict[str, object] | None = None, **claims: object) -> str:
    return svid(header=header, **claims) if kind == "svid" else statement(header=header, **claims)


def signer_of(kind: str) -> JwtAuthoritySigner:
    return SPIRE if kind == "svid" else SIGNER


def domains() -> FixedBundles:
    return FixedBundles(
        trust_bundle("example.org", jwt_authorities=[SPIRE], sequence=7),
        trust_bundle("other.example", jwt_authorities=[OTHER_SPIRE]),
    )


def jwks(*signers: JwtAuthoritySigner) -> str:
    return json.dumps({"keys": [signer.jwk(use="sig") for signer in signers]})


class World:
    """Two trust domains and two pinned issuers, whose files tests may rewrite."""

    def __init__(self, folder: Path) -> None:
        self.files = {CI: folder / "ci.json", OTHER_CI: folder / "other.json"}
        self.files[CI].write_text(jwks(SIGNER))
        self.files[OTHER_CI].write_text(jwks(OTHER_SIGNER))
        self.bundles = domains()
        self.issuers = PinnedIssuers(self.files)
        self.rules: TrustDomainRules | None = None

    def verify(self, text: str, now: int = NOW) -> VerifiedStatement:
        svids = svid_verifier(self.bundles, rules=self.rules)
        return StatementVerifier(svids, self.issuers, audience=AUDIENCE).verify(text, now=now)

    def refusal(self, text: str, now: int = NOW) -> EvidenceRejected:
        with pytest.raises(EvidenceRejected) as refusal:
            self.verify(text, now)
        assert not text or text not in str(refusal.value)
        return refusal.value

    def refused(self, text: str, now: int = NOW) -> Reason:
        return self.refusal(text, now).reason

    def pin(self, *signers: JwtAuthoritySigner) -> None:
        self.files[CI].write_text(jwks(*signers))
        self.issuers.look()
