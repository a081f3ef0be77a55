"""A file in the place of another: the same owner and rights, all or nothing."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

import pytest

from bridge.files.replacing import ChangedMeanwhile, replace_file

OLD, NEW = b"# kept\r\n\xc3\xa4 = 1", b"# another\r\n\xc3\xa4 = 2"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "bridge.toml"
    path.write_bytes(OLD)
    return path


def only(path: Path) -> bool:
    """Whether nothing else was left beside it."""
    return list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_the_new_content_is_there_byte_for_byte_and_the_rights_stay(file: Path, mode: int) -> None:
    file.chmod(mode)
    replace_file(file, NEW, was=OLD)
    assert file.read_bytes() == NEW
    assert stat.S_IMODE(file.stat().st_mode) == mode
    assert only(file)


def test_owner_and_group_stay(file: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give a file away")
    os.chown(file, 12, 34)
    replace_file(file, NEW, was=OLD)
    assert (file.stat().st_uid, file.stat().st_gid) == (12, 34)


def test_attributes_of_the_file_stay(file: Path) -> None:
    try:
        os.setxattr(file, "user.reviewed", b"yes")
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        pytest.skip("this file system has no such attributes")
    replace_file(file, NEW, was=OLD)
    assert os.getxattr(file, "user.reviewed") == b"yes"


def test_a_link_stays_one_and_leads_to_the_new_content(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    link = folder / "bridge.toml"
    link.symlink_to(Path("..") / file.name)
    replace_file(link, NEW, was=OLD)
    assert link.is_symlink()
    assert file.read_bytes() == NEW
    assert only(link)


def test_a_file_that_changed_since_it_was_read_is_left_alone(file: Path) -> None:
    file.write_bytes(OLD + b"c = 3\n")
    with pytest.raises(ChangedMeanwhile):
        replace_file(file, NEW, was=OLD)
    assert file.read_bytes() == OLD + b"c = 3\n"
    replace_file(file, NEW, was=OLD + b"c = 3\n")
    assert file.read_bytes() == NEW


def test_of_two_who_write_one_is_told_and_nothing_is_lost(file: Path) -> None:
    with file.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ChangedMeanwhile):
            replace_file(file, NEW, was=OLD)
        assert file.read_bytes() == OLD
    replace_file(file, NEW, was=OLD)
    with pytest.raises(ChangedMeanwhile):
        replace_file(file, NEW, was=OLD)
    assert file.read_bytes() == NEW


@pytest.mark.parametrize("call", ["fsync", "fchmod"])
def test_a_disk_or_a_system_that_says_no_leaves_the_old_file_and_nothing_beside_it(
    file: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(OSError, match="No space"):
            replace_file(file, NEW, was=OLD)
    assert file.read_bytes() == OLD
    assert only(file)
    replace_file(file, NEW, was=OLD)
    assert file.read_bytes() == NEW


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for place, words in ((pipe, "is no plain file"), (tmp_path, "is no plain file"), (tmp_path / "no", "No such file")):
        with pytest.raises(OSError, match=words):
            replace_file(place, NEW, was=b"")
