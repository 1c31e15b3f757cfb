"""An authority that is killed while it adjusts leaves what another finishes, once."""

from __future__ import annotations

import asyncio
import random
import signal
from contextlib import suppress

import grpc
import psycopg
import pytest

from authorities import new_key
from billing import Billing, openai_file, openai_row
from support import eventually

DAY = "2026-11-02"
ATTEMPTS = 24
COST = 10_000


@pytest.mark.parametrize("repeated", [True, False])
async def test_each_attempt_is_refunded_once_however_often_it_is_killed(
    make_authority_process, ledger_url, redis_url, repeated
):
    chance = random.Random(repeated)
    process = await make_authority_process(ledger_url, redis_url)
    stubs = await process.start()
    await stubs.account("acme")
    await stubs.set_budget("acme", 10**9, window="TOTAL")
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as connection:
        bills = Billing(stubs, connection)
        for _ in range(ATTEMPTS):
            await bills.attempt("acme", COST, f"{DAY}T01:00:00", presumed=True)
        await bills.import_file(openai_file(openai_row(DAY, "0.045", "gpt-image-1, image output")))
        key = new_key()
        for _ in range(2):
            call = asyncio.ensure_future(bills.adjust(DAY, key=key))
            await written_down(connection, chance.randint(0, 12))
            await process.send(signal.SIGKILL)
            with suppress(grpc.aio.AioRpcError):  # It may have been answered just before.
                await call
            await process.start()
            if not repeated:
                break
        if repeated:
            await eventually(lambda: again(bills, key), 60)
        await eventually(lambda: finished(bills), 60)
        cursor = await connection.execute(
            "SELECT book, sum(amount)::bigint FROM ledger_entry"
            " WHERE unit = 'USD' AND budget_key IS NULL GROUP BY book HAVING sum(amount) <> 0"
        )
        # Four attempts were billed, and half of a fifth; the others have cost and charged nothing.
        assert dict(await cursor.fetchall()) == {"PROVIDER": -45_000, "CHARGED": 45_000}
        cursor = await connection.execute(
            "SELECT kind, count(*) FROM operation GROUP BY kind ORDER BY kind"
        )
        counts = dict(await cursor.fetchall())
        assert (counts["ADJUST"], counts["REFUND"]) == (ATTEMPTS - 4, ATTEMPTS - 4)
    assert (await bills.day()).difference == 0
    assert await stubs.differences() == []


async def written_down(connection, least):
    """Wait until an adjustment is written down, and so many of its parts are in the ledger."""

    async def there():
        cursor = await connection.execute(
            "SELECT count(*), count(finish_time) FROM bill_adjustment_part"
        )
        parts, done = await cursor.fetchone()
        return parts and done >= least

    await eventually(there, 30)


async def again(bills, key):
    """Ask for the same again; say whether it is answered."""
    try:
        return (await bills.adjust(DAY, key=key)).replayed
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.UNAVAILABLE, error.details()
        return False


async def finished(bills):
    try:
        (made,) = await bills.adjustments()
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.UNAVAILABLE, error.details()
        return False
    return made.HasField("finish_time")
