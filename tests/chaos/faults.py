"""The faults. Each is a coroutine that breaks something and leaves it working again."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack, suppress

import psycopg
from redis.asyncio import Redis

_LOCKS_ALL = "LOCK TABLE operation, reservation, window_total IN ACCESS EXCLUSIVE MODE"
_HOUR_MS = 3_600_000


async def kill_authority(world, choice):
    await world.restart([choice.randrange(2)])


async def kill_valkey(world, choice):
    await world.valkey.kill()
    await asyncio.sleep(choice.uniform(0, 0.5))
    await world.valkey.start()


async def kill_postgres(world, choice):
    await world.postgres.kill()
    await asyncio.sleep(choice.uniform(0, 0.5))
    await world.postgres.start()


async def flush_valkey(world, choice):
    async with Redis.from_url(world.valkey.url) as client:
        await client.flushall()


async def restore_snapshot(world, choice):
    await world.restore()


async def pause_authority(world, choice):
    await _pause(world, str(choice.randrange(2)), choice.uniform(0.2, 2))


async def pause_valkey(world, choice):
    await _pause(world, "valkey", choice.uniform(0.2, 2))


async def pause_postgres(world, choice):
    await _pause(world, "postgres", choice.uniform(0.2, 2))


async def _pause(world, name, seconds):
    pids = await world.pids(name)
    _signal(pids, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        _signal(pids, signal.SIGCONT)


def _signal(pids, number):
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


async def drop_replies(world, choice):
    proxy = _proxy(world, choice)
    proxy.drop_replies(choice.randint(1, 30))
    await asyncio.sleep(choice.uniform(0.1, 0.6))
    proxy.pass_on()


async def delay_replies(world, choice):
    proxy = _proxy(world, choice)
    proxy.delay(choice.choice((0.01, 0.1, 0.5, 1.2)))
    await asyncio.sleep(choice.uniform(0.3, 1.5))
    proxy.pass_on()


async def cut_connections(world, choice):
    _proxy(world, choice).cut()


async def refuse_connections(world, choice):
    proxy = _proxy(world, choice)
    proxy.refuse()
    await asyncio.sleep(choice.uniform(0.1, 1))
    proxy.pass_on()


def _proxy(world, choice):
    return choice.choice([proxy for of in world.proxies.values() for proxy in of])


async def fill_connections(world, choice):
    """Cut the authorities' connections to Postgres, and take every place that there is."""
    async with AsyncExitStack() as stack:
        with suppress(psycopg.OperationalError):
            while True:
                connection = await psycopg.AsyncConnection.connect(
                    world.postgres.url, autocommit=True
                )
                await stack.enter_async_context(connection)
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name <> 'chaos' AND backend_type = 'client backend'"
                    " AND pid <> pg_backend_pid()"
                )
                await connection.execute("SET application_name = 'chaos'")
        await asyncio.sleep(choice.uniform(0.2, 1.5))


async def lock_tables(world, choice):
    """Let every transaction wait, until no connection of the pools is left."""
    async with await psycopg.AsyncConnection.connect(world.postgres.url) as connection:
        await connection.execute(_LOCKS_ALL)
        await asyncio.sleep(choice.uniform(0.2, 2))


async def jump_clock(world, choice):
    """Start the authorities anew with a clock that is moved: the hot store's, as they see it."""
    jump = choice.choice((-20_000, -2_000, 5_000, 30_000, 120_000, _HOUR_MS // 4, _HOUR_MS))
    if world.offset_ms + jump < 20 * _HOUR_MS:
        world.move_clock(world.offset_ms + jump)
    await world.restart()


# How often each comes, compared with the others.
FAULTS = {
    kill_authority: 8,
    kill_valkey: 8,
    kill_postgres: 6,
    flush_valkey: 8,
    restore_snapshot: 6,
    pause_authority: 8,
    pause_valkey: 8,
    pause_postgres: 6,
    drop_replies: 20,
    delay_replies: 14,
    cut_connections: 16,
    refuse_connections: 8,
    fill_connections: 6,
    lock_tables: 6,
    jump_clock: 5,
}
