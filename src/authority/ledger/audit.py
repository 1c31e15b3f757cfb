"""Reads the books of a tenant for the audit, each time in one snapshot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from authority.domain.budgets import WindowRef
from authority.domain.money import Unit
from authority.domain.operations import Operation
from authority.domain.ports import WindowCounts
from authority.domain.reservations import Reservation
from authority.ledger.database import Database, allow_long_transaction
from authority.ledger.queries import statements
from authority.ledger.store import reservation_of, window_counts, window_ref


class Books(NamedTuple):
    """What the ledger of a tenant holds."""

    operation_count: int
    unbalanced: list[tuple[str, int]]  # operation, what its entries sum to
    windows: dict[WindowRef, WindowCounts]  # by the entries
    totals: dict[WindowRef, WindowCounts]  # as kept
    reservations: list[Reservation]  # as kept
    charges: dict[
        tuple[str, Unit], tuple[int, int]
    ]  # by the entries: charged less refunded, actual
    holds: dict[tuple[str, WindowRef], WindowCounts]  # by the entries, for each reservation


class AuditReader:
    """Reads books."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = statements()

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[AsyncConnection[DictRow]]:
        async with self._database.transaction() as connection:
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            # An audit of long books may take longer than any statement of the hot path.
            await allow_long_transaction(connection, "10min")
            yield connection

    async def _rows(
        self, connection: AsyncConnection[DictRow], name: str, **parameters: Any
    ) -> list[DictRow]:
        cursor = await connection.execute(self._sql[name], parameters)
        return await cursor.fetchall()

    async def books(self, tenant: str) -> Books:
        """Return all of a tenant's books. Raises Unavailable."""
        async with self._snapshot() as connection:
            count = await self._rows(connection, "count_operations", tenant=tenant)
            unbalanced = await self._rows(connection, "audit_unbalanced", tenant=tenant)
            windows = await self._rows(connection, "audit_windows", tenant=tenant)
            totals = await self._rows(connection, "audit_window_totals", tenant=tenant)
            reservations = await self._rows(connection, "audit_reservations", tenant=tenant)
            charges = await self._rows(connection, "audit_charges", tenant=tenant)
            holds = await self._rows(connection, "audit_holds", tenant=tenant)
        return Books(
            count[0]["count"],
            [(row["operation_id"], row["balance"]) for row in unbalanced],
            {window_ref(row): window_counts(row) for row in windows},
            {window_ref(row): window_counts(row) for row in totals},
            [reservation_of(row) for row in reservations],
            {
                (row["reservation_id"], Unit(row["unit"])): (row["charged"], row["actual"])
                for row in charges
            },
            {(row["reservation_id"], window_ref(row)): window_counts(row) for row in holds},
        )

    async def windows_at(
        self, tenant: str, sequence: int, refs: Sequence[WindowRef], operations: Sequence[Operation]
    ) -> tuple[dict[WindowRef, WindowCounts], set[str]]:
        """Return windows by the entries up to a sequence, and which operations the ledger has.

        The operations are the tenant's own; those that are there are returned by their ids.
        """
        async with self._snapshot() as connection:
            windows = await self._rows(
                connection,
                "audit_windows_at",
                tenant=tenant,
                sequence=sequence,
                budget_key=[ref.budget_key for ref in refs],
                window_start_ms=[ref.start_ms for ref in refs],
            )
            present = await self._rows(
                connection,
                "operations_at",
                tenant=[item.tenant for item in operations],
                sequence=[item.sequence for item in operations],
            )
        return (
            {window_ref(row): window_counts(row) for row in windows},
            {row["operation_id"] for row in present},
        )

    async def reservation(self, reservation_id: str) -> Reservation:
        """Return a reservation that is known to exist. Raises Unavailable."""
        rows = await self._database.rows(
            self._sql["read_reservation"], {"reservation_id": reservation_id}
        )
        return reservation_of(rows[0])
