"""Temporary data directories: removed at the end, also those of commands that were killed."""

from __future__ import annotations

import tempfile

import pytest

from authority.embedded import DataDirectory
from paymaster.stack.temporary import temporary_directory


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


async def test_it_is_removed_at_the_end_unless_it_is_kept():
    async with temporary_directory(keep=False) as directory:
        (directory / "data").touch()
    assert not directory.exists()
    async with temporary_directory(keep=True) as kept:
        pass
    async with temporary_directory(keep=False):
        assert kept.exists()


async def test_what_a_killed_command_left_is_removed_but_not_what_is_in_use(home):
    left, used = home / "paymaster-demo-left", home / "paymaster-demo-used"
    with DataDirectory(left):
        (left / "data").touch()
    with DataDirectory(used):
        async with temporary_directory(keep=False):
            assert not left.exists()
            assert used.exists()


async def test_what_only_looks_like_it_is_not_touched(home):
    precious = home / "precious"
    with DataDirectory(precious):
        (precious / "data").touch()
    (home / "paymaster-demo-trap").symlink_to(precious)
    (home / "paymaster-demo-other").mkdir()
    async with temporary_directory(keep=False):
        assert (precious / "data").exists()
        assert (home / "paymaster-demo-other").exists()
