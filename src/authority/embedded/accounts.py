"""The unprivileged account that root runs Postgres under, and what that account can reach."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path
from typing import NamedTuple

from authority.embedded.errors import NoServiceAccount

_NAMES = ("nobody", "daemon")


class Account(NamedTuple):
    """A system account."""

    name: str
    uid: int
    gid: int


def service_account(data: Path) -> Account | None:
    """Return the account to run Postgres under, or None where this process's own will do.

    Data that has an owner keeps it, so that what a plain user made stays usable by that user.
    Raises NoServiceAccount.
    """
    if os.geteuid() != 0:
        return None
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return Account(_name(owner.st_uid), owner.st_uid, owner.st_gid)
    for name in _NAMES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise NoServiceAccount(_NAMES)


def give(path: Path, account: Account) -> None:
    """Make a file, or a directory with all that is in it, the account's own."""
    for directory, _, files in os.walk(path):
        for name in (".", *files):
            os.chown(Path(directory, name), account.uid, account.gid, follow_symlinks=False)
    if not path.is_dir():
        os.chown(path, account.uid, account.gid)


def first_closed(path: Path, account: Account) -> Path | None:
    """Return the first of a directory and its parents, from the root on, that is closed to it."""
    for directory in reversed((path, *path.parents)):
        if not may_execute(directory, account):
            return directory
    return None


def may_execute(path: Path, account: Account) -> bool:
    """Say whether the mode of a file or directory lets the account run or enter it."""
    status = path.stat()
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
