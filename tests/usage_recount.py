"""Sums of use, computed once more by DuckDB from what the ledger says, by no code of ours.

What an event is, and what it is counted as, follows from the proto of UsageService alone: money
from the entries of accounts, times and outcomes from operations, what work was from the labels of
its reservation. When days and hours begin is taken from Python's zoneinfo.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import psycopg

INTERVALS = ("hour", "day", "week", "month", "year")
COUNTS = (
    *("succeeded", "failed", "part", "denied", "released", "expired", "refunded", "adjusted"),
    *("hit", "reversed"),
)
MEASURES = ("images", "videos", "messages", "actual", "charged", "refunded", "credits", "revenue")
SUMS = (
    *(f"{name}_count" for name in COUNTS),
    *("downgraded_count", "late_count"),
    *MEASURES,
    *("duration_ms", "duration_count"),
)
_EXPORTS = {
    "entries": """SELECT tenant, sequence, book, unit, budget_key, window_start_ms, amount
        FROM ledger_entry""",
    "operations": """SELECT tenant, sequence, kind, outcome, account, reservation_id, request,
        (extract(epoch FROM create_time) * 1000)::bigint AS time_ms FROM operation""",
    "reservations": """SELECT reservation_id, labels, option_index, create_ms, expire_ms
        FROM reservation""",
    "grants": "SELECT grant_key, amount, price_micros FROM account_grant",
}
# Each event, with everything that it may be grouped by and counted as.
_EVENTS = """
CREATE TABLE events AS
WITH used AS (
    SELECT tenant, sequence, budget_key, window_start_ms, sum(CASE book
        WHEN 'COMMITTED' THEN amount WHEN 'REFUNDED' THEN amount ELSE 0 END) AS used
    FROM entries WHERE budget_key IS NOT NULL GROUP BY ALL
), earned AS (
    SELECT tenant, sequence, amount, price_micros,
        sum(used) OVER lot AS after, sum(used) OVER lot - used AS before
    FROM used JOIN grants ON grants.grant_key = used.budget_key
    WINDOW lot AS (PARTITION BY tenant, budget_key, window_start_ms ORDER BY sequence)
), revenue AS (
    SELECT tenant, sequence, sum(
        (price_micros::hugeint * least(greatest(after, 0), amount)) // amount
        - (price_micros::hugeint * least(greatest(before, 0), amount)) // amount) AS revenue
    FROM earned GROUP BY ALL
), money AS (
    SELECT tenant, sequence,
        -coalesce(sum(amount) FILTER (book = 'PROVIDER' AND unit = 'USD'), 0) AS actual,
        coalesce(sum(amount) FILTER (book = 'CHARGED' AND unit = 'USD'), 0) AS net,
        coalesce(sum(amount) FILTER (book = 'CHARGED' AND unit = 'CREDITS'), 0) AS credits,
        -coalesce(sum(amount) FILTER (book = 'PROVIDER' AND unit = 'IMAGES'), 0) AS images,
        -coalesce(sum(amount) FILTER (book = 'PROVIDER' AND unit = 'VIDEOS'), 0) AS videos,
        -coalesce(sum(amount) FILTER (book = 'PROVIDER' AND unit = 'MESSAGES'), 0) AS messages
    FROM entries WHERE budget_key IS NULL GROUP BY ALL
), told AS (
    SELECT operation.*, reservation.option_index, reservation.create_ms, reservation.expire_ms,
        CASE WHEN kind = 'RESERVE' THEN json_extract(request, '$.labels')
        ELSE reservation.labels END AS labels,
        CASE
            WHEN kind = 'RESERVE' AND outcome = 'DENIED' THEN 'denied'
            WHEN kind = 'COMMIT' AND json_extract_string(request, '$.final') = 'false' THEN 'part'
            WHEN kind = 'COMMIT' THEN 'succeeded'
            WHEN kind = 'RELEASE' THEN 'released'
            WHEN kind = 'EXPIRE' THEN 'expired'
            WHEN kind = 'REFUND' THEN 'refunded'
            WHEN kind = 'ADJUST' THEN 'adjusted'
        END AS event
    FROM operations AS operation LEFT JOIN reservations AS reservation USING (reservation_id)
)
SELECT told.tenant, told.sequence, told.time_ms, account, event AS outcome,
    coalesce(json_extract_string(labels, '$.user'), '') AS user_name,
    coalesce(json_extract_string(labels, '$.kind'), '') AS kind,
    coalesce(json_extract_string(labels, '$.provider'), '') AS provider,
    coalesce(json_extract_string(labels, '$.model'), '') AS model,
    coalesce(json_extract_string(labels, '$.size'), '') AS size,
    coalesce(json_extract_string(labels, '$.quality'), '') AS quality,
    event <> 'denied' AND coalesce(option_index, 0) > 0 AS downgraded,
    kind = 'COMMIT' AND told.time_ms >= expire_ms AS late,
    coalesce(money.images, 0) AS images, coalesce(money.videos, 0) AS videos,
    coalesce(money.messages, 0) AS messages, coalesce(money.actual, 0) AS actual,
    CASE WHEN event = 'refunded' THEN 0 ELSE coalesce(net, 0) END AS charged,
    CASE WHEN event = 'refunded' THEN -coalesce(net, 0) ELSE 0 END AS refunded,
    coalesce(money.credits, 0) AS credits, coalesce(revenue.revenue, 0) AS revenue,
    CASE WHEN event = 'succeeded' THEN told.time_ms - create_ms END AS duration_ms
FROM told LEFT JOIN money USING (tenant, sequence) LEFT JOIN revenue USING (tenant, sequence)
WHERE event IS NOT NULL
"""


class Recount:
    """The events of a ledger in DuckDB, with the steps of one time zone that they fall into."""

    def __init__(self, time_zone: str) -> None:
        self._zone = ZoneInfo(time_zone)
        self._duck = duckdb.connect()

    async def read(self, ledger_url: str, folder: Path) -> None:
        """Export the ledger to files, and read these."""
        async with await psycopg.AsyncConnection.connect(ledger_url) as connection:
            for name, query in _EXPORTS.items():
                file = folder / f"{name}.csv"
                statement = f"COPY ({query}) TO STDOUT (FORMAT csv, HEADER)"
                async with connection.cursor().copy(statement.encode()) as copy:
                    file.write_bytes(b"".join([bytes(chunk) async for chunk in copy]))
                self._duck.execute(f"CREATE TABLE {name} AS FROM read_csv('{file}')")
        self._duck.execute(_EVENTS)
        self._add_steps(folder / "steps.csv")

    def _add_steps(self, file: Path) -> None:
        times = self._duck.execute("SELECT DISTINCT time_ms FROM events").fetchall()
        rows = [(str(time), *map(str, self._starts(time))) for (time,) in times]
        header = ",".join(("time_ms", *INTERVALS))
        file.write_text("\n".join([header, *map(",".join, rows)]))
        self._duck.execute(f"CREATE TABLE steps AS FROM read_csv('{file}')")

    def _starts(self, time_ms: int) -> list[int]:
        """Return when the hour, day, week, month and year of a moment began, in Unix seconds."""
        moment = datetime.fromtimestamp(time_ms / 1000, self._zone)
        day = moment.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        hour = time_ms // 1000 - moment.minute * 60 - moment.second
        starts = (
            day,
            day - timedelta(days=day.weekday()),
            day.replace(day=1),
            day.replace(month=1, day=1),
        )
        return [hour, *(int(start.timestamp()) for start in starts)]

    def sums(
        self, start: datetime, end: datetime, *by: str, where: str = "true"
    ) -> dict[tuple[str, ...], dict[str, int]]:
        """Return the sums of a time by columns, which may be intervals."""
        counts = [f"count(*) FILTER (outcome = '{name}') AS {name}_count" for name in COUNTS]
        flags = [
            f"count(*) FILTER ({name} AND outcome = 'succeeded') AS {name}_count"
            for name in ("downgraded", "late")
        ]
        sums = [f"coalesce(sum({name}), 0) AS {name}" for name in (*MEASURES, "duration_ms")]
        columns = ", ".join((*counts, *flags, *sums, "count(duration_ms) AS duration_count"))
        keys = ", ".join(by)
        rows = self._duck.execute(
            f"SELECT {keys + ', ' if by else ''} {columns} FROM events JOIN steps USING (time_ms)"
            f" WHERE time_ms >= {_ms(start)} AND time_ms < {_ms(end)} AND ({where})"
            + (f" GROUP BY {keys}" if by else "")
        ).fetchall()
        return {
            tuple(_text(value) for value in row[: len(by)]): dict(
                zip(SUMS, map(int, row[len(by) :]), strict=True)
            )
            for row in rows
        }


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
