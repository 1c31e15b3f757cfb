"""The migration to postings: entries are the same rows and columns as before."""

from __future__ import annotations

import uuid

import psycopg
import pytest

from authority.domain.entries import BOOKS, UNITS
from authority.ledger.migrate import migrations

COLUMNS = (
    "operation_id, line, tenant, sequence, account, reservation_id, book, budget_key,"
    " window_start_ms, unit, amount, create_time"
)
# Operations of two tenants and three months; one of a grant alone, which has no reservation.
OPERATIONS = [
    ("acme", 1, "2026-09-30 23:59:59.999+00", "acme/r1", [("RESERVED", 7, 0, "USD", 5)]),
    (
        "acme",
        2,
        "2026-10-01 00:00:00+00",
        "acme/r1",
        [
            ("RESERVED", 7, 0, "USD", -5),
            ("COMMITTED", 7, 0, "USD", 4),
            ("REFUNDED", 8, 1_000, "IMAGES", -1),
            ("AVAILABLE", 8, 1_000, "IMAGES", 1),
            ("PROVIDER", None, None, "USD", -6),
            ("CHARGED", None, None, "USD", 4),
            ("ABSORBED", None, None, "USD", 2),
        ],
    ),
    (
        "globex",
        1,
        "2026-11-02 12:00:00+00",
        None,
        [("ISSUED", None, None, "CREDITS", -9), ("GRANTED", None, None, "CREDITS", 9)],
    ),
]


@pytest.fixture
async def connection(database_url):
    """A database of the version before, with entries in it."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        for migration in migrations()[:7]:
            await connection.execute(migration.sql)
        await connection.execute("SELECT ensure_ledger_month('2026-10-15')")
        for tenant, sequence, time, reservation_id, entries in OPERATIONS:
            operation_id = uuid.uuid4()
            await connection.execute(
                "INSERT INTO operation (operation_id, tenant, sequence, epoch, kind, outcome,"
                " account, reservation_id, request, result, create_time)"
                " VALUES (%s, %s, %s, 1, 'COMMIT', 'DONE', 'a', %s, '{}', '{}', %s)",
                [operation_id, tenant, sequence, reservation_id, time],
            )
            for line, entry in enumerate(entries):
                row = [operation_id, line, tenant, sequence, "a", reservation_id, *entry, time]
                marks = ", ".join(["%s"] * len(row))
                await connection.execute(
                    f"INSERT INTO ledger_entry ({COLUMNS}) VALUES ({marks})", row
                )
        yield connection


async def _entries(connection):
    cursor = await connection.execute(
        f"SELECT {COLUMNS} FROM ledger_entry ORDER BY tenant, sequence, line"
    )
    return await cursor.fetchall()


async def test_entries_are_the_same_rows_as_before(connection):
    before = await _entries(connection)
    assert len(before) == sum(len(entries) for *_, entries in OPERATIONS)
    await connection.execute(migrations()[7].sql)
    assert await _entries(connection) == before
    cursor = await connection.execute(
        "SELECT tableoid::regclass::text FROM ledger_posting ORDER BY create_time"
    )
    assert [row[0] for row in await cursor.fetchall()] == [
        f"ledger_posting_2026_{month}" for month in ("09", "10", "11")
    ]


async def test_two_operations_never_have_one_place(connection):
    await connection.execute(migrations()[7].sql)
    with pytest.raises(psycopg.errors.UniqueViolation):
        await connection.execute(
            "INSERT INTO operation SELECT (jsonb_populate_record(operation, jsonb_build_object("
            "'operation_id', gen_random_uuid()))).* FROM operation"
        )


async def test_letters_mean_the_same_as_in_the_code(connection):
    await connection.execute(migrations()[7].sql)
    for function, letters in (("ledger_book", BOOKS), ("ledger_unit", UNITS)):
        for letter, name in letters.items():
            cursor = await connection.execute(f"SELECT {function}(%s)", [letter])
            assert await cursor.fetchone() == (name,)
