"""What Redis has of the queues, for operators: read by pipelines and scans, never by KEYS.

Nothing but JSON is decoded: what begins like a pickle is named so, and is not looked into.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

from arq.connections import ArqRedis
from arq.constants import (
    abort_jobs_ss,
    in_progress_key_prefix,
    job_key_prefix,
    result_key_prefix,
    retry_key_prefix,
)
from redis.exceptions import RedisError

from authority.domain.errors import Unavailable
from authority.domain.findings import Survey
from authority.domain.jobs import Entry, OpenJob, Place, ProviderLoad
from authority.queue.jobs import QueuedJobs
from generations.beats import Beat, read_beats
from generations.models import Kind
from generations.queue import NotJson, deserialize, job_id, polite_key, queue_name
from generations.queue_control import (
    Limit,
    limits,
    load_key,
    paused,
    provider_subject,
)

GONE = "gone"
PICKLE = "pickle, not decoded"
NO_JSON = "no JSON, not decoded"

# Shorter than a client's own deadline, as for the stores: it is told, not left to guess.
_READ_SECONDS = 1.5
_SURVEY_SECONDS = 30.0
_PAGE = 1000
_PICKLE_START = b"\x80"


class QueueReader:
    """Implements `usecases.queues.QueueView`. Every method raises Unavailable."""

    def __init__(self, jobs: QueuedJobs) -> None:
        self._jobs = jobs

    async def now_ms(self) -> float:
        """Return the time of Redis, by which scores are compared."""
        async with self._redis() as redis:
            return await _now_ms(redis)

    async def places(self, jobs: Sequence[OpenJob]) -> list[Place]:
        """Return what Redis has of each job, in one trip."""
        found: dict[str, Place] = {}
        by_kind: dict[str, list[str]] = {}
        for job in jobs:
            by_kind.setdefault(job.kind, []).append(_name(job))
        async with self._redis() as redis:
            pipeline = redis.pipeline(transaction=False)
            for kind, names in by_kind.items():
                pipeline.zmscore(queue_name(kind), names)
                pipeline.zmscore(polite_key(kind), names)
                pipeline.mget(in_progress_key_prefix + name for name in names)
            answers = iter(await pipeline.execute())
        for names in by_kind.values():
            scores, polite, claims = next(answers), next(answers), next(answers)
            for name, score, other, claim in zip(names, scores, polite, claims, strict=True):
                found[name] = Place(score, other is not None, _text(claim or b""))
        return [found[_name(job)] for job in jobs]

    async def sizes(self) -> dict[str, int]:
        """Return how many entries the queue of each kind has."""
        async with self._redis() as redis:
            pipeline = redis.pipeline(transaction=False)
            for kind in Kind:
                pipeline.zcard(queue_name(kind))
            return dict(zip(map(str, Kind), await pipeline.execute(), strict=True))

    async def entry(self, job: OpenJob) -> Entry:
        """Return the entry of a job, with what it holds."""
        (place,) = await self.places([job])
        name = _name(job)
        async with self._redis() as redis:
            pipeline = redis.pipeline(transaction=False)
            pipeline.pttl(in_progress_key_prefix + name)
            pipeline.get(job_key_prefix + name)
            pipeline.pttl(job_key_prefix + name)
            pipeline.get(retry_key_prefix + name)
            claim_ms, data, data_ms, runs = await pipeline.execute()
        return Entry(
            job_id=name,
            place=place,
            claim_ttl_ms=claim_ms if claim_ms > 0 else None,
            data=_shown(data),
            data_ttl_ms=data_ms if data_ms > 0 else None,
            run_count=int(runs) if runs and runs.isdigit() else 0,
        )

    async def pauses(self) -> dict[str, datetime]:
        """Return what is paused and since when, by target."""
        async with self._redis() as redis:
            return await paused(redis)

    async def beats(self) -> list[Beat]:
        """Return the last beat of every worker alive, by name."""
        async with self._redis() as redis:
            return await read_beats(redis)

    async def limits(self) -> list[Limit]:
        """Return the limits that operators have set."""
        async with self._redis() as redis:
            return await limits(redis)

    async def loads(self, providers: Iterable[str]) -> list[ProviderLoad]:
        """Return how busy providers are, in the order of their names."""
        names = sorted(set(providers))
        async with self._redis() as redis:
            now_ms, pauses = await _now_ms(redis), await paused(redis)
            pipeline = redis.pipeline(transaction=False)
            for name in names:
                subject = provider_subject(name)
                # A holder whose lease has passed holds nothing, though nobody may have tidied up.
                pipeline.zcount(load_key(subject, "held"), f"({now_ms:.0f}", "+inf")
                pipeline.zcount(load_key(subject, "asked"), f"({now_ms:.0f}", "+inf")
                pipeline.hgetall(load_key(subject, "breaker"))
            answers = iter(await pipeline.execute())
        return [
            _load(
                name,
                next(answers),
                next(answers),
                next(answers),
                now_ms,
                pauses.get(provider_subject(name)),
            )
            for name in names
        ]

    async def survey(self) -> Survey:
        """Look through all that Redis has of jobs."""
        members: dict[str, list[str]] = {}
        claims: dict[str, str] = {}
        data: set[str] = set()
        pickles: list[str] = []
        async with self._redis(_SURVEY_SECONDS) as redis:
            for kind in Kind:
                scanned = redis.zscan_iter(queue_name(kind), count=_PAGE)
                members[kind] = sorted({_text(name) async for name, _ in scanned})
            cursor = 0
            while True:
                cursor, page = await redis.scan(cursor, match="arq:*", count=_PAGE, _type="STRING")
                await _survey_page(redis, [_text(key) for key in page], claims, data, pickles)
                if not cursor:
                    break
            missing = [name for names in members.values() for name in names if name not in data]
            aborts = await redis.zrange(abort_jobs_ss, 0, _PAGE - 1)
            gone = await _still_missing(redis, missing)
        return Survey(members, gone, sorted(pickles), claims, [_text(name) for name in aborts])

    @asynccontextmanager
    async def _redis(self, seconds: float = _READ_SECONDS) -> AsyncIterator[ArqRedis]:
        try:
            async with asyncio.timeout(seconds):
                yield await self._jobs.opened()
        except (RedisError, OSError) as error:
            # TimeoutError is an OSError.
            raise Unavailable(f"The queue does not answer ({type(error).__name__}).") from error


async def _survey_page(
    redis: ArqRedis, keys: list[str], claims: dict[str, str], data: set[str], pickles: list[str]
) -> None:
    """Sort keys of arq's out."""
    claimed = [key for key in keys if key.startswith(in_progress_key_prefix)]
    held = [key for key in keys if key.startswith((job_key_prefix, result_key_prefix))]
    if not claimed and not held:
        return
    pipeline = redis.pipeline(transaction=False)
    for key in claimed:
        pipeline.get(key)
    for key in held:
        pipeline.getrange(key, 0, 0)
    answers = await pipeline.execute()
    for key, claim in zip(claimed, answers[: len(claimed)], strict=True):
        if claim is not None:
            claims[key.removeprefix(in_progress_key_prefix)] = _text(claim)
    for key, start in zip(held, answers[len(claimed) :], strict=True):
        if start == _PICKLE_START:
            pickles.append(key)
        if key.startswith(job_key_prefix):
            data.add(key.removeprefix(job_key_prefix))


async def _still_missing(redis: ArqRedis, names: list[str]) -> list[str]:
    """Return those that are in a queue still, and have no data: others have moved meanwhile."""
    found: list[str] = []
    for start in range(0, len(names), _PAGE):
        page = names[start : start + _PAGE]
        pipeline = redis.pipeline(transaction=False)
        for kind in Kind:
            pipeline.zmscore(queue_name(kind), page)
        pipeline.mget(job_key_prefix + name for name in page)
        *scores, data = await pipeline.execute()
        found += [
            name
            for name, kept, *places in zip(page, data, *scores, strict=True)
            if kept is None and any(score is not None for score in places)
        ]
    return found


def _load(
    provider: str,
    running: int,
    asked: int,
    breaker: dict[bytes, bytes],
    now_ms: float,
    pause_time: datetime | None,
) -> ProviderLoad:
    fields = {_text(name): _text(value) for name, value in breaker.items()}
    until_ms, cooldown_ms = float(fields.get("until", 0)), float(fields.get("cooldown", 0))
    state = "CLOSED"
    if "until" in fields:
        state = "OPEN" if until_ms > now_ms else "PROBING"
    return ProviderLoad(
        provider=provider,
        running=running,
        waiting=asked,
        breaker=state,
        open_until_time=_time(until_ms) if state == "OPEN" else None,
        cooldown_until_time=_time(cooldown_ms) if cooldown_ms > now_ms else None,
        failures=int(fields.get("failures", 0)),
        pause_time=pause_time,
    )


def _shown(data: bytes | None) -> str:
    """Return what an entry holds, as text for people."""
    if data is None:
        return GONE
    if data.startswith(_PICKLE_START):
        return PICKLE
    try:
        return json.dumps(deserialize(data), default=str, ensure_ascii=False)
    except NotJson:
        return NO_JSON


def _name(job: OpenJob) -> str:
    return job_id(job.generation_id, job.requeue_number)


async def _now_ms(redis: ArqRedis) -> float:
    seconds, micros = await cast("Any", redis.time())
    return int(seconds) * 1000 + int(micros) / 1000


def _time(unix_ms: float) -> datetime:
    return datetime.fromtimestamp(unix_ms / 1000, UTC)


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
