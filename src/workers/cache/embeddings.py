"""Vectors of prompts for look-ups and for entries: what fails or takes too long is gone without."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

import structlog

from similarity.embedders.base import Embedder, EmbedderFailed
from similarity.embedders.minilm import minilm
from similarity.embedders.wordllama import wordllama
from similarity.guard import read
from similarity.normalise import normalise
from similarity.vectors import Vector

# A vector from weights in this process takes a tenth of a millisecond, or five.
LOCAL_S_MAX = 0.05
REMOTE_S_MAX = 2.0
# What is made after a look-up is kept by the same vector.
_KEPT_MAX = 512

# Books what a vector has cost: the account, what it was for, and micros.
Book = Callable[[str, str, int], Awaitable[None]]

_LOCAL: Mapping[str, Callable[[], Embedder]] = MappingProxyType(
    {"wordllama": wordllama, "minilm": minilm}
)

log = structlog.get_logger(__name__)


class Skipped(Exception):
    """A stage can't be tried; `reason` is a word for the counters."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Embeddings:
    """Makes vectors with an embedder, or says why there are none.

    `book` is given where they cost something.
    """

    def __init__(
        self, embedder: Embedder | None, *, seconds_max: float, book: Book | None = None
    ) -> None:
        self._embedder = embedder
        self._seconds_max = seconds_max
        self._book = book
        self._kept: OrderedDict[str, Vector] = OrderedDict()

    @property
    def name(self) -> str:
        """Whose vectors they are; '' if there are none."""
        return "" if self._embedder is None else self._embedder.name

    @property
    def is_free(self) -> bool:
        """Whether vectors cost nothing."""
        return self._book is None

    async def warm_up(self) -> None:
        """Load what is loaded at the first use, which takes longer than a look-up may."""
        await asyncio.to_thread(read, "a lighthouse")
        if self._embedder is not None and self.is_free:
            try:
                await self._embedder.embed(["a lighthouse"])
            except EmbedderFailed as error:
                log.warning("embedder_missing", embedder=self.name, reason=str(error))

    async def aclose(self) -> None:
        """Close what is open."""
        if self._embedder is not None:
            await self._embedder.aclose()

    async def vector(self, account: str, purpose: str, prompt: str) -> Vector:
        """Return the vector of a prompt, which is normalised first. Raises Skipped."""
        if self._embedder is None:
            raise Skipped("no_embedder")
        text = normalise(prompt)
        if not text:
            raise Skipped("no_text")
        if text in self._kept:
            self._kept.move_to_end(text)
            return self._kept[text]
        vector = await self._made(self._embedder, account, purpose, text)
        self._kept[text] = vector
        if len(self._kept) > _KEPT_MAX:
            self._kept.popitem(last=False)
        return vector

    async def _made(self, embedder: Embedder, account: str, purpose: str, text: str) -> Vector:
        cost_micros = 0
        try:
            async with asyncio.timeout(self._seconds_max):
                (vector,), cost_micros = await embedder.embed([text])
        except TimeoutError:
            log.warning("embedder_slow", embedder=embedder.name, seconds_max=self._seconds_max)
            raise Skipped("embedder_slow") from None
        except EmbedderFailed as error:
            cost_micros = error.cost_micros
            log.warning("embedder_failed", embedder=embedder.name, reason=str(error))
            raise Skipped("embedder_failed") from error
        except Exception as error:
            log.exception("embedder_failed", embedder=embedder.name)
            raise Skipped("embedder_failed") from error
        finally:
            if cost_micros and self._book is not None:
                await self._book(account, purpose, cost_micros)
        return vector


def make_embeddings(name: str) -> Embeddings:
    """Return the embeddings of a setting, by its name; `none` has none."""
    embedder = _LOCAL[name]() if name in _LOCAL else None
    return Embeddings(embedder, seconds_max=LOCAL_S_MAX)
