"""What Postgres says was charged, beside what the providers say they have done.

Prompts are unique but for twins, so that calls and generations are told apart by them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

import psycopg
from psycopg.rows import dict_row

# Those that go on by themselves, and are asked by the id of the job.
_ASYNCHRONOUS = {"fal"}


@dataclass
class Books:
    """The figures of a run; amounts in micros of USD."""

    states: dict[str, int]
    kinds: dict[str, int]
    open_ids: list[str]
    ended_ids: list[str]
    charged_micros: int
    billed_micros: int
    presumed_micros: int
    reserved_micros: int
    unexplained_micros: int = 0
    duplicate_submits: int = 0
    concurrency_max: int = 0
    notes: list[str] = field(default_factory=list)


async def read_books(world) -> Books:
    """Read and compare them."""
    generations = await _rows(world, "SELECT generation_id, kind, prompt, state FROM generation")
    attempts = await _rows(
        world,
        "SELECT prompt, generation_attempt.* FROM generation_attempt JOIN generation"
        " USING (generation_id)",
    )
    held = await _rows(
        world,
        "SELECT coalesce(sum(reserved), 0)::bigint AS micros FROM window_total WHERE unit = 'USD'",
    )
    calls = await world.emulator.calls()
    open_ids = [row["generation_id"] for row in generations if row["state"] in _OPEN]
    books = Books(
        states=Counter(row["state"] for row in generations),
        kinds=Counter(row["kind"] for row in generations),
        open_ids=open_ids,
        ended_ids=[row["generation_id"] for row in generations if row["state"] not in _OPEN],
        charged_micros=sum(row["charged_micros"] or 0 for row in attempts),
        billed_micros=sum(call.billed_micros for call in calls),
        presumed_micros=sum(row["charged_micros"] or 0 for row in attempts if _presumed(row)),
        reserved_micros=held[0]["micros"],
    )
    _compare(books, attempts, calls)
    books.concurrency_max = max((await world.emulator.peaks()).values(), default=0)
    return books


_OPEN = ("QUEUED", "RUNNING")


def _presumed(attempt) -> bool:
    return attempt["presumed_spent"]


def _compare(books, attempts, calls) -> None:
    by_prompt = defaultdict(lambda: ([], []))
    for attempt in attempts:
        by_prompt[attempt["prompt"]][0].append(attempt)
    for call in calls:
        if call.prompt:
            by_prompt[call.prompt][1].append(call)
    for prompt, (tries, asked) in by_prompt.items():
        known = sum(row["charged_micros"] or 0 for row in tries if not _presumed(row))
        presumed = sum(row["charged_micros"] or 0 for row in tries if _presumed(row))
        billed = sum(call.billed_micros for call in asked)
        # What is presumed may or may not have been done; the rest is to the micro.
        off = max(known - billed, billed - known - presumed, 0)
        if off:
            books.unexplained_micros += off
            books.notes.append(f"{prompt}: charged {known}, presumed {presumed}, billed {billed}")
        for provider in _ASYNCHRONOUS:
            jobs = [call for call in asked if call.provider == provider and call.billed_micros]
            tried = [row for row in tries if row["provider"] == provider]
            if len(jobs) > len(tried):
                books.duplicate_submits += len(jobs) - len(tried)
                books.notes.append(f"{prompt}: {len(jobs)} jobs for {len(tried)} attempts")


async def _rows(world, statement):
    async with await psycopg.AsyncConnection.connect(
        world.postgres.url, row_factory=dict_row
    ) as connection:
        cursor = await connection.execute(statement)
        return await cursor.fetchall()
