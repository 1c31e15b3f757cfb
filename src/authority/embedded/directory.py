"""A data directory that one process owns at a time, and the private files in it."""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

from authority.embedded.errors import DataDirectoryError, DataDirectoryInUse

_PASSWORD_BYTES = 24
# A server that root starts under another account has to pass through the directory, not to list it.
_MODE_FOR_ROOT = 0o711
_MODE = 0o700


class DataDirectory:
    """A directory and the exclusive lock on its file `lock`, in which the owner's pid stands.

    The kernel takes the lock away when the owner dies, however it dies, so a lock is never stale.
    Servers do not inherit it: they may outlive their owner, and the next owner must find them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self._lock: int | None = None

    @property
    def held(self) -> bool:
        """Say whether this object holds the lock."""
        return self._lock is not None

    def acquire(self) -> None:
        """Make the directory where there is none, and lock it.

        Raises DataDirectoryInUse when another process (or another object of this one) holds it,
        and DataDirectoryError when it cannot be made or written.
        """
        assert self._lock is None, "this object holds the lock already"
        try:
            make_directory(self.path)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DataDirectoryError(
                self.path,
                f"The data directory {self.path} cannot be used: {error.strerror}"
                f" ({error.filename}). Choose one that this user may write.",
            ) from error
        try:
            self._take(lock)
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock

    def release(self) -> None:
        """Give the lock back. The file stays: to remove it would let two owners lock two files."""
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def _take(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(lock, 20).strip()
            raise DataDirectoryInUse(self.path, int(owner) if owner.isdigit() else None) from None
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())


def make_directory(path: Path) -> None:
    """Make a directory and its missing parents, open to no other account than is needed.

    Root's servers run under another account, so each directory that root makes, and `path` itself,
    can be entered, but not listed, by every account.
    """
    root = os.geteuid() == 0
    for directory in reversed((path, *path.parents)):
        if not directory.exists():
            directory.mkdir(exist_ok=True)
            directory.chmod(_MODE_FOR_ROOT if root else _MODE)
    if root:
        path.chmod(path.stat().st_mode & 0o7777 | 0o011)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read; a reader sees the old text or the new one."""
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def kept_password(path: Path) -> str:
    """Return the password kept in a file, which is made with a new one the first time."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        password = secrets.token_urlsafe(_PASSWORD_BYTES)
        write_private(path, password + "\n")
        return password
