"""Jobs: generations as their queues see them, for operators.

Postgres has the row of each, Redis its place in a queue. Neither tells alone where a job is.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from authority.domain.dead_letters import AttemptRecord

# What one call changes at most; whoever wants more asks again.
JOBS_MAX = 1000
# What has happened is counted that long.
WINDOW = timedelta(minutes=5)

_OPEN = frozenset({"QUEUED", "RUNNING"})


class JobState(StrEnum):
    """Where a job is; each is in one state."""

    READY = "READY"
    DEFERRED = "DEFERRED"
    RUNNING = "RUNNING"
    ORPHANED = "ORPHANED"
    LOST = "LOST"
    DEAD = "DEAD"
    ENDED = "ENDED"


OPEN_STATES = frozenset(JobState) - {JobState.DEAD, JobState.ENDED}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenJob:
    """What Postgres has of a job, as far as it tells where the job is.

    `owner` is the worker process that has claimed it, or had; while the claim holds it `is_leased`.
    `due_time` is since when it may run, or from when on.
    """

    generation_id: str
    kind: str
    generation_state: str
    requeue_number: int
    owner: str
    is_leased: bool
    due_time: datetime
    dead_time: datetime | None

    @property
    def is_open(self) -> bool:
        """Whether the generation is not at its end."""
        return self.generation_state in _OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow(OpenJob):
    """All that Postgres has of a job. The cost is in micros of USD."""

    tenant: str
    account: str
    priority: str
    attempt_count: int
    provider: str
    model: str
    error_reason: str
    error_message: str
    stage: str
    progress_percent: int | None
    cost_micros: int
    create_time: datetime
    start_time: datetime | None
    end_time: datetime | None
    next_try_time: datetime
    deadline_time: datetime | None
    cancel_time: datetime | None
    leader_id: str
    prompt: str


class Place(NamedTuple):
    """What Redis has of a job. `score` is None if no queue holds it, `claim` '' if nobody has it.

    One that `is_polite` is taken by workers with nothing else to do, before its score says so.
    """

    score: float | None
    is_polite: bool
    claim: str


class Entry(NamedTuple):
    """A job's entry in Redis, for people. What is not there is None, but `data` says why."""

    job_id: str
    place: Place
    claim_ttl_ms: int | None
    data: str
    data_ttl_ms: int | None
    run_count: int


class Job(NamedTuple):
    """A job, and where it is."""

    row: JobRow
    state: JobState


class JobDetail(NamedTuple):
    """A job with its attempts and its entry."""

    job: Job
    attempts: list[AttemptRecord]
    entry: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs are meant: those that fit all that is given. `generation_ids` stand by themselves.

    `account` may be a tenant, which stands for all accounts of it.
    """

    tenant: str = ""
    kind: str = ""
    state: JobState | None = None
    provider: str = ""
    account: str = ""
    error_reason: str = ""
    older_than: timedelta | None = None


@dataclass(frozen=True, slots=True)
class JobSelection:
    """Jobs by their ids, or by a filter."""

    generation_ids: tuple[str, ...]
    wanted: JobFilter


class Figures(NamedTuple):
    """What has happened to jobs of a kind within WINDOW, and its dead letters. Spans in seconds."""

    submitted: int = 0
    ended: int = 0
    failed: int = 0
    dead: int = 0
    wait_p50_s: float | None = None
    wait_p95_s: float | None = None
    run_p50_s: float | None = None
    run_p95_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """The queue of a kind, in figures. `counts` has each open job once."""

    kind: str
    counts: dict[JobState, int]
    strays: int
    oldest_ready_time: datetime | None
    figures: Figures
    pause_time: datetime | None
    slot_count: int

    def drain_time(self, now: datetime) -> datetime | None:
        """Return when nothing waits any more, if nothing comes in; None if there is no telling."""
        waiting = sum(self.counts[state] for state in OPEN_STATES - {JobState.RUNNING})
        if not waiting or not self.figures.ended or self.pause_time is not None:
            return None
        return now + waiting * WINDOW / self.figures.ended


class ProviderLoad(NamedTuple):
    """How busy a provider is, and how its breaker stands: CLOSED, OPEN or PROBING."""

    provider: str
    running: int
    waiting: int
    breaker: str
    open_until_time: datetime | None
    cooldown_until_time: datetime | None
    failures: int
    pause_time: datetime | None


class JobsChanged(NamedTuple):
    """The ids of the jobs that were changed, and whether more fit than one call changes."""

    generation_ids: list[str]
    more: bool


def state_of(job: OpenJob, place: Place, now_ms: float, alive: Collection[str]) -> JobState:
    """Say where a job is, given the time of Redis and the names of the workers that are alive."""
    if job.dead_time is not None:
        return JobState.DEAD
    if not job.is_open:
        return JobState.ENDED
    if job.is_leased or (place.claim and claimant(place.claim) in alive):
        return JobState.RUNNING
    if place.score is None:
        return JobState.LOST
    if place.claim or job.generation_state == "RUNNING":
        return JobState.ORPHANED
    return JobState.READY if place.is_polite or place.score <= now_ms else JobState.DEFERRED


def claimant(claim: str) -> str:
    """Return the name of the worker that has made a claim in Redis: `host:pid:uuid number`."""
    return worker_of(claim.partition(" ")[0])


def worker_of(owner: str) -> str:
    """Return the name of a worker, by what it writes into rows: `host:pid:uuid`."""
    return owner.rpartition(":")[0]
