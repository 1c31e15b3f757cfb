"""What operators change in Redis: the order of jobs, pauses and limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from arq.connections import ArqRedis
from arq.constants import job_key_prefix
from redis.exceptions import RedisError

from authority.domain.errors import Unavailable
from authority.queue.jobs import QueuedJobs
from generations import queue_control
from generations.models import Kind
from generations.queue import enqueue, job_id, polite_key, queue_name, wake_channel
from generations.queue_control import Limit, LimitName
from generations.settings import Priority

_CHANGE_SECONDS = 1.5


class QueueLevers:
    """Implements `usecases.levers.Levers`. Every method raises Unavailable; repeating is safe."""

    def __init__(self, jobs: QueuedJobs) -> None:
        self._jobs = jobs

    async def put_first(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Move jobs that are in their queues to the front, in the order given."""
        by_kind: dict[str, list[Mapping[str, Any]]] = {}
        for row in rows:
            by_kind.setdefault(row["kind"], []).append(row)
        async with self._redis() as redis:
            for kind, group in by_kind.items():
                queue = queue_name(kind)
                head = await redis.zrange(queue, 0, 0, withscores=True)
                seconds, _ = await redis.time()
                first = min(head[0][1] if head else seconds * 1000, seconds * 1000)
                names = [job_id(row["generation_id"], row["requeue_number"]) for row in group]
                scores = {name: first - len(names) + at for at, name in enumerate(names)}
                pipeline = redis.pipeline(transaction=True)
                # A job that has ended meanwhile does not come back.
                pipeline.zadd(queue, scores, xx=True)
                pipeline.zrem(polite_key(kind), *names)
                pipeline.publish(wake_channel(kind), names[0])
                await pipeline.execute()

    async def replace(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Enqueue jobs under the names that they have now, and drop those that they had."""
        for row in rows:
            await self._enqueue(row)
        async with self._redis() as redis:
            pipeline = redis.pipeline(transaction=False)
            for row in rows:
                old = job_id(row["generation_id"], row["requeue_number"] - 1)
                pipeline.zrem(queue_name(row["kind"]), old)
                pipeline.zrem(polite_key(row["kind"]), old)
                pipeline.delete(job_key_prefix + old)
            await pipeline.execute()

    async def pause(self, target: str) -> bool:
        """Pause a queue or a provider; False if it is paused already."""
        async with self._redis() as redis:
            return await queue_control.pause(redis, target)

    async def resume(self, target: str) -> bool:
        """Undo `pause`; False if it is not paused."""
        async with self._redis() as redis:
            return await queue_control.resume(redis, target)

    async def set_limit(self, limit: Limit) -> None:
        """Let a limit hold in place of the workers' settings."""
        async with self._redis() as redis:
            await queue_control.set_limit(redis, limit)

    async def unset_limit(self, subject: str, name: LimitName) -> bool:
        """Let the workers' settings hold again; False if they do."""
        async with self._redis() as redis:
            return await queue_control.unset_limit(redis, subject, name)

    async def _enqueue(self, row: Mapping[str, Any]) -> None:
        async with self._redis() as redis:
            await enqueue(
                redis,
                row["generation_id"],
                row["requeue_number"],
                Kind(row["kind"]),
                Priority(row["priority"]),
                # So that it has the turn that it had.
                since=row["create_time"],
                run_at=row["next_try_time"],
            )

    @asynccontextmanager
    async def _redis(self) -> AsyncIterator[ArqRedis]:
        try:
            async with asyncio.timeout(_CHANGE_SECONDS):
                yield await self._jobs.opened()
        except (RedisError, OSError) as error:
            raise Unavailable(f"The queue does not answer ({type(error).__name__}).") from error
