"""Past use written straight into the sums of the usage log, as if its projector had made them."""

from __future__ import annotations

import zlib
from collections import Counter
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

_COMBINATION = (
    "INSERT INTO usage_combination (combination, provider, outcome, error_class, work, kind, model,"
    " size, quality, cached, downgraded, downgrade_reason, fallback, presumed_spent, late, reason)"
    " VALUES (%s, %s, %s, %s, 0, '', '', '', '', '', false, '', false, false, false, '')"
    " ON CONFLICT DO NOTHING"
)
_ROLLUP = (
    "INSERT INTO usage_rollup (level, grain, bucket, tenant, account, user_name, combination,"
    " event_count, images, videos, messages, input_tokens, output_tokens, actual_micros,"
    " charged_micros, refunded_micros, credits_micros, revenue_micros, saved_micros, duration_ms,"
    " duration_count) VALUES (%s, %s, %s, %s, %s, '', %s, %s, 0, 0, 0, 0, 0, %s, %s, 0, 0, 0, 0, 0,"
    " 0)"
)


class PastUse:
    """Collects use, and writes it at once: quarters of accounts, hours of tenants and of all."""

    def __init__(self) -> None:
        self._combinations = set()
        self._counts = Counter()
        self._charged = Counter()

    def add(self, account, moment, charged, *, count=1, provider="", outcome="SUCCEEDED", error=""):
        """Add use at a moment; `charged` is in micros of USD, `count` of events."""
        combination = zlib.crc32(repr((provider, outcome, error)).encode())
        self._combinations.add((combination, provider, outcome, error))
        tenant = account.split("/")[0]
        quarter = moment.replace(minute=moment.minute // 15 * 15, second=0, microsecond=0)
        hour = quarter.replace(minute=0)
        for key in (
            (2, 15, quarter, tenant, account, combination),
            (1, 60, hour, tenant, "", combination),
            (0, 60, hour, "", "", combination),
        ):
            self._counts[key] += count
            self._charged[key] += charged

    async def write(self, database_url):
        """Write what was added."""
        rows = [
            (*key, count, self._charged[key], self._charged[key])
            for key, count in self._counts.items()
        ]
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            cursor = connection.cursor()
            await cursor.executemany(_COMBINATION, list(self._combinations))
            await cursor.executemany(_ROLLUP, rows)


@pytest.fixture
async def lead(ledger_url):
    """The lock of who looks for alerts: an authority that is asked for after it does not look."""
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as connection:
        await connection.execute("SELECT pg_advisory_lock(hashtextextended('paymaster.watch', 0))")
        yield connection


def now_of(authority):
    """Return the hot store's time of a running authority."""
    return datetime.fromtimestamp(authority.core.context.clock.now_ms() / 1000, UTC)


def midday(moment, days_before):
    """Return noon of an earlier day, in UTC."""
    noon = moment.replace(hour=12, minute=0, second=0, microsecond=0)
    return noon - timedelta(days=days_before)
