"""Bundle maps in files: whose bundle is whose, and what spoils the whole map or one part of it (SPIFFE-33)."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.lab.authority import Authority
from bridge.model.bundle import BundleHealth
from bridge.model.spiffe_id import TrustDomain
from bridge.spire.book import BundleBook, TrackedTrustDomain
from bridge.spire.bundle_files import parse_bundle_file
from bridge.spire.file_source import READ_SECONDS, FileSource
from bridge.spire.parse import MalformedBundle, parse_bundle

OURS, THEIRS = TrustDomain("example.org"), TrustDomain("partner.example")
AUTHORITIES = {domain: Authority(domain.name, intermediate=False) for domain in (OURS, THEIRS)}
NOW = 1_800_000_000


def bundle(domain: TrustDomain) -> dict[str, Any]:
    return json.loads(AUTHORITIES[domain].bundle_json())  # type: ignore[no-any-return]


def mapped(**changes: Any) -> bytes:
    """A map of both trust domains, some of it changed; "partner_example" for a name with a dot."""
    by_name = {OURS.name: bundle(OURS), THEIRS.name: bundle(THEIRS)}
    by_name |= {name.replace("_", "."): value for name, value in changes.items()}
    return json.dumps({"trust_domains": by_name}).encode()


def twice(raw: bytes, name: str) -> bytes:
    """The same map, with one trust domain's bundle in it a second time."""
    member = f"{json.dumps(name)}: {json.dumps(json.loads(raw)['trust_domains'][name])}".encode()
    assert raw.endswith(b"}}")
    return raw[:-2] + b", " + member + b"}}"


@pytest.mark.parametrize("domain", [OURS, THEIRS], ids=str)
def test_a_map_gives_each_trust_domain_the_bundle_under_its_own_name_SPIFFE_33(domain: TrustDomain) -> None:
    found = parse_bundle_file(mapped(), domain)
    alone = parse_bundle(AUTHORITIES[domain].bundle_json(), domain)
    assert (found.trust_domain, found.x509_authorities, found.jwt_authorities, found.sequence) == (
        domain,
        alone.x509_authorities,
        alone.jwt_authorities,
        alone.sequence,
    )


def test_a_file_with_one_bundle_is_whose_the_configuration_says_SPIFFE_28() -> None:
    raw = AUTHORITIES[OURS].bundle_json()
    assert parse_bundle_file(raw, THEIRS) == parse_bundle(raw, THEIRS)


def test_a_refresh_hint_inside_a_map_is_ignored_whatever_it_is_SPIFFE_33() -> None:
    alone = AUTHORITIES[OURS].bundle_json()
    assert parse_bundle_file(alone, OURS).refresh_hint == 300
    for hint in (7, "soon"):
        found = parse_bundle_file(mapped(example_org={**bundle(OURS), "spiffe_refresh_hint": hint}), OURS)
        assert (found.refresh_hint, found.is_empty) == (None, False)


def test_a_map_may_be_of_our_trust_domain_alone() -> None:
    raw = json.dumps({"trust_domains": {OURS.name: bundle(OURS)}, "generated_by": "somebody"}).encode()
    assert not parse_bundle_file(raw, OURS).is_empty


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        pytest.param(twice(mapped(), OURS.name), "two members of one name", id="SPIFFE-33-our-name-twice"),
        pytest.param(twice(mapped(), THEIRS.name), "two members of one name", id="SPIFFE-33-another-name-twice"),
        pytest.param(mapped()[:-1] + b', "trust_domains": {}}', "two members of one name", id="SPIFFE-33-two-maps"),
        pytest.param(
            mapped().replace(b'"kty"', b'"use": "jwt-svid", "kty"', 1), "two members", id="SPIFFE-33-inside-a-key"
        ),
        pytest.param(json.dumps({"trust_domains": {THEIRS.name: bundle(THEIRS)}}).encode(), "no bundle of", id="none"),
        pytest.param(b'{"trust_domains": {}}', "no bundle of example.org", id="nobody"),
        pytest.param(b'{"trust_domains": []}', "is no object", id="no-map"),
        pytest.param(mapped(example_org=None), "no bundle of", id="null"),
        pytest.param(mapped(example_org=[]), "in the map is no object", id="ours-no-object"),
        pytest.param(mapped(example_org={}), "'keys' is missing", id="ours-no-bundle"),
        pytest.param(mapped(Other_Example={"keys": []}), "is no trust domain", id="name-in-capitals"),
        pytest.param(
            mapped().replace(b'"partner.example": ', b'"spiffe://partner.example": '), "is no trust domain", id="an-id"
        ),
        pytest.param(json.dumps({"trust_domains": {"": {}}}).encode(), "is no trust domain", id="no-name"),
        pytest.param(mapped()[:-1] + b', "keys": []}', "not both", id="bundle-and-map"),
    ],
)
def test_a_map_that_two_readers_could_take_differently_or_that_lacks_us_is_malformed(raw: bytes, words: str) -> None:
    assert not parse_bundle_file(mapped(), OURS).is_empty
    with pytest.raises(MalformedBundle, match=words):
        parse_bundle_file(raw, OURS)


@pytest.mark.parametrize("theirs", [None, [], {}, {"keys": 7}, {"keys": [], "spiffe_sequence": -1}])
def test_what_is_wrong_with_anothers_bundle_is_nothing_to_ours(theirs: Any) -> None:
    raw = mapped(partner_example=theirs)
    assert not parse_bundle_file(raw, OURS).is_empty
    with pytest.raises(MalformedBundle):
        parse_bundle_file(raw, THEIRS)


def test_where_one_bundle_belongs_a_map_is_malformed_SPIFFE_33() -> None:
    """An endpoint speaks for its own trust domain."""
    with pytest.raises(MalformedBundle, match="a bundle map, where the bundle of one trust domain belongs"):
        parse_bundle(mapped(), OURS)


_VALUES = st.recursive(
    st.sampled_from([None, True, 0, "", "EC", {"keys": []}]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["keys", "kty", OURS.name]), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["trust_domains", "keys", "x"]), _VALUES))
def test_no_document_makes_the_reader_of_files_fail_otherwise(document: dict[str, Any]) -> None:
    with suppress(MalformedBundle):
        parse_bundle_file(json.dumps(document).encode(), OURS)


class Sharing:
    """One file that both trust domains name, and how they stand."""

    def __init__(self, path: Path) -> None:
        self.path, self.now = path, NOW
        self.book = BundleBook(TrackedTrustDomain(td, "file", 3600, READ_SECONDS) for td in (OURS, THEIRS))
        self.source = FileSource(dict.fromkeys((OURS, THEIRS), path), self.book, lambda: self.now)

    def look(self, raw: bytes) -> list[BundleHealth]:
        draft = self.path.with_suffix(".new")
        draft.write_bytes(raw)
        draft.replace(self.path)
        self.source.look()
        return [status.health for status in self.book.statuses(self.now)]

    def roots(self, domain: TrustDomain) -> tuple[bytes, ...]:
        return self.book.live(domain, self.now).bundle.x509_authorities


def test_trust_domains_that_share_a_file_each_get_their_own_and_are_ill_alone(tmp_path: Path) -> None:
    """T-12: nothing of one bundle is ever trusted for the other."""
    fresh, late = BundleHealth.FRESH, BundleHealth.LATE
    files = Sharing(tmp_path / "all.json")
    assert files.look(mapped()) == [fresh, fresh]
    for domain in (OURS, THEIRS):
        assert files.roots(domain) == (AUTHORITIES[domain].x509_keys.active.root.der,)
    assert files.look(mapped(partner_example={})) == [fresh, late]
    assert files.roots(THEIRS) == (AUTHORITIES[THEIRS].x509_keys.active.root.der,)
    assert files.look(twice(mapped(), THEIRS.name)) == [late, late]
    assert all(
        status.reason.endswith("an object has two members of one name") for status in files.book.statuses(files.now)
    )
    assert files.look(mapped()) == [fresh, fresh]
    files.path.unlink()
    files.source.look()
    assert [status.fault for status in files.book.statuses(files.now)] == [BundleHealth.UNREACHABLE] * 2
