"""Bytes: of an account, an open reservation and an answer in Valkey, an operation in Postgres."""

from __future__ import annotations

from psycopg import AsyncConnection
from redis.asyncio import Redis

from bench.machine import Machine
from bench.population import Population
from bench.report import Figure, alone

_BYTES = "bytes"
_SECONDS_MAX = 600


async def measure(machine: Machine) -> list[Figure]:
    """Measure by what the stores grow while the product makes a known number of each."""
    return [*await _in_valkey(machine), await _in_postgres(machine)]


async def _in_valkey(machine: Machine) -> list[Figure]:
    """Tell what is what by its key, as hotstate/keys.py names it; also what the server grew by."""
    tenants = machine.scale.tenants
    population = Population("size", tenants, 10, 10)
    await machine.populate(population)
    await machine.grant(population)
    url = machine.stores.valkey.url
    before = await _used(url)
    cycles = population.size
    await _spend_once(machine, population)
    after_cycles = await _used(url)
    # As many again, so that each account has one open.
    work = machine.work("holds", population, callers=4, warm_up=0, count=cycles)
    await machine.measure(work.lasting(_SECONDS_MAX))
    after_holds = await _used(url)
    kinds = await _by_kind(url, population)
    rows = [
        alone(
            f"Valkey: an account's first cycle, of {cycles:,}",
            (after_cycles - before) / cycles,
            _BYTES,
            "its windows, a settled reservation and two answers",
        ),
        alone(
            f"Valkey: an open reservation, of {cycles:,}",
            (after_holds - after_cycles) / cycles,
            _BYTES,
            "with its stored answer and its expiry",
        ),
    ]
    windows = kinds.get("window", (0, 0))[1]
    users = population.teams * population.users
    rows.append(
        alone(
            f"Valkey: an account of a tenant of {users}",
            windows / users,
            _BYTES,
            "its budgets' windows, and its share of those above it and of the grant",
        )
    )
    return rows + [
        alone(f"Valkey: {kind}, mean of {count:,} keys", size / count, _BYTES, "MEMORY USAGE")
        for kind, (count, size) in sorted(kinds.items())
    ]


async def _in_postgres(machine: Machine) -> Figure:
    """Measure how much the database grows by an operation, its indexes too."""
    before = await _database_bytes(machine)
    found = 2 * machine.spread.size
    await _spend_once(machine, machine.spread)
    after = await _database_bytes(machine)
    return alone(
        "Postgres: an operation",
        (after[0] - before[0]) / found,
        _BYTES,
        f"rows and indexes; {(after[1] - before[1]) / found:,.0f} bytes of WAL",
    )


async def _spend_once(machine: Machine, population: Population) -> None:
    """Reserve and commit once by each account."""
    work = machine.work("session touches", population, callers=256, warm_up=0)
    await machine.measure(work.lasting(_SECONDS_MAX))


async def _used(url: str) -> int:
    async with Redis.from_url(url) as redis:
        return int((await redis.info("memory"))["used_memory"])


async def _by_kind(url: str, population: Population) -> dict[str, tuple[int, int]]:
    """Return the number and the bytes of keys by what they hold, of one tenant."""
    found: dict[str, tuple[int, int]] = {}
    prefix = f"pm:{{{population.tenant(0)}}}:"
    async with Redis.from_url(url, decode_responses=True) as redis:
        async for key in redis.scan_iter(match=f"{prefix}*", count=1000):
            words = key.removeprefix(prefix).split(":")
            kind = next(word for word in words if not word.isdigit())
            count, size = found.get(kind, (0, 0))
            # Every element is looked at: 0 is all.
            found[kind] = count + 1, size + int(await redis.memory_usage(key, samples=0) or 0)
    return found


async def _database_bytes(machine: Machine) -> tuple[int, int]:
    async with await AsyncConnection.connect(machine.stores.postgres.url) as connection:
        found = await connection.execute(
            "SELECT pg_database_size(current_database()), "
            "pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
        )
        row = await found.fetchone()
    assert row is not None
    return int(row[0]), int(row[1])
