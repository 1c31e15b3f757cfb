"""One run: load, faults from a seed, recovery, and what came of it."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter

import psycopg

from chaos.faults import FAULTS
from chaos.load import Load, make_tenant
from chaos.world import running_world
from history import check, read_books
from support import eventually

_TENANTS = 24
CLIENTS = 16
WIDTH = 6  # reservations that a client makes at once
_RECOVERY_SECONDS_MAX = 60
_SETTLE_SECONDS_MAX = 120
_SNAPSHOT_EVERY = 5  # faults
_SHOWN = 20
_LATER_MS = 3 * 3_600_000  # when all that is held has expired


class _Storm:
    """Breaks one thing after the other, and measures how long it takes until all is well again."""

    def __init__(self, world, load, seed) -> None:
        self.counts = Counter()
        self.recoveries: list[float] = []
        self._world, self._load = world, load
        self._choice = random.Random(seed)

    async def rage(self, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.counts.total() % _SNAPSHOT_EVERY == 0:
                await self._world.snapshot()
            (fault,) = self._choice.choices(list(FAULTS), list(FAULTS.values()))
            await fault(self._world, self._choice)
            self.counts[fault.__name__] += 1
            # Most often the next fault finds all well; now and then it finds a recovery under way.
            if self._choice.random() < 0.8:
                await self._recovered()
                await asyncio.sleep(self._choice.uniform(0, 0.5))

    async def _recovered(self):
        """Wait until both authorities have answered a call that was begun after the fault."""
        healed = time.monotonic()

        def all_heard():
            return min(self._load.heard) > healed

        await eventually(all_heard, _RECOVERY_SECONDS_MAX)
        self.recoveries.append(time.monotonic() - healed)


async def run(home, duration, seed, *, clients=CLIENTS, width=WIDTH):
    """Run it. Return notes for people, and the summary."""
    async with running_world(home) as world:
        tenants = [await make_tenant(world.pair[0], number) for number in range(_TENANTS)]
        begun = time.monotonic()
        load = Load(world.pair, tenants, seed, clients=clients, width=width)
        async with load:
            storm = _Storm(world, load, seed)
            await storm.rage(duration)
        seconds = time.monotonic() - begun
        await _settle(world)
        differences = await world.pair[0].differences()
        books = await read_books(world.postgres.url)
        report = await asyncio.to_thread(check, books, load.calls)
        notes = [
            f"{seconds:.0f} s of load, answers {dict(load.attempts)}",
            *(f"{count} times {text}" for text, count in load.reasons.most_common(_SHOWN)),
            *report.examples,
            *load.odd[:_SHOWN],
            *map(str, differences[:_SHOWN]),
        ]
        return notes, _summary(report, load, storm, differences, seed)


async def _settle(world):
    """Let all that is held expire, and what is in an outbox be drained."""
    world.move_clock(world.offset_ms + _LATER_MS)
    await world.restart()
    await world.ready()

    async def nothing_held():
        async with await psycopg.AsyncConnection.connect(world.postgres.url) as connection:
            cursor = await connection.execute(
                "SELECT count(*) FROM reservation WHERE state = 'HELD'"
            )
            return (await cursor.fetchone())[0] == 0

    await eventually(nothing_held, _SETTLE_SECONDS_MAX)


def _summary(report, load, storm, differences, seed):
    recoveries = sorted(storm.recoveries) or [0.0]
    return {
        "operations": report.operations,
        "faults": dict(sorted(storm.counts.items())),
        "acknowledged": report.acknowledged,
        "lost": report.lost,
        "doubled": report.doubled,
        "overspent": report.overspent,
        "disallowed": report.disallowed + len(load.odd),
        "audit_differences": len(differences),
        "recover_seconds_p99": round(recoveries[int(len(recoveries) * 0.99)], 2),
        "seed": seed,
    }
