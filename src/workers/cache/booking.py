"""Tells the authority of what was served in place of being made: the ledger has every hit once.

A hit is in Postgres from the moment that its generation has ended. Here it is booked under a key of
its own, and marked; whoever dies in between leaves what the next run books again, under the same
key, which the authority answers from its books.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

import structlog
from psycopg.rows import DictRow

from clients.cache_client import CacheClient
from clients.cache_types import HitBooking
from clients.errors import PaymasterError
from workers.database import DatabaseAway, Pool, statements, transaction

POLL_S = 5.0
# A burst of hits is booked by one call.
GATHER_S = 0.05
PAGE = 200
# The rows are locked meanwhile, and Postgres ends a transaction that is idle for five seconds.
CALL_S = 3.0
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)

log = structlog.get_logger(__name__)


class Booker:
    """Books hits, as long as it runs."""

    def __init__(self, pool: Pool, books: CacheClient) -> None:
        self._pool = pool
        self._books = books
        self._sql = statements("cache/writes.sql")
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look at once, in place of after POLL_S."""
        self._woken.set()

    async def run(self) -> None:
        """Book until cancelled. What is away is waited for, and no fault ends it."""
        while True:
            try:
                await self.run_once()
            except (DatabaseAway, PaymasterError) as error:
                log.warning("booking_postponed", reason=type(error).__name__)
            except Exception:
                log.exception("booking_failed")
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._woken.wait()
            await asyncio.sleep(GATHER_S)
            self._woken.clear()

    async def run_once(self) -> int:
        """Book what is not booked yet; return how many. Raises DatabaseAway and PaymasterError.

        What can't be booked is passed by, so that it is in the way of nothing.
        """
        count = 0
        after: tuple[datetime, str] | None = (_FIRST, "")
        while after is not None:
            booked, after = await self._book_page(*after)
            count += booked
        if count:
            log.info("hits_booked", count=count)
        return count

    async def _book_page(
        self, after_time: datetime, after_id: str
    ) -> tuple[int, tuple[datetime, str] | None]:
        """Book a page; return how many, and where the next one begins."""
        async with transaction(self._pool) as connection:
            cursor = await connection.execute(
                self._sql["lock_unbooked_hits"],
                {"after_time": after_time, "after_id": after_id, "limit": PAGE},
            )
            rows = await cursor.fetchall()
            if not rows:
                return 0, None
            outcomes = await self._books.book_hits(list(map(_booking, rows)), timeout=CALL_S)
            booked = []
            for row, outcome in zip(rows, outcomes, strict=True):
                if isinstance(outcome, PaymasterError):
                    log.error(
                        "hit_not_booked",
                        generation_id=row["generation_id"],
                        reason=outcome.reason,
                    )
                else:
                    booked.append(row["generation_id"])
            await connection.execute(self._sql["write_booked"], {"generation_ids": booked})
        more = len(rows) == PAGE
        return len(booked), (rows[-1]["create_time"], rows[-1]["generation_id"]) if more else None


def _booking(row: DictRow) -> HitBooking:
    return HitBooking(
        account=row["account"],
        generation_id=row["generation_id"],
        stage=row["stage"],
        saved=row["saved_micros"],
        entry_id=row["entry_id"] or "",
        score_ppm=row["score_ppm"],
        idempotency_key=f"hit:{row['generation_id']}",
    )
