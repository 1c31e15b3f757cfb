"""Keeps the leases of the platform's budgets: more where one is used up, back where it is idle.

Correctness never depends on it: an operation asks for what it lacks, and gets what others do not
use. This spares most of them the asking. Safe in many processes at once.
"""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

import structlog

from authority.domain.budgets import WindowRef
from authority.domain.errors import PaymasterError, Unavailable
from authority.domain.leases import Need, Standing
from authority.domain.ports import Clock
from authority.ledger.leases import PostgresLeases
from authority.usecases.leases import Leases

TICK_SECONDS = 2.0
# What nobody has used for so long is given back.
IDLE_SECONDS = 30.0
# A lease is to last for as many ticks as the last one.
_TICKS_AHEAD = 3
_AT_ONCE = 1_000

log = structlog.get_logger(__name__)


class _Seen(NamedTuple):
    """What was used of a lease, and since when."""

    used: int
    since: float


class LeaseKeeper:
    """Looks at the leases of the windows in force, every two seconds."""

    def __init__(self, leases: Leases, ledger: PostgresLeases, clock: Clock) -> None:
        self._leases = leases
        self._ledger = ledger
        self._clock = clock
        self._seen: dict[WindowRef, _Seen] = {}

    async def run(self) -> None:
        """Keep them until cancelled. A store that is away is tried again."""
        while True:
            try:
                await self.keep()
            except Unavailable as error:
                log.warning("leases_postponed", reason=error.message)
            except Exception:
                log.exception("leases_failed")
            await asyncio.sleep(TICK_SECONDS)

    async def keep(self) -> None:
        """Do it once. Raises Unavailable."""
        now_ms = self._clock.now_ms()
        await self._leases.reclaim()
        await self._ledger.alert_thresholds(now_ms)
        standings = await self._ledger.standing(now_ms, _AT_ONCE)
        before, now = self._seen, time.monotonic()
        self._seen = {}
        for standing in standings:
            seen = before.get(standing.ref, _Seen(standing.used, now))
            grew = standing.used - seen.used
            self._seen[standing.ref] = _Seen(standing.used, now) if grew else seen
            try:
                await self._keep_one(standing, grew, now - seen.since)
            except PaymasterError as error:
                # One tenant that can't be asked now holds up no other.
                log.warning("lease_postponed", tenant=standing.tenant, reason=error.message)

    async def _keep_one(self, standing: Standing, grew: int, idle_seconds: float) -> None:
        ahead = grew * _TICKS_AHEAD
        if grew > 0 and standing.idle < ahead:
            need = Need(standing.ref, standing.used, ahead)
            await self._leases.foresee(standing.tenant, need)
        elif grew == 0 and standing.idle > 0 and idle_seconds >= IDLE_SECONDS:
            freed = await self._leases.shrink(standing.tenant, standing.ref)
            log.info("lease_given_back", tenant=standing.tenant, amount=freed)
