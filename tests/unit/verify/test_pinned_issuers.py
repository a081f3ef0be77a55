"""The files of the statement issuers: the operator's word, in force at the next look, the last good set kept."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from bridge.model.errors import EvidenceRejected, IssuerUntrusted, Unavailable
from bridge.model.reasons import Reason
from bridge.verify.key_sets import MAX_JWKS_KEYS
from bridge.verify.pinned_issuers import MAX_FILE_BYTES, PinnedIssuers
from tests.statements import CI, OTHER_CI, OTHER_SIGNER, SIGNER, jwks
from tests.svid_factory import NOW, JwtAuthoritySigner

SECOND = JwtAuthoritySigner.make("ci-2")


def kids(issuers: PinnedIssuers, issuer: str = CI) -> list[str]:
    return [key.kid for key in issuers.keys(issuer, now=NOW).usable]


def file_with(folder: Path, text: str, name: str = "ci.json") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_each_issuer_has_the_keys_of_its_own_file(tmp_path: Path) -> None:
    other = file_with(tmp_path, jwks(OTHER_SIGNER), "other.json")
    issuers = PinnedIssuers({CI: file_with(tmp_path, jwks(SIGNER, SECOND)), OTHER_CI: other})
    assert kids(issuers) == ["ci-1", "ci-2"]
    assert kids(issuers, OTHER_CI) == ["other-ci"]
    assert issuers.faults() == {}


def test_an_issuer_that_nobody_configured_has_none_DCR_10(tmp_path: Path) -> None:
    issuers = PinnedIssuers({CI: file_with(tmp_path, jwks(SIGNER))})
    with pytest.raises(IssuerUntrusted) as refusal:
        issuers.keys("https://nobody.example\n" + "x" * 500, now=NOW)
    assert refusal.value.reason is Reason.STATEMENT_ISSUER
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 400
    with pytest.raises(IssuerUntrusted):
        PinnedIssuers({}).keys(CI, now=NOW)


def test_a_change_acts_at_the_next_look_and_is_told_once(tmp_path: Path) -> None:
    path = file_with(tmp_path, jwks(SIGNER))
    issuers = PinnedIssuers({CI: path})
    assert issuers.look() == ()
    path.write_text(jwks(SECOND))
    assert kids(issuers) == ["ci-1"]
    assert issuers.look() == (CI,)
    assert kids(issuers) == ["ci-2"]
    assert issuers.look() == ()


def test_a_change_that_leaves_the_keys_as_they_are_is_none(tmp_path: Path) -> None:
    path = file_with(tmp_path, jwks(SIGNER))
    issuers = PinnedIssuers({CI: path})
    path.write_text(jwks(SIGNER) + "\n\n")
    assert issuers.look() == ()
    assert kids(issuers) == ["ci-1"]


def test_a_swapped_link_is_a_change(tmp_path: Path) -> None:
    for name, signer in (("one", SIGNER), ("two", SECOND)):
        (tmp_path / name).mkdir()
        file_with(tmp_path / name, jwks(signer))
    (tmp_path / "data").symlink_to("one")
    issuers = PinnedIssuers({CI: tmp_path / "data/ci.json"})
    (tmp_path / "new").symlink_to("two")
    os.rename(tmp_path / "new", tmp_path / "data")
    assert issuers.look() == (CI,)
    assert kids(issuers) == ["ci-2"]


BAD = {
    "no JSON": "keys",
    "no object": "[]",
    "no keys": "{}",
    "keys no array": '{"keys": {}}',
    "a key no object": '{"keys": ["a"]}',
    "a name twice": json.dumps({"keys": [SIGNER.jwk(use="sig"), {**SECOND.jwk(use="sig"), "kid": "ci-1"}]}),
    "a member twice": '{"keys": [], "keys": []}',
    "cut off": jwks(SIGNER)[:-1],
    "too many keys": json.dumps({"keys": [{}] * (MAX_JWKS_KEYS + 1)}),
    "too large": jwks(SECOND) + " " * MAX_FILE_BYTES,
    "deep": '{"keys": ' + "[" * 5000,
    "no UTF-8": "\udcff",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_a_bad_file_leaves_the_last_good_keys_in_force_and_is_a_fault_T_48(tmp_path: Path, text: str) -> None:
    path = file_with(tmp_path, jwks(SIGNER))
    issuers = PinnedIssuers({CI: path})
    path.write_text(text, errors="surrogateescape")
    assert issuers.look() == ()
    assert kids(issuers) == ["ci-1"]
    assert str(path) in issuers.faults()[CI]
    path.write_text(jwks(SECOND))
    assert issuers.look() == (CI,)
    assert issuers.faults() == {}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_an_issuer_whose_file_was_never_good_is_unavailable(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ci.json"
    path.write_text(text, errors="surrogateescape")
    other = file_with(tmp_path, jwks(OTHER_SIGNER), "other.json")
    issuers = PinnedIssuers({CI: path, OTHER_CI: other})
    with pytest.raises(Unavailable) as failure:
        issuers.keys(CI, now=NOW)
    assert failure.value.reason is Reason.BUNDLE_UNAVAILABLE
    assert kids(issuers, OTHER_CI) == ["other-ci"]
    assert list(issuers.faults()) == [CI]


def test_a_file_that_comes_later_is_read_then_and_one_that_goes_keeps_its_keys(tmp_path: Path) -> None:
    path = tmp_path / "ci.json"
    issuers = PinnedIssuers({CI: path})
    assert "cannot be read" in issuers.faults()[CI]
    with pytest.raises(Unavailable):
        issuers.keys(CI, now=NOW)
    path.write_text(jwks(SIGNER))
    assert issuers.look() == (CI,)
    assert kids(issuers) == ["ci-1"]
    path.unlink()
    assert issuers.look() == ()
    assert kids(issuers) == ["ci-1"]
    assert "cannot be read" in issuers.faults()[CI]
    path.write_text(jwks(SIGNER))
    assert issuers.look() == ()
    assert issuers.faults() == {}


def test_a_pipe_in_place_of_a_file_holds_up_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    issuers = PinnedIssuers({CI: tmp_path / "pipe"})
    assert "no plain file" in issuers.faults()[CI]


@pytest.mark.parametrize(
    "keys",
    [[SIGNER.jwk(use="jwt-svid")], [{"kty": "oct", "k": "AAAA", "kid": "ci-1"}], [{}], [{"kid": 7}]],
    ids=["another use", "symmetric", "no key", "kid a number"],
)
def test_a_file_without_a_usable_key_ends_all_trust_and_is_a_fault_T_20(tmp_path: Path, keys: list[object]) -> None:
    path = file_with(tmp_path, jwks(SIGNER))
    issuers = PinnedIssuers({CI: path})
    assert kids(issuers) == ["ci-1"]
    path.write_text(json.dumps({"keys": keys}))
    assert issuers.look() == (CI,)
    with pytest.raises(EvidenceRejected) as refusal:
        issuers.keys(CI, now=NOW)
    assert refusal.value.reason is Reason.BUNDLE_EMPTY
    assert "no usable key" in issuers.faults()[CI]
    assert issuers.without_keys() == ()


def test_an_emptied_file_ends_all_trust_and_is_its_author_s_word_T_20(tmp_path: Path) -> None:
    path = file_with(tmp_path, jwks(SIGNER))
    issuers = PinnedIssuers({CI: path})
    assert (kids(issuers), issuers.without_keys()) == (["ci-1"], ())
    path.write_text('{"keys": []}')
    assert issuers.look() == (CI,)
    with pytest.raises(EvidenceRejected) as refusal:
        issuers.keys(CI, now=NOW)
    assert refusal.value.reason is Reason.BUNDLE_EMPTY
    assert (issuers.faults(), issuers.without_keys()) == ({}, (CI,))
    path.write_text("nothing")
    assert issuers.look() == ()
    assert list(issuers.faults()) == [CI]
    assert issuers.without_keys() == (), "said once, and as the fault that it is"


def test_an_unfit_key_is_left_out_and_the_others_stay_T_16(tmp_path: Path) -> None:
    keys = [SIGNER.jwk(use="sig"), SECOND.jwk(use="enc"), SECOND.jwk(use="sig", kid="ci-3", d="AAAA")]
    issuers = PinnedIssuers({CI: file_with(tmp_path, json.dumps({"keys": keys}))})
    assert kids(issuers) == ["ci-1"]
    assert issuers.keys(CI, now=NOW).unfit == {"ci-2", "ci-3"}
    assert issuers.faults() == {}


def test_threads_that_look_and_ask_at_once_see_whole_sets(tmp_path: Path) -> None:
    path = file_with(tmp_path, jwks(SIGNER))
    issuers = PinnedIssuers({CI: path})
    seen: set[tuple[str, ...]] = set()

    def look_and_ask() -> None:
        for _ in range(20):
            issuers.look()
            seen.add(tuple(kids(issuers)))

    threads = [threading.Thread(target=look_and_ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(10):
        draft = file_with(tmp_path, jwks(*((SIGNER, SECOND) if number % 2 else (SECOND, SIGNER))), "draft")
        os.rename(draft, path)
    for thread in threads:
        thread.join()
    assert seen <= {("ci-1",), ("ci-1", "ci-2"), ("ci-2", "ci-1")}
    assert issuers.faults() == {}
