"""Wycheproof's JWS and JWK vectors: nothing invalid is taken, and what is valid and ours is (T-26).

Keys of the vectors are taken as a bundle would hold them: in a set, chosen by `kid`, under our key policy.
"""

from __future__ import annotations

from typing import Any

import pytest

from bridge.jose.jws import MalformedToken, parse_compact, signature_holds
from bridge.jose.keys import UnfitKey, VerificationKey, import_public
from tests.vectors import load

JWS = load("wycheproof-json_web_signature_test.json")
JWK = load("wycheproof-json_web_key_test.json")

# Valid to Wycheproof, refused by us. HMAC is no algorithm of this service at all, so those need no list.
STATED_OTHERWISE = "the key states another 'alg' than the token's, and is held to it (RFC 7517 section 4.4)"
REFUSED_THOUGH_VALID = {
    ("jws", 346): STATED_OTHERWISE,
    ("jws", 347): STATED_OTHERWISE,
    ("jws", 350): STATED_OTHERWISE,
    ("jws", 351): STATED_OTHERWISE,
}


def vectors(kind: str, document: dict[str, Any]) -> list[Any]:
    return [
        pytest.param(kind, group, test, id=f"{kind}-{test['tcId']}-{group['comment']}-{test['comment']}")
        for group in document["testGroups"]
        for test in group["tests"]
    ]


def key_set(group: dict[str, Any]) -> list[dict[str, Any]]:
    keys = group.get("public") or group["private"]
    return list(keys["keys"]) if "keys" in keys else [keys]


def usable(group: dict[str, Any]) -> list[VerificationKey]:
    keys = []
    for jwk in key_set(group):
        try:
            keys.append(import_public(jwk))
        except UnfitKey:
            continue
    return keys


def is_taken(group: dict[str, Any], text: str) -> bool:
    try:
        token = parse_compact(text, max_bytes=16_384)
    except MalformedToken:
        return False
    alg = token.header["alg"]
    assert isinstance(alg, str)
    named = [key for key in usable(group) if key.kid == token.header.get("kid", "")]
    header_is_closed = token.header.keys() <= {"alg", "kid", "typ"}
    return header_is_closed and len(named) == 1 and signature_holds(token, named[0], alg)


@pytest.mark.parametrize(("kind", "group", "test"), [*vectors("jws", JWS), *vectors("jwk", JWK)])
def test_a_vector_is_taken_exactly_if_it_is_valid_and_asymmetric(
    kind: str, group: dict[str, Any], test: dict[str, Any]
) -> None:
    symmetric = any(jwk["kty"] == "oct" for jwk in key_set(group))
    ours = not symmetric and (kind, test["tcId"]) not in REFUSED_THOUGH_VALID
    assert is_taken(group, test["jws"]) is (test["result"] == "valid" and ours)


def test_the_vectors_are_all_there() -> None:
    for document in (JWS, JWK):
        assert sum(len(group["tests"]) for group in document["testGroups"]) == document["numberOfTests"]


@pytest.mark.parametrize("number", sorted(number for _, number in REFUSED_THOUGH_VALID))
def test_without_its_own_alg_the_key_would_verify(number: int) -> None:
    group, test = next((g, t) for g in JWS["testGroups"] for t in g["tests"] if t["tcId"] == number)
    jwk = {name: value for name, value in key_set(group)[0].items() if name != "alg"}
    assert is_taken({"public": jwk}, test["jws"])
