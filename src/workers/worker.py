"""arq's worker, made safe for money.

As it comes, arq notices a dead worker only after the longest timeout of any job, loses a slot for
good when Redis fails at the wrong moment, ends when Redis is away, and asks Redis for each running
job at each poll. Here a claim in Redis is a short lease that is renewed, and one script takes what
is to run. The claim guards against wasted work and no more: the one that counts is in Postgres.

A worker polls seldom, and is woken: by who enqueues, by a slot of its own that becomes free, and by
the time of what it has put off itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from importlib.resources import files
from signal import Signals
from typing import Any

import structlog
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix
from arq.utils import timestamp_ms
from arq.worker import Retry, Worker, func
from redis.exceptions import RedisError

from generations.models import Kind
from generations.queue import (
    BATCH_PATIENCE,
    FUNCTION_NAME,
    JOB_EXPIRY,
    deserialize,
    polite_key,
    queue_name,
    serialize,
)
from generations.queue_control import PAUSED_KEY

# Dead workers are noticed by the lease; this only bounds what hangs for good.
JOB_TIMEOUT_S = 3600
POLL_S = 0.5
# However often it is woken: what comes meanwhile is taken in one call.
WAKE_GAP_S = 0.005
# Lest the store say that it is not time yet for what was put off till now.
WAKE_LATE_S = 0.02
KEEP_RESULT_S = 60
# Tries are counted in Postgres, by what they cost. arq would count a killed worker as one.
TRIES_MAX = 1_000_000

# Given a generation's id; returns the seconds until the job is to run again, None if it has ended.
RunGeneration = Callable[[str], Awaitable[float | None]]

_CLAIM = (files("workers") / "scripts" / "claim.lua").read_text()

log = structlog.get_logger(__name__)


class BudgetWorker(Worker):
    """Runs the jobs of one kind's queue. It has no hooks: one that raises would end it.

    `name` is unlike that of any other worker ever.
    """

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
        async def run_generation(ctx: dict[Any, Any], *ids: Any, **_: Any) -> None:
            (generation_id,) = ids
            start_s = self.loop.time()
            again_s = await run(generation_id)
            if again_s is not None:
                self.loop.call_later(again_s + WAKE_LATE_S, self.wake)
                raise Retry(defer=again_s)
            log.info(
                "job_ended",
                kind=str(kind),
                generation_id=generation_id,
                runs=ctx["job_try"],
                ran_s=round(self.loop.time() - start_s, 3),
                since_enqueued_s=round((timestamp_ms() - _ms(ctx["enqueue_time"])) / 1000, 3),
            )

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
            expires_extra_ms=int(JOB_EXPIRY.total_seconds() * 1000),
        )
        self.kind = kind
        self._lease_ms = int(lease_s * 1000)
        self._name = name
        self._claim_number = 0
        self._script = redis.register_script(_CLAIM)
        self._woken = asyncio.Event()
        self._endings: set[asyncio.Task[Any]] = set()

    @property
    def is_stopping(self) -> bool:
        """Whether it takes no more jobs for good. One whose queue is paused is not."""
        return not self.allow_pick_jobs

    async def run_until_stopped(self) -> None:
        """Work until `stop`, and let go of what is left. Raises what ends arq's loop."""
        try:
            with suppress(asyncio.CancelledError):
                await self.async_run()
        finally:
            # Not by arq's `close`, which would close the pool that others use too.
            for task in self.tasks.values():
                # One that was cancelled is putting itself back, and is not to be disturbed.
                if not task.cancelling():
                    task.cancel()
            for task in self.tasks.values():
                # A job whose end could not be recorded runs again.
                with suppress(RedisError, OSError, asyncio.CancelledError):
                    await task
            # arq shields them: they outlive their jobs' tasks, but must not outlive the pool.
            for ending in list(self._endings):
                with suppress(RedisError, OSError):
                    await ending
            self.tasks.clear()

    def stop(self, number: Signals) -> None:
        """Take no more jobs, and end once those at work have; at the second call end at once."""
        if self.allow_pick_jobs:
            self.handle_sig_wait_for_completion(number)
        else:
            self.handle_sig(number)

    def wake(self) -> None:
        """Look at the queue now, in place of at the next poll."""
        self._woken.set()

    async def renew_leases(self) -> None:
        """Keep the claims on running jobs alive. Raises redis errors."""
        if not self.job_tasks:
            return
        async with self.pool.pipeline(transaction=False) as pipeline:
            for name in list(self.job_tasks):
                pipeline.pexpire(in_progress_key_prefix + name, self._lease_ms, xx=True)
            await pipeline.execute()

    async def finish_job(self, *args: Any, **kwargs: Any) -> None:
        """Record how a run has ended. Raises redis errors."""
        await self._end(super().finish_job(*args, **kwargs))

    async def finish_failed_job(self, *args: Any, **kwargs: Any) -> None:
        """Record that a job can't be run. Raises redis errors."""
        await self._end(super().finish_failed_job(*args, **kwargs))

    async def main(self) -> None:
        """Poll until cancelled.

        arq's own asks Redis for its version first, only to log it, and ends if Redis goes then.
        """
        while True:
            self._woken.clear()
            await self._poll_iteration()
            with suppress(TimeoutError):
                async with asyncio.timeout(self.poll_delay_s):
                    await self._woken.wait()
            await asyncio.sleep(WAKE_GAP_S)

    async def _poll_iteration(self) -> None:
        """Forget jobs that have ended, and start others. Raises what a job could not record."""
        try:
            for name, task in list(self.tasks.items()):
                if task.done():
                    del self.tasks[name]
                    task.result()
            if self.allow_pick_jobs and self.job_counter < self.max_jobs:
                await self._start_jobs()
        except (RedisError, OSError) as error:
            # Jobs under way go on; those that ended are finished when their lease has passed.
            log.warning("queue_unavailable", kind=self.kind, reason=type(error).__name__)

    async def _start_jobs(self) -> None:
        """Claim and start jobs that nobody runs, as many as there are free slots."""
        self._claim_number += 1
        queue = queue_name(self.kind)
        claimed = await self._script(
            keys=[queue, polite_key(self.kind), f"{queue}:turn", PAUSED_KEY],
            args=[
                self.max_jobs - self.job_counter,
                f"{self._name} {self._claim_number}",
                *(self._lease_ms, self.kind, in_progress_key_prefix),
                int(BATCH_PATIENCE.total_seconds() * 1000),
            ],
        )
        names = [name.decode() for name in claimed[::2]]
        # Redis has lost our claim on these, and nobody else has got it; they need no second run.
        running = [name for name in names if name in self.tasks and not self.tasks[name].done()]
        for name, score in zip(names, claimed[1::2], strict=True):
            if name in running:
                continue
            # Nothing below can fail, so that a slot that is taken is always given back.
            self.job_counter += 1
            task = self.loop.create_task(self.run_job(name, int(float(score))))
            task.add_done_callback(self._give_slot_back)
            self.tasks[name] = task
        if running:
            await self.pool.delete(*(in_progress_key_prefix + name for name in running))

    async def _end(self, recording: Awaitable[None]) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._endings.add(task)
        try:
            await recording
        finally:
            self._endings.discard(task)

    def _give_slot_back(self, _task: asyncio.Task[Any]) -> None:
        self.job_counter -= 1
        self.wake()


def _ms(time: datetime) -> float:
    return time.timestamp() * 1000
