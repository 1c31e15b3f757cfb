"""Finishes adjustments by bills that whoever began them did not live to finish."""

from __future__ import annotations

import asyncio
import time

import structlog

from authority.domain.errors import Unavailable
from authority.usecases.bills import BillContext, carry_out

TICK_SECONDS = 5.0
_AT_ONCE = 10
_SET_ASIDE_SECONDS = 600.0

log = structlog.get_logger(__name__)


class Corrections:
    """Safe in many processes at once: each operation has a key of its own."""

    def __init__(self, context: BillContext) -> None:
        self._context = context
        self._set_aside_until: dict[str, float] = {}

    async def run(self) -> None:
        """Do it every few seconds until cancelled. A store that is away is tried again."""
        while True:
            try:
                await self.settle()
            except Unavailable as error:
                log.warning("corrections_postponed", reason=error.message)
            except Exception:
                log.exception("corrections_failed")
            await asyncio.sleep(TICK_SECONDS)

    async def settle(self) -> int:
        """Finish what is left; return how many were. Raises Unavailable."""
        now = time.monotonic()
        self._set_aside_until = {
            name: until for name, until in self._set_aside_until.items() if until > now
        }
        left = await self._context.bills.unfinished(list(self._set_aside_until), _AT_ONCE)
        count = 0
        for adjustment_id in left:
            try:
                await carry_out(self._context, await self._context.bills.adjustment(adjustment_id))
                count += 1
            except Unavailable:
                raise
            except Exception:
                # One that can't be booked holds up no other.
                log.exception("correction_set_aside", adjustment_id=adjustment_id)
                self._set_aside_until[adjustment_id] = now + _SET_ASIDE_SECONDS
        return count
