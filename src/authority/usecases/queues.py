"""Reading the queues: counts of them, jobs in them, and one job in full.

Rows are read before what Redis has of them, so that what moves in between may seem lost or
orphaned; whatever seems so is looked at a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeVar

from authority.domain.changes import Change
from authority.domain.dead_letters import DeadLetterStore
from authority.domain.errors import NotFound
from authority.domain.findings import Survey
from authority.domain.jobs import (
    OPEN_STATES,
    Entry,
    Figures,
    Job,
    JobDetail,
    JobFilter,
    JobRow,
    JobState,
    OpenJob,
    Place,
    ProviderLoad,
    QueueState,
    state_of,
)
from authority.usecases.generations import GenerationContext
from generations.beats import Beat
from generations.models import Kind
from generations.queue_control import ALL, Limit, LimitName

_PAGE = 1000
_DOUBTFUL = frozenset({JobState.LOST, JobState.ORPHANED})

_Row = TypeVar("_Row", bound=OpenJob)


class JobStore(Protocol):
    """Keeps the rows of jobs. Every method raises Unavailable."""

    async def open_jobs(self, after: str, limit: int) -> list[OpenJob]:
        """Return a page of the generations that are open, in the order of their ids."""
        ...

    async def current(self, job_ids: Sequence[str]) -> set[str]:
        """Return those of the names in Redis that are of an open generation's job."""
        ...

    async def list_jobs(
        self, wanted: JobFilter, after: str, limit: int, *, with_prompt: bool = False
    ) -> list[JobRow]:
        """Return a page in the order of the ids. Of the states it knows open, dead and ended."""
        ...

    async def find_jobs(
        self, generation_ids: Sequence[str], *, with_prompt: bool = False
    ) -> list[JobRow]:
        """Return those that exist, in the order of their ids."""
        ...

    async def figures(self) -> dict[str, Figures]:
        """Return what has happened within WINDOW, and how many dead letters there are, by kind."""
        ...

    async def dead_reasons(self) -> dict[str, int]:
        """Return how many dead letters there are, by why they failed; the most common first."""
        ...

    async def promote(self, generation_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Let those that wait run now; return what their jobs are made of."""
        ...

    async def requeue(self, generation_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Give those that nobody is at work on a new job; return what it is made of."""
        ...

    async def record(self, changes: Sequence[Change]) -> None:
        """Record what operators change."""
        ...


class QueueView(Protocol):
    """What Redis has of the queues. Every method raises Unavailable."""

    async def now_ms(self) -> float:
        """Return the time of Redis, by which scores are compared."""
        ...

    async def places(self, jobs: Sequence[OpenJob]) -> list[Place]:
        """Return what Redis has of each job."""
        ...

    async def sizes(self) -> dict[str, int]:
        """Return how many entries the queue of each kind has."""
        ...

    async def entry(self, job: OpenJob) -> Entry:
        """Return the entry of a job, with what it holds."""
        ...

    async def pauses(self) -> dict[str, datetime]:
        """Return what is paused and since when, by target."""
        ...

    async def beats(self) -> list[Beat]:
        """Return the last beat of every worker alive, by name."""
        ...

    async def limits(self) -> list[Limit]:
        """Return the limits that operators have set."""
        ...

    async def loads(self, providers: Iterable[str]) -> list[ProviderLoad]:
        """Return how busy providers are, in the order of their names."""
        ...

    async def survey(self) -> Survey:
        """Look through all that Redis has of jobs."""
        ...


class Levers(Protocol):
    """What operators change in Redis. Every method raises Unavailable; repeating is safe."""

    async def put_first(self, rows: Sequence[Any]) -> None:
        """Move jobs that are in their queues to the front, in the order given."""
        ...

    async def replace(self, rows: Sequence[Any]) -> None:
        """Enqueue jobs under the names that they have now, and drop those that they had."""
        ...

    async def pause(self, target: str) -> bool:
        """Pause a queue or a provider; False if it is paused already."""
        ...

    async def resume(self, target: str) -> bool:
        """Undo `pause`; False if it is not paused."""
        ...

    async def set_limit(self, limit: Limit) -> None:
        """Let a limit hold in place of the workers' settings."""
        ...

    async def unset_limit(self, subject: str, name: LimitName) -> bool:
        """Let the workers' settings hold again; False if they do."""
        ...


@dataclass(frozen=True, slots=True)
class QueueContext:
    """What the use cases of operators work with, wired by `authority.bootstrap`."""

    jobs: JobStore
    view: QueueView
    levers: Levers
    letters: DeadLetterStore
    generations: GenerationContext
    now: Callable[[], datetime]


class Standing(NamedTuple):
    """Where the open jobs are: each with its state, and how many entries are of no open job."""

    jobs: list[tuple[OpenJob, JobState]]
    strays: dict[str, int]


class Moment(NamedTuple):
    """By what places are judged: the time of Redis, and the names of the workers alive."""

    now_ms: float
    alive: frozenset[str]


async def list_queues(context: QueueContext, standing: Standing | None = None) -> list[QueueState]:
    """Return the queues of all kinds; `standing` is read if it is not given. Raises Unavailable."""
    standing = standing or await read_standing(context)
    figures = await context.jobs.figures()
    pauses, beats = await context.view.pauses(), await context.view.beats()
    return [_queue(kind, standing, figures, pauses, beats) for kind in map(str, Kind)]


async def read_standing(context: QueueContext) -> Standing:
    """Say of every open job where it is. Raises Unavailable."""
    moment = await _moment(context)
    found: list[tuple[OpenJob, JobState]] = []
    held = dict.fromkeys(map(str, Kind), 0)
    after = ""
    while True:
        page = await context.jobs.open_jobs(after, _PAGE)
        for job, state, place in await _judge(context, page, moment):
            if state is not JobState.ENDED:
                found.append((job, state))
            held[job.kind] += place.score is not None
        if len(page) < _PAGE:
            break
        after = page[-1].generation_id
    sizes = await context.view.sizes()
    # What came in meanwhile is in its queue and was not read, so that strays may be too many.
    return Standing(found, {kind: max(0, sizes[kind] - held[kind]) for kind in held})


async def list_jobs(
    context: QueueContext,
    wanted: JobFilter,
    after: str,
    limit: int,
    *,
    with_prompt: bool = False,
    states: frozenset[JobState] = frozenset(JobState),
) -> list[Job]:
    """Return a page of jobs in the order of their ids, of those in one of `states`.

    Raises Unavailable.
    """
    moment = await _moment(context)
    found: list[Job] = []
    while len(found) < limit:
        page = await context.jobs.list_jobs(wanted, after, _PAGE, with_prompt=with_prompt)
        found += [
            Job(row, state)
            for row, state, _ in await _judge(context, page, moment)
            if state in states and wanted.state in {None, state}
        ]
        if len(page) < _PAGE:
            break
        after = page[-1].generation_id
    return found[:limit]


async def find_jobs(
    context: QueueContext, generation_ids: Sequence[str], *, with_prompt: bool = False
) -> list[Job]:
    """Return those of the jobs that exist. Raises Unavailable."""
    moment = await _moment(context)
    rows = await context.jobs.find_jobs(generation_ids, with_prompt=with_prompt)
    return [Job(row, state) for row, state, _ in await _judge(context, rows, moment)]


async def get_job(
    context: QueueContext, generation_id: str, *, with_prompt: bool = False
) -> JobDetail:
    """Return a job in full. Raises NotFound and Unavailable."""
    found = await find_jobs(context, [generation_id], with_prompt=with_prompt)
    if not found:
        raise NotFound("generation", generation_id)
    attempts = await context.letters.attempts(generation_id)
    return JobDetail(found[0], attempts, await context.view.entry(found[0].row))


async def provider_loads(context: QueueContext) -> list[ProviderLoad]:
    """Return how busy each provider is that workers call, or that is limited or paused."""
    subjects = [limit.subject for limit in await context.view.limits()]
    subjects += await context.view.pauses()
    names = {
        subject.removeprefix("provider:") for subject in subjects if subject.startswith("provider:")
    }
    for beat in await context.view.beats():
        names.update(beat.providers)
    return await context.view.loads(names)


async def _moment(context: QueueContext) -> Moment:
    beats = await context.view.beats()
    return Moment(await context.view.now_ms(), frozenset(beat.worker for beat in beats))


async def _judge(
    context: QueueContext, rows: Sequence[_Row], moment: Moment
) -> list[tuple[_Row, JobState, Place]]:
    """Say where jobs are. What seems lost or orphaned may only have moved while it was read."""
    judged = await _judge_once(context, rows, moment)
    doubtful = [row.generation_id for row, state, _ in judged if state in _DOUBTFUL]
    if not doubtful:
        return judged
    again = await context.jobs.find_jobs(doubtful)
    second = {
        row.generation_id: (row, state, place)
        for row, state, place in await _judge_once(context, again, await _moment(context))
    }
    return [
        (_updated(row, second[row.generation_id][0]), *second[row.generation_id][1:])
        if row.generation_id in second
        else (row, state, place)
        for row, state, place in judged
    ]


def _updated(row: _Row, newer: JobRow) -> _Row:
    """Return a row with what of it tells where the job is, as it was read again."""
    return replace(
        row,
        generation_state=newer.generation_state,
        requeue_number=newer.requeue_number,
        owner=newer.owner,
        is_leased=newer.is_leased,
        due_time=newer.due_time,
        dead_time=newer.dead_time,
    )


async def _judge_once(
    context: QueueContext, rows: Sequence[_Row], moment: Moment
) -> list[tuple[_Row, JobState, Place]]:
    if not rows:
        return []
    places = await context.view.places(rows)
    return [
        (row, state_of(row, place, moment.now_ms, moment.alive), place)
        for row, place in zip(rows, places, strict=True)
    ]


def _queue(
    kind: str,
    standing: Standing,
    figures: dict[str, Figures],
    pauses: dict[str, datetime],
    beats: list[Beat],
) -> QueueState:
    own = [(job, state) for job, state in standing.jobs if job.kind == kind]
    counts = dict.fromkeys(OPEN_STATES, 0)
    for _, state in own:
        if state in counts:
            counts[state] += 1
    return QueueState(
        kind=kind,
        counts=counts,
        strays=standing.strays[kind],
        oldest_ready_time=min(
            (job.due_time for job, state in own if state is JobState.READY), default=None
        ),
        figures=figures.get(kind, Figures()),
        pause_time=min((pauses[name] for name in (ALL, kind) if name in pauses), default=None),
        slot_count=sum(beat.slots.get(kind, 0) for beat in beats if not beat.stopping),
    )
