"""What operators change: jobs, one or many; what is paused; limits.

Each change is recorded before it is made: who dies in between leaves a record of what was asked
for, and never a change that nobody knows of. Each job is changed only if it still is in a state
that the change is for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from authority.domain.callers import Cause
from authority.domain.changes import Change
from authority.domain.dead_letters import DeadLetterFilter
from authority.domain.errors import InvalidRequest, NotFound
from authority.domain.ids import PLATFORM
from authority.domain.jobs import (
    JOBS_MAX,
    OPEN_STATES,
    Job,
    JobsChanged,
    JobSelection,
    JobState,
)
from authority.usecases.dead_letters import discard_dead_letters, retry_dead_letters
from authority.usecases.generations import cancel_generation
from authority.usecases.queues import QueueContext, find_jobs, list_jobs
from generations.queue_control import Limit, LimitName

_CANCELLED_AT_ONCE = 20


class Lever(StrEnum):
    """A change of jobs, by the name of its RPC."""

    RETRY = "RetryJobs"
    DISCARD = "DiscardJobs"
    CANCEL = "CancelJobs"
    PROMOTE = "PromoteJobs"
    REQUEUE = "RequeueJobs"


class _Change(NamedTuple):
    """What a lever is for, and what it does; that returns the ids of what it has changed."""

    states: frozenset[JobState]
    make: Callable[[QueueContext, list[str]], Awaitable[list[str]]]


async def change_jobs(
    context: QueueContext, lever: Lever, selection: JobSelection, cause: Cause, *, dry_run: bool
) -> JobsChanged:
    """Change the jobs that are meant, JOBS_MAX at the most. Raises InvalidRequest, Unavailable."""
    states, make = _CHANGES[lever]
    state = selection.wanted.state
    if state is not None and state not in states:
        names = ", ".join(sorted(states))
        raise InvalidRequest.of(
            "selection.filter.state", f"{lever} is for jobs that are {names}; not for {state}"
        )
    if selection.generation_ids:
        found = await find_jobs(context, selection.generation_ids)
        chosen = [job for job in found if job.state in states]
    else:
        wanted = replace(selection.wanted, state=next(iter(states)) if len(states) == 1 else state)
        chosen = await list_jobs(context, wanted, "", JOBS_MAX + 1, states=states)
    jobs, more = chosen[:JOBS_MAX], len(chosen) > JOBS_MAX
    ids = [job.row.generation_id for job in jobs]
    if dry_run or not ids:
        return JobsChanged(ids, more)
    now = context.now()
    await context.jobs.record([_job_change(lever, job, cause, now) for job in jobs])
    return JobsChanged(await make(context, ids), more)


async def pause(context: QueueContext, target: str, cause: Cause) -> tuple[datetime, bool]:
    """Pause a queue or a provider; return since when, and False if it was paused before.

    Raises InvalidRequest and Unavailable.
    """
    if target not in await context.view.pauses():
        await _record(
            context,
            "PauseQueue",
            "queue",
            target,
            cause,
            {"paused": False},
            {"paused": True},
        )
    changed = await context.levers.pause(target)
    return (await context.view.pauses()).get(target, context.now()), changed


async def resume(context: QueueContext, target: str, cause: Cause) -> bool:
    """Undo a pause; False if there is none. Raises InvalidRequest and Unavailable."""
    if target not in await context.view.pauses():
        return False
    await _record(
        context, "ResumeQueue", "queue", target, cause, {"paused": True}, {"paused": False}
    )
    return await context.levers.resume(target)


async def set_limit(context: QueueContext, limit: Limit, cause: Cause) -> None:
    """Set a limit. Raises InvalidRequest and Unavailable."""
    before = await _limit(context, limit.subject, limit.name)
    if before == limit.value:
        return
    after = {"value": limit.value}
    resource = f"{limit.subject} {limit.name}"
    known = None if before is None else {"value": before}
    await _record(context, "SetLimit", "limit", resource, cause, known, after)
    await context.levers.set_limit(limit)


async def unset_limit(context: QueueContext, subject: str, name: LimitName, cause: Cause) -> bool:
    """Take a limit away; False if there is none. Raises InvalidRequest and Unavailable."""
    before = await _limit(context, subject, name)
    if before is None:
        return False
    known, after = {"value": before}, {"value": None}
    await _record(context, "UnsetLimit", "limit", f"{subject} {name}", cause, known, after)
    return await context.levers.unset_limit(subject, name)


async def _limit(context: QueueContext, subject: str, name: LimitName) -> int | None:
    for limit in await context.view.limits():
        if (limit.subject, limit.name) == (subject, name):
            return limit.value
    return None


async def _retry(context: QueueContext, ids: list[str]) -> list[str]:
    chosen = DeadLetterFilter(generation_ids=ids)
    made = await retry_dead_letters(context.letters, context.generations.jobs, chosen)
    return [generation.generation_id for generation in made]


async def _discard(context: QueueContext, ids: list[str]) -> list[str]:
    return await discard_dead_letters(context.letters, DeadLetterFilter(generation_ids=ids))


async def _cancel(context: QueueContext, ids: list[str]) -> list[str]:
    gone: set[str] = set()

    async def cancel(generation_id: str) -> None:
        try:
            await cancel_generation(context.generations, generation_id)
        except NotFound:
            gone.add(generation_id)

    for start in range(0, len(ids), _CANCELLED_AT_ONCE):
        async with asyncio.TaskGroup() as group:
            for generation_id in ids[start : start + _CANCELLED_AT_ONCE]:
                group.create_task(cancel(generation_id))
    return [generation_id for generation_id in ids if generation_id not in gone]


async def _promote(context: QueueContext, ids: list[str]) -> list[str]:
    rows = await context.jobs.promote(ids)
    # Dying before this leaves rows whose time has come, and jobs whose turn is as it was.
    rows.sort(key=_age)
    await context.levers.put_first(rows)
    return [row["generation_id"] for row in rows]


async def _requeue(context: QueueContext, ids: list[str]) -> list[str]:
    rows = await context.jobs.requeue(ids)
    # Dying before this leaves rows whose job is missing, which the workers' reconciler enqueues.
    await context.levers.replace(rows)
    return [row["generation_id"] for row in rows]


def _age(row: dict[str, Any]) -> datetime:
    created: datetime = row["create_time"]
    return created


_CHANGES = {
    Lever.RETRY: _Change(frozenset({JobState.DEAD}), _retry),
    Lever.DISCARD: _Change(frozenset({JobState.DEAD}), _discard),
    Lever.CANCEL: _Change(OPEN_STATES, _cancel),
    Lever.PROMOTE: _Change(frozenset({JobState.READY, JobState.DEFERRED}), _promote),
    Lever.REQUEUE: _Change(OPEN_STATES - {JobState.RUNNING}, _requeue),
}
_AFTER: dict[Lever, dict[str, Any]] = {
    Lever.RETRY: {"state": JobState.READY},
    Lever.DISCARD: {"state": JobState.ENDED},
    Lever.CANCEL: {"cancelled": True},
    Lever.PROMOTE: {"promoted": True},
    Lever.REQUEUE: {"requeued": True},
}


def _job_change(lever: Lever, job: Job, cause: Cause, now: datetime) -> Change:
    return Change(
        tenant=job.row.tenant,
        account=job.row.account,
        method=lever,
        resource_type="job",
        resource=job.row.generation_id,
        cause=cause,
        before={"state": job.state},
        after=_AFTER[lever],
        change_time=now,
    )


async def _record(
    context: QueueContext,
    method: str,
    resource_type: str,
    resource: str,
    cause: Cause,
    before: dict[str, Any] | None,
    after: dict[str, Any],
) -> None:
    """Record a change of what is of no tenant."""
    change = Change(
        tenant=PLATFORM,
        account="",
        method=method,
        resource_type=resource_type,
        resource=resource,
        cause=cause,
        before=before,
        after=after,
        change_time=context.now(),
    )
    await context.jobs.record([change])
