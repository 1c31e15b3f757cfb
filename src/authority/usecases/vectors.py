"""Vectors of prompts, by the embedder that the workers have.

It is loaded only where somebody asks for suggestions: weights and NumPy are not for everybody.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from similarity.embedders.base import TEXT_LENGTH_MAX, EmbedderFailed
from similarity.embedders.minilm import minilm
from similarity.embedders.wordllama import wordllama
from similarity.normalise import normalise

_LOCAL = {"wordllama": wordllama, "minilm": minilm}

log = structlog.get_logger(__name__)


class Vectors:
    """Makes vectors. `name` is whose they are, which is a part of every scope."""

    def __init__(self, embedder: str) -> None:
        self._embedder = _LOCAL[embedder]() if embedder in _LOCAL else None
        self.name = self._embedder.name if self._embedder else _remote_name(embedder)

    async def of(self, prompt: str) -> Sequence[float]:
        """Return the vector of a prompt; nothing if there is none, which is logged.

        One that is to be paid for is none either: nobody has allowed the spend.
        """
        text = normalise(prompt)
        if self._embedder is None or len(text) > TEXT_LENGTH_MAX:
            return ()
        try:
            embedded = await self._embedder.embed([text])
        except EmbedderFailed as error:
            log.warning("embedder_failed", embedder=self.name, reason=str(error))
            return ()
        return [float(value) for value in embedded.vectors[0]]


def _remote_name(embedder: str) -> str:
    """Return whose vectors the workers have from elsewhere; '' if they have none."""
    if embedder != "openai":
        return ""
    from similarity.embedders.openai import DIMENSIONS, MODEL  # noqa: PLC0415 - it takes a second

    return f"{MODEL}-{DIMENSIONS}"
