"""A transaction that may take long is not ended by the bound of the others."""

from __future__ import annotations

import pytest

from authority.domain.errors import Unavailable
from authority.ledger import database as ledger_database
from authority.ledger.database import Database, allow_long_transaction, make_pool


@pytest.fixture
async def database(ledger_url, monkeypatch):
    monkeypatch.setattr(ledger_database, "_TRANSACTION_TIMEOUT", "500ms")
    pool = make_pool(ledger_url, size_max=2)
    await pool.open()
    yield Database(pool)
    await pool.close()


async def test_it_may_take_as_long_as_it_was_allowed(database):
    async with database.transaction() as connection:
        await allow_long_transaction(connection, "20s")
        await connection.execute("SELECT pg_sleep(1)")
        cursor = await connection.execute("SELECT 1 AS one")
        assert await cursor.fetchone() == {"one": 1}


async def sleep_long(database, bound):
    async with database.transaction() as connection:
        if bound:
            await allow_long_transaction(connection, bound)
        await connection.execute("SELECT pg_sleep(3)")


@pytest.mark.parametrize("bound", ["600ms", None])
async def test_no_longer_than_that_and_no_other_does(database, bound):
    with pytest.raises(Unavailable):
        await sleep_long(database, bound)
    # What was allowed ends with the transaction.
    async with database.connection() as connection:
        cursor = await connection.execute("SHOW transaction_timeout")
        assert await cursor.fetchone() == {"transaction_timeout": "500ms"}
