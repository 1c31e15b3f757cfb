"""Vectors of prompts for look-ups and for entries: what fails or takes too long is gone without."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import MappingProxyType

import structlog

from clients import AuthorityClient
from generations.catalogue import Catalogue
from generations.pricing import price_embedding
from similarity.embedders.base import TEXT_LENGTH_MAX, Embedded, Embedder, EmbedderFailed
from similarity.embedders.minilm import minilm
from similarity.embedders.openai import MODEL, SECONDS_MAX, OpenAIEmbedder
from similarity.embedders.wordllama import wordllama
from similarity.guard import read
from similarity.normalise import normalise
from similarity.vectors import Vector
from workers.cache.spending import EmbeddingSpend

# A vector from weights in this process takes a tenth of a millisecond, or five.
LOCAL_S_MAX = 0.05
# What is made after a look-up is kept by the same vector.
_KEPT_MAX = 512

_LOCAL: Mapping[str, Callable[[], Embedder]] = MappingProxyType(
    {"wordllama": wordllama, "minilm": minilm}
)

log = structlog.get_logger(__name__)


class Skipped(Exception):
    """A stage can't be tried; `reason` is a word for the counters."""

    def __init__(self, reason: str, cost_micros: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.cost_micros = cost_micros


class Embeddings:
    """Makes vectors with an embedder, or says why there are none.

    `spend` is given where they cost something.
    """

    def __init__(
        self, embedder: Embedder | None, *, seconds_max: float, spend: EmbeddingSpend | None = None
    ) -> None:
        self._embedder = embedder
        self._seconds_max = seconds_max
        self._spend = spend
        self._kept: OrderedDict[str, Vector] = OrderedDict()

    @property
    def name(self) -> str:
        """Whose vectors they are; '' if there are none."""
        return "" if self._embedder is None else self._embedder.name

    @property
    def is_free(self) -> bool:
        """Whether vectors cost nothing."""
        return self._spend is None

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

    async def vector(self, account: str, generation_id: str, prompt: str) -> Vector:
        """Return the vector of a prompt, which is normalised first. Raises Skipped."""
        if self._embedder is None:
            raise Skipped("no_embedder")
        text = normalise(prompt)
        if not text:
            raise Skipped("no_text")
        if len(text) > TEXT_LENGTH_MAX:
            raise Skipped("long_text")
        if text in self._kept:
            self._kept.move_to_end(text)
            return self._kept[text]
        vector = await self._paid(self._embedder, account, generation_id, text)
        self._kept[text] = vector
        if len(self._kept) > _KEPT_MAX:
            self._kept.popitem(last=False)
        return vector

    async def _paid(
        self, embedder: Embedder, account: str, generation_id: str, text: str
    ) -> Vector:
        """Make a vector, and pay for it where it costs something. Raises Skipped."""
        if self._spend is None:
            return (await self._made(embedder, text)).vectors[0]
        reservation_id = await self._spend.hold(account, generation_id, text)
        if not reservation_id:
            raise Skipped("embedder_not_paid")
        cost_micros = 0
        try:
            made = await self._made(embedder, text)
            cost_micros = made.cost_micros
        except Skipped as skipped:
            cost_micros = skipped.cost_micros
            raise
        finally:
            await self._spend.pay(reservation_id, cost_micros)
        return made.vectors[0]

    async def _made(self, embedder: Embedder, text: str) -> Embedded:
        try:
            async with asyncio.timeout(self._seconds_max):
                return await embedder.embed([text])
        except TimeoutError:
            log.warning("embedder_slow", embedder=embedder.name, seconds_max=self._seconds_max)
            raise Skipped("embedder_slow") from None
        except EmbedderFailed as error:
            log.warning("embedder_failed", embedder=embedder.name, reason=str(error))
            raise Skipped("embedder_failed", error.cost_micros) from error
        except Exception as error:
            log.exception("embedder_failed", embedder=embedder.name)
            raise Skipped("embedder_failed") from error


def local_embeddings(name: str) -> Embeddings:
    """Return the embeddings of `wordllama` or `minilm`; by another name there are none."""
    embedder = _LOCAL[name]() if name in _LOCAL else None
    return Embeddings(embedder, seconds_max=LOCAL_S_MAX)


def openai_embeddings(
    authority: AuthorityClient, catalogue: Catalogue, key: str, base_url: str
) -> Embeddings:
    """Return the embeddings of OpenAI, which cost something."""
    model = catalogue.embedding(MODEL)
    spend = EmbeddingSpend(authority, lambda text: price_embedding(model, [text]))
    # It keeps its own time, and tells what one costs that did not come in time.
    seconds_max = SECONDS_MAX + 1
    return Embeddings(
        OpenAIEmbedder(catalogue, key, base_url), seconds_max=seconds_max, spend=spend
    )
