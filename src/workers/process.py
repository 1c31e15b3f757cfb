"""A worker process at work: a worker for each kind, and what keeps their claims and signs up."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from signal import Signals

import structlog
from arq.connections import ArqRedis
from redis.exceptions import RedisError

from generations.beats import BEAT_INTERVAL_S, Beat, end_beats, worker_name, write_beat
from workers.cache.booking import Booker
from workers.cache.embeddings import Embeddings
from workers.config import WorkerSettings
from workers.database import DatabaseAway
from workers.limits import Limits
from workers.providers.base import Provider
from workers.reconciler import Reconciler
from workers.retention import Retention
from workers.runner import Runner
from workers.waking import Waker
from workers.worker import BudgetWorker

_RENEWALS_PER_LEASE = 4
_CANCEL_AGAIN_S = 1.0
_RETENTION_S = 600.0

log = structlog.get_logger("workers")


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """All that a worker process has. The workers of all kinds share its loop and its pools."""

    settings: WorkerSettings
    redis: ArqRedis
    runner: Runner
    workers: Sequence[BudgetWorker]
    limits: Limits
    reconciler: Reconciler
    retention: Retention | None
    booker: Booker
    embeddings: Embeddings
    providers: dict[str, Provider]
    clock: Callable[[], datetime]
    started: datetime

    async def run(self) -> None:
        """Work until stopped.

        Raises what has ended the loop of one kind, once the others have ended what they had begun:
        a process that works on a part of its queues only would look alive and well.
        """
        renew_s = self.settings.lease_s / _RENEWALS_PER_LEASE
        upkeep = [
            asyncio.create_task(repeat(renew_s, self.runner.renew_leases)),
            asyncio.create_task(repeat(renew_s, self._renew_jobs)),
            asyncio.create_task(repeat(self.limits.renew_s, self.limits.renew_leases)),
            asyncio.create_task(repeat(BEAT_INTERVAL_S, self._beat)),
            asyncio.create_task(repeat(self.settings.reconcile_s, self.reconciler.run_once)),
            asyncio.create_task(Waker(self.redis, self.workers).run()),
            asyncio.create_task(self.booker.run()),
            asyncio.create_task(self.embeddings.warm_up()),
        ]
        if self.retention is not None:
            upkeep.append(asyncio.create_task(repeat(_RETENTION_S, self.retention.run_once)))
        loops = [asyncio.create_task(worker.run_until_stopped()) for worker in self.workers]
        try:
            await asyncio.wait(loops, return_when=asyncio.FIRST_EXCEPTION)
            if not all(loop.done() for loop in loops):
                log.error("queue_loop_ended")
                self._stop_taking()
                await asyncio.wait(loops)
            for loop in loops:
                loop.result()
        finally:
            await _end({*loops, *upkeep})
            with suppress(RedisError, OSError):
                await end_beats(self.redis, self._name)

    def stop(self, number: Signals) -> None:
        """Take no more jobs and end with those at work; at the second call end at once."""
        log.info("worker_stopping", signal=number.name, running=len(self.runner.running))
        for worker in self.workers:
            worker.stop(number)

    def _stop_taking(self) -> None:
        for worker in self.workers:
            if not worker.is_stopping:
                worker.stop(Signals.SIGTERM)

    async def _renew_jobs(self) -> None:
        for worker in self.workers:
            await worker.renew_leases()

    async def _beat(self) -> None:
        beat = Beat(
            worker=self._name,
            version=version("paymaster"),
            started=self.started,
            beat=self.clock(),
            slots={str(kind): count for kind, count in self.settings.slots.items()},
            running=tuple(self.runner.running),
            providers=tuple(self.providers),
            stopping=any(worker.is_stopping for worker in self.workers),
        )
        await write_beat(self.redis, beat)

    @property
    def _name(self) -> str:
        return worker_name(socket.gethostname(), os.getpid())


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel tasks until they end: a statement that is cancelled may say so by another error."""
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=_CANCEL_AGAIN_S)


async def repeat(seconds: float, action: Callable[[], Awaitable[object]]) -> None:
    """Do something again and again. What is away is waited for; no fault ends it."""
    while True:
        try:
            await action()
        except (DatabaseAway, RedisError, OSError) as error:
            log.warning("upkeep_postponed", action=action.__qualname__, reason=type(error).__name__)
        except Exception:
            log.exception("upkeep_failed", action=action.__qualname__)
        await asyncio.sleep(seconds)
