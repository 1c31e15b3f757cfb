"""Books back what reported hits had saved, where whoever took the report has died before it was."""

from __future__ import annotations

import asyncio
import time

import structlog

from authority.domain.errors import Unavailable
from authority.usecases.cache import CacheContext
from authority.usecases.cache_reports import reverse

TICK_SECONDS = 5.0
_AT_ONCE = 100
_SET_ASIDE_SECONDS = 600.0

log = structlog.get_logger(__name__)


class Reversals:
    """Safe in many processes at once: each booking has a key of its own."""

    def __init__(self, context: CacheContext) -> None:
        self._context = context
        self._set_aside_until: dict[str, float] = {}

    async def run(self) -> None:
        """Do it every few seconds until cancelled. A store that is away is tried again."""
        while True:
            try:
                await self.settle()
            except Unavailable as error:
                log.warning("reversals_postponed", reason=error.message)
            except Exception:
                log.exception("reversals_failed")
            await asyncio.sleep(TICK_SECONDS)

    async def settle(self) -> int:
        """Book back what is left; return how much was. Raises Unavailable."""
        now = time.monotonic()
        self._set_aside_until = {
            name: until for name, until in self._set_aside_until.items() if until > now
        }
        left = await self._context.cache.unreversed(list(self._set_aside_until), _AT_ONCE)
        count = 0
        for hit in left:
            try:
                await reverse(self._context, hit)
                count += 1
            except Unavailable:
                raise
            except Exception:
                # One that can't be booked holds up no other.
                log.exception("reversal_set_aside", generation_id=hit.generation_id)
                self._set_aside_until[hit.generation_id] = now + _SET_ASIDE_SECONDS
        return count
