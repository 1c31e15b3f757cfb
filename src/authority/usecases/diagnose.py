"""Looks for what is wrong with queues, workers and providers, and says what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import NamedTuple

from authority.domain.findings import Finding, Severity, Survey
from authority.domain.jobs import (
    JobState,
    OpenJob,
    ProviderLoad,
    QueueState,
    claimant,
    worker_of,
)
from authority.usecases.queues import (
    QueueContext,
    list_queues,
    provider_loads,
    read_standing,
)
from generations.beats import Beat
from generations.queue_control import ALL

# Whoever waits longer, though nothing is paused, is in need of more workers.
PATIENCE = timedelta(minutes=5)

_SHOWN = 10
_PAGE = 1000
_URGENCY = list(Severity)


class Seen(NamedTuple):
    """All that is looked at."""

    queues: list[QueueState]
    beats: list[Beat]
    jobs: list[tuple[OpenJob, JobState]]
    survey: Survey
    strays: list[str]
    loads: list[ProviderLoad]
    pauses: list[str]
    alive: frozenset[str]
    dead_reasons: dict[str, int]
    worked_on: frozenset[str]
    overdue: list[str]


async def diagnose(context: QueueContext) -> list[Finding]:
    """Return what is wrong, the most urgent first. Raises Unavailable."""
    return findings(await survey_all(context))


async def survey_all(context: QueueContext) -> Seen:
    """Look at all that may be wrong. Raises Unavailable."""
    # The survey may take long; where Redis is away this says so at once.
    beats = await context.view.beats()
    survey = await context.view.survey()
    standing = await read_standing(context)
    queues = await list_queues(context, standing)
    names = [name for group in survey.members.values() for name in group]
    strays: list[str] = []
    for start in range(0, len(names), _PAGE):
        page = names[start : start + _PAGE]
        current = await context.jobs.current(page)
        strays += [name for name in page if name not in current]
    now = context.now()
    return Seen(
        queues=queues,
        beats=beats,
        jobs=standing.jobs,
        survey=survey,
        strays=strays,
        loads=await provider_loads(context),
        pauses=sorted(await context.view.pauses()),
        alive=frozenset(beat.worker for beat in beats),
        dead_reasons=await context.jobs.dead_reasons(),
        worked_on=frozenset(kind for beat in beats if not beat.stopping for kind in beat.slots),
        overdue=[
            queue.kind
            for queue in queues
            if queue.oldest_ready_time is not None and now - queue.oldest_ready_time > PATIENCE
        ],
    )


def findings(seen: Seen) -> list[Finding]:
    """Return what is wrong in what was seen, the most urgent first."""
    found = [*_of_workers(seen), *_of_jobs(seen), *_of_redis(seen), *_of_providers(seen)]
    return sorted(found, key=lambda finding: _URGENCY.index(finding.severity))


def _of_workers(seen: Seen) -> Iterator[Finding]:
    waiting = {job.kind for job, state in seen.jobs if state is not JobState.RUNNING}
    yield from _finding(
        "worker_missing",
        Severity.ERROR,
        sorted(waiting - seen.worked_on),
        "Jobs of these kinds wait, and no worker takes them.",
        "Start one that has slots for them: paymaster worker, with WORKERS_IMAGE_SLOTS,"
        " WORKERS_CHAT_SLOTS and WORKERS_VIDEO_SLOTS.",
    )
    owners = {worker_of(job.owner) for job, _ in seen.jobs if job.owner}
    yield from _finding(
        "worker_dead",
        Severity.WARNING,
        sorted(owners - seen.alive),
        "These workers have jobs and are not heard of.",
        "Nothing, if they were stopped: others take the jobs when the claims have passed. If they"
        " run, see whether they reach Redis.",
    )
    starving = [
        kind
        for kind in seen.overdue
        if kind in seen.worked_on and ALL not in seen.pauses and kind not in seen.pauses
    ]
    yield from _finding(
        "queue_starving",
        Severity.WARNING,
        starving,
        f"The oldest ready job of these kinds waits longer than {PATIENCE.seconds // 60} minutes.",
        "Start more workers, give them more slots, or raise the limits of their providers.",
    )


def _of_jobs(seen: Seen) -> Iterator[Finding]:
    yield from _finding(
        "job_lost",
        Severity.WARNING,
        _ids(seen, JobState.LOST),
        "These generations are open, and no queue holds them.",
        "Nothing, while a worker runs: it enqueues them within half a minute. Or now: paymaster"
        " queues requeue --state lost.",
    )
    yield from _finding(
        "job_orphaned",
        Severity.WARNING,
        _ids(seen, JobState.ORPHANED),
        "The workers of these jobs have died.",
        "Nothing: other workers take them when the claims have passed.",
    )
    dead = [f"{reason} ({count})" for reason, count in seen.dead_reasons.items()]
    yield from _finding(
        "dead_letters",
        Severity.INFO,
        dead,
        "Jobs have failed for good.",
        "Look at them with paymaster queues dead; then retry or discard them.",
        count=sum(seen.dead_reasons.values()),
    )


def _of_redis(seen: Seen) -> Iterator[Finding]:
    survey = seen.survey
    strays = set(seen.strays)
    yield from _finding(
        "job_data_gone",
        Severity.WARNING,
        [name for name in survey.gone if name not in strays],
        "These entries of the queues have lost what they hold.",
        "Nothing, while a worker runs: it drops them, and the generations are enqueued anew. Or"
        " now: paymaster queues requeue ID, without what follows the colon.",
    )
    yield from _finding(
        "pickle",
        Severity.ERROR,
        survey.pickles,
        "These keys hold pickles, which Paymaster neither writes nor reads.",
        "Find out who writes to this Redis, and delete the keys.",
    )
    yield from _finding(
        "entry_stray",
        Severity.INFO,
        seen.strays,
        "These entries of the queues are of no open generation any more.",
        "Nothing: a worker drops each when its turn comes.",
    )
    yield from _finding(
        "claim_orphaned",
        Severity.WARNING,
        sorted(name for name, claim in survey.claims.items() if claimant(claim) not in seen.alive),
        "These jobs are claimed by workers that are not heard of.",
        "Nothing: a claim passes within the lease, WORKERS_LEASE_S.",
    )
    yield from _finding(
        "abort_stale",
        Severity.WARNING,
        survey.aborts,
        "These jobs are to be aborted by arq, which Paymaster never asks for.",
        "Delete the sorted set arq:abort: a job of that name would be ended before it begins.",
    )


def _of_providers(seen: Seen) -> Iterator[Finding]:
    yield from _finding(
        "paused",
        Severity.INFO,
        seen.pauses,
        "These are paused.",
        "When it is time: paymaster queues resume.",
    )
    yield from _finding(
        "breaker_open",
        Severity.WARNING,
        [load.provider for load in seen.loads if load.breaker != "CLOSED"],
        "These providers have failed so often that they are left alone.",
        "See why with paymaster queues jobs --provider; they are tried again by themselves.",
    )
    yield from _finding(
        "provider_cooling",
        Severity.INFO,
        [load.provider for load in seen.loads if load.cooldown_until_time is not None],
        "These providers have asked to be left alone for a while.",
        "If it happens often, lower their limits: paymaster queues limits set.",
    )


def _ids(seen: Seen, state: JobState) -> list[str]:
    return [job.generation_id for job, found in seen.jobs if found is state]


def _finding(
    finding: str,
    severity: Severity,
    subjects: Iterable[str],
    message: str,
    way_out: str,
    *,
    count: int | None = None,
) -> Iterator[Finding]:
    """Yield the finding, if it is about anything."""
    every = list(subjects)
    if every:
        yield Finding(
            finding,
            severity,
            len(every) if count is None else count,
            tuple(every[:_SHOWN]),
            message,
            way_out,
        )
