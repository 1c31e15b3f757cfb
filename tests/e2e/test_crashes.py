"""No lost cent, no double charge: stores and authorities are killed in the middle of load.

Every caller repeats an unanswered operation with its key until it is answered, as the client does.
Afterwards each acknowledged operation must be in the ledger exactly once, no limit passed, and the
books balanced.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import shutil
import signal
from contextlib import suppress

import grpc
import psycopg
import pytest
from psycopg.rows import dict_row
from redis.asyncio import Redis

from authorities import new_key
from authority.ledger.migrate import migrate
from leasing import SUMS, TENANTS, Standing, try_reserve
from support import copy_directory, eventually

CALLERS = 24
LIMIT = 50_000_000
AMOUNT = 40_000
ACTUAL = 30_000
# Cancelled are calls that an authority which is told to stop can't end in time.
UNKNOWN = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
}


class Load:
    """Callers that reserve and settle, and what was acknowledged to them."""

    def __init__(self, pair) -> None:
        self._pair = pair
        self._stopping = asyncio.Event()
        self._group = asyncio.TaskGroup()
        self.committed = []
        self.released = []
        self.unanswered = 0

    async def __aenter__(self):
        await self._group.__aenter__()
        for index in range(CALLERS):
            self._group.create_task(self._caller(index))
        return self

    async def __aexit__(self, *error):
        self._stopping.set()
        await self._group.__aexit__(*error)

    async def _until_answered(self, call):
        for stubs in itertools.cycle(self._pair):
            try:
                return await call(stubs)
            except grpc.aio.AioRpcError as error:
                if error.code() not in UNKNOWN:
                    raise
                self.unanswered += 1
                await asyncio.sleep(0.02)
        raise AssertionError

    async def _caller(self, index):
        choice = random.Random(index)
        while not self._stopping.is_set():
            reserve_key, settle_key = new_key(), new_key()
            held = await self._until_answered(
                lambda stubs, key=reserve_key: stubs.reserve("acme/alice", {"USD": AMOUNT}, key=key)
            )
            name = held.reservation.reservation_id
            if choice.random() < 0.5:
                await self._until_answered(
                    lambda stubs, key=settle_key, name=name: stubs.commit(
                        name, {"USD": ACTUAL}, key=key
                    )
                )
                self.committed.append(name)
            else:
                await self._until_answered(
                    lambda stubs, key=settle_key, name=name: stubs.release(name, key=key)
                )
                self.released.append(name)

    async def progress(self, operations=40):
        """Wait until more has been acknowledged: the load goes on."""
        goal = len(self.committed) + len(self.released) + operations
        await eventually(lambda: len(self.committed) + len(self.released) >= goal, 30)


@pytest.fixture
async def stores(make_postgres, make_valkey):
    """A Postgres and a Valkey of the test's own."""
    return await make_postgres(), await make_valkey()


@pytest.fixture
async def processes(stores, make_authority_process):
    """Two authority processes on them, with an account to spend from."""
    postgres, valkey = stores
    await migrate(postgres.url)
    both = [await make_authority_process(postgres.url, valkey.url) for _ in range(2)]
    stubs = await both[0].start()
    await both[1].start()
    await stubs.account("acme")
    await stubs.account("acme/alice")
    await stubs.set_budget("acme", LIMIT, window="TOTAL")
    await stubs.set_budget("acme/alice", LIMIT, window="TOTAL")
    return both


async def _check(load, stubs, postgres):
    """Every acknowledged operation once, and balanced books."""
    assert set(load.committed).isdisjoint(load.released)
    assert len(load.committed) + len(load.released) > 100
    async with await psycopg.AsyncConnection.connect(postgres.url) as connection:
        cursor = await connection.execute(
            "SELECT reservation_id, kind, count(*) FROM operation"
            " WHERE outcome = 'DONE' GROUP BY reservation_id, kind"
        )
        counts = {(name, kind): count for name, kind, count in await cursor.fetchall()}
    for name in load.committed:
        assert (counts[name, "RESERVE"], counts[name, "COMMIT"]) == (1, 1)
    for name in load.released:
        assert (counts[name, "RESERVE"], counts[name, "RELEASE"]) == (1, 1)
    charged = len(load.committed) * ACTUAL
    balances = await eventually(lambda: stubs.balance("acme/alice"))
    assert set(balances.values()) == {(0, charged, 0, LIMIT - charged)}
    assert await stubs.differences() == []


async def _ready(stubs):
    """Wait until the authority answers again."""

    async def answers():
        try:
            return await stubs.balance("acme/alice")
        except grpc.aio.AioRpcError as error:
            assert error.code() not in UNKNOWN, error.details()
            raise

    await eventually(answers, 30)


async def _kill_valkey(stores, processes):
    await stores[1].kill()
    await stores[1].start()


async def _kill_postgres(stores, processes):
    await stores[0].kill()
    await stores[0].start()


async def _fail_postgres_over(stores, processes):
    """Cut every connection, and then restart it in immediate mode."""
    async with await psycopg.AsyncConnection.connect(stores[0].url, autocommit=True) as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
    os.kill(stores[0].pid, signal.SIGQUIT)
    await eventually(lambda: not stores[0].running)
    await stores[0].start()


async def _kill_authority(stores, processes):
    await processes[0].send(signal.SIGKILL)
    await processes[0].start()


async def _stop_authority(stores, processes):
    assert await processes[1].send(signal.SIGTERM) == 0
    await processes[1].start()


async def _set_valkey_back(stores, processes):
    """Restart it with what it had on its disk a little earlier."""
    files, older = stores[1].directory / "appendonlydir", stores[1].directory / "older"
    await copy_directory(files, older)
    await asyncio.sleep(0.3)  # Let the load go on meanwhile.
    await stores[1].kill()
    shutil.rmtree(files)
    older.rename(files)
    await stores[1].start()


async def _flush_valkey(stores, processes):
    async with Redis.from_url(stores[1].url) as client:
        await client.flushall()


FAULTS = {
    "valkey killed": _kill_valkey,
    "postgres killed": _kill_postgres,
    "authority killed": _kill_authority,
    "authority stopped": _stop_authority,
    "valkey flushed": _flush_valkey,
    "valkey set back": _set_valkey_back,
    "postgres failed over": _fail_postgres_over,
}


@pytest.mark.parametrize("name", FAULTS)
async def test_nothing_acknowledged_is_lost_or_doubled(name, stores, processes):
    pair = [process.stubs() for process in processes]
    async with Load(pair) as load:
        for _ in range(2):
            await load.progress()
            await FAULTS[name](stores, processes)
        await load.progress()
    await _ready(pair[0])
    await _check(load, pair[0], stores[0])


async def test_all_faults_in_turn(stores, processes):
    pair = [process.stubs() for process in processes]
    async with Load(pair) as load:
        for fault in FAULTS.values():
            await load.progress()
            await fault(stores, processes)
        await load.progress()
    await _ready(pair[0])
    await _check(load, pair[0], stores[0])


class PlatformLoad:
    """Tenants that share a budget of the platform, which is too small for all of them."""

    CAP = 1_000

    def __init__(self, pair, postgres) -> None:
        self._pair = pair
        self._postgres = postgres
        self._stopping = asyncio.Event()
        self._group = asyncio.TaskGroup()
        self.admitted = self.denied = self.looks = 0

    async def __aenter__(self):
        await self._group.__aenter__()
        for index in range(12):
            self._group.create_task(self._caller(index))
        self._group.create_task(self._watch())
        return self

    async def __aexit__(self, *error):
        self._stopping.set()
        await self._group.__aexit__(*error)

    async def _until_answered(self, call):
        for stubs in itertools.cycle(self._pair):
            try:
                return await call(stubs)
            except grpc.aio.AioRpcError as error:
                if error.code() not in UNKNOWN:
                    raise
                await asyncio.sleep(0.02)
        raise AssertionError

    async def _caller(self, index):
        choice = random.Random(index)
        while not self._stopping.is_set():
            key, tenant, amount = new_key(), TENANTS[index % 3], choice.randint(20, 300)
            held = await self._until_answered(
                lambda stubs, key=key, tenant=tenant, amount=amount: try_reserve(
                    stubs, tenant, amount, key=key
                )
            )
            self.admitted += held is not None
            self.denied += held is None
            if held is None:
                continue
            name, end = held.reservation_id, new_key()
            await self._until_answered(
                lambda stubs, end=end, name=name: stubs.release(name, key=end)
            )

    async def _watch(self):
        """Look at all times: neither what is leased nor what is used passes the cap."""
        while not self._stopping.is_set():
            with suppress(psycopg.OperationalError):
                found = await leased_and_used(self._postgres)
                assert sum(found.leased.values()) <= self.CAP, found
                assert sum(found.used.values()) <= self.CAP, found
                self.looks += 1
            await asyncio.sleep(0.05)

    async def progress(self, operations=40):
        """Wait until more was admitted and denied."""
        goal = self.admitted + operations
        await eventually(lambda: self.admitted >= goal, 60)


async def leased_and_used(postgres):
    """Return what tenants have leased of the platform's budgets, and what they use."""
    async with await psycopg.AsyncConnection.connect(
        postgres.url, row_factory=dict_row
    ) as connection:
        cursor = await connection.execute(SUMS)
        return Standing.of(await cursor.fetchall())


async def test_leases_never_pass_the_platforms_cap(stores, processes):
    pair = [process.stubs() for process in processes]
    for tenant in TENANTS[1:]:
        await pair[0].account(tenant)
        await pair[0].set_budget(tenant, LIMIT)
    await pair[0].set_budget("platform", PlatformLoad.CAP, window="TOTAL")
    async with PlatformLoad(pair, stores[0]) as load:
        for fault in FAULTS.values():
            await load.progress()
            await fault(stores, processes)
        await load.progress()
    assert load.denied > 0
    assert load.looks > 20
    await _ready(pair[0])
    assert await pair[0].differences() == []
    # Nothing is lost on the way: all of it can still be had by one.
    assert await eventually(lambda: try_reserve(pair[0], "globex", PlatformLoad.CAP), 30)
