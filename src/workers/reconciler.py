"""Puts jobs back into their queues: of generations that are open, with nobody at work on them, and
that no queue holds. That is so when a submitter died between row and queue, or could not reach the
queue, and when Redis has lost its data or arq has dropped a job. What waits past its deadline it
ends itself, whether or not its queue moves.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import groupby
from operator import itemgetter

import structlog
from arq.connections import ArqRedis
from psycopg.rows import DictRow

from generations.models import Kind
from generations.queue import enqueue, job_id, queue_name
from generations.settings import Priority
from workers.database import Pool, statements, transaction

# Whoever wrote a row younger than this is probably about to enqueue its job.
GRACE = timedelta(seconds=5)
PAGE = 500
EXPIRED_ENTRIES_MAX = 10_000
OVERDUE_MAX = 1000

log = structlog.get_logger(__name__)


class Reconciler:
    """Looks through the open generations. One is enough at a time: a lock lets only one through."""

    def __init__(self, pool: Pool, redis: ArqRedis, *, grace: timedelta = GRACE) -> None:
        self._pool = pool
        self._redis = redis
        self._grace = grace
        self._sql = statements()

    async def run_once(self) -> int:
        """Enqueue what is missing; return how many. Raises DatabaseAway and redis errors."""
        count = 0
        async with transaction(self._pool) as lock:
            cursor = await lock.execute(self._sql["try_reconciler_lock"])
            row = await cursor.fetchone()
            if row is None or not row["locked"]:
                return 0
            await self._rows("end_overdue", limit=OVERDUE_MAX)
            page: list[DictRow] = []
            while len(page) in (0, PAGE):
                after = page[-1]["generation_id"] if page else ""
                page = await self._rows(
                    "unleased_generations", after=after, grace=self._grace, limit=PAGE
                )
                if not page:
                    break
                count += await self._requeue(await self._missing(page))
            await self._rows("delete_expired_cache_entries", limit=EXPIRED_ENTRIES_MAX)
        if count:
            log.info("jobs_requeued", count=count)
        return count

    async def _missing(self, page: list[DictRow]) -> list[str]:
        """Return the ids of the generations whose job is in no queue."""
        missing: list[str] = []
        for kind, group in groupby(sorted(page, key=itemgetter("kind")), itemgetter("kind")):
            rows = list(group)
            names = [job_id(row["generation_id"], row["requeue_number"]) for row in rows]
            scores = await self._redis.zmscore(queue_name(Kind(kind)), names)
            missing += [
                row["generation_id"]
                for row, score in zip(rows, scores, strict=True)
                if score is None
            ]
        return missing

    async def _requeue(self, generation_ids: list[str]) -> int:
        """Enqueue under new job ids: arq refuses the id of a job that ended a moment ago."""
        if not generation_ids:
            return 0
        # Dying after this leaves rows whose job is missing, which the next run finds.
        rows = await self._rows("raise_requeue_numbers", generation_ids=generation_ids)
        for row in rows:
            await enqueue(
                self._redis,
                row["generation_id"],
                row["requeue_number"],
                Kind(row["kind"]),
                Priority(row["priority"]),
                # So that it has the turn that it had.
                since=row["create_time"],
                run_at=row["next_try_time"],
            )
        return len(rows)

    async def _rows(self, name: str, **parameters: object) -> list[DictRow]:
        async with transaction(self._pool) as connection:
            cursor = await connection.execute(self._sql[name], parameters)
            return await cursor.fetchall() if cursor.description else []
