"""Vectors by OpenAI, for money: each call has its price, whoever is served by it.

A look-up waits no longer for vectors than the generation that they may save is worth: a call is
made once, with little patience, and without its answer the stages that need it are skipped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import openai

from generations.catalogue import Catalogue
from generations.pricing import price_embedding
from similarity.embedders.base import Embedded, EmbedderFailed
from similarity.vectors import unit

if TYPE_CHECKING:
    from openai.types import CreateEmbeddingResponse

MODEL = "text-embedding-3-small"
# Its vectors can be cut short. Fewer numbers are compared faster, and they find candidates alone.
DIMENSIONS = 512
SECONDS_MAX = 2.0
# Below the tokens that it takes at most, however few bytes a token has.
_BYTES_MAX = 8_000


class OpenAIEmbedder:
    """Asks OpenAI, or who speaks its wire at another base URL."""

    def __init__(
        self, catalogue: Catalogue, key: str, base_url: str, *, seconds_max: float = SECONDS_MAX
    ) -> None:
        self.name = f"{MODEL}-{DIMENSIONS}"
        self.dimensions = DIMENSIONS
        self._model = catalogue.embedding(MODEL)
        self._seconds_max = seconds_max
        self._client = openai.AsyncOpenAI(
            api_key=key, base_url=base_url, max_retries=0, timeout=seconds_max
        )

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """Return the vectors of some texts, and what OpenAI bills for them. Raises EmbedderFailed.

        A long text is cut. What was sent and not answered is presumed to be billed.
        """
        if not all(text.strip() for text in texts):
            raise EmbedderFailed(f"{self.name} can't embed the text: it is empty")
        sent = [_cut(text) for text in texts]
        presumed = price_embedding(self._model, sent)
        try:
            async with asyncio.timeout(self._seconds_max):
                answer = await self._client.embeddings.create(
                    model=MODEL, input=sent, dimensions=DIMENSIONS, encoding_format="float"
                )
        except openai.APIStatusError as error:
            raise EmbedderFailed(f"{self.name} answered {error.status_code}") from error
        except (openai.APIConnectionError, TimeoutError) as error:
            cause = type(error.__cause__ or error).__name__
            # Whether it had been sent when it broke is not worth finding out.
            raise EmbedderFailed(
                f"{self.name} did not answer: {cause}", cost_micros=presumed
            ) from error
        except (openai.APIError, ValueError, TypeError, AttributeError) as error:
            message = f"{self.name} can't be read: {type(error).__name__}"
            raise EmbedderFailed(message, cost_micros=presumed) from error
        return self._read(answer, sent, presumed)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _read(
        self, answer: CreateEmbeddingResponse, sent: Sequence[str], presumed: int
    ) -> Embedded:
        """Return what was answered, which the SDK does not check. Raises EmbedderFailed."""
        cost = presumed
        try:
            tokens = answer.usage.prompt_tokens
            if type(tokens) is int and tokens >= 0:
                cost = price_embedding(self._model, sent, tokens)
            found = {item.index: unit(np.array(item.embedding)) for item in answer.data}
            vectors = [found[index] for index in range(len(sent))]
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            message = f"{self.name} can't be read: {type(error).__name__}"
            raise EmbedderFailed(message, cost_micros=cost) from error
        if len(found) != len(sent) or any(vector.shape != (DIMENSIONS,) for vector in vectors):
            message = f"{self.name} answered other vectors than it was asked for"
            raise EmbedderFailed(message, cost_micros=cost)
        return Embedded(vectors, cost)


def _cut(text: str) -> str:
    """Return as much of a text as is taken, in whole characters."""
    return text.encode("utf-8", "ignore")[:_BYTES_MAX].decode("utf-8", "ignore")
