"""Retrying and discarding generations that failed for good.

The row is changed first, in one statement, and the job is enqueued after it, as at submission: what
is not enqueued then is found by the workers' reconciler.
"""

from __future__ import annotations

import asyncio

from authority.domain.dead_letters import DEAD_LETTERS_MAX, DeadLetterFilter, DeadLetterStore
from authority.domain.generations import Generation, Jobs

_ENQUEUED_AT_ONCE = 50


async def retry_dead_letters(
    letters: DeadLetterStore,
    jobs: Jobs,
    chosen: DeadLetterFilter,
    limit: int = DEAD_LETTERS_MAX,
) -> list[Generation]:
    """Try dead letters again, under new reservations; return those that are QUEUED by it.

    Their attempts so far count no more against the limits, but stay on record and in the cost. A
    deadline stays too: what is past it fails by it. Raises Unavailable.
    """
    retried = await letters.retry(chosen, min(limit, DEAD_LETTERS_MAX))
    for start in range(0, len(retried), _ENQUEUED_AT_ONCE):
        async with asyncio.TaskGroup() as group:
            for generation in retried[start : start + _ENQUEUED_AT_ONCE]:
                group.create_task(jobs.enqueue(generation))
    return retried


async def discard_dead_letters(
    letters: DeadLetterStore, chosen: DeadLetterFilter, limit: int = DEAD_LETTERS_MAX
) -> list[str]:
    """Leave dead letters as the failures that they are; return their ids. Raises Unavailable."""
    return await letters.discard(chosen, min(limit, DEAD_LETTERS_MAX))
