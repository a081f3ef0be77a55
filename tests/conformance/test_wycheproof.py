"""Wycheproof's JWS and JWK vectors: nothing invalid is taken, and what is valid and ours is (T-26).

Keys of the vectors are taken as a bundle would hold them: in a set, chosen by `kid`, under our key policy.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.jose.jws import MalformedToken, parse_compact, signature_holds
from bridge.jose.keys import UnfitKey, VerificationKey, import_public
from bridge.model.errors import EvidenceRejected, Unavailable
from bridge.verify.key_sets import select_key
from bridge.verify.pinned_issuers import PinnedIssuers
from bridge.verify.signed_jwt import check_signature, parse, read_header
from bridge.verify.statement_claims import TYPES
from tests.statements import CI
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


def is_vouched_for(path: Path, group: dict[str, Any], text: str) -> bool:
    """By a pinned issuer whose file holds the keys: the checks of a statement that come before its claims."""
    path.write_text(json.dumps({"keys": key_set(group)}))
    try:
        token = parse(text)
        header = read_header(token, TYPES)
        keys = PinnedIssuers({CI: path}).keys(CI, now=0)
        check_signature(token, select_key(keys, header, "a vector"), header)
    except (EvidenceRejected, Unavailable):
        return False
    return True


def test_a_pinned_issuer_s_keys_vouch_for_what_is_valid_and_nothing_else_DCR_19_T_26(tmp_path: Path) -> None:
    """Beside the above: a token without `kid` is taken with the only key that fits, a symmetric key never."""
    judged: dict[bool, int] = {True: 0, False: 0}
    for kind, document in (("jws", JWS), ("jwk", JWK)):
        for group in document["testGroups"]:
            for test in group["tests"]:
                taken = is_vouched_for(tmp_path / "keys.json", group, test["jws"])
                if taken:
                    assert test["result"] == "valid", test
                assert taken or not is_taken(group, test["jws"]), test
                assert not (taken and (kind, test["tcId"]) in REFUSED_THOUGH_VALID)
                judged[taken] += 1
    assert min(judged.values()) > 10


def test_the_vectors_are_all_there() -> None:
    for document in (JWS, JWK):
        assert sum(len(group["tests"]) for group in document["testGroups"]) == document["numberOfTests"]


@pytest.mark.parametrize("number", sorted(number for _, number in REFUSED_THOUGH_VALID))
def test_without_its_own_alg_the_key_would_verify(number: int) -> None:
    group, test = next((g, t) for g in JWS["testGroups"] for t in g["tests"] if t["tcId"] == number)
    jwk = {name: value for name, value in key_set(group)[0].items() if name != "alg"}
    assert is_taken({"public": jwk}, test["jws"])
