"""Listens for who enqueues, so that a worker need not poll often to begin soon.

What is said while nobody listens is lost: a worker polls besides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from generations.queue import wake_channel
from workers.worker import BudgetWorker

_RETRY_S = 1.0

log = structlog.get_logger(__name__)


class Waker:
    """Wakes the workers of a process."""

    def __init__(self, redis: Redis, workers: Iterable[BudgetWorker]) -> None:
        self._redis = redis
        self._workers = {wake_channel(worker.kind): worker for worker in workers}

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                await self._listen()
            except (RedisError, OSError) as error:
                log.warning("waking_interrupted", reason=type(error).__name__)
            await asyncio.sleep(_RETRY_S)

    async def _listen(self) -> None:
        async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.subscribe(*self._workers)
            for worker in self._workers.values():
                # There may be something since it looked last.
                worker.wake()
            async for message in pubsub.listen():
                self._workers[message["channel"].decode()].wake()
