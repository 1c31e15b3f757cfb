"""Where the files that were made are kept, each written once and never changed.

A key is `{tenant}/{yyyy}/{mm}/{uuid}/{number}.{extension}`, from the generation's id and the time
it was created, so that storing again after a crash finds what is there. Files appear whole or not
at all. What they are and their hash is the database's to remember.

    ArtifactError
    ├── BadLocation       the store can't be there; a setting is wrong
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
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore

CHUNK_BYTES = 256 * 1024

# Only the owner may enter the folders, and so nobody else can reach the files in them.
_FOLDER_MODE = 0o700
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
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


class BadLocation(ArtifactError):
    """The store can't be where the settings say."""


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
    """Files in a folder of the local file system, which is made if it is missing."""

    def __init__(self, location: str) -> None:
        """Open the store at a folder's path or `file://` URL. Raises BadLocation."""
        self._folder = _folder(location)
        try:
            self._folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            self._store = LocalStore(self._folder)
        except (OSError, BaseError) as error:
            raise BadLocation(
                f"Artifacts can't be stored in {self._folder}: {_problem(error)}. "
                "Choose a folder that this process may write to."
            ) from None

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
        try:
            await self._store.put_async(path, content, mode="create")
        except AlreadyExistsError:
            if await self._sha256(path) != sha256:
                raise ArtifactConflict(
                    f"Another file is stored as {path} already, and files are never replaced."
                ) from None
        except (OSError, BaseError) as error:
            raise StoreFailed(f"{path} could not be written: {_problem(error)}.") from error
        return stored

    async def get(self, path: str) -> AsyncIterator[bytes]:
        """Read a file in pieces of up to about CHUNK_BYTES.

        Raises ArtifactMissing, before the first piece, and StoreFailed.
        """
        if not all(_PART.fullmatch(part) for part in path.split("/")):
            raise ArtifactMissing(f"There is no artifact {path!r}.")
        try:
            found = await self._store.get_async(path)
            async for chunk in found.stream(CHUNK_BYTES):
                yield bytes(chunk)
        except FileNotFoundError:
            raise ArtifactMissing(f"There is no artifact {path!r}.") from None
        except (OSError, BaseError) as error:
            raise StoreFailed(f"{path} could not be read: {_problem(error)}.") from error

    def _prepare(self, tenant: str, content: bytes) -> str:
        """Make the tenant's folder, which nobody else may enter, and return the hash."""
        try:
            (self._folder / tenant).mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreFailed(f"No folder for {tenant}: {_problem(error)}.") from error
        return hashlib.sha256(content).hexdigest()

    async def _sha256(self, path: str) -> str:
        digest = hashlib.sha256()
        async for chunk in self.get(path):
            digest.update(chunk)
        return digest.hexdigest()


def _folder(location: str) -> Path:
    """Return the folder that a setting means, as an absolute path. Raises BadLocation."""
    scheme = _SCHEME.match(location)
    if scheme is None:
        if not location.strip() or "\0" in location:
            raise BadLocation("The location of artifacts is empty; give a folder.")
        return Path(location).expanduser().absolute()
    if scheme[1].lower() != "file":
        raise BadLocation(
            f"Artifacts can't be stored by {scheme[1]}: yet; give a folder, or file:///its/path."
        )
    parts = urlsplit(location)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise BadLocation("The URL of artifacts names no local folder; it looks like file:///path.")
    return Path(unquote(parts.path))


def _path(tenant: str, generation_id: str, index: int, media_type: str, created: datetime) -> str:
    owner, _, name = generation_id.partition("/")
    if owner != tenant or not _PART.fullmatch(tenant) or not _PART.fullmatch(name):
        raise ValueError(f"{generation_id[:80]!r} is no id of a generation of {tenant[:80]!r}.")
    assert index >= 0, "files are counted from 0"
    extension = _EXTENSIONS.get(media_type.partition(";")[0].strip().lower(), "bin")
    return f"{tenant}/{created:%Y/%m}/{name}/{index}.{extension}"


def _problem(error: BaseException) -> str:
    """Return what the system says, without what obstore adds for those who debug it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).partition("\n")[0]
