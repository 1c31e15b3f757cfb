"""Opens a tenant: makes its hot state serve in the present epoch.

Nothing but the sequence and the expiry times is brought in here; windows and reservations are
loaded from the ledger when they are first needed. So opening takes the same few milliseconds for a
tenant with ten operations and with ten million.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from authority.domain.errors import Unavailable
from authority.hotstate.scripts import Script
from authority.hotstate.store import HotStore
from authority.ledger.database import Database
from authority.ledger.journal import Journal
from authority.ledger.queries import statements
from authority.recovery.epoch import Epochs
from authority.recovery.outbox import Outbox, operations_of
from authority.usecases.single_flight import SingleFlight

# Each holds a connection for the lock and uses another to drain: bounded, so that tenants that are
# opened together never take all connections for their locks.
_OPENING_MAX = 4

log = structlog.get_logger(__name__)


class Tenants:
    """Opens tenants, each in one process at a time."""

    def __init__(
        self, hot: HotStore, database: Database, journal: Journal, outbox: Outbox, epochs: Epochs
    ) -> None:
        self._hot = hot
        self._database = database
        self._journal = journal
        self._outbox = outbox
        self._epochs = epochs
        self._sql = statements()
        self._under_way: SingleFlight[str, None] = SingleFlight()
        self._opening = asyncio.Semaphore(_OPENING_MAX)

    async def open(self, tenant: str) -> None:
        """Try to open a tenant in the present epoch; does nothing if it is open.

        It may be left closed if the ground moved meanwhile: the next script says NOT_LOADED again.

        Raises:
            Unavailable: a store is away; calling again is safe.

        """
        await self._under_way.do(tenant, lambda: self._open(tenant))

    async def stop(self) -> None:
        """Stop opening: a tenant may be left closed, and is opened by whoever needs it next."""
        await self._under_way.stop()

    async def _open(self, tenant: str) -> None:
        async with self._opening:
            epoch = await self._epochs.ensure()
            async with self._database.connection() as connection:
                await connection.execute(self._sql["lock_tenant"], {"tenant": tenant})
                try:
                    await self._open_locked(connection, tenant, epoch)
                finally:
                    await connection.execute(self._sql["unlock_tenant"], {"tenant": tenant})

    async def _open_locked(
        self, connection: AsyncConnection[DictRow], tenant: str, epoch: int
    ) -> None:
        head = await self._row(connection, "read_tenant", tenant)
        if head["epoch"] != epoch:
            # Another process has moved on: this one's scripts must not touch the tenant.
            self._hot.forget_epoch()
            return
        keys = self._hot.keys(tenant)
        opened = "1" if head["loaded_epoch"] == epoch else "0"
        (verdict,) = await self._hot.call(Script.FENCE, [keys.meta], [opened])
        if verdict == "LOST":
            await self._epochs.advance(epoch)
        if verdict != "DONE":
            return
        # From here on nobody decides for this tenant: what is in its outbox is all there will be.
        drained = await self._drain(tenant)
        await connection.execute(
            self._sql["write_loaded_epoch"], {"tenant": tenant, "epoch": epoch}
        )
        held = await self._serve(connection, tenant)
        log.info("tenant_opened", tenant=tenant, epoch=epoch, drained=drained, held=held)

    async def _serve(self, connection: AsyncConnection[DictRow], tenant: str) -> int:
        """Let the tenant serve from where the ledger stands; return its open reservations."""
        keys = self._hot.keys(tenant)
        last = await self._row(connection, "last_sequence", tenant)
        version = (await self._row(connection, "read_tenant", tenant))["policy_version"]
        cursor = await connection.execute(self._sql["open_reservations"], {"tenant": tenant})
        held = await cursor.fetchall()
        arguments = [last["sequence"], version, "1" if last["sequence"] else "0"]
        arguments += [self._hot.clock.offset_ms, last["decide_ms"]]
        for row in held:
            arguments += [row["expire_ms"], row["reservation_id"]]
        await self._hot.call(Script.OPEN, [keys.meta, keys.expiries], arguments)
        # The policy may have been changed between the reading and the opening.
        newest = (await self._row(connection, "read_tenant", tenant))["policy_version"]
        if newest != version:
            await self._hot.raise_policy_version(tenant, newest)
        return len(held)

    async def _row(
        self, connection: AsyncConnection[DictRow], name: str, tenant: str
    ) -> dict[str, Any]:
        cursor = await connection.execute(self._sql[name], {"tenant": tenant})
        row = await cursor.fetchone()
        if row is None:
            raise Unavailable(f"The tenant {tenant!r} is not in the ledger.")
        return row

    async def _drain(self, tenant: str) -> int:
        count = 0
        while entries := await self._outbox.read(tenant):
            operations = operations_of(entries)
            # What the ledger refuses is dropped: the hot state is made anew without it.
            await self._journal.write_each(operations, drained=True)
            await self._outbox.trim([(tenant, item.entry) for item in entries])
            count += len(operations)
        return count
