"""arq's worker, made safe for money.

As it comes, arq notices a dead worker only after the longest timeout of any job, loses a slot for
good when Redis fails at the wrong moment, and ends when Redis is away. Here a claim in Redis is a
short lease that is renewed. It guards against wasted work and no more: the claim that counts is the
one in Postgres.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from signal import Signals
from typing import Any

import structlog
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix
from arq.utils import poll, timestamp_ms
from arq.worker import Retry, Worker, func
from redis.exceptions import RedisError

from generations.models import Kind
from generations.queue import (
    FUNCTION_NAME,
    JOB_EXPIRY,
    deserialize,
    queue_name,
    serialize,
)

# Dead workers are noticed by the lease; this only bounds what hangs for good.
JOB_TIMEOUT_S = 3600
POLL_S = 0.1
KEEP_RESULT_S = 60
# More than one: running jobs stand in the queue too, and must not hide those that wait.
READ_LIMIT = 1000
# Tries are counted in Postgres, by what they cost. arq would count a killed worker as one.
TRIES_MAX = 1_000_000

# Given a generation's id; returns the seconds until the job is to run again, None if it has ended.
RunGeneration = Callable[[str], Awaitable[float | None]]

log = structlog.get_logger(__name__)


class BudgetWorker(Worker):
    """Runs the jobs of one kind's queue. It has no hooks: one that raises would end it."""

    def __init__(
        self,
        run: RunGeneration,
        kind: Kind,
        *,
        redis: ArqRedis,
        name: str,
        slots: int,
        lease_s: float,
        completion_wait_s: int,
    ) -> None:
        async def run_generation(ctx: dict[Any, Any], *ids: Any, **_: Any) -> None:  # noqa: ARG001
            (generation_id,) = ids
            again_s = await run(generation_id)
            if again_s is not None:
                raise Retry(defer=again_s)

        super().__init__(
            [func(run_generation, name=FUNCTION_NAME)],
            queue_name=queue_name(kind),
            redis_pool=redis,
            job_serializer=serialize,
            job_deserializer=deserialize,
            handle_signals=False,
            max_jobs=slots,
            job_timeout=JOB_TIMEOUT_S,
            job_completion_wait=completion_wait_s,
            keep_result=KEEP_RESULT_S,
            log_results=False,
            max_tries=TRIES_MAX,
            poll_delay=POLL_S,
            queue_read_limit=READ_LIMIT,
            expires_extra_ms=int(JOB_EXPIRY.total_seconds() * 1000),
            # arq's own key is one for all workers, which the first to end would delete.
            health_check_key=f"{queue_name(kind)}:health:{name}",
        )
        self._lease_ms = int(lease_s * 1000)
        self._name = name

    async def run_until_stopped(self) -> None:
        """Work until `stop`, and let go of what is left. Raises what ends arq's loop."""
        try:
            with suppress(asyncio.CancelledError):
                await self.async_run()
        finally:
            # Not by arq's `close`, which would close the pool that others use too.
            for task in self.tasks.values():
                task.cancel()
            for task in self.tasks.values():
                # A job whose end could not be recorded runs again.
                with suppress(RedisError, OSError, asyncio.CancelledError):
                    await task
            with suppress(RedisError, OSError):
                await self.pool.delete(self.health_check_key)

    def stop(self, number: Signals) -> None:
        """Take no more jobs, and end once those at work have; at the second call end at once."""
        if self.allow_pick_jobs:
            self.handle_sig_wait_for_completion(number)
        else:
            self.handle_sig(number)

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Claim and start jobs that nobody runs, as long as there are free slots."""
        if not job_ids:
            return
        names = [job_id.decode() for job_id in job_ids]
        # One command for all: asking for each would be most of the traffic while long jobs run.
        claims = await self.pool.mget([in_progress_key_prefix + name for name in names])
        for name, claim in zip(names, claims, strict=True):
            if self.job_counter >= self.max_jobs:
                return
            if claim is None and name not in self.tasks:
                await self._start(name)

    async def renew_leases(self) -> None:
        """Keep the claims on running jobs alive. Raises redis errors."""
        async with self.pool.pipeline(transaction=False) as pipeline:
            for name in list(self.job_tasks):
                pipeline.pexpire(in_progress_key_prefix + name, self._lease_ms, xx=True)
            await pipeline.execute()

    async def _start(self, name: str) -> None:
        key = in_progress_key_prefix + name
        if not await self.pool.set(key, self._name, nx=True, px=self._lease_ms):
            return
        score = await self.pool.zscore(self.queue_name, name)
        if score is None or score > timestamp_ms():
            # It was finished or put off by another worker since the queue was read.
            await self.pool.delete(key)
            return
        # Nothing below can fail, so that a slot that is taken is always given back.
        self.job_counter += 1
        task = self.loop.create_task(self.run_job(name, int(score)))
        task.add_done_callback(self._give_slot_back)
        self.tasks[name] = task

    def _give_slot_back(self, _task: asyncio.Task[Any]) -> None:
        self.job_counter -= 1

    async def main(self) -> None:
        """Poll until cancelled.

        arq's own asks Redis for its version first, only to log it, and ends if Redis goes then.
        """
        async for _ in poll(self.poll_delay_s):
            await self._poll_iteration()

    async def _poll_iteration(self) -> None:
        try:
            await super()._poll_iteration()
        except (RedisError, OSError) as error:
            # Jobs under way go on; those that ended are finished when their lease has passed.
            log.warning("queue_unavailable", reason=type(error).__name__)
