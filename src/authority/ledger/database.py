"""Connections to Postgres: a pool, and one place that turns its faults into Unavailable."""

from __future__ import annotations

import asyncio
import select
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from authority.domain.errors import Unavailable
from authority.ledger.arrays import register_columns

# Shorter than the deadline that clients set by default (2 s): they are told, not left to guess.
_WAIT_SECONDS = 1.5
_STATEMENT_TIMEOUT = "15s"
# A process that is stopped, or cut off, in a transaction must not keep its rows locked: the server
# ends it, and the others go on. Older servers than 17 bound only the time between statements.
_TRANSACTION_TIMEOUT = "5s"
_KNOWS_TRANSACTION_TIMEOUT = 170_000
_POLL_SECONDS = 0.2
_CHECK_AFTER_SECONDS = 0.5
# The pool waits twice as long after each attempt that fails, so that after an hour's outage the
# next one may be an hour away. One that gives up soon lets the next caller make a new one at once.
_RECONNECT_SECONDS = 1.0

# A host that is gone without a word is found out within ten seconds. TCP by itself waits for a
# quarter of an hour, and so would the journal; who only listens would for hours.
FOUND_DEAD: Mapping[str, Any] = {
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 4,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}

# Internal errors are states of the server too, such as a primary that was demoted to read-only.
_AWAY = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.InternalError,
    PoolTimeout,
)


class Connection(AsyncConnection[DictRow]):
    """A connection that knows when it was last of use."""

    use_time = 0.0  # monotonic, in seconds


class Pool(AsyncConnectionPool[Connection]):
    """A pool that is of use again as soon as Postgres is.

    Its own check of a connection that is taken sleeps for a second after each dead one; after a
    restart all are dead, and calls would fail until the last of them was found to be. One that was
    of use a moment ago, and has heard nothing since, is not checked: that is a trip of its own.
    """

    async def getconn(
        self,
        timeout: float | None = None,  # noqa: ASYNC109  # The pool calls it so.
    ) -> Connection:
        """Take a connection that lives. Raises PoolTimeout."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            connection = await super().getconn(deadline - time.monotonic())
            recent = time.monotonic() - connection.use_time < _CHECK_AFTER_SECONDS
            if recent and not _has_input(connection):
                return connection
            try:
                await self.check_connection(connection)
            except psycopg.Error:
                await self.putconn(connection)  # and the pool makes another in its place
            except BaseException:
                await self.putconn(connection)
                raise
            else:
                return connection

    async def putconn(self, conn: Connection) -> None:
        """Give a connection back."""
        conn.use_time = time.monotonic()
        await super().putconn(conn)


def _has_input(connection: Connection) -> bool:
    """Tell whether an idle server has said something, such as that it ends the connection."""
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    return bool(poll.poll(0))


def make_pool(database_url: str, *, size_max: int) -> Pool:
    """Return a pool that is not open yet."""
    return Pool(
        database_url,
        min_size=1,
        max_size=size_max,
        timeout=_WAIT_SECONDS,
        reconnect_timeout=_RECONNECT_SECONDS,
        open=False,
        connection_class=Connection,
        configure=_configure,
        kwargs={
            "autocommit": True,
            "row_factory": dict_row,
            "client_encoding": "utf8",
            "options": f"-c statement_timeout={_STATEMENT_TIMEOUT}",
            **FOUND_DEAD,
        },
    )


async def _configure(connection: AsyncConnection[DictRow]) -> None:
    register_columns(connection)
    name = "idle_in_transaction_session_timeout"
    if connection.info.server_version >= _KNOWS_TRANSACTION_TIMEOUT:
        name = "transaction_timeout"
    await connection.execute("SELECT set_config(%s, %s, false)", [name, _TRANSACTION_TIMEOUT])


async def allow_long_transaction(connection: AsyncConnection[DictRow], bound: str) -> None:
    """Let the transaction under way, and each of its statements, take as long as `bound` says."""
    names = ["statement_timeout"]
    if connection.info.server_version >= _KNOWS_TRANSACTION_TIMEOUT:
        names.append("transaction_timeout")
        # The clock that runs is not set anew by a longer time, but is stopped by none.
        await connection.execute("SELECT set_config('transaction_timeout', '0', true)")
    for name in names:
        await connection.execute("SELECT set_config(%s, %s, true)", [name, bound])


async def wait_for_postgres(database_url: str, seconds: float) -> str:
    """Wait until Postgres takes connections. Return '' then, or else why it does not.

    A server that is away may come yet; one that refuses these credentials is not asked again.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            async with await AsyncConnection.connect(database_url, connect_timeout=3):
                return ""
        except psycopg.OperationalError as error:
            reason = str(error).splitlines()[0]
            answered = "FATAL" in str(error) and "starting up" not in str(error)
            if answered or time.monotonic() > deadline:
                return reason
        await asyncio.sleep(_POLL_SECONDS)


class Database:
    """Hands out connections. A fault of the server is Unavailable, a wrong statement is not."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[DictRow]]:
        """Give a connection in autocommit mode."""
        try:
            async with self._pool.connection() as connection:
                yield connection
        except _AWAY as error:
            raise Unavailable(f"The ledger does not answer ({type(error).__name__}).") from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection[DictRow]]:
        """Give a connection within a transaction."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def pipelined_transaction(self) -> AsyncIterator[AsyncConnection[DictRow]]:
        """Give a connection within a transaction that waits for no statement.

        It begins and ends with the statements that it is given, on the same trips. What a statement
        has failed with is raised where rows are fetched, or at the end.
        """
        async with self.connection() as connection:
            try:
                async with connection.pipeline():
                    await connection.execute("BEGIN", prepare=True)
                    yield connection
                    end = await connection.execute("COMMIT", prepare=True)
            except BaseException:
                await connection.rollback()
                raise
            # A transaction that has failed is ended by COMMIT without an error, and without effect.
            if end.statusmessage != "COMMIT":
                raise Unavailable("The ledger did not keep what was written.")

    async def rows(self, statement: Any, parameters: dict[str, Any]) -> list[DictRow]:
        """Run one statement and return its rows."""
        async with self.connection() as connection:
            cursor = await connection.execute(statement, parameters)
            return await cursor.fetchall()
