"""Bundle files: read on change, the last good one kept, every way of replacing a file seen."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.lab.authority import Authority
from bridge.model.bundle import BundleHealth
from bridge.model.spiffe_id import TrustDomain
from bridge.spire.book import BundleBook, TrackedTrustDomain
from bridge.spire.file_source import READ_SECONDS, FileSource

TRUST_DOMAIN = TrustDomain("example.org")
NOW = 1_800_000_000
DEADLINE = 10.0


class Fixture:
    """A bundle file, its source and a clock that only moves when told to."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self.authority = Authority("example.org", clock=lambda: NOW)
        self.path = folder / "example.org.json"
        self.book = BundleBook([TrackedTrustDomain(TRUST_DOMAIN, "file", 3600, READ_SECONDS)])
        self.source = FileSource({TRUST_DOMAIN: self.path}, self.book, lambda: self.now)

    def write(self, content: bytes | None = None) -> None:
        """Replace the file as careful tools do: a new file, renamed over the old."""
        draft = self.path.with_suffix(".new")
        draft.write_bytes(self.authority.bundle_json() if content is None else content)
        draft.replace(self.path)

    @property
    def status(self):  # type: ignore[no-untyped-def]
        return self.book.statuses(self.now)[0]

    @property
    def kids(self) -> list[str]:
        return [key.key_id for key in self.book.live(TRUST_DOMAIN, self.now).bundle.jwt_authorities]


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Fixture]:
    fixture = Fixture(tmp_path)
    yield fixture
    fixture.source.close()


def test_a_file_is_read_before_start_returns(files: Fixture) -> None:
    files.write()
    files.source.start()
    assert files.kids == [files.authority.jwt_keys.active.kid]


def test_a_missing_file_does_not_stop_the_start_and_is_read_once_it_is_there(files: Fixture) -> None:
    files.source.start()
    assert files.status.health is BundleHealth.UNREACHABLE
    assert str(files.path) in files.status.reason
    files.write()
    assert files.book.wait_until(lambda: files.status.health is BundleHealth.FRESH, DEADLINE)


def test_a_changed_file_is_seen_by_the_running_source(files: Fixture) -> None:
    files.write()
    files.source.start()
    files.authority.rotate_jwt()
    new = files.authority.jwt_keys.active.kid
    files.write()
    assert files.book.wait_until(lambda: files.kids == [new], DEADLINE)


@pytest.mark.parametrize("content", [b"", b"{", b'{"keys": 7}'], ids=["empty-file", "cut", "no-keys"])
def test_a_malformed_file_keeps_the_last_good_bundle_F_6(files: Fixture, content: bytes) -> None:
    files.write()
    files.source.look()
    files.write(content)
    files.source.look()
    assert files.kids == [files.authority.jwt_keys.active.kid]
    assert files.status.health is BundleHealth.LATE
    assert files.status.reason.startswith("malformed: ")
    files.write()
    files.source.look()
    assert files.status.health is BundleHealth.FRESH


def test_a_bundle_with_a_duplicate_kid_is_refused_and_the_last_good_kept(files: Fixture) -> None:
    files.write()
    files.source.look()
    bundle = files.authority.bundle()
    keys = bundle["keys"]
    assert isinstance(keys, list)
    files.write(json.dumps({**bundle, "keys": [*keys, keys[-1]]}).encode())
    files.source.look()
    assert "kid" in files.status.reason
    assert files.kids == [files.authority.jwt_keys.active.kid]


def test_an_emptied_bundle_replaces_the_last_good_one_T_20(files: Fixture) -> None:
    files.write()
    files.source.look()
    files.write(b'{"keys":[]}')
    files.source.look()
    assert files.status.health is BundleHealth.EMPTY
    assert files.kids == []


def test_a_lower_sequence_in_a_file_is_the_operators_word(files: Fixture) -> None:
    old = files.authority.bundle_json()
    files.authority.rotate_jwt()
    files.write()
    files.source.look()
    assert files.status.bundle.sequence > 1
    files.write(old)
    files.source.look()
    assert files.status.bundle.sequence == 1


def test_a_removed_file_keeps_the_last_good_bundle_until_it_is_stale_F_6(files: Fixture) -> None:
    files.write()
    files.source.look()
    files.path.unlink()
    files.now += 3599
    files.source.look()
    assert files.status.health is BundleHealth.LATE
    assert files.kids
    files.now += 1
    files.source.look()
    assert files.status.health is BundleHealth.STALE


def test_reading_an_unchanged_file_confirms_it_and_max_stale_counts_from_there(files: Fixture) -> None:
    files.write()
    files.source.look()
    files.now += READ_SECONDS - 1
    files.source.look()
    assert files.status.fetched_at == NOW
    files.now += 1
    files.source.look()
    assert files.status.fetched_at == NOW + READ_SECONDS


def test_a_clock_that_goes_back_does_not_put_reading_off_F_5(files: Fixture) -> None:
    files.write()
    files.source.look()
    files.now -= 3600
    files.source.look()
    assert files.status.fetched_at == NOW - 3600


def test_refresh_now_confirms_at_once(files: Fixture) -> None:
    files.write()
    files.source.start()
    files.now += 1
    files.source.refresh_now()
    assert files.book.wait_until(lambda: files.status.fetched_at == NOW + 1, DEADLINE)


def test_an_outer_link_that_is_switched_counts_as_a_change(files: Fixture, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.json").write_bytes(files.authority.bundle_json())
        files.authority.rotate_jwt()
    first, second = ((tmp_path / f"{name}.json").read_bytes() for name in ("one", "two"))
    files.path.symlink_to("one.json")
    files.source.look()
    seen = files.kids
    link = tmp_path / "link"
    link.symlink_to("two.json")
    os.replace(link, files.path)
    files.source.look()
    assert seen[0].encode() in first
    assert files.kids[0].encode() in second


def test_a_config_map_that_is_switched_counts_as_a_change(files: Fixture, tmp_path: Path) -> None:
    """Kubernetes: file -> ..data/file, ..data -> ..2024_x/; only ..data is replaced."""
    for name in ("..1", "..2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / files.path.name).write_bytes(files.authority.bundle_json())
        files.authority.rotate_jwt()
    (tmp_path / "..data").symlink_to("..1")
    files.path.symlink_to(Path("..data") / files.path.name)
    files.source.look()
    before = files.kids
    (tmp_path / "..data_tmp").symlink_to("..2")
    os.replace(tmp_path / "..data_tmp", tmp_path / "..data")
    files.source.look()
    assert files.kids != before


def test_a_file_above_one_mebibyte_is_refused(files: Fixture) -> None:
    files.write(files.authority.bundle_json() + b" " * 1024 * 1024)
    files.source.look()
    assert files.status.health is BundleHealth.MALFORMED


def test_a_bad_file_does_not_hold_up_another(tmp_path: Path) -> None:
    other = TrustDomain("partner.example")
    book = BundleBook(TrackedTrustDomain(td, "file", 3600, READ_SECONDS) for td in (TRUST_DOMAIN, other))
    bad, good = tmp_path / "bad.json", tmp_path / "good.json"
    bad.write_bytes(b"{")
    good.write_bytes(Authority("partner.example").bundle_json())
    source = FileSource({TRUST_DOMAIN: bad, other: good}, book, lambda: NOW)
    source.look()
    assert [status.health for status in book.statuses(NOW)] == [BundleHealth.MALFORMED, BundleHealth.FRESH]


def test_many_unchanged_files_are_confirmed_in_turns_and_a_changed_one_at_once(tmp_path: Path) -> None:
    """None waits longer than a few periods, however many there are, and no look reads all of them."""
    authorities = [Authority(f"td{number}.example", clock=lambda: NOW, intermediate=False) for number in range(60)]
    paths = {one.trust_domain: tmp_path / f"{one.trust_domain}.json" for one in authorities}
    for one in authorities:
        paths[one.trust_domain].write_bytes(one.bundle_json())
    book = BundleBook(TrackedTrustDomain(name, "file", 3600, READ_SECONDS) for name in paths)
    now = NOW
    source = FileSource(paths, book, lambda: now)
    last = authorities[-1]

    def confirmed() -> int:
        return sum(status.fetched_at == now for status in book.statuses(now))

    source.look()
    assert confirmed() == len(paths)
    now += READ_SECONDS
    last.rotate_jwt()
    paths[last.trust_domain].write_bytes(last.bundle_json())
    seen = []
    for _ in range(3):
        source.look()
        seen.append(confirmed())
        keys = book.live(last.trust_domain, now).bundle.jwt_authorities
        assert [key.key_id for key in keys] == [last.jwt_keys.active.kid]
    assert seen == [21, 41, 60]


def test_a_file_that_is_good_again_after_a_fault_counts_though_it_holds_what_it_held(files: Fixture) -> None:
    files.write()
    files.source.look()
    files.path.unlink()
    files.source.look()
    assert files.status.health is BundleHealth.LATE
    files.now += 1
    files.write()
    files.source.look()
    assert (files.status.health, files.status.fetched_at) == (BundleHealth.FRESH, NOW + 1)


def test_a_source_cannot_be_started_twice(files: Fixture) -> None:
    files.source.start()
    with pytest.raises(RuntimeError, match="already started"):
        files.source.start()
