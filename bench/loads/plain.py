"""What a team would write itself: budgets in Postgres alone, by psycopg."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg import AsyncConnection
from psycopg.abc import Query

from bench.loads.transports import ACTUAL, HELD
from bench.meter import Meter
from bench.runner import Step
from bench.work import Work

SCHEMA: tuple[Query, ...] = (
    """CREATE TABLE plain_account (
        account text PRIMARY KEY,
        limit_amount bigint NOT NULL,
        reserved bigint NOT NULL DEFAULT 0,
        committed bigint NOT NULL DEFAULT 0
    )""",
    """CREATE TABLE plain_reservation (
        reservation_id uuid PRIMARY KEY,
        account text NOT NULL,
        amount bigint NOT NULL,
        committed bigint
    )""",
    "CREATE TABLE plain_commit (caller integer NOT NULL)",
)

# One statement, one round trip: the budget is checked and held, and the row is there.
_RESERVE = """
    WITH held AS (
        UPDATE plain_account SET reserved = reserved + %(amount)s
        WHERE account = %(account)s AND committed + reserved + %(amount)s <= limit_amount
        RETURNING account
    )
    INSERT INTO plain_reservation (reservation_id, account, amount)
    SELECT %(id)s, account, %(amount)s FROM held
"""
_COMMIT = """
    WITH settled AS (
        UPDATE plain_reservation SET committed = %(amount)s
        WHERE reservation_id = %(id)s AND committed IS NULL
        RETURNING account, amount
    )
    UPDATE plain_account SET
        reserved = reserved - settled.amount, committed = plain_account.committed + %(amount)s
    FROM settled WHERE plain_account.account = settled.account
"""


async def make_plain(database_url: str, accounts: int) -> None:
    """Make the tables, and accounts that are numbered from 0."""
    async with await AsyncConnection.connect(database_url, autocommit=True) as connection:
        for statement in SCHEMA:
            await connection.execute(statement)
        await connection.execute(
            "INSERT INTO plain_account (account, limit_amount) "
            "SELECT number, %s FROM generate_series(0, %s - 1) number",
            [2**51, accounts],
        )
        await connection.execute("VACUUM ANALYZE plain_account")


@asynccontextmanager
async def plain_cycles(work: Work) -> AsyncIterator[Step]:
    """Reserve and commit: one conditional UPDATE and a row each; a connection for each caller."""
    connections = [
        await AsyncConnection.connect(work.database_url, autocommit=True)
        for _ in range(work.callers)
    ]
    try:

        async def step(caller: int, meter: Meter) -> None:
            connection = connections[caller]
            account = str(random.randrange(work.population.size))
            held = {"id": uuid.uuid4(), "account": account, "amount": HELD.amount}
            started = time.perf_counter()
            done = await connection.execute(_RESERVE, held)
            meter.done("reserve", started, count=done.rowcount)
            started = time.perf_counter()
            done = await connection.execute(_COMMIT, {"id": held["id"], "amount": ACTUAL.amount})
            meter.done("commit", started, count=done.rowcount)

        yield step
    finally:
        for connection in connections:
            await connection.close()
