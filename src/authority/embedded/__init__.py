"""Real Postgres and Valkey servers from wheels, started and stopped by their owner.

    with DataDirectory(path) as data:
        async with EmbeddedPostgres(data.path / "postgres") as postgres: ...

Each server locks its own directory too, so that one server per directory holds without the outer
lock, which is for the owner's other files.
"""

from __future__ import annotations

from authority.embedded.directory import DataDirectory, write_private
from authority.embedded.errors import (
    DataDirectoryClosed,
    DataDirectoryError,
    DataDirectoryInUse,
    DataPathTooLong,
    EmbeddedError,
    NoServiceAccount,
    PortInUse,
    ServerMissing,
    ServerStartFailed,
    ServerStuck,
)
from authority.embedded.postgres import EmbeddedPostgres
from authority.embedded.valkey import EmbeddedValkey

__all__ = [
    "DataDirectory",
    "DataDirectoryClosed",
    "DataDirectoryError",
    "DataDirectoryInUse",
    "DataPathTooLong",
    "EmbeddedError",
    "EmbeddedPostgres",
    "EmbeddedValkey",
    "NoServiceAccount",
    "PortInUse",
    "ServerMissing",
    "ServerStartFailed",
    "ServerStuck",
    "write_private",
]
