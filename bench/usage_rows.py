"""Ninety days of usage, made in the database and summed by the statement that the projector uses.

A few of a thousand accounts have most of it: the largest a tenth. Each account has four models of
24, which all have their own sizes, qualities and prices. Times of day and weekdays are as busy as
people make them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from authority.ledger.usage_upkeep import add_sums

DAYS = 90
ACCOUNTS = 1_000
TENANTS = 50
# The last day is a full one.
END = datetime(2026, 11, 21, tzinfo=UTC)
START = END - timedelta(days=DAYS)
_HOURS_AT_ONCE = 3

_TENANTS = """INSERT INTO tenant (tenant)
SELECT 'used' || number FROM generate_series(0, %(tenants)s - 1) AS number"""

_EVENTS = (Path(__file__).parent / "usage_rows.sql").read_text()


async def add_usage(url: str, total: int) -> None:
    """Write so many events and their sums, day by day."""
    connection = await AsyncConnection.connect(url, autocommit=True, row_factory=dict_row)
    async with connection:
        await connection.execute(_TENANTS, {"tenants": TENANTS})
        days = [START + timedelta(days=number) for number in range(DAYS)]
        weights = [5 if day.weekday() < 5 else 3 for day in days]
        first = 0
        for day, weight in zip(days, weights, strict=True):
            await connection.execute("SELECT ensure_usage_month(%s)", [day])
            count = max(1, total * weight // sum(weights))
            values = {"day": day, "count": count, "first": first}
            async with connection.transaction():
                await connection.execute(
                    _EVENTS, values | {"tenants": TENANTS, "accounts": ACCOUNTS}
                )
                # In the order of time, more or less, as the projector does it.
                for hours in range(0, 24, _HOURS_AT_ONCE):
                    start = day + timedelta(hours=hours)
                    await add_sums(connection, start, start + timedelta(hours=_HOURS_AT_ONCE))
            first += count
        await connection.execute(
            "VACUUM (ANALYZE) usage_event, usage_rollup, usage_total, usage_work_total"
        )
        await connection.execute("ANALYZE usage_combination, usage_work")
