"""The migration of the usage log's sums: what was kept before it is what would be kept now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from authority.ledger.database import Database, make_pool
from authority.ledger.migrate import migrations
from authority.ledger.usage_upkeep import UsageUpkeep, add_sums
from usage_facts import make_events, write_events

START = datetime(2026, 10, 30, tzinfo=UTC)
DAYS = 3
TABLES = ("usage_work", "usage_combination", "usage_rollup", "usage_total", "usage_work_total")
FORMER_WORK = "hashtextextended(concat_ws(E'\\n', kind, provider, model, size, quality), 0)"
FORMER_COMBINATION = """hashtextextended(concat_ws(
    E'\\n', kind, provider, model, size, quality, outcome, cached, downgraded::text,
    downgrade_reason, fallback::text, presumed_spent::text, late::text, error_class, reason
), 0)"""
# Back to what the migration finds.
FORMER = f"""
UPDATE usage_rollup SET combination = {FORMER_COMBINATION} FROM usage_combination
WHERE usage_combination.combination = usage_rollup.combination;
UPDATE usage_work_total SET work = {FORMER_WORK} FROM usage_work
WHERE usage_work.work = usage_work_total.work;
UPDATE usage_combination SET combination = {FORMER_COMBINATION}, work = {FORMER_WORK};
UPDATE usage_work SET work = {FORMER_WORK};
DELETE FROM usage_total WHERE level > 1 AND grain = 60;
DELETE FROM usage_work_total WHERE level > 1 AND grain = 60;
ALTER TABLE usage_calendar DROP COLUMN layout;
DROP FUNCTION usage_key;
"""


@pytest.fixture
async def database(ledger_url):
    pool = make_pool(ledger_url, size_max=2)
    await pool.open()
    yield Database(pool)
    await pool.close()


async def kept(database):
    """Return all rows of the sums, in one order."""
    return {
        table: await database.rows(f"SELECT * FROM {table} AS kept ORDER BY kept::text", {})
        for table in TABLES
    }


async def test_former_sums_get_their_hours_and_keys(database):
    async with database.transaction() as connection:
        await write_events(connection, make_events(3, 500, START, DAYS))
        await add_sums(connection, START, START + timedelta(days=DAYS))
    expected = await kept(database)
    (migration,) = (item for item in migrations() if item.name.endswith("usage_sums"))
    async with database.transaction() as connection:
        await connection.execute(FORMER)
    assert await kept(database) != expected
    async with database.transaction() as connection:
        await connection.execute(migration.sql)
    assert await UsageUpkeep(database).set_time_zone("UTC")
    assert await kept(database) == expected
    assert not await UsageUpkeep(database).set_time_zone("UTC")
