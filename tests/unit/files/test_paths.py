"""Fingerprints see what `stat` of the name alone would miss, and secrets are made whole and private."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bridge.files.paths import TooLarge, create_secret, fingerprint, fingerprint_folder, read_bounded, read_secret
from bridge.files.toml_lines import line_of
from bridge.model.errors import StartRefused


def test_nothing_changes_while_nothing_is_done(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("x")
    assert fingerprint(file) == fingerprint(file) is not None


def test_a_configmap_swap_is_a_change_although_size_and_name_stay(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "p.toml").write_text("same")
        os.utime(tmp_path / version / "p.toml", (1, 1))
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "p.toml").symlink_to("..data/p.toml")
    before = fingerprint(tmp_path / "p.toml"), fingerprint_folder(tmp_path, "*.toml")
    (tmp_path / "..new").symlink_to("v2")
    os.rename(tmp_path / "..new", tmp_path / "..data")
    after = fingerprint(tmp_path / "p.toml"), fingerprint_folder(tmp_path, "*.toml")
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_a_file_that_comes_or_goes_is_a_change(tmp_path: Path) -> None:
    assert fingerprint(tmp_path / "a") is None
    empty = fingerprint_folder(tmp_path, "*")
    (tmp_path / "a").touch()
    assert fingerprint(tmp_path / "a") is not None
    assert fingerprint_folder(tmp_path, "*") != empty


def test_folders_within_count_where_that_is_asked_for_and_those_behind_links_do_not(tmp_path: Path) -> None:
    for name in ("policies/a.toml", "policies/old/b.toml", "policies/old/c.md", "elsewhere/d.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    folder = tmp_path / "policies"
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    assert [name for name, _ in fingerprint_folder(folder, "*.toml")] == ["a.toml"]
    before = fingerprint_folder(folder, "**/*.toml")
    assert [name for name, _ in before] == ["a.toml", "old/b.toml"]
    (folder / "old/b.toml").write_text("changed")
    assert fingerprint_folder(folder, "**/*.toml") != before


def test_a_read_stops_at_its_bound(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bounded(tmp_path / "a", 5) == b"12345"
    with pytest.raises(TooLarge):
        read_bounded(tmp_path / "a", 4)


def test_a_pipe_in_place_of_a_file_is_refused_and_holds_up_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    assert read_bounded(tmp_path / "file", 5) == b"x"
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(OSError, match="no plain file"):
        read_bounded(tmp_path / "pipe", 5)
    with pytest.raises(StartRefused, match="no plain file"):
        read_secret(tmp_path / "pipe")


def test_a_secret_is_private_and_made_once(tmp_path: Path) -> None:
    path = tmp_path / "secrets/seal.key"
    assert create_secret(path, b"first") is True
    assert path.stat().st_mode & 0o777 == 0o600
    assert create_secret(path, b"second") is False
    assert read_secret(path) == b"first"
    assert [entry.name for entry in path.parent.iterdir()] == ["seal.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_secret_that_others_may_read_is_refused_T_54(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "seal.key"
    create_secret(path, b"x")
    path.chmod(mode)
    with pytest.raises(StartRefused, match="chmod 600"):
        read_secret(path)


def test_lines_are_found_by_key_and_by_nearest_table() -> None:
    text = (
        '# c\nissuer = "x"\n\n[trust_domains."example.org"]\nsource = "file"\n[[rule]]\nid = "a"\n[[rule]]\nid = "b"\n'
    )
    assert line_of(text, ("issuer",)) == 2
    assert line_of(text, ("trust_domains", "example.org", "source")) == 5
    assert line_of(text, ("trust_domains", "example.org", "path")) == 4
    assert line_of(text, ("rule", 1, "id")) == 9
    assert line_of(text, ("nowhere",)) is None
