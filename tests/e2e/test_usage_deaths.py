"""The usage log has each operation once, whoever dies: two authorities, killed under load.

Both keep the same log. Afterwards it has to have every acknowledged charge once, and its sums have
to equal its events and the books, which an audit says.
"""

from __future__ import annotations

import asyncio
import itertools
import signal

import grpc
import psycopg
import pytest

from authorities import new_key
from support import eventually

MICROS = 1_000_000
CALLERS = 6
KILLS = 4
UNKNOWN = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
}


async def until_answered(pair, call):
    """Ask one and the other until one answers."""
    for stubs in itertools.cycle(pair):
        try:
            return await call(stubs)
        except grpc.aio.AioRpcError as error:
            assert error.code() in UNKNOWN, error
            await asyncio.sleep(0.05)
    raise AssertionError


async def spend(pair, account, stopping, charged):
    """Reserve and commit until told to stop; note what was acknowledged."""
    for number in itertools.count(1):
        if stopping.is_set():
            return
        key, settle = new_key(), new_key()

        async def reserve(stubs, key=key):
            return await stubs.reserve(account, {"USD": 5000}, key=key, labels={"user": "ada"})

        held = (await until_answered(pair, reserve)).reservation.reservation_id
        cost = 100 + number

        async def commit(stubs, held=held, settle=settle, cost=cost):
            return await stubs.commit(held, {"USD": cost}, key=settle)

        await until_answered(pair, commit)
        charged.append(cost)


@pytest.fixture
async def pair(ledger_url, redis_url, make_authority_process):
    processes = [await make_authority_process(ledger_url, redis_url) for _ in range(2)]
    stubs = [await process.start() for process in processes]
    for tenant in ("acme", "globex"):
        await stubs[0].account(tenant)
        await stubs[0].set_budget(tenant, 10_000 * MICROS)
    return processes, stubs


async def test_each_charge_is_in_the_log_once(pair, ledger_url):
    processes, stubs = pair
    stopping, charged = asyncio.Event(), []
    async with asyncio.TaskGroup() as group:
        for number in range(CALLERS):
            tenant = ("acme", "globex")[number % 2]
            group.create_task(spend(stubs, tenant, stopping, charged))
        for number in range(KILLS):
            before = len(charged)
            process = processes[number % 2]

            async def has_gone_on(before=before):
                return len(charged) > before + 30

            await eventually(has_gone_on, 60)
            await process.send(signal.SIGKILL)
            await process.start()
        stopping.set()
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as connection:

        async def logged():
            cursor = await connection.execute(
                "SELECT count(*), coalesce(sum(charged_micros), 0) FROM usage_event"
                " WHERE outcome = 'SUCCEEDED'"
            )
            return await cursor.fetchone()

        async def all_in():
            return await logged() == (len(charged), sum(charged))

        await eventually(all_in, 30)
        # Nothing comes again once all is there.
        cursor = await connection.execute(
            "SELECT sum(charged_micros), sum(succeeded_count) FROM usage_total"
            " WHERE level = 0 AND grain = 1440"
        )
        assert await cursor.fetchone() == (sum(charged), len(charged))
    assert await stubs[0].differences() == []
