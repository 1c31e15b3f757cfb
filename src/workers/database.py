"""The workers' connections to Postgres, and their named statements."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from importlib.resources import files
from typing import Any, LiteralString, TypeVar
from weakref import WeakKeyDictionary

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

_WAIT_SECONDS = 5.0
_STATEMENT_TIMEOUT = "15s"
# A worker that freezes within a transaction locks its generation for all others until then.
_IDLE_TIMEOUT = "5s"
_MARK = "-- name: "

# A host that is gone without a word is found out within ten seconds, as by the authority.
_FOUND_DEAD = {
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 4,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}

# What was paid for is not lost because Postgres restarts.
PATIENCE_S = 120.0
_PATIENCE_DELAY_S = 0.5

_TRUST_S = 0.5
_used_s: WeakKeyDictionary[AsyncConnection[Any], float] = WeakKeyDictionary()

_Result = TypeVar("_Result")
Pool = AsyncConnectionPool[AsyncConnection[DictRow]]


_AWAY = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.IdleInTransactionSessionTimeout,
    PoolTimeout,
)


class DatabaseAway(Exception):
    """Postgres does not answer; whether the last statement was carried out is not known."""


def make_pool(database_url: str, *, size_max: int) -> Pool:
    """Return a pool that is not open yet."""
    return AsyncConnectionPool(
        database_url,
        min_size=1,
        max_size=size_max,
        timeout=_WAIT_SECONDS,
        open=False,
        check=_check,
        connection_class=AsyncConnection[DictRow],
        kwargs={
            "autocommit": True,
            "row_factory": dict_row,
            "options": (
                f"-c statement_timeout={_STATEMENT_TIMEOUT}"
                f" -c idle_in_transaction_session_timeout={_IDLE_TIMEOUT}"
            ),
            **_FOUND_DEAD,
        },
    )


async def _check(connection: AsyncConnection[Any]) -> None:
    """Notice a connection that a restart of Postgres has cut before it is used.

    One that was used a moment ago is not asked, which would take as long as a look-up.
    """
    now_s = asyncio.get_running_loop().time()
    if now_s - _used_s.get(connection, -_TRUST_S) >= _TRUST_S:
        await AsyncConnectionPool.check_connection(connection)
    _used_s[connection] = now_s


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[AsyncConnection[DictRow]]:
    """Give a connection within a transaction. Raises DatabaseAway."""
    try:
        async with pool.connection() as connection, connection.transaction():
            yield connection
    except _AWAY as error:
        raise DatabaseAway(f"Postgres does not answer ({type(error).__name__}).") from error


@asynccontextmanager
async def pipelined(pool: Pool) -> AsyncIterator[AsyncConnection[DictRow]]:
    """Give a connection within a transaction whose statements do not wait for each other.

    It is for readers, for whom the way there and back is most of the time. Raises DatabaseAway.
    """
    try:
        # Up to its end a pipeline is a transaction by itself: BEGIN and COMMIT would cost a third.
        async with pool.connection() as connection, connection.pipeline():
            yield connection
    except _AWAY as error:
        raise DatabaseAway(f"Postgres does not answer ({type(error).__name__}).") from error


@cache
def statements(file: str = "queries.sql") -> dict[str, LiteralString]:
    """Return the statements of a file by their names."""
    text = (files("workers") / file).read_text()
    parsed = (block.partition("\n") for block in text.split(_MARK)[1:])
    return {name.strip(): body.strip() for name, _, body in parsed}


async def patiently(write: Callable[[], Awaitable[_Result]]) -> _Result:
    """Repeat a write while Postgres is away: what it says is known nowhere else."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        try:
            return await write()
        except DatabaseAway:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(_PATIENCE_DELAY_S)
