"""Files that are there only once they are whole."""

from __future__ import annotations

import hashlib
from pathlib import Path

from clients.errors import ArtifactDamaged
from clients.generation_types import Artifact
from clients.requests import new_key


class PartialFile:
    """A file on its way to `path`, beside it under a name of its own until it is finished."""

    def __init__(self, path: Path) -> None:
        """Open the file. Raises OSError."""
        self._path = path
        self._partial = path.with_name(f".{new_key()}.part")
        self._file = self._partial.open("xb")
        self._digest = hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        """Add bytes."""
        self._digest.update(chunk)
        self._file.write(chunk)

    def finish(self, artifact: Artifact) -> None:
        """Give the file its name, in place of one that may be there. Raises ArtifactDamaged."""
        self._file.close()
        if self._digest.hexdigest() != artifact.sha256:
            raise ArtifactDamaged(
                f"The bytes received of artifact {artifact.artifact_id} are not those that were "
                "stored; download it again."
            )
        self._partial.replace(self._path)

    def discard(self) -> None:
        """Remove what was not finished."""
        self._file.close()
        self._partial.unlink(missing_ok=True)
