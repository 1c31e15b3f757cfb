"""Where the files that were made are kept, each written once and never changed.

A key is `{tenant}/{yyyy}/{mm}/{uuid}/{number}.{extension}`, from the generation's id and the time
it was created, so that storing again after a crash finds what is there. Files appear whole or not
at all. What they are and their hash is the database's to remember.

    ArtifactError
    ├── ArtifactMissing   nothing has that path
    ├── ArtifactConflict  something else is stored there already
    └── StoreFailed       the store could not read or write; trying again may help
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, S3Store

from generations.artifact_locations import FOLDER_MODE, BadLocation, open_store, problem_of

if TYPE_CHECKING:
    from obstore import GetOptions  # It is in the stubs alone.

CHUNK_BYTES = 256 * 1024

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_EXTENSIONS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/svg+xml": "svg",
    "video/mp4": "mp4",
    "text/plain": "txt",
    "application/json": "json",
}


class ArtifactError(Exception):
    """The root of the tree."""


class ArtifactMissing(ArtifactError):
    """Nothing has that path."""


class ArtifactConflict(ArtifactError):
    """Something else is stored there already."""


class StoreFailed(ArtifactError):
    """The store could not read or write."""


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """What was stored: its path in the store, its size, its SHA-256 in lower-case hexadecimal."""

    path: str
    size_bytes: int
    sha256: str


class ArtifactStore:
    """Files in a folder of the local file system, or in a bucket."""

    def __init__(self, location: str) -> None:
        """Open the store at a location, as `open_store` reads it. Raises BadLocation."""
        self._store = open_store(location)

    @classmethod
    async def open(cls, location: str) -> Self:
        """Open the store, and find out whether a bucket is there. Raises BadLocation."""
        store = await asyncio.to_thread(cls, location)
        if not isinstance(store._store, LocalStore):  # noqa: SLF001  # It is of this class.
            await _check_bucket(store._store)  # noqa: SLF001
        return store

    @property
    def folder(self) -> Path | None:
        """The folder that it is in; None for a bucket."""
        store = self._store
        return Path(store.prefix) if isinstance(store, LocalStore) and store.prefix else None

    async def put(
        self,
        tenant: str,
        generation_id: str,
        index: int,
        content: bytes,
        media_type: str,
        created: datetime,
    ) -> StoredArtifact:
        """Store file number `index` of a generation; storing the same again changes nothing.

        `created` is the generation's time of creation, the same in every attempt. Raises
        ValueError for an id that is not the tenant's, ArtifactConflict and StoreFailed. A process
        that dies in here leaves the file whole or not there.
        """
        path = _path(tenant, generation_id, index, media_type, created)
        sha256 = await asyncio.to_thread(self._prepare, tenant, content)
        stored = StoredArtifact(path, len(content), sha256)
        # Who is given a signed URL gets the type from the bucket; a file system keeps none.
        is_local = isinstance(self._store, LocalStore)
        attributes = None if is_local else {"Content-Type": media_type}
        try:
            await obstore.put_async(
                self._store, path, content, mode="create", attributes=attributes
            )
        except AlreadyExistsError:
            if await self._sha256(path) != sha256:
                raise ArtifactConflict(
                    f"Another file is stored as {path} already, and files are never replaced."
                ) from None
        except (OSError, BaseError) as error:
            raise StoreFailed(f"{path} could not be written: {problem_of(error)}.") from error
        return stored

    async def get(self, path: str, part: tuple[int, int] | None = None) -> AsyncIterator[bytes]:
        """Read a file in pieces of up to CHUNK_BYTES, or a part of it, `[first, end)`.

        Raises ArtifactMissing, before the first piece, and StoreFailed.
        """
        if not all(_PART.fullmatch(part) for part in path.split("/")):
            raise ArtifactMissing(f"There is no artifact {path!r}.")
        try:
            options: GetOptions | None = {"range": part} if part else None
            found = await obstore.get_async(self._store, path, options=options)
            async for chunk in found.stream(CHUNK_BYTES):
                # What a bucket sends at once is of any length.
                piece = memoryview(chunk)
                for start in range(0, len(piece), CHUNK_BYTES):
                    yield bytes(piece[start : start + CHUNK_BYTES])
        except FileNotFoundError:
            raise ArtifactMissing(f"There is no artifact {path!r}.") from None
        except (OSError, BaseError) as error:
            raise StoreFailed(f"{path} could not be read: {problem_of(error)}.") from error

    async def sign(self, path: str, life: timedelta) -> str | None:
        """Return a URL by which anybody may read a file for some time; None in a folder.

        Raises StoreFailed. Nothing is asked of the bucket: the file may be missing.
        """
        if isinstance(self._store, LocalStore):
            return None
        try:
            return await obstore.sign_async(self._store, "GET", path, life)
        except BaseError as error:
            raise StoreFailed(f"{path} could not be signed: {problem_of(error)}.") from error

    async def delete(self, path: str) -> None:
        """Delete a file; one that is not there is deleted already. Raises StoreFailed."""
        try:
            await obstore.delete_async(self._store, path)
        except FileNotFoundError:
            pass
        except (OSError, BaseError) as error:
            raise StoreFailed(f"{path} could not be deleted: {problem_of(error)}.") from error

    def _prepare(self, tenant: str, content: bytes) -> str:
        """Make the tenant's folder, which nobody else may enter, and return the hash."""
        if isinstance(self._store, LocalStore):
            assert self._store.prefix is not None, "the folder that it was opened at"
            folder = Path(self._store.prefix) / tenant
            try:
                folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            except OSError as error:
                raise StoreFailed(f"No folder for {tenant}: {problem_of(error)}.") from error
        return hashlib.sha256(content).hexdigest()

    async def _sha256(self, path: str) -> str:
        digest = hashlib.sha256()
        async for chunk in self.get(path):
            digest.update(chunk)
        return digest.hexdigest()


async def _check_bucket(bucket: S3Store) -> None:
    """Find out whether it is there and may be read. Raises BadLocation."""
    try:
        async for _ in obstore.list(bucket, chunk_size=1):
            break
    except (OSError, BaseError) as error:
        raise BadLocation(
            f"The bucket of artifacts can't be read: {problem_of(error)}. Check that it exists, "
            "AWS_ENDPOINT_URL, AWS_REGION, and what AWS_ACCESS_KEY_ID may do."
        ) from None


def _path(tenant: str, generation_id: str, index: int, media_type: str, created: datetime) -> str:
    owner, _, name = generation_id.partition("/")
    if owner != tenant or not _PART.fullmatch(tenant) or not _PART.fullmatch(name):
        raise ValueError(f"{generation_id[:80]!r} is no id of a generation of {tenant[:80]!r}.")
    assert index >= 0, "files are counted from 0"
    extension = _EXTENSIONS.get(media_type.partition(";")[0].strip().lower(), "bin")
    return f"{tenant}/{created:%Y/%m}/{name}/{index}.{extension}"
