"""A secret in a file: replaced as a whole, for its owner alone, never through a link."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from bridge.files.kept_secret import NotReplaceable, replace_secret, require_replaceable


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_secret_is_made_and_replaced_with_rights_0600_t_54(tmp_path: Path) -> None:
    file = tmp_path / "token"
    require_replaceable(file)
    assert names(tmp_path) == []
    former = os.umask(0)
    try:
        replace_secret(file, b"one")
        assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"one", 0o600)
        file.chmod(0o644)
        require_replaceable(file)
        assert file.read_bytes() == b"one"
        replace_secret(file, b"two")
    finally:
        os.umask(former)
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"two", 0o600)
    assert names(tmp_path) == ["token"]


def test_whoever_has_the_old_one_open_reads_it_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "token"
    replace_secret(file, b"one")
    with file.open("rb") as reader:
        replace_secret(file, b"two")
        assert reader.read() == b"one"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("file", None),
        ("new", None),
        ("link", "is a link"),
        ("dangling", "is a link"),
        ("folder", "is a directory"),
        ("pipe", "is no plain file"),
        ("none/token", "there is no directory"),
        ("file/token", "Not a directory"),
    ],
)
def test_only_a_plain_file_in_a_folder_can_be_replaced(tmp_path: Path, name: str, words: str | None) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("nothing")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    before = names(tmp_path)
    if words is None:
        require_replaceable(tmp_path / name)
    else:
        with pytest.raises(NotReplaceable, match=words):
            require_replaceable(tmp_path / name)
    assert (names(tmp_path), (tmp_path / "file").read_text()) == (before, "kept")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_one_may_not_write_in_is_found_beforehand(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(NotReplaceable, match="cannot write in"):
            require_replaceable(tmp_path / "token")
    finally:
        tmp_path.chmod(0o700)
    require_replaceable(tmp_path / "token")


def test_a_link_that_appears_later_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("not ours")
    (tmp_path / "token").symlink_to("other")
    replace_secret(tmp_path / "token", b"new")
    assert not (tmp_path / "token").is_symlink()
    assert ((tmp_path / "token").read_bytes(), (tmp_path / "other").read_text()) == (b"new", "not ours")


def test_a_replacement_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "token").mkdir()
    with pytest.raises(IsADirectoryError):
        replace_secret(tmp_path / "token", b"new")
    assert names(tmp_path) == ["token"]
