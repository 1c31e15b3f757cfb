"""A store that answers, but refuses: out of memory, or read-only."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from redis.asyncio import Redis

from authorities import make_settings, new_key
from authority.ledger.migrate import migrate
from refusals import refused
from support import eventually

DAY = ("acme", "usd-day")


@pytest.fixture
async def stores(make_postgres, make_valkey):
    """A Postgres and a Valkey of the test's own."""
    postgres, valkey = await make_postgres(), await make_valkey()
    await migrate(postgres.url)
    return postgres, valkey


@pytest.fixture
async def acme(stores, start_authority, tmp_path):
    """An authority on them, with an account to spend from."""
    postgres, valkey = stores
    _, stubs = await start_authority(make_settings(postgres.url, valkey.url, tmp_path))
    await stubs.account("acme")
    await stubs.set_budget("acme", 1_000)
    return stubs


async def settled(stubs, keys):
    """Reserve, commit and refund with the same keys as before; nothing may have happened twice."""
    held = await stubs.reserve("acme", {"USD": 100}, key=keys[0])
    name = held.reservation.reservation_id
    await stubs.commit(name, {"USD": 90}, key=keys[1])
    await stubs.refund(name, {"USD": 40}, key=keys[2])
    assert (await stubs.balance("acme"))[DAY] == (0, 90, 40, 950)
    assert await stubs.differences() == []


async def test_a_valkey_that_is_full(stores, acme):
    keys = [new_key() for _ in range(3)]
    held = (await acme.reserve("acme", {"USD": 100}, key=keys[0])).reservation.reservation_id
    async with Redis.from_url(stores[1].url) as redis:
        await redis.config_set("maxmemory", 1)
        for call in (
            acme.reserve("acme", {"USD": 1}),
            acme.commit(held, {"USD": 90}, key=keys[1]),
            acme.refund(held, key=keys[2]),
            acme.release(held),
        ):
            assert (await refused(call)).code == "UNAVAILABLE"
        assert (await acme.balance("acme"))[DAY] == (100, 0, 0, 900)
        await redis.config_set("maxmemory", 0)
    await settled(acme, keys)


async def test_a_valkey_that_was_demoted(stores, acme):
    keys = [new_key() for _ in range(3)]
    await acme.reserve("acme", {"USD": 100}, key=keys[0])
    async with Redis.from_url(stores[1].url) as redis:
        await redis.replicaof("127.0.0.1", 1)
        assert (await refused(acme.reserve("acme", {"USD": 1}))).code == "UNAVAILABLE"
        await redis.replicaof("NO", "ONE")
    await settled(acme, keys)


async def test_a_postgres_that_was_demoted(stores, acme):
    keys = [new_key() for _ in range(4)]
    await acme.reserve("acme", {"USD": 100}, key=keys[0])
    async with await psycopg.AsyncConnection.connect(stores[0].url, autocommit=True) as connection:
        await _read_only(stores[0], connection, "on")
        refusal = await refused(acme.reserve("acme", {"USD": 1}, key=keys[3]))
        assert refusal.code == "UNAVAILABLE"
        assert (await refused(acme.account("globex"))).code == "UNAVAILABLE"
        await _read_only(stores[0], connection, "off")
    held = await acme.reserve("acme", {"USD": 1}, key=keys[3])
    await acme.release(held.reservation.reservation_id)
    await settled(acme, keys)


async def test_a_postgres_that_has_cut_every_connection(stores, acme):
    async with asyncio.TaskGroup() as group:
        for number in range(60):
            group.create_task(acme.account(f"tenant-{number}"))
    async with await psycopg.AsyncConnection.connect(stores[0].url, autocommit=True) as connection:
        assert await _cut(connection) > 5
    # Not one call fails, whichever connections it comes by.
    for number in range(60, 70):
        await acme.account(f"tenant-{number}")


async def _read_only(postgres, connection, value):
    await connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
    await connection.execute("SELECT pg_reload_conf()")

    async def has_changed():
        # Connections are given what the server had read by the time that they were made.
        async with await psycopg.AsyncConnection.connect(postgres.url) as other:
            cursor = await other.execute("SHOW default_transaction_read_only")
            return await cursor.fetchone() == (value,)

    await eventually(has_changed)
    await _cut(connection)


async def _cut(connection):
    """End all other connections; return how many there were, once they are gone."""
    cursor = await connection.execute(
        "SELECT pg_terminate_backend(pid, 10_000) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    return len(await cursor.fetchall())
