"""A data directory has one owner, and its private files are private."""

from __future__ import annotations

import os
import stat

import pytest

from authority.embedded import (
    DataDirectory,
    DataDirectoryError,
    DataDirectoryInUse,
    EmbeddedPostgres,
    write_private,
)
from authority.embedded.directory import kept_password


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_second_owner_is_refused_by_name(tmp_path):
    with DataDirectory(tmp_path) as first, pytest.raises(DataDirectoryInUse) as refused:
        DataDirectory(tmp_path).acquire()
    assert refused.value.pid == os.getpid()
    assert str(first.path) in str(refused.value)


def test_a_released_directory_can_be_locked_again(tmp_path):
    with DataDirectory(tmp_path) as directory:
        assert directory.held
    assert not directory.held
    with DataDirectory(tmp_path):
        pass


def test_the_lock_is_not_inherited(tmp_path):
    with DataDirectory(tmp_path) as directory:
        assert not os.get_inheritable(directory._lock)


def test_one_directory_by_two_names_is_one(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with DataDirectory(tmp_path / "real"), pytest.raises(DataDirectoryInUse):
        DataDirectory(tmp_path / "link").acquire()


def test_missing_parents_are_made_and_closed_to_readers(tmp_path):
    with DataDirectory(tmp_path / "one" / "two") as directory:
        for made in (directory.path, directory.path.parent):
            assert mode(made) & 0o066 == 0


def test_a_directory_that_cannot_be_made_says_why(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataDirectoryError, match="Not a directory"):
        DataDirectory(tmp_path / "file" / "data").acquire()


async def test_a_path_too_long_for_a_socket_is_refused_before_anything_is_made(tmp_path):
    directory = tmp_path / ("x" * 100)
    with pytest.raises(DataDirectoryError, match=r"Unix socket .* 103.*bytes shorter"):
        await EmbeddedPostgres(directory).start()
    assert not directory.exists()


def test_a_private_file_is_private_whatever_was_there(tmp_path):
    path = tmp_path / "state"
    for planted in (path, tmp_path / "state.partial"):
        planted.touch()
        planted.chmod(0o666)
    write_private(path, "secret")
    assert (path.read_text(), mode(path)) == ("secret", 0o600)
    assert [file.name for file in tmp_path.iterdir()] == ["state"]


def test_a_password_is_made_once(tmp_path):
    password = kept_password(tmp_path / "password")
    assert len(password) >= 32
    assert kept_password(tmp_path / "password") == password
    assert mode(tmp_path / "password") == 0o600
