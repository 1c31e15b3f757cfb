"""Vectors of prompts, by the embedder that workers have by default.

It is loaded only where somebody asks for suggestions: weights and NumPy are not for everybody.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from similarity.embedders.base import EmbedderFailed
from similarity.embedders.wordllama import wordllama
from similarity.normalise import normalise

log = structlog.get_logger(__name__)


class Vectors:
    """Makes vectors. `name` is the embedder's, which is a part of every scope."""

    def __init__(self) -> None:
        self._embedder = wordllama()
        self.name = self._embedder.name

    async def of(self, prompt: str) -> Sequence[float]:
        """Return the vector of a prompt; nothing if there is none, which is logged."""
        try:
            embedded = await self._embedder.embed([normalise(prompt)])
        except EmbedderFailed as error:
            log.warning("embedder_failed", embedder=self.name, reason=str(error))
            return ()
        return [float(value) for value in embedded.vectors[0]]
