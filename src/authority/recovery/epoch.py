"""The epoch: which life of the hot store may decide.

A store that was restarted, restored or replaced has another run id than the one in the ledger: it
is given a new epoch. Scripts carry their epoch in their text, so whoever still holds an older one
calls scripts that the store does not know; and the journal refuses what was decided in an older
one.
"""

from __future__ import annotations

import asyncio

import structlog

from authority.domain.errors import Unavailable
from authority.hotstate.store import AWAY, HotStore
from authority.ledger.database import Database
from authority.ledger.queries import statements

log = structlog.get_logger(__name__)


class Epochs:
    """Finds the present epoch and loads the scripts for it."""

    def __init__(self, hot: HotStore, database: Database) -> None:
        self._hot = hot
        self._database = database
        self._sql = statements()
        self._lock = asyncio.Lock()

    async def ensure(self) -> int:
        """Return the epoch that this process decides in, after loading its scripts if need be.

        Raises:
            Unavailable: a store is away.

        """
        async with self._lock:
            if self._hot.epoch is not None:
                return self._hot.epoch
            try:
                return await self._connect()
            except AWAY as error:
                raise Unavailable(
                    f"The hot store does not answer ({type(error).__name__})."
                ) from error

    async def _connect(self) -> int:
        # One connection for all of it: a store that restarts in between breaks it.
        async with self._hot.redis.client() as connection:
            run_id = await self._hot.run_id(connection)
            epoch = await self._epoch_of(run_id)
            await self._hot.load_scripts(connection, epoch)
            if await self._hot.run_id(connection) != run_id:
                self._hot.forget_epoch()
                raise Unavailable("The hot store was restarted just now; try again.")
        log.info("epoch_entered", epoch=epoch, run_id=run_id)
        return epoch

    async def _epoch_of(self, run_id: str) -> int:
        async with self._database.transaction() as connection:
            cursor = await connection.execute(self._sql["read_hot_store_for_update"])
            row = await cursor.fetchone()
            assert row is not None
            epoch = int(row["epoch"])
            if row["run_id"] != run_id:
                epoch += 1
                await connection.execute(
                    self._sql["write_hot_store"], {"epoch": epoch, "run_id": run_id}
                )
            return epoch

    async def advance(self, lost: int) -> None:
        """Leave an epoch whose state was lost without a restart, such as by FLUSHALL."""
        async with self._database.connection() as connection:
            await connection.execute(self._sql["advance_epoch"], {"epoch": lost})
        log.warning("epoch_lost", epoch=lost)
        self._hot.forget_epoch()
