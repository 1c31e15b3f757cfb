"""A file that a caller sends in chunks: kept aside until all of it is there, and hashed."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import BinaryIO, cast

from authority.domain.errors import InvalidRequest

FILE_BYTES_MAX = 64 * 1024 * 1024
CHUNK_BYTES_MAX = 1024 * 1024
# What is larger is on disk.
_MEMORY_BYTES_MAX = 4 * 1024 * 1024


class Upload:
    """What has come so far."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self._hash = hashlib.sha256()
        self._size = 0

    async def write(self, chunk: bytes) -> None:
        """Add a chunk. Raises InvalidRequest for what is too much."""
        self._size += len(chunk)
        if len(chunk) > CHUNK_BYTES_MAX:
            raise InvalidRequest.of("chunk", f"must be at most {CHUNK_BYTES_MAX} bytes")
        if self._size > FILE_BYTES_MAX:
            raise InvalidRequest.of(
                "chunk", f"a file may have {FILE_BYTES_MAX} bytes; export fewer days at a time"
            )
        await asyncio.to_thread(self._write, chunk)

    @property
    def sha256(self) -> bytes:
        """The hash of what has come."""
        return self._hash.digest()

    def _write(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        self.file.write(chunk)


@asynccontextmanager
async def upload() -> AsyncIterator[Upload]:
    """Keep a file for the length of a block."""
    file = tempfile.SpooledTemporaryFile(max_size=_MEMORY_BYTES_MAX)  # noqa: SIM115  # Below.
    try:
        yield Upload(cast("BinaryIO", file))
    finally:
        await asyncio.to_thread(file.close)
