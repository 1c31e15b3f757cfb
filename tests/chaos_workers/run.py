"""One run: load, faults from a seed, and what came of it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from redis.asyncio import Redis

from authorities import TOKEN
from chaos_workers.books import read_books
from chaos_workers.load import Load
from chaos_workers.world import CONCURRENCY_CAP, WORKERS, running_world
from clients import AdminClient
from support import eventually

GENERATIONS = 300
_END_SECONDS_MAX = 180
_SHOWN = 20
# What every run does, whatever its length.
_FAULTS = (
    ["kill_worker"] * 20
    + ["kill_valkey"] * 2
    + ["flush_valkey", "restart_postgres", "kill_authority"]
)


async def run(home, duration, seed, generations):
    """Run it. Return notes for people, and the summary."""
    async with running_world(home) as world:
        load = Load(world, generations, duration, seed)
        await load.prepare()
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run())
            counting = group.create_task(_rage(world, duration, seed))
        lost = await _ended(world, load)
        books = await read_books(world)
        differences = await _audit(world)
        summary = {
            "generations": len(load.submitted),
            "states": books.states,
            "kinds": books.kinds,
            "faults": dict(sorted(counting.result().items())),
            "lost": len(lost),
            "charged_micros": books.charged_micros,
            "billed_micros": books.billed_micros,
            "presumed_micros": books.presumed_micros,
            "unexplained_micros": books.unexplained_micros,
            "reserved_micros": books.reserved_micros,
            "duplicate_submits": books.duplicate_submits,
            "concurrency_max": books.concurrency_max,
            "concurrency_cap": CONCURRENCY_CAP,
            "audit_differences": len(differences),
            "seed": seed,
        }
        notes = [*lost[:_SHOWN], *books.notes[:_SHOWN], *map(str, differences[:_SHOWN])]
        return notes, summary


async def _rage(world, seconds, seed):
    """Break one thing after the other, all of it within some seconds."""
    choice = random.Random(seed + 1)
    faults = list(_FAULTS)
    choice.shuffle(faults)
    loop = asyncio.get_running_loop()
    begun, counts = loop.time(), Counter()
    for number, name in enumerate(faults, 1):
        await _break(world, name, choice)
        counts[name] += 1
        due = begun + seconds * number / len(faults)
        await asyncio.sleep(max(0.0, due - loop.time()))
    return counts


async def _break(world, name, choice):
    match name:
        case "kill_worker":
            await world.kill_worker(choice.randrange(WORKERS))
        case "kill_valkey":
            await world.valkey.kill()
            await world.valkey.start()
        case "flush_valkey":
            async with Redis.from_url(world.valkey.url) as client:
                await client.flushall()
        case "restart_postgres":
            await world.postgres.stop()
            await world.postgres.start()
        case "kill_authority":
            await world.kill_authority()


async def _ended(world, load):
    """Wait until every generation has ended; return those that have not."""
    await world.emulator.clear()

    async def still_open():
        return (await read_books(world)).open_ids

    async def none_open():
        return not await still_open()

    try:
        await eventually(none_open, _END_SECONDS_MAX)
    except AssertionError:
        return await still_open()
    return sorted({*load.submitted} - {*(await read_books(world)).ended_ids})


async def _audit(world):
    async with AdminClient(world.authority.address, token=TOKEN, timeout=60) as admin:
        return (await admin.audit()).differences
