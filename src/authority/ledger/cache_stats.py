"""What is counted of the cache's work: each time in one snapshot."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from authority.domain.cache import (
    STAGES,
    TOP_ENTRIES_MAX,
    BinCounts,
    Counts,
    EntryUse,
    Skip,
    StageStats,
    StatsFilter,
)
from authority.ledger.database import Database, allow_long_transaction
from authority.ledger.queries import statements

_LONGEST = "50s"
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime(9999, 1, 1, tzinfo=UTC)


async def read_counts(database: Database, wanted: StatsFilter) -> Counts:
    """Return what was counted. Raises Unavailable."""
    sql = statements("cache_stats.sql")
    parameters = {
        "tenant": wanted.tenant,
        "accounts": None if wanted.accounts is None else list(wanted.accounts),
        "start": _moment(wanted.start_ms) or _FIRST,
        "end": _moment(wanted.end_ms) or _LAST,
        "limit": TOP_ENTRIES_MAX,
    }

    async def rows(connection: AsyncConnection[DictRow], name: str) -> list[dict[str, Any]]:
        return await (await connection.execute(sql[name], parameters)).fetchall()

    async with database.transaction() as connection:
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        # All that was ever served may be counted.
        await allow_long_transaction(connection, _LONGEST)
        (lookups,) = await rows(connection, "count_lookups")
        hits = await rows(connection, "count_hits")
        skips = await rows(connection, "count_skips")
        (samples,) = await rows(connection, "count_samples")
        entries = await rows(connection, "top_entries")
        (live,) = await rows(connection, "count_entries")
    stages = sorted(
        (StageStats(**row) for row in hits), key=lambda found: STAGES.index(found.stage)
    )
    return Counts(
        lookup_count=lookups["count"],
        stages=tuple(stages),
        skips=tuple(Skip(**row) for row in skips),
        top_entries=tuple(EntryUse(**row) for row in entries),
        entry_count=live["count"],
        **samples,
    )


async def read_bins(database: Database, tenant: str) -> list[BinCounts]:
    """Return what was said of each range of the score. Raises Unavailable."""
    sql = statements("cache_stats.sql")
    rows = await database.rows(sql["list_bins"], {"tenant": tenant})
    return [BinCounts(**row) for row in rows]


def _moment(milliseconds: int) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None
