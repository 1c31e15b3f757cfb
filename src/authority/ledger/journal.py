"""The journal: carries decided operations into the ledger, many in one transaction.

While one transaction commits, what is decided meanwhile gathers; all of it goes with the next. An
operation is acknowledged only after its commit. Rows are idempotent by operation id, window totals
are added only for operations that were new, and a reservation's row is only ever replaced by a
later one: so it does not matter by which process, or how often an operation is written.

The ledger has the operations of a tenant without a gap: an operation is written after all that were
decided before it, or with them, whichever process decided those. Else, should the hot store be lost
with an operation that nobody had written, what was decided on its ground would stand without it:
a Reserve, say, of what a Release had given back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import psycopg
import structlog
from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.rows import DictRow, TupleRow, tuple_row

from authority.domain.errors import Unavailable
from authority.domain.operations import Operation
from authority.ledger.arrays import bigints, texts
from authority.ledger.database import Database
from authority.ledger.effects import grant_effects
from authority.ledger.queries import numbered, statements
from authority.ledger.rows import Parameters, all_columns
from authority.ledger.waiting import Waiting, WaitingList

BATCH_MAX = 500
# Whoever waits for an operation is one of the calls that are let in; a denial is waited for by
# nobody, so what bounds them is this.
_LATER_MAX = 10_000
_NOT_ALONE_SECONDS = 1.0
# What is written is taken out of the outbox a little later, so that it is one command for many.
_TRIM_AFTER_SECONDS = 0.02

_HOT = ("write_operations", "lock_epoch", "lock_tenants", "heads", "operations_at")

Trim = Callable[[Sequence[tuple[str, str]]], Coroutine[Any, Any, None]]
"""Takes (tenant, entry) pairs out of the outbox."""

Outbox = Callable[[str], Awaitable[list[Operation]]]
"""Reads the oldest operations in the outbox of a tenant."""

Tell = Callable[[set[str]], None]
"""Is told whose operations have been written."""

log = structlog.get_logger(__name__)


class StaleEpoch(Unavailable):
    """The operation was decided by a hot store that has been superseded since."""

    def __init__(self) -> None:
        super().__init__("The hot store was replaced while this was decided; nothing was booked.")


class _Head(NamedTuple):
    """Where the ledger stands with a tenant."""

    sequence: int
    epoch: int


class _Sorted(NamedTuple):
    next: list[Operation]  # those that follow what the ledger has
    ahead: list[Operation]  # those that something must come before
    superseded: list[Operation]  # those in whose place the ledger has another


class Journal:
    """Implements `domain.journal.Journal`. Run `run` as a task as long as operations may come."""

    def __init__(self, database: Database, trim: Trim, outbox: Outbox) -> None:
        self._database = database
        self._trim = trim
        self._read_outbox = outbox
        self._waiting = WaitingList()
        self._written: list[tuple[str, str]] = []  # and still in the outbox
        self._trimming: asyncio.Task[None] | None = None
        self._not_alone_until = 0.0
        self._wake = asyncio.Event()
        self._tells: list[Tell] = []
        self._sql = statements() | statements("changes.sql")
        self._numbered = {name: numbered(self._sql[name]) for name in _HOT}

    def on_written(self, tell: Tell) -> None:
        """Have somebody told of what is written from now on."""
        self._tells.append(tell)

    @property
    def waiting_count(self) -> int:
        """How many operations wait to be written by this process."""
        return len(self._waiting)

    async def append(self, operation: Operation, entry: str) -> None:
        """Return when the operation is in the ledger. Raises Unavailable if that is not known."""
        await self._enqueue(operation, entry)

    def append_later(self, operation: Operation, entry: str) -> None:
        """Write the operation with the next ones, without waiting.

        If that fails, or too many are waiting, it stays in the outbox, from where it is drained
        later, or written with the next operation that comes behind it.
        """
        if len(self._waiting) < _LATER_MAX:
            self._enqueue(operation, entry).add_done_callback(asyncio.Future.exception)

    def _enqueue(self, operation: Operation, entry: str) -> asyncio.Future[None]:
        done = asyncio.get_running_loop().create_future()
        self._waiting.add(Waiting(operation, entry, done))
        self._wake.set()
        return done

    async def run(self) -> None:
        """Write what gathers until cancelled; then write what is left."""
        try:
            while True:
                await self._wake.wait()
                await self._write_gathered()
        finally:
            while self._waiting:
                await self._write_gathered()
            if self._trimming is not None:
                await self._trimming

    async def _write_gathered(self) -> None:
        batch = self._waiting.take(BATCH_MAX)
        if not self._waiting:
            self._wake.clear()
        try:
            await self._write_all(batch)
        except BaseException as error:
            # Whatever it was, nobody must wait for ever.
            _fail(batch, Unavailable("The journal was stopped; the outcome is unknown."))
            if not isinstance(error, Exception):
                raise
            log.exception("journal_failed", operations=len(batch))

    async def _write_all(self, batch: list[Waiting]) -> None:
        try:
            refused = await self.write_each([item.operation for item in batch])
        except Unavailable as error:
            _fail(batch, error)
            return
        lost = [item for item in batch if item.operation.operation_id in refused]
        _fail(lost, Unavailable("The ledger refuses the operation; the outcome is unknown."))
        written = [item for item in batch if item.operation.operation_id not in refused]
        for item in written:
            if not item.done.done():
                item.done.set_result(None)
        tenants = {item.operation.tenant for item in written}
        for tell in self._tells:
            tell(tenants)
        # Nobody waits for it: what is still there may be written again, and changes nothing.
        self._written += [(item.operation.tenant, item.entry) for item in written if item.entry]
        if self._written and (self._trimming is None or self._trimming.done()):
            self._trimming = asyncio.create_task(self._trim_written())

    async def _trim_written(self) -> None:
        while self._written:
            await asyncio.sleep(_TRIM_AFTER_SECONDS)
            entries, self._written = self._written, []
            try:
                await self._trim(entries)
            except Exception:
                log.exception("outbox_trim_failed", entries=len(entries))

    async def write_each(
        self, operations: Sequence[Operation], *, drained: bool = False
    ) -> set[str]:
        """Write operations as `write` does; return the ids of those that the ledger refuses.

        One row that Postgres refuses does not hold back the others. It shows a hot state that has
        lost something, such as a key's first answer: nobody was told that it was done.
        """
        try:
            return await self.write(operations, drained=drained)
        except (psycopg.IntegrityError, psycopg.DataError):
            if len(operations) > 1:
                ordered = sorted(operations, key=_place)
                each = [await self.write_each([item], drained=drained) for item in ordered]
                return set().union(*each)
            log.exception("operation_refused", operation_id=operations[0].operation_id)
            return {operations[0].operation_id}

    async def write(self, operations: Sequence[Operation], *, drained: bool = False) -> set[str]:
        """Write operations and all that come before them; leave those that are there as they are.

        Args:
            operations: in any order.
            drained: they were found in the outbox while their tenant was closed to new decisions,
                so an older epoch is no reason to refuse them.

        Returns:
            The ids of those that are not to be written: the ledger has another operation in their
            place, or one that came before is lost.

        Raises:
            StaleEpoch: an operation was decided in an older epoch.
            psycopg.IntegrityError: an operation's key belongs to another, say.
            Unavailable: Postgres or the hot store does not answer.

        """
        # An operation that is replayed before it is written comes twice.
        asked = {item.operation_id: item for item in operations}
        left, tried, refused, is_last = asked, set[str](), set[str](), False
        while left:
            tried |= left.keys()
            sorts = await self._write_next(list(left.values()), drained=drained)
            refused |= {item.operation_id for item in sorts.superseded}
            ahead = {item.operation_id: item for item in sorts.ahead}
            if is_last and not sorts.next:
                refused |= ahead.keys()
                break
            before = await self._before(sorts.ahead, tried)
            # Once more: what is not in the outbox any more may be in the ledger since.
            is_last = not before
            left = ahead | before
        for operation_id in refused & asked.keys():
            log.error("operation_out_of_order", operation_id=operation_id)
        return refused & asked.keys()

    async def _before(self, ahead: Sequence[Operation], tried: set[str]) -> dict[str, Operation]:
        """Find what others have decided before, and may not have written yet."""
        last = {item.tenant: item for item in sorted(ahead, key=_place)}
        return {
            item.operation_id: item
            for tenant in last
            for item in await self._read_outbox(tenant)
            if item.operation_id not in tried
            and item.epoch == last[tenant].epoch
            and item.sequence < last[tenant].sequence
        }

    async def _write_next(self, operations: Sequence[Operation], *, drained: bool) -> _Sorted:
        """Write, in one transaction, those that follow what the ledger has."""
        ordered = sorted(operations, key=_place)
        if await self._write_at_once(ordered, drained=drained):
            return _Sorted(ordered, [], [])
        tenants = texts(sorted({item.tenant for item in operations}))
        async with self._database.pipelined_transaction() as connection:
            epoch = await self._execute(connection, "lock_epoch")
            await self._execute(connection, "lock_tenants", {"tenant": tenants})
            found = await self._execute(connection, "heads", {"tenant": tenants})
            heads = {tenant: _Head(*head) for tenant, *head in await found.fetchall()}
            row = await epoch.fetchone()
            assert row is not None
            if not drained and any(item.epoch != row[0] for item in operations):
                raise StaleEpoch
            known = await self._known(connection, operations, heads)
            sorts = _sort([item for item in ordered if item.operation_id not in known], heads)
            if sorts.next:
                await self._execute(connection, "write_operations", all_columns(sorts.next))
                for name, rows in grant_effects(sorts.next):
                    if rows:
                        await connection.execute(self._sql[name], rows)
        return sorts

    async def _write_at_once(self, ordered: Sequence[Operation], *, drained: bool) -> bool:
        """Write operations in one trip, if they follow what the ledger has. Return whether they do.

        That is nearly always so where one process decides for a tenant. Where others do too, the
        trip is often in vain, so it is not tried for a while.
        """
        if drained or time.monotonic() < self._not_alone_until or not _is_simple(ordered):
            return False
        async with self._database.connection() as connection:
            try:
                statement = await self._execute(
                    connection, "write_operations", all_columns(ordered, fence=ordered[0].epoch)
                )
                written = statement.rowcount == len(ordered)
            except psycopg.errors.UniqueViolation:
                written = False  # Another process has written meanwhile, or the next way will say.
        if not written:
            self._not_alone_until = time.monotonic() + _NOT_ALONE_SECONDS
        return written

    async def _execute(
        self, connection: AsyncConnection[DictRow], name: str, parameters: Parameters | None = None
    ) -> AsyncRawCursor[TupleRow]:
        statement = self._numbered[name]
        values = [parameters[name] for name in statement.names] if parameters else None
        cursor = AsyncRawCursor(connection, row_factory=tuple_row)
        return await cursor.execute(statement.text, values, prepare=True)

    async def _known(
        self,
        connection: AsyncConnection[DictRow],
        operations: Sequence[Operation],
        heads: Mapping[str, _Head],
    ) -> set[str]:
        """Return the ids of those that the ledger has: none where no head is past their place."""
        none = _Head(0, 0)
        passed = [
            item for item in operations if item.sequence <= heads.get(item.tenant, none).sequence
        ]
        if not passed:
            return set()
        places = {
            "tenant": texts([item.tenant for item in passed]),
            "sequence": bigints([item.sequence for item in passed]),
        }
        found = await self._execute(connection, "operations_at", places)
        return {operation_id for _, _, operation_id in await found.fetchall()}


def _place(operation: Operation) -> tuple[str, int]:
    return operation.tenant, operation.sequence


def _is_simple(ordered: Sequence[Operation]) -> bool:
    """Tell whether operations are of one epoch, without a gap, and have no effect on grants."""
    epoch = ordered[0].epoch
    before = ordered[0]
    for item in ordered:
        if item.epoch != epoch or item.grant is not None or item.restored:
            return False
        if item.tenant == before.tenant and item.sequence > before.sequence + 1:
            return False
        before = item
    return True


def _sort(operations: Iterable[Operation], heads: dict[str, _Head]) -> _Sorted:
    """Sort new operations, given in order, by how they stand to what the ledger has."""
    sorts = _Sorted([], [], [])
    for item in operations:
        head = heads.get(item.tenant, _Head(0, 0))
        # What is older than the head was decided on ground that was lost with its epoch.
        if item.sequence <= head.sequence or item.epoch < head.epoch:
            sorts.superseded.append(item)
        elif item.sequence > head.sequence + 1:
            sorts.ahead.append(item)
        else:
            sorts.next.append(item)
            heads[item.tenant] = _Head(item.sequence, item.epoch)
    return sorts


def _fail(batch: Iterable[Waiting], error: Unavailable) -> None:
    for item in batch:
        if not item.done.done():
            item.done.set_exception(error)
