"""Whether anybody wants a URL at all: the question before its document is fetched (CIMD-24)."""

from __future__ import annotations

import pytest

from bridge.model.evidence import Door, EvidenceKind
from bridge.model.identity import PolicySubject, Source
from bridge.model.terms import Effect
from bridge.policy.evaluate import PolicySet
from tests.unit.policy.policy_folders import Policies, document, rule, wants

BASE = "https://app.example.com"
WEB = "spiffe://example.org/ns/web/sa"
JWT = EvidenceKind.JWT_SVID
DOCUMENTS = "metadata-documents.toml"
RULES = (
    rule("open", when=f'url = "{BASE}/open/*", spiffe_id = "{WEB}/*"', more='grant_types = ["client_credentials"]')
    + rule("par", when=f'url = "{BASE}/par/*", door = "par"')
    + rule("asking", effect="ask", when=f'url = "{BASE}/asking/*"')
    + rule("both-ask", effect="ask", when=f'url = "{BASE}/both/a"', scopes='"ledger.write"')
    + rule("both-allow", when=f'url = "{BASE}/both/*"')
    + rule("banned", effect="deny", when=f'url = "{BASE}/open/banned"')
    + rule("not-at-par", effect="deny", when=f'url = "{BASE}/open/half", door = "par"')
    + rule("no-write", effect="deny", when=f'url = "{BASE}/open/*", scope = "ledger.write"')
)


@pytest.fixture
def policy(policies: Policies) -> PolicySet:
    policies.rules(rule("no-intruder", effect="deny", when='path = "/ns/web/sa/intruder"'))
    return policies.load(RULES, DOCUMENTS)


@pytest.mark.parametrize(
    ("subject", "expected", "by"),
    [
        (document(f"{BASE}/open/a"), Effect.ALLOW, None),
        (document(f"{BASE}/open/a", spiffe_id=f"{WEB}/x", evidence=JWT), Effect.ALLOW, None),
        (document(f"{BASE}/open/a", spiffe_id="spiffe://example.org/ns/pay/sa/x", evidence=JWT), Effect.DENY, None),
        (document(f"{BASE}/open/a", spiffe_id=f"{WEB}/intruder", evidence=JWT), Effect.DENY, "no-intruder"),
        (document(f"{BASE}/open/banned"), Effect.DENY, "banned"),
        (document(f"{BASE}/elsewhere/a"), Effect.DENY, None),
        (document(f"{BASE}/open/a/b"), Effect.DENY, None),
        (document(f"{BASE}/asking/a"), Effect.ASK, None),
        (document(f"{BASE}/asking/a", spiffe_id=f"{WEB}/x", evidence=JWT), Effect.DENY, None),
        (document(f"{BASE}/both/a"), Effect.ALLOW, None),
        # A code is asked for at one door and redeemed at another.
        (document(f"{BASE}/par/a"), Effect.ALLOW, None),
    ],
    ids=lambda value: str(getattr(value, "url", value)).removeprefix(BASE),
)
def test_a_url_is_wanted_denied_or_asked_about(
    policy: PolicySet, subject: PolicySubject, expected: Effect, by: str | None
) -> None:
    found = policy.admits(subject, Door.TOKEN)
    assert (found.effect, found.rule, found.policy_version) == (expected, by, policy.version)


def test_a_deny_of_one_door_is_one_of_that_door(policy: PolicySet) -> None:
    half = document(f"{BASE}/open/half")
    assert policy.admits(half, Door.TOKEN).effect is Effect.ALLOW
    assert policy.admits(half, Door.PAR).rule == "not-at-par"


def test_who_gets_anything_is_wanted(policy: PolicySet) -> None:
    """`admits` never says less than a decision would give, and ALLOW only where some decision need not ask."""
    for place in ("open/a", "open/half", "open/banned", "par/a", "asking/a", "both/a", "elsewhere/a"):
        subject = document(f"{BASE}/{place}")
        for door in (Door.TOKEN, Door.PAR, Door.AUTHORIZE):
            prospect = policy.admits(subject, door).effect
            effects = {
                policy.decide(subject, wants(*scopes, grant_type=grant, door=door), proved=frozenset()).effect
                for grant in ("client_credentials", "authorization_code", "refresh_token")
                for scopes in ((), ("ledger.read",), ("ledger.write",))
            }
            if prospect is Effect.DENY:
                assert effects == {Effect.DENY}
            if prospect is Effect.ASK:
                assert Effect.ALLOW not in effects


def test_a_source_is_taken_while_a_rule_of_it_gives_something(policy: PolicySet, policies: Policies) -> None:
    assert policy.takes(Source.METADATA_DOCUMENT)
    assert not policy.takes(Source.SPIFFE)
    assert not policy.takes(Source.PUSHED)
    denies = rule("banned", effect="deny", when=f'url = "{BASE}/open/banned"')
    assert not policies.load(denies, DOCUMENTS).takes(Source.METADATA_DOCUMENT)
