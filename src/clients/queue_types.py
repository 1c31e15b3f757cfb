"""What operators see of the queues: plain, frozen values. Times are in UTC, amounts micros of USD.

Every word has a value UNKNOWN, which stands for one that this client is too old to know.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from clients.generation_types import GenerationState, Kind, Priority


class JobState(StrEnum):
    """Where a job is: it waits (READY, DEFERRED), RUNNING, or open and with nobody at work on it
    (ORPHANED by its worker, LOST from its queue); a dead letter (DEAD), or at its end (ENDED).
    """

    READY = "READY"
    DEFERRED = "DEFERRED"
    RUNNING = "RUNNING"
    ORPHANED = "ORPHANED"
    LOST = "LOST"
    DEAD = "DEAD"
    ENDED = "ENDED"
    UNKNOWN = "UNKNOWN"


class BreakerState(StrEnum):
    """Whether a provider is called, left alone, or tried once."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    PROBING = "PROBING"
    UNKNOWN = "UNKNOWN"


class Severity(StrEnum):
    """How urgent a finding is."""

    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs are meant: those that fit all that is set; every one if nothing is.

    `account` may be a tenant, which stands for all accounts of it. `older_than` is how long ago a
    job was submitted at least; of dead letters, how long they have been dead.
    """

    kind: Kind | None = None
    state: JobState | None = None
    provider: str = ""
    account: str = ""
    older_than: timedelta | None = None
    error_reason: str = ""


@dataclass(frozen=True, slots=True)
class JobChange:
    """The ids of the jobs that were changed, or of a dry run those that would be.

    If there are `more`, call again: one call changes 1,000.
    """

    generation_ids: tuple[str, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue of a kind. Each open job and each dead letter counts once.

    What was submitted, ended and failed was so within the last minutes, the `window` of the
    overview; waits and runs are of what ended then, None if nothing did. `drain_time` is when
    nothing waits any more, if nothing comes in.
    """

    kind: Kind
    ready_count: int
    deferred_count: int
    running_count: int
    orphaned_count: int
    lost_count: int
    dead_count: int
    stray_count: int
    submitted_count: int
    ended_count: int
    failed_count: int
    slot_count: int
    oldest_ready_time: datetime | None
    wait_p50: timedelta | None
    wait_p95: timedelta | None
    run_p50: timedelta | None
    run_p95: timedelta | None
    pause_time: datetime | None
    drain_time: datetime | None

    @property
    def failed_share(self) -> float | None:
        """What part of the jobs that ended have failed, 0 to 1; None if none has ended."""
        return self.failed_count / self.ended_count if self.ended_count else None


@dataclass(frozen=True, slots=True)
class Pause:
    """What is paused, `all`, a kind or `provider:NAME`, and since when."""

    target: str
    pause_time: datetime | None
    changed: bool = True


@dataclass(frozen=True, slots=True)
class Queues:
    """The queues of all kinds as of `read_time`, and what is paused."""

    queues: tuple[Queue, ...]
    pauses: tuple[Pause, ...]
    window: timedelta
    read_time: datetime | None


@dataclass(frozen=True, slots=True)
class Job:
    """A generation as its queue sees it. `provider` and `model` are those of its last attempt.

    `prompt` is empty unless it was asked for.
    """

    generation_id: str
    account: str
    kind: Kind
    state: JobState
    generation_state: GenerationState
    priority: Priority
    attempt_count: int
    provider: str
    model: str
    error_reason: str
    error_message: str
    worker: str
    stage: str
    progress_percent: int | None
    cost: int
    create_time: datetime | None
    start_time: datetime | None
    end_time: datetime | None
    next_try_time: datetime | None
    deadline_time: datetime | None
    dead_time: datetime | None
    cancel_time: datetime | None
    leader_id: str
    prompt: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class JobAttempt:
    """One attempt at a generation. `charged` is None until it is settled."""

    attempt: int
    state: str
    provider: str
    model: str
    reservation_id: str
    remote_id: str
    estimate: int
    charged: int | None
    presumed_spent: bool
    error_reason: str
    error_message: str
    error_class: str
    error_body: str = field(repr=False)
    request_id: str
    create_time: datetime | None
    dispatch_time: datetime | None
    settle_time: datetime | None
    retry_time: datetime | None


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """What Redis has of a job: its place, who has claimed it, and what its entry holds."""

    job_id: str
    requeue_number: int
    score: float | None
    polite: bool
    claim: str
    claim_ttl: timedelta | None
    data: str
    data_ttl: timedelta | None
    run_count: int


@dataclass(frozen=True, slots=True)
class JobDetail:
    """A job with its attempts, in order, and its entry."""

    job: Job
    attempts: tuple[JobAttempt, ...]
    entry: QueueEntry


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that an operator has set; 0 is none.

    `subject` is `provider:NAME`, `account:ID` or `account:*`, `name` `concurrency` or `per_minute`.
    """

    subject: str
    name: str
    value: int


@dataclass(frozen=True, slots=True)
class ProviderLoad:
    """How busy a provider is, and how its breaker stands."""

    provider: str
    running_count: int
    waiting_count: int
    breaker: BreakerState
    failure_count: int
    open_until_time: datetime | None
    cooldown_until_time: datetime | None
    pause_time: datetime | None


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that operators have set, and how busy each provider is."""

    limits: tuple[Limit, ...]
    providers: tuple[ProviderLoad, ...]


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker that is alive. `slots` is how many jobs of each kind it may run at once."""

    worker: str
    version: str
    slots: tuple[tuple[Kind, int], ...]
    generation_ids: tuple[str, ...]
    providers: tuple[str, ...]
    stopping: bool
    start_time: datetime | None
    beat_time: datetime | None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, or worth knowing: `finding` for programs, the rest for people.

    `subjects` are the first few of the `count` things that it is about.
    """

    finding: str
    severity: Severity
    count: int
    subjects: tuple[str, ...]
    message: str
    way_out: str
