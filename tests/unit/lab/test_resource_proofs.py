"""DPoP at the lab's resource (RFC 9449 section 7, T-29), and the keys it verifies with."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.lab.resource_keys import IssuerKeys, Key, KeysUnavailable, fetch_keys
from bridge.lab.resource_proofs import NonceWanted, ProofRefused, ProofVerifier, UsedOnce
from tests.flows.dpop import DpopKey
from tests.unit.lab.resource_stage import NOW, Issuer, Stage, key, sha256


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    running = Stage()
    yield running
    running.close()


class Bound:
    """A token bound to a key, and proofs by it."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.key = stage, DpopKey()
        self.token = stage.token(cnf={"jkt": self.key.thumbprint})

    def proof(self, **claims: Any) -> str:
        right = {"iat": self.stage.now, "ath": sha256(self.token)}
        return self.key.proof("POST", self.stage.resource.identifier, **{**right, **claims})


def test_a_bound_token_counts_with_a_proof_of_its_key(stage: Stage) -> None:
    bound = Bound(stage)
    answer = stage.dpop(bound.token, bound.proof())
    assert (answer.status, answer.caller["bound_to"]) == (200, "jkt")


WRONG: dict[str, dict[str, Any]] = {
    "another method": {"htm": "GET"},
    "another URL": {"htu": "http://127.0.0.1/mcp"},
    "another token": {"ath": sha256("other")},
    "no token": {"ath": None},
    "old": {"iat": NOW - 60},
    "ahead": {"iat": NOW + 11},
    "not a number": {"iat": float("nan")},
    "a time in words": {"iat": str(NOW)},
    "true": {"iat": True},
    "no jti": {"jti": ""},
    "a long jti": {"jti": "a" * 257},
    "another type": {"header": {"typ": "jwt"}},
    "a secret as key": {"header": {"jwk": {"kty": "oct", "k": "AAAA"}}},
    "a curve that is not the alg's": {"header": {"jwk": {"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"}}},
    "no point": {"header": {"jwk": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}}},
    "a key of numbers": {"header": {"jwk": {"kty": "EC", "crv": "P-256", "x": 1, "y": None}}},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_proof_that_is_wrong_in_one_thing_proves_nothing_T_29(stage: Stage, wrong: dict[str, Any]) -> None:
    bound = Bound(stage)
    refused = stage.dpop(bound.token, bound.proof(**wrong))
    assert (refused.status, refused.error) == (401, "invalid_dpop_proof")
    assert 'error="invalid_dpop_proof"' in refused.challenges[1]
    assert stage.dpop(bound.token, bound.proof()).status == 200


@pytest.mark.parametrize("right", [{"iat": NOW - 59}, {"iat": NOW + 10}, {"htu": "QUERY"}, {"iat": NOW + 0.5}])
def test_a_proof_at_the_edge_is_taken(stage: Stage, right: dict[str, Any]) -> None:
    if "htu" in right:
        right = {"htu": stage.resource.identifier + "?a=b#c"}
    bound = Bound(stage)
    assert stage.dpop(bound.token, bound.proof(**right)).status == 200


def test_a_proof_is_good_once_T_29(stage: Stage) -> None:
    bound = Bound(stage)
    proof = bound.proof()
    assert [stage.dpop(bound.token, proof).status for _ in range(2)] == [200, 401]
    assert stage.dpop(bound.token, bound.proof()).status == 200


def test_exactly_one_proof_comes_with_the_token(stage: Stage) -> None:
    bound = Bound(stage)
    assert stage.dpop(bound.token).error == "invalid_dpop_proof"
    assert stage.dpop(bound.token, bound.proof(), bound.proof()).error == "invalid_dpop_proof"
    assert stage.dpop(bound.token, bound.proof()).status == 200


def test_a_proof_by_another_key_is_of_no_use(stage: Stage) -> None:
    bound, thief = Bound(stage), Bound(stage)
    stolen = thief.key.proof("POST", stage.resource.identifier, iat=stage.now, ath=sha256(bound.token))
    assert stage.dpop(bound.token, stolen).error == "invalid_token"
    assert stage.dpop(bound.token, bound.proof()).status == 200


def test_the_proof_cannot_be_left_away_with_the_scheme(stage: Stage) -> None:
    bound = Bound(stage)
    assert stage.bearer(bound.token).error == "invalid_token"
    assert stage.bearer(bound.token, ("DPoP", bound.proof())).error == "invalid_token"
    unbound = stage.token()
    proof = bound.proof(ath=sha256(unbound))
    assert stage.dpop(unbound, proof).error == "invalid_token"
    assert stage.bearer(unbound).status == 200


def test_where_dpop_is_required_a_bearer_token_is_refused_and_nothing_else_is_offered() -> None:
    strict = Stage(require_dpop=True)
    bound = Bound(strict)
    refused = strict.bearer(strict.token())
    assert (refused.status, refused.error) == (401, "invalid_token")
    assert [challenge.partition(" ")[0] for challenge in refused.challenges] == ["DPoP"]
    assert strict.dpop(bound.token, bound.proof()).status == 200
    assert strict.resource.metadata()["dpop_bound_access_tokens_required"] is True
    strict.close()


def test_a_nonce_is_asked_for_before_the_age_is_looked_at_and_uses_nothing_up() -> None:
    strict = Stage(dpop_nonces=True)
    bound = Bound(strict)
    refused = strict.dpop(bound.token, bound.proof(jti="same", iat=NOW - 500))
    assert (refused.status, refused.error) == (401, "use_dpop_nonce")
    nonce = refused.headers["DPoP-Nonce"]
    assert strict.dpop(bound.token, bound.proof(jti="same", nonce=nonce)).status == 200
    strict.now += 599
    late = Bound(strict)
    strict.now = NOW - NOW % 300 + 600
    assert strict.dpop(late.token, late.proof(nonce=nonce)).error == "use_dpop_nonce"
    strict.close()


def test_a_full_memory_of_proofs_takes_no_new_one_and_forgets_none_T_42() -> None:
    used = UsedOnce(2)
    assert used.claim(("k", "a"), until=NOW + 60, now=NOW)
    assert used.claim(("k", "b"), until=NOW + 90, now=NOW)
    assert not used.claim(("k", "c"), until=NOW + 60, now=NOW)
    assert not used.claim(("k", "a"), until=NOW + 60, now=NOW + 59)
    assert used.claim(("k", "c"), until=NOW + 160, now=NOW + 60)
    assert not used.claim(("k", "b"), until=NOW + 160, now=NOW + 60)


@given(st.one_of(st.text(max_size=200), st.from_regex(r"\A[A-Za-z0-9_-]{0,80}(\.[A-Za-z0-9_-]{0,80}){2}\Z")))
def test_no_text_whatever_raises_anything_else_than_a_refusal(text: str) -> None:
    with pytest.raises(ProofRefused) as refused:
        ProofVerifier("http://127.0.0.1/mcp").verify([text], method="POST", token="t", now=NOW)
    assert not isinstance(refused.value, NonceWanted)


# --- the keys ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    running = Issuer("/tenant")
    yield running
    running.close()


def test_keys_are_found_by_the_issuer_s_own_metadata(issuer: Issuer) -> None:
    assert list(fetch_keys(issuer.url)) == ["one"]
    assert issuer.asked == ["/.well-known/oauth-authorization-server/tenant", "/jwks"]


@pytest.mark.parametrize(
    "answer",
    [
        (200, b'{"issuer": "http://127.0.0.1", "jwks_uri": "http://127.0.0.1/jwks"}'),
        (200, b'{"issuer": "SELF", "jwks_uri": "file:///etc/passwd"}'),
        (200, b"[]"), (200, b"{"), (200, b"[" * 100000), (404, b"{}"), (500, b"{}"), (302, b"{}"),
    ],
    ids=["another issuer", "another scheme", "no object", "cut", "deep", "404", "500", "a redirect"],
)  # fmt: skip
def test_metadata_that_is_not_the_issuer_s_own_gives_no_keys(issuer: Issuer, answer: tuple[int, bytes]) -> None:
    issuer.answers[issuer.well_known] = (answer[0], answer[1].replace(b"SELF", issuer.url.encode()))
    with pytest.raises(KeysUnavailable):
        fetch_keys(issuer.url)
    assert "/elsewhere" not in issuer.asked
    issuer.answers.clear()
    assert fetch_keys(issuer.url)


def test_a_key_that_we_cannot_use_is_passed_over(issuer: Issuer) -> None:
    good = issuer.keys[0].as_dict(private=False)
    strange = (
        '{"kty": "AKP", "kid": "pq", "alg": "ML-DSA-44"}, {"kty": "oct", "k": "AA", "kid": "s", "alg": "HS256"}, 7'
    )
    issuer.answers["/jwks"] = (200, f'{{"keys": [{strange}, {__import__("json").dumps(good)}]}}'.encode())
    assert list(fetch_keys(issuer.url)) == ["one"]


class Source:
    """A key source that counts, and fails when told."""

    def __init__(self) -> None:
        self.fetched, self.down = 0, False
        self.keys: dict[str, Key] = {"one": key("one")}

    def __call__(self) -> Mapping[str, Key]:
        self.fetched += 1
        if self.down:
            raise KeysUnavailable("down")
        return dict(self.keys)


def test_keys_are_fetched_once_and_used_offline() -> None:
    source = Source()
    keys = IssuerKeys(source)
    assert all(keys.find("one", now=NOW + second) is not None for second in range(0, 300, 10))
    assert source.fetched == 1
    assert keys.find("one", now=NOW + 300) is not None
    assert source.fetched == 2


def test_an_unknown_kid_is_asked_for_at_once_but_not_by_each_who_makes_one_up() -> None:
    source = Source()
    keys = IssuerKeys(source)
    assert keys.find("one", now=NOW) is not None
    source.keys["two"] = key("two")
    assert keys.find("two", now=NOW + 9) is None
    assert keys.find("two", now=NOW + 10) is not None
    assert [keys.find(f"made-up-{n}", now=NOW + 11 + n // 100) for n in range(500)] == [None] * 500
    assert source.fetched == 2


def test_the_last_good_keys_serve_for_an_hour_without_the_authorization_server() -> None:
    source = Source()
    keys = IssuerKeys(source)
    assert keys.find("one", now=NOW) is not None
    source.down = True
    assert keys.find("one", now=NOW + 3599) is not None
    with pytest.raises(KeysUnavailable):
        keys.find("one", now=NOW + 3600)
    source.down = False
    assert keys.find("one", now=NOW + 3620) is not None


def test_without_any_keys_the_answer_is_503_and_never_401() -> None:
    stage = Stage()
    token = stage.token()
    stage.issuer.answers["/jwks"] = (500, b"")
    refused = stage.bearer(token)
    assert (refused.status, refused.headers["Retry-After"]) == (503, "10")
    stage.issuer.answers.clear()
    stage.now += 10
    assert stage.bearer(token).status == 200
    stage.close()


def test_whoever_finds_a_fresh_key_does_not_wait_for_one_who_fetches() -> None:
    source = Source()
    fetching, go_on = threading.Event(), threading.Event()

    def fetch() -> Mapping[str, Key]:
        if source.fetched:
            fetching.set()
            assert go_on.wait(10)
        return source()

    keys = IssuerKeys(fetch)
    assert keys.find("one", now=NOW) is not None
    other = threading.Thread(target=keys.find, args=("unknown",), kwargs={"now": NOW + 20})
    other.start()
    assert fetching.wait(10)
    assert keys.find("one", now=NOW + 20) is not None
    go_on.set()
    other.join(10)
    assert source.fetched == 2
