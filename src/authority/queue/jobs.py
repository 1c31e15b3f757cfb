"""Wakes workers up through the queue, and reads their signs of life."""

from __future__ import annotations

import asyncio

import structlog
from arq.connections import ArqRedis
from redis.exceptions import RedisError

from authority.domain.generations import Generation
from generations.beats import Beat, read_beats
from generations.models import Kind
from generations.queue import enqueue, open_pool
from generations.settings import Priority

# A caller does not wait longer for the queue: its row is written, and the reconciler does the rest.
_ENQUEUE_SECONDS = 1.0
_READ_SECONDS = 1.0

log = structlog.get_logger(__name__)


class QueuedJobs:
    """Implements `domain.generations.Jobs`. The pool is opened when it is first needed."""

    def __init__(self, redis_url: str) -> None:
        self._redis_url = redis_url
        self._pool: ArqRedis | None = None
        self._opening = asyncio.Lock()

    async def enqueue(self, generation: Generation) -> None:
        """Put the generation's job into its queue, if the queue can be reached; never raises."""
        generation_id = generation.generation_id
        try:
            async with asyncio.timeout(_ENQUEUE_SECONDS):
                pool = await self._opened()
                kind = Kind(str(generation.request["kind"]))
                priority = Priority(str(generation.request["priority"]))
                number = generation.requeue_number
                await enqueue(
                    pool, generation_id, number, kind, priority, since=generation.create_time
                )
        except (RedisError, OSError) as error:
            # TimeoutError is an OSError.
            log.warning("job_postponed", generation_id=generation_id, reason=type(error).__name__)

    async def beats(self) -> list[Beat]:
        """Return the last beat of every worker alive; none if the queue can't be reached."""
        try:
            async with asyncio.timeout(_READ_SECONDS):
                return await read_beats(await self._opened())
        except (RedisError, OSError):
            return []

    async def aclose(self) -> None:
        """Close the pool."""
        if self._pool is not None:
            await self._pool.aclose(close_connection_pool=True)

    async def _opened(self) -> ArqRedis:
        async with self._opening:
            if self._pool is None:
                self._pool = await open_pool(self._redis_url)
            return self._pool
