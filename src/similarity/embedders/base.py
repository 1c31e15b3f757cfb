"""What an embedder does: it turns texts into vectors, by which candidates are found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from similarity.vectors import Vector

# Longer texts take too long, hardly have a near one, and are more than some embedders take.
TEXT_LENGTH_MAX = 8_000


class EmbedderFailed(Exception):
    """There are no vectors. The stages that need one are skipped, and the generation goes on.

    `cost_micros` may have to be paid all the same.
    """

    def __init__(self, message: str, *, cost_micros: int = 0) -> None:
        super().__init__(message)
        self.cost_micros = cost_micros


class Embedded(NamedTuple):
    """The vectors of some texts, in their order, each of length 1, and what they cost."""

    vectors: list[Vector]
    cost_micros: int = 0


class Embedder(Protocol):
    """Turns texts into vectors. A text is normalised first: dress is no part of what is near.

    `name` says whose vectors they are, version included, and goes into the scope: those of two
    embedders never meet. `dimensions` is the length of each.
    """

    @property
    def name(self) -> str:
        """Whose vectors they are."""
        ...

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has."""
        ...

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """Return the vectors of some texts, without blocking the loop. Raises EmbedderFailed."""
        ...

    async def aclose(self) -> None:
        """Close what is open."""
        ...
