"""Data directories that do not outlive their command, even one that was killed."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from authority.embedded import DataDirectory, DataDirectoryError
from paymaster.stack.stack import end_leftovers

_PREFIX = "paymaster-demo-"
_KEPT_PREFIX = "paymaster-kept-"


@asynccontextmanager
async def temporary_directory(*, keep: bool) -> AsyncIterator[Path]:
    """Give a new data directory, and remove it at the end unless it is to be kept.

    First removes those that a killed command has left, with what still runs in them.
    Raises StackFailed.
    """
    for left in await asyncio.to_thread(_left_behind):
        await _remove_left(left)
    directory = Path(tempfile.mkdtemp(prefix=_KEPT_PREFIX if keep else _PREFIX))
    try:
        yield directory
    finally:
        if not keep:
            await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)


def _left_behind() -> list[Path]:
    left = []
    for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # Others may write here too: nothing that only looks like ours is touched.
        with suppress(FileNotFoundError):
            status = directory.lstat()
            if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid():
                left.append(directory)
    return [directory for directory in left if (directory / "lock").exists()]


async def _remove_left(directory: Path) -> None:
    """Remove a directory that nobody uses any more. One that is in use is locked by its user."""
    with suppress(DataDirectoryError), DataDirectory(directory):
        await end_leftovers(directory)
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
