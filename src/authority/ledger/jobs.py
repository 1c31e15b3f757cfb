"""Jobs in Postgres: what their rows tell of them, and what operators change there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from psycopg.rows import DictRow

from authority.domain.changes import Change
from authority.domain.jobs import (
    OPEN_STATES,
    WINDOW,
    Figures,
    JobFilter,
    JobRow,
    JobState,
    OpenJob,
)
from authority.ledger.changes import write_changes
from authority.ledger.database import Database
from authority.ledger.queries import statements

_FIELDS = [field.name for field in fields(JobRow)]


class PostgresJobs:
    """Implements `usecases.queues.JobStore`. Each method is one statement."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements("jobs.sql")

    async def open_jobs(self, after: str, limit: int) -> list[OpenJob]:
        """Return a page of the generations that are open, in the order of their ids."""
        return [OpenJob(**row) for row in await self._rows("open_jobs", after=after, limit=limit)]

    async def current(self, job_ids: Sequence[str]) -> set[str]:
        """Return those of the names in Redis that are of an open generation's job."""
        rows = await self._rows(
            "open_job_names", generation_ids=[name.rpartition(":")[0] for name in job_ids]
        )
        return {row["job_id"] for row in rows}.intersection(job_ids)

    async def list_jobs(
        self, wanted: JobFilter, after: str, limit: int, *, with_prompt: bool = False
    ) -> list[JobRow]:
        """Return a page in the order of the ids. Of the states it knows open, dead and ended."""
        rows = await self._rows(
            "list_jobs",
            open=wanted.state is None or wanted.state in OPEN_STATES,
            dead=wanted.state in {None, JobState.DEAD},
            ended=wanted.state is JobState.ENDED,
            tenant=wanted.tenant,
            account=wanted.account,
            kind=wanted.kind,
            provider=wanted.provider,
            error_reason=wanted.error_reason,
            older_than=wanted.older_than,
            after=after,
            limit=limit,
            with_prompt=with_prompt,
        )
        return list(map(_job, rows))

    async def find_jobs(
        self, generation_ids: Sequence[str], *, with_prompt: bool = False
    ) -> list[JobRow]:
        """Return those that exist, in the order of their ids."""
        rows = await self._rows(
            "find_jobs", generation_ids=list(generation_ids), with_prompt=with_prompt
        )
        return list(map(_job, rows))

    async def figures(self) -> dict[str, Figures]:
        """Return what has happened within WINDOW, and how many dead letters there are, by kind."""
        rows = await self._rows("figures", window=WINDOW)
        return {row.pop("kind"): Figures(**row) for row in rows}

    async def dead_reasons(self) -> dict[str, int]:
        """Return how many dead letters there are, by why they failed; the most common first."""
        rows = await self._rows("dead_reasons")
        return {row["error_reason"]: row["count"] for row in rows}

    async def promote(self, generation_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Let those that wait run now; return what their jobs are made of."""
        return await self._rows("promote_jobs", generation_ids=list(generation_ids))

    async def requeue(self, generation_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Give those that nobody is at work on a new job; return what it is made of."""
        return await self._rows("requeue_jobs", generation_ids=list(generation_ids))

    async def record(self, changes: Sequence[Change]) -> None:
        """Record what operators change."""
        if changes:
            async with self._database.connection() as connection:
                await write_changes(connection, changes)

    async def _rows(self, name: str, **parameters: Any) -> list[DictRow]:
        return await self._database.rows(self._sql[name], parameters)


def _job(row: DictRow) -> JobRow:
    return JobRow(**{name: row[name] for name in _FIELDS})
