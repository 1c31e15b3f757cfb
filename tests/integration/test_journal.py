"""The journal on Postgres: what is written once and in its order, and by whom it may be written."""

from __future__ import annotations

import asyncio
import json
import random
import uuid

import psycopg
import pytest

from authority.domain.budgets import WindowRef
from authority.domain.money import Unit
from authority.domain.operations import Kind, Move, Operation
from authority.domain.reservations import Reservation, ReservationState
from authority.ledger.audit import AuditReader
from authority.ledger.database import Database, make_pool
from authority.ledger.journal import Journal, StaleEpoch

WINDOW = WindowRef(7, 0, Unit.USD)


def operation(sequence, *, tenant="acme", epoch=1, key=None, text="{}"):
    """Return a Reserve, or for an even sequence the Commit of the one before."""
    settles = sequence % 2 == 0
    name = f"{tenant}/{uuid.UUID(int=sequence - settles)}"
    held = Reservation(
        reservation_id=name,
        account=tenant,
        state=ReservationState.COMMITTED if settles else ReservationState.HELD,
        legs_text="",
        windows_text=str(WINDOW),
        grants_text="",
        option_index=0,
        late=False,
        labels_text=json.dumps({"quote": "\"\\'"}),
        create_ms=1,
        expire_ms=2,
        settle_ms=0,
        commit_key="",
        receipt="",
    )
    deltas = ((WINDOW, -5, 4, 0),) if settles else ((WINDOW, 5, 0, 0),)
    return Operation(
        operation_id=str(uuid.uuid4()),
        tenant=tenant,
        sequence=sequence,
        epoch=epoch,
        decide_ms=sequence,
        kind=Kind.COMMIT if settles else Kind.RESERVE,
        idempotency_key=key or f"key-{sequence}",
        request="{}",
        result=text,
        reservation=held,
        deltas=deltas,
        moves=(Move(Unit.USD, 4, 4, 0),) if settles else (),
        restored=(),
        grant=None,
        denied=None,
    )


class World:
    """Journals on one ledger, and what is decided and not known to be written."""

    def __init__(self, database):
        self.database = database
        self.outbox: dict[str, Operation] = {}

    def journal(self):
        return Journal(self.database, self._trim, self._waiting)

    async def books(self, tenant="acme"):
        return await AuditReader(self.database).books(tenant)

    async def _trim(self, entries):
        pass

    async def _waiting(self, tenant):
        return [item for item in self.outbox.values() if item.tenant == tenant]


@pytest.fixture
async def world(ledger_url):
    pool = make_pool(ledger_url, size_max=4)
    await pool.open()
    try:
        async with Database(pool).connection() as connection:
            await connection.execute("UPDATE hot_store SET epoch = 1")
            for tenant in ("acme", "globex"):
                await connection.execute("INSERT INTO tenant (tenant) VALUES (%s)", [tenant])
                await connection.execute(
                    "INSERT INTO account (account, tenant, parent, display_name, time_zone, state,"
                    " overage_policy, create_time)"
                    " VALUES (%s, %s, '', '', 'UTC', 'ACTIVE', 'CAP', now())",
                    [tenant, tenant],
                )
        yield World(Database(pool))
    finally:
        await pool.close()


async def test_two_processes_write_what_both_decide_once(world):
    decided = [operation(sequence) for sequence in range(1, 401)]
    world.outbox = {item.operation_id: item for item in decided}
    chance = random.Random(4)

    async def write(journal, left):
        while left:
            size = chance.randint(1, 20)
            batch, left = left[:size], left[size:]
            assert await journal.write_each(batch) == set()
            for item in batch:
                world.outbox.pop(item.operation_id, None)

    shared = [chance.random() < 0.3 for _ in decided]
    async with asyncio.TaskGroup() as group:
        for number in range(2):
            own = [
                item for item in decided if item.sequence % 2 == number or shared[item.sequence - 1]
            ]
            group.create_task(write(world.journal(), own))
    books = await world.books()
    assert books.operation_count == len(decided)
    assert not books.unbalanced
    assert books.windows == books.totals == {WINDOW: (0, 800, 0)}
    assert {row.state for row in books.reservations} == {ReservationState.COMMITTED}
    assert len(books.reservations) == 200


async def test_a_row_that_postgres_refuses_holds_back_no_other(world):
    bad = operation(1, tenant="globex", text="a\0b")
    worse = operation(3, key="key-1")
    good = [operation(1), operation(2)]
    refused = await world.journal().write_each([bad, worse, *good])
    assert refused == {bad.operation_id, worse.operation_id}
    assert (await world.books()).operation_count == 2


async def test_writing_again_changes_nothing(world):
    journal, batch = world.journal(), [operation(1), operation(2)]
    for _ in range(3):
        assert await journal.write([*batch, batch[0]]) == set()
    assert await world.journal().write([*batch, third := operation(3)]) == set()
    books = await world.books()
    assert books.operation_count == 3
    assert books.totals == {WINDOW: (5, 4, 0)}
    assert await world.journal().write([operation(3)]) != set()
    assert await world.journal().write([third]) == set()


async def test_a_gap_is_not_written_over(world):
    lone = operation(2)
    assert await world.journal().write([lone]) == {lone.operation_id}
    assert (await world.books()).operation_count == 0


@pytest.mark.parametrize("epoch", [0, 2])
async def test_another_epoch_is_refused(world, epoch):
    with pytest.raises(StaleEpoch):
        await world.journal().write([operation(1, epoch=epoch)])
    assert (await world.books()).operation_count == 0


async def test_a_failed_transaction_leaves_its_connection_of_use(world):
    journal = world.journal()
    await journal.write([operation(1)])
    for _ in range(3):
        with pytest.raises(psycopg.IntegrityError):
            await journal.write([operation(2, key="key-1")])
    assert await journal.write([operation(2)]) == set()
