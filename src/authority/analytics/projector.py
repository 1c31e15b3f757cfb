"""The projector: keeps the usage log up with the ledger. Safe in many processes at once.

The journal tells it whose operations it has written; what other processes have written, and left
behind, it finds by looking. Nothing waits for it, and it waits a moment for operations to gather:
many of them are hardly more work than one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime

import structlog

from authority.domain.errors import Unavailable
from authority.ledger.usage_projection import Projected, UsageProjection
from authority.ledger.usage_upkeep import UsageUpkeep

OPERATIONS_MAX = 2_000  # in one transaction
TENANTS_MAX = 100
_OPERATIONS_MIN = 100
_GATHER_SECONDS = 0.5
_LOOK_SECONDS = 5.0
_UPKEEP_SECONDS = 3_600.0

log = structlog.get_logger(__name__)


class Projector:
    """Run `run` as a task; call `tell` with tenants that have new operations."""

    def __init__(
        self,
        projection: UsageProjection,
        upkeep: UsageUpkeep,
        now_ms: Callable[[], int],
        *,
        time_zone: str,
        months_kept: int,
    ) -> None:
        self._projection = projection
        self._upkeep = upkeep
        self._now_ms = now_ms
        self._time_zone = time_zone
        self._months_kept = months_kept
        self._operations_max = OPERATIONS_MAX
        self._behind: set[str] = set()
        self._wake = asyncio.Event()
        self._looked_at = float("-inf")
        self._kept_up_at = float("-inf")

    def tell(self, tenants: Iterable[str]) -> None:
        """Note that these tenants have operations that the log may not have."""
        self._behind.update(tenants)
        self._wake.set()

    async def run(self) -> None:
        """Project until cancelled. A store that is away is tried again."""
        while True:
            try:
                await self.keep_up()
                await self.catch_up()
            except Unavailable as error:
                log.warning("usage_postponed", reason=error.message)
            except Exception:
                log.exception("usage_failed")
            await asyncio.sleep(_GATHER_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._wake.wait()

    async def keep_up(self) -> None:
        """See to the months once an hour, and at first to the time zone. Raises Unavailable."""
        if time.monotonic() - self._kept_up_at < _UPKEEP_SECONDS:
            return
        if self._kept_up_at < 0 and await self._upkeep.set_time_zone(self._time_zone):
            log.info("usage_days_counted_anew", time_zone=self._time_zone)
        now = datetime.fromtimestamp(self._now_ms() / 1000, UTC)
        await self._upkeep.make_months(now)
        if self._months_kept:
            for month in await self._upkeep.drop_months(_months_before(now, self._months_kept)):
                log.info("usage_month_dropped", partition=month)
        self._kept_up_at = time.monotonic()

    async def catch_up(self, *, look: bool = False) -> int:
        """Project what there is, and return how many operations that was. Raises Unavailable.

        It stops early where another process is at it, which does the same.
        """
        count = 0
        if look or time.monotonic() - self._looked_at >= _LOOK_SECONDS:
            self.tell(await self._projection.behind(TENANTS_MAX))
            self._looked_at = time.monotonic()
        while self._behind:
            tenants = sorted(self._behind)[:TENANTS_MAX]
            # What is told from here on may not be in what is read next.
            self._behind.difference_update(tenants)
            self._wake.clear()
            try:
                projected = await self._project(tenants)
            except BaseException:
                # Should it have been too much for the time that there is, it is less then.
                self._operations_max = max(_OPERATIONS_MIN, self._operations_max // 2)
                self._behind.update(tenants)
                raise
            if projected is None:
                self._behind.update(tenants)
                self._wake.set()
                break
            self._operations_max = min(OPERATIONS_MAX, self._operations_max * 2)
            count += sum(found.operation_count for found in projected)
            self._behind.update(found.tenant for found in projected if not found.is_all)
        return count

    async def _project(self, tenants: list[str]) -> list[Projected] | None:
        """Project the next operations of tenants; those of which any can't be are left behind.

        They hold up no others, and are looked for again. Raises Unavailable.
        """
        try:
            return await self._projection.project(tenants, self._operations_max)
        except Unavailable:
            raise
        except Exception:
            if len(tenants) == 1:
                log.exception("usage_not_projected", tenant=tenants[0])
                return []
        found: list[Projected] = []
        for tenant in tenants:
            one = await self._project([tenant])
            if one is None:
                return None
            found += one
        return found


def _months_before(now: datetime, count: int) -> datetime:
    """Return when the month began that is so many before the present one."""
    months = now.year * 12 + now.month - 1 - count
    return datetime(max(months // 12, 1970), months % 12 + 1, 1, tzinfo=UTC)
